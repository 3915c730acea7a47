//! Images made by debootstrap, so that no image registry is needed; each is made once and its
//! archive kept where `cargo xtask` keeps what a clean clone needs again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An image to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    /// Debian 13 and nothing else.
    Base,
    /// Debian 12 with its Redis 7.0.
    Redis,
    /// Debian 12 with its PostgreSQL 15.
    Postgres15,
    /// Debian 13 with its PostgreSQL 17.
    Postgres17,
    /// Debian 12 with its MariaDB.
    Mariadb,
}

impl Image {
    /// Its name in the engine.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Base => "backup-test-base",
            Self::Redis => "backup-test-redis",
            Self::Postgres15 => "backup-test-postgres:15",
            Self::Postgres17 => "backup-test-postgres:17",
            Self::Mariadb => "backup-test-mariadb",
        }
    }

    /// Its archive, the suite, packages besides the least there is, and a folder of programs.
    fn recipe(self) -> (&'static str, &'static str, Option<&'static str>, &'static str) {
        match self {
            Self::Base => ("base-trixie", "trixie", None, "/bin"),
            Self::Redis => ("redis-bookworm", "bookworm", Some("redis-server"), "/usr/bin"),
            Self::Postgres15 => (
                "postgres-15",
                "bookworm",
                Some("postgresql-15,libcap2-bin"),
                "/usr/lib/postgresql/15/bin",
            ),
            Self::Postgres17 => (
                "postgres-17",
                "trixie",
                Some("postgresql-17,libcap2-bin"),
                "/usr/lib/postgresql/17/bin",
            ),
            Self::Mariadb => {
                ("mariadb-bookworm", "bookworm", Some("mariadb-server,libcap2-bin"), "/usr/bin")
            }
        }
    }

    /// Takes it from its archive, or makes that first. Blocks.
    pub(crate) fn import(self, url: &str) {
        let (_, _, _, programs) = self.recipe();
        let path = format!(
            "ENV PATH={programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        );
        run(Command::new("docker")
            .args(["--host", url, "import", "--change", &path])
            .arg(self.archive())
            .arg(self.name()));
    }

    fn archive(self) -> PathBuf {
        let (kept, suite, package, _) = self.recipe();
        let cache = cache();
        let kept = cache.join(format!("{kept}.tar"));
        if kept.is_file() {
            return kept;
        }
        let scratch = tempfile::Builder::new().prefix("image-").tempdir_in(&cache).unwrap();
        let root = scratch.path().join("root");
        let included = package.map(|package| format!("--include={package}"));
        run(Command::new("debootstrap")
            .arg("--variant=minbase")
            .args(included)
            .arg(suite)
            .arg(&root));
        // What every image of Debian leaves out.
        for folder in ["var/cache/apt/archives", "var/lib/apt/lists"] {
            let folder = root.join(folder);
            fs::remove_dir_all(&folder).and_then(|()| fs::create_dir(&folder)).unwrap();
        }
        // Whole or not at all, under its name.
        let made = scratch.path().join("made.tar");
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&made).arg("."));
        fs::rename(&made, &kept).unwrap();
        kept
    }
}

fn cache() -> PathBuf {
    let own = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = own.or_else(home).expect("HOME is set").join("backup-orchestrator");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(command: &mut Command) {
    let told = command.output().unwrap();
    assert!(
        told.status.success(),
        "{command:?} ended with {}: {}{}",
        told.status,
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr)
    );
}

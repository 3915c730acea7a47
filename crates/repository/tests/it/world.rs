//! A repository in a folder, and stock restic beside it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use repository::{InitOptions, Kdf, Repository, Surroundings, Version};
use secrecy::SecretString;
use store::{Local, Store};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "a password of tests";
/// Irreducible, of degree 53.
pub(crate) const POLYNOMIAL: u64 = 0x003D_A335_8B4D_C173;

pub(crate) fn password() -> SecretString {
    PASSWORD.to_owned().into()
}

/// Quick to open.
pub(crate) const LIGHT: Kdf = Kdf { log_n: 10, r: 8, p: 1 };

pub(crate) fn options(version: Version) -> InitOptions {
    InitOptions { version, kdf: LIGHT, polynomial: POLYNOMIAL }
}

pub(crate) async fn init_at(store: Arc<dyn Store>, version: Version) -> Repository {
    let surroundings = Surroundings::of_this_process();
    Repository::init(store, &password(), &options(version), surroundings).await.unwrap()
}

pub(crate) async fn open_at(store: Arc<dyn Store>) -> Repository {
    Repository::open(store, &password(), Surroundings::of_this_process()).await.unwrap()
}

/// A folder for a repository and for whatever a test needs beside it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        Arc::new(Local::open(&self.path("repository")).await.unwrap())
    }

    pub(crate) async fn init(&self, version: Version) -> Repository {
        init_at(self.store().await, version).await
    }

    pub(crate) async fn open(&self) -> Repository {
        open_at(self.store().await).await
    }

    /// Runs `restic` on the repository.
    pub(crate) fn restic(&self, restic: &Path, args: &[&str]) -> Output {
        self.restic_on("repository", restic, args)
    }

    pub(crate) fn restic_on(&self, name: &str, restic: &Path, args: &[&str]) -> Output {
        Command::new(restic)
            .arg("-r")
            .arg(self.path(name))
            .args(["--no-cache", "-q"])
            .args(args)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env_remove("RESTIC_REPOSITORY")
            .output()
            .unwrap()
    }

    /// The same; it has to succeed. Its output is returned.
    pub(crate) fn restic_ok(&self, restic: &Path, args: &[&str]) -> String {
        let output = self.restic(restic, args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "restic {args:?}: {told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Debian 12's restic and 0.18: by variables, on the path, or where `cargo xtask test` puts it. One
/// that is missing is told, and is a failure in CI.
pub(crate) fn restics() -> Vec<PathBuf> {
    let old = std::env::var_os("RESTIC_0_14").map_or("/usr/bin/restic".into(), PathBuf::from);
    let new = std::env::var_os("RESTIC_0_18").map(PathBuf::from).or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        Some(cache?.join("backup-orchestrator/restic-0.18/usr/bin/restic"))
    });
    let mut found = Vec::new();
    for program in [Some(old), new].into_iter().flatten() {
        let is_there = program.is_file();
        assert!(is_there || std::env::var_os("CI").is_none(), "{} is needed", program.display());
        if is_there {
            found.push(program);
        } else {
            eprintln!("left out: {} is not there (`cargo xtask test` does it)", program.display());
        }
    }
    found
}

//! A repository in a folder, and stock restic beside it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

pub(crate) use crate::restics::restics;
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

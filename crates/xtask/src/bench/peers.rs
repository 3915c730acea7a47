//! The programs that repositories are measured beside, and where they come from.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Result;

use crate::cache;

/// From `PyPI`, built here (BSD licence).
const BORG: &str = "borgbackup==1.4.*";
/// What building it needs, by Debian's names.
const BORG_NEEDS: &[&str] = &[
    "gcc",
    "libacl1-dev",
    "liblz4-dev",
    "libssl-dev",
    "libxxhash-dev",
    "libzstd-dev",
    "pkg-config",
    "python3-dev",
    "python3-venv",
];
/// From crates.io (Apache or MIT licence).
const RUSTIC: &str = "rustic-rs";

/// Where peers are looked for and put.
pub(super) struct Peers {
    folder: PathBuf,
    may_install: bool,
}

/// A peer, or why it is left out.
pub(super) type Found = Result<PathBuf, String>;

impl Peers {
    /// With `may_install`, what is missing is installed into the cache folder.
    pub(super) fn new(may_install: bool) -> Result<Self> {
        Ok(Self { folder: cache::folder()?.join("peers"), may_install })
    }

    /// restic 0.18, as the tests have it.
    pub(super) fn restic(&self) -> Found {
        let program = self.folder.with_file_name("restic-0.18").join("usr/bin/restic");
        match version(&program, "version") {
            Some(_) => Ok(program),
            None => Err(format!(
                "{} does not run: `cargo xtask test` unpacks it there",
                program.display()
            )),
        }
    }

    /// borg 1.4: `asked`, where somebody asked for one, or ours.
    pub(super) fn borg(&self, asked: Option<&Path>) -> Found {
        let own = self.folder.join("borg/bin/borg");
        self.peer(asked, &own, "borg", "borg 1.4.", || self.install_borg())
    }

    /// rustic, the same way.
    pub(super) fn rustic(&self, asked: Option<&Path>) -> Found {
        let own = self.folder.join("rustic/bin/rustic");
        self.peer(asked, &own, "rustic", "rustic ", || self.install_rustic())
    }

    fn peer(
        &self,
        asked: Option<&Path>,
        own: &Path,
        name: &str,
        wanted: &str,
        install: impl Fn() -> Found,
    ) -> Found {
        if let Some(asked) = asked {
            return match version(asked, "--version") {
                Some(_) => Ok(asked.to_owned()),
                None => Err(format!("{} does not run", asked.display())),
            };
        }
        let is_it = |program: &Path| {
            version(program, "--version").is_some_and(|version| version.starts_with(wanted))
        };
        for program in [own, Path::new(name)] {
            if is_it(program) {
                return Ok(program.to_owned());
            }
        }
        if self.may_install {
            let program = install()?;
            return if is_it(&program) {
                Ok(program)
            } else {
                Err(format!("{} was installed and is not `{wanted}…`", program.display()))
            };
        }
        let found = version(Path::new(name), "--version");
        let found = found.map(|version| format!(" (there is {version})")).unwrap_or_default();
        Err(format!("no `{wanted}…` is installed{found}: --install-peers does that"))
    }

    fn install_borg(&self) -> Found {
        let folder = self.folder.join("borg");
        println!("building {BORG} in {}", folder.display());
        let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
        let done = made.is_ok_and(|status| status.success())
            && Command::new(folder.join("bin/python3"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", BORG])
                .status()
                .is_ok_and(|status| status.success());
        if done {
            return Ok(folder.join("bin/borg"));
        }
        Err(format!(
            "pip could not build {BORG}; it needs Debian's packages {}",
            BORG_NEEDS.join(", ")
        ))
    }

    fn install_rustic(&self) -> Found {
        let folder = self.folder.join("rustic");
        println!("building {RUSTIC} in {}; that takes a while", folder.display());
        let mut cargo = crate::cargo::cargo();
        let done = cargo
            .args(["install", "--locked", "--quiet", RUSTIC, "--root"])
            .arg(&folder)
            // Apart from the workspace's own folders.
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .env_remove("CARGO_BUILD_BUILD_DIR")
            .current_dir("/")
            .status();
        // What is left of the build is large.
        let _ = std::fs::remove_dir_all(folder.join("target"));
        if done.is_ok_and(|status| status.success()) {
            return Ok(folder.join("bin/rustic"));
        }
        Err(format!("cargo could not build {RUSTIC}"))
    }
}

/// The first line that a program tells of itself; `None` where it does not run.
fn version(program: &Path, argument: &str) -> Option<String> {
    let told = Command::new(program).arg(argument).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    told.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_not_there_is_told_and_another_version_too() {
        let folder = tempfile::tempdir().unwrap();
        let peers = Peers { folder: folder.path().join("peers"), may_install: false };
        let told = peers.borg(Some(Path::new("/nonexistent/borg"))).unwrap_err();
        assert!(told.contains("does not run"), "{told}");
        assert!(peers.restic().unwrap_err().contains("cargo xtask test"));
        let install = || -> Found { unreachable!("nothing may be installed") };
        let own = folder.path().join("none");
        let told = peers.peer(None, &own, "true", "true 7.", install).unwrap_err();
        assert!(told.contains("--install-peers"), "{told}");
        let found = peers.peer(None, &own, "bash", "GNU bash", install).unwrap();
        assert_eq!(found, Path::new("bash"));
    }
}

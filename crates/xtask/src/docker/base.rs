//! The base image: Debian made by debootstrap, so that no image registry is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::client::Docker;

const SUITE: &str = "trixie";

/// The name of the base image in the test engine.
pub(super) const IMAGE: &str = "backup-test-base";

/// Makes the image from the kept archive, which is made once.
pub(crate) fn import(docker: &Docker, cache: &Path) -> Result<()> {
    let archive = archive(cache)?;
    let words = ["import".as_ref(), archive.as_os_str(), IMAGE.as_ref()];
    docker.ask(&words).map(drop)
}

fn archive(cache: &Path) -> Result<PathBuf> {
    let kept = cache.join(format!("base-{SUITE}.tar"));
    if kept.is_file() {
        return Ok(kept);
    }
    println!("making the base image (once): debootstrap {SUITE}");
    let scratch = tempfile::Builder::new().prefix("backup-base-").tempdir_in(cache)?;
    let root = scratch.path().join("root");
    run(Command::new("debootstrap").arg("--variant=minbase").arg(SUITE).arg(&root))?;
    // What every image of Debian leaves out.
    for folder in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        let folder = root.join(folder);
        fs::remove_dir_all(&folder).and_then(|()| fs::create_dir(&folder))?;
    }
    // Whole or not at all, under its name.
    let made = scratch.path().join("base.tar");
    run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&made).arg("."))?;
    fs::rename(&made, &kept)?;
    Ok(kept)
}

fn run(command: &mut Command) -> Result<()> {
    let told = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(
        told.status.success(),
        "{command:?} ended with {}: {}{}",
        told.status,
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr)
    );
    Ok(())
}

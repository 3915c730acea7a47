//! A folder for lists of names that are too long for memory.

use std::{
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use model::{Duty, Failure, FailureCode};
use rand::RngExt;

use crate::{Engine, run::RunContext};

/// A folder of its own within the spool folder, removed when dropped.
pub(crate) struct Work(PathBuf);

impl Work {
    /// One for a run, which removes it also after a crash.
    pub(crate) async fn of_run(context: &RunContext) -> Result<Self, Failure> {
        let path = path(&context.engine)?;
        // Done at the run's end; there is nothing to settle earlier.
        let _owed = context.owe(Duty::RemoveFolder { path: path.clone() }).await?;
        Self::make(path).await
    }

    /// One for somebody who reads.
    pub(crate) async fn of_reader(engine: &Engine) -> Result<Self, Failure> {
        Self::make(path(engine)?).await
    }

    async fn make(path: PathBuf) -> Result<Self, Failure> {
        let made = path.clone();
        blocking(move || make_own(&made)).await.map_err(|error| failed(&path, &error))?;
        Ok(Self(path))
    }

    /// The file `name` in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What cannot be removed is owed by the run, if there is one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes `folder`, into which nobody else may look. The spool folder above it stays one that others
/// may pass through: scratch servers have theirs there.
pub(crate) fn make_own(folder: &Path) -> io::Result<()> {
    if let Some(spool) = folder.parent() {
        std::fs::create_dir_all(spool)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}

fn path(engine: &Engine) -> Result<PathBuf, Failure> {
    let number = engine.with_rng(RngExt::random::<u64>);
    let path = engine.0.config.spool.join(format!("tree-{number:016x}"));
    std::path::absolute(&path).map_err(|error| failed(&path, &error))
}

/// Trouble with a file of the spool folder.
pub(super) fn failed(path: &Path, error: &io::Error) -> Failure {
    let message = format!("the spool folder: {}: {error}", path.display());
    Failure::new(FailureCode::SourceFailed, message)
}

/// Does `work` where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

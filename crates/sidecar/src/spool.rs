//! Artifacts that are made before they are sent: read-only files that go with their owner.

use std::{
    fs::File,
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt as _, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// Folder within `paths.artifacts`.
const FOLDER: &str = ".backup-sidecar";
const SUFFIX: &str = ".spool";

/// Where artifacts wait.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
}

/// A finished artifact. Its file goes when the last owner does.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// Locked while it is held, so that no other sidecar takes it for a leftover.
    file: Option<NamedTempFile>,
    path: PathBuf,
    pub(crate) size_bytes: u64,
    /// 64 hex digits.
    pub(crate) sha256: String,
}

impl Spool {
    pub(crate) fn within(artifacts: &Path) -> Self {
        Self { folder: artifacts.join(FOLDER) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what a killed sidecar has left. Gives how many files that were.
    pub(crate) async fn sweep(&self) -> io::Result<usize> {
        let folder = self.folder.clone();
        blocking(move || {
            let mut removed = 0;
            let entries = match std::fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                entries => entries?,
            };
            for path in entries.flatten().map(|entry| entry.path()) {
                let is_ours = path.to_string_lossy().ends_with(SUFFIX);
                if is_ours && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                    std::fs::remove_file(&path)?;
                    removed += 1;
                }
            }
            Ok(removed)
        })
        .await
    }

    /// Writes what comes until the end of it; `told` counts.
    pub(crate) async fn take(
        &self,
        mut chunks: mpsc::Receiver<Bytes>,
        told: &AtomicU64,
        cancel: &CancellationToken,
    ) -> io::Result<Artifact> {
        let folder = self.folder.clone();
        let named = blocking(move || create(&folder)).await?;
        let mut file = tokio::fs::File::from_std(named.as_file().try_clone()?);
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        let mut size_bytes = 0;
        while let Some(chunk) = cancel.run_until_cancelled(chunks.recv()).await.flatten() {
            hash.update(&chunk);
            file.write_all(&chunk).await?;
            size_bytes += chunk.len() as u64;
            told.store(size_bytes, Ordering::Relaxed);
        }
        file.flush().await?;
        blocking(move || {
            named.as_file().set_permissions(std::fs::Permissions::from_mode(0o400))?;
            let path = named.path().to_owned();
            let sha256 = hex::encode(hash.finish().as_ref());
            Ok(Artifact { file: Some(named), path, size_bytes, sha256 })
        })
        .await
    }
}

impl Artifact {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn open(&self) -> io::Result<tokio::fs::File> {
        let mut file = tokio::fs::File::open(&self.path).await?;
        file.set_max_buf_size(crate::export::READ_CHUNK);
        Ok(file)
    }
}

impl Drop for Artifact {
    fn drop(&mut self) {
        let file = self.file.take();
        // To free a large file takes its time.
        match tokio::runtime::Handle::try_current() {
            Ok(handle) => drop(handle.spawn_blocking(move || drop(file))),
            Err(_) => drop(file),
        }
    }
}

fn create(folder: &Path) -> io::Result<NamedTempFile> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let named = tempfile::Builder::new().prefix("export-").suffix(SUFFIX).tempfile_in(folder)?;
    named.as_file().lock()?;
    Ok(named)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

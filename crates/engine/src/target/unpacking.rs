//! Archives and trees as files again, in a folder that was not there before.

use std::{
    fs::DirBuilder,
    io::{self, Read},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use archive::{Limits, Only, Options, Report, UnpackError};
use bytes::{Buf as _, Bytes};
use model::{Artifact, Contents, Fact, Failure, FailureCode, Sentence, Size};
use tokio::{
    io::AsyncWriteExt as _,
    sync::mpsc,
    task::{JoinError, JoinHandle},
};

use super::{Aim, Supply, blocking, folder, refused};
use crate::{
    durable,
    run::RunContext,
    trees::{self, Work},
};

/// Chunks that may wait to be unpacked.
const WAITING_CHUNKS: usize = 8;
/// What every member of a tar takes at least, in bytes.
const BLOCK: u64 = 512;
/// Warnings that are told one by one.
const MAX_TOLD: usize = 20;

/// How an artifact holds files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    /// A tar, whatever it is compressed with.
    Tar {
        /// Whether its members lie in it as they are.
        plain: bool,
    },
    /// A zip, which is read from its end.
    Zip,
    /// A tree at its destination.
    Tree,
}

/// How `artifact` holds files; `None` where it is no archive.
pub(crate) fn packed(artifact: &Artifact) -> Option<Packed> {
    packed_as(artifact.format.as_deref(), &artifact.file_name)
}

/// The same by its format in the contract's words and, where it has none, its name.
pub(crate) fn packed_as(format: Option<&str>, file_name: &str) -> Option<Packed> {
    if format == Some(trees::FORMAT) {
        return Some(Packed::Tree);
    }
    let told = format.unwrap_or(file_name).trim().to_ascii_lowercase().replace('+', ".");
    let mut words = told.rsplit('.');
    match words.next()? {
        "tar" => Some(Packed::Tar { plain: true }),
        "tgz" | "tzst" | "txz" | "tbz" | "tbz2" => Some(Packed::Tar { plain: false }),
        "zip" => Some(Packed::Zip),
        "gz" | "gzip" | "zst" | "zstd" | "xz" | "bz2" | "bzip2" if words.next() == Some("tar") => {
            Some(Packed::Tar { plain: false })
        }
        _ => None,
    }
}

/// What is allowed of an archive, and what of it is wanted.
pub(crate) struct Wish {
    pub(crate) packed: Packed,
    /// Paths inside; empty is all.
    pub(crate) only: Vec<PathBuf>,
    /// Whether setuid, setgid and capabilities come back.
    pub(crate) privileges: bool,
    /// Whether device nodes do; without it an archive that has one is refused.
    pub(crate) devices: bool,
}

/// Unpacks into `folder`, which is made; errs before anything counts as restored.
pub(crate) async fn unpack(
    context: &RunContext,
    aim: &Aim<'_>,
    supply: &Supply<'_>,
    folder: &Path,
    wish: Wish,
) -> Result<Report, Failure> {
    let made = folder.to_owned();
    let made = blocking(move || {
        // Nobody else looks in while it is filled.
        DirBuilder::new().recursive(true).mode(0o700).create(made)
    });
    made.await?
        .map_err(|error| folder::told(|what, why| Fact::NotMade { what, why }, folder, &error))?;
    let options = Options {
        limits: limits(aim.artifact, wish.packed),
        only: Only::paths(&wish.only),
        privileges: wish.privileges,
        devices: wish.devices,
        sync: true,
    };
    let on = On { context, aim, supply, folder };
    let report = match wish.packed {
        Packed::Zip => on.zip(options).await?,
        Packed::Tar { .. } | Packed::Tree => on.tar(options).await?,
    };
    match report.missing.first() {
        None => Ok(report),
        Some(_) => Err(refused(Fact::NotInArchive {
            artifact: aim.artifact.source.to_string(),
            paths: report.missing.join(", "),
        })),
    }
}

/// What is not as it was, for people.
pub(crate) fn notes(report: &Report) -> Vec<Sentence> {
    let mut notes: Vec<Sentence> =
        report.warnings.iter().take(MAX_TOLD).map(|told| told.as_str().into()).collect();
    if report.warnings.len() > MAX_TOLD {
        let count = (report.warnings.len() - MAX_TOLD) as u64;
        notes.push(Fact::MoreDiffer { count }.into());
    }
    let came = Fact::Came {
        files: report.files,
        folders: report.folders,
        links: report.links + report.symlinks,
        size: Size(report.bytes),
    };
    notes.push(came.into());
    notes
}

/// No archive gives more than was recorded of it.
fn limits(artifact: &Artifact, packed: Packed) -> Limits {
    let mut limits = Limits::default();
    if let Some(Contents::Members { files, bytes, others }) = artifact.contents {
        (limits.bytes, limits.members) = (bytes, files.saturating_add(others));
    } else if packed == (Packed::Tar { plain: true }) {
        (limits.bytes, limits.members) = (artifact.size_bytes, artifact.size_bytes / BLOCK);
    }
    limits
}

/// An archive on its way into a folder.
struct On<'a> {
    context: &'a RunContext,
    aim: &'a Aim<'a>,
    supply: &'a Supply<'a>,
    folder: &'a Path,
}

type Unpacked = Result<Report, UnpackError>;

impl On<'_> {
    async fn tar(&self, options: Options) -> Result<Report, Failure> {
        let mut bytes = self.supply.open_files().await?;
        let (to, chunks) = mpsc::channel(WAITING_CHUNKS);
        let fed = Fed { chunks, now: Bytes::new() };
        let unpacking =
            self.begin(move |folder, watch| archive::unpack(fed, folder, options, watch));
        let fed = async {
            while let Some(chunk) = bytes.chunk().await? {
                if to.send(chunk).await.is_err() {
                    break; // It tells why.
                }
            }
            Ok(())
        };
        let fed: Result<(), Failure> = fed.await;
        drop(to);
        // Whatever became of its bytes: nothing is written any more once this is done.
        let unpacked = unpacking.await;
        fed?;
        self.told(unpacked)
    }

    async fn zip(&self, options: Options) -> Result<Report, Failure> {
        let work = Work::of_run(self.context).await?;
        let path = work.file("zip");
        spool(self.supply, &path).await?;
        let unpacking = self.begin(move |folder, watch| {
            let _work = work;
            let file = std::fs::File::open(&path).map_err(|source| UnpackError::Write {
                name: path.display().to_string(),
                source,
            })?;
            archive::unpack_zip(io::BufReader::new(file), folder, options, watch)
        });
        self.told(unpacking.await)
    }

    /// Has `work` done where it may block; it is called off when the run is.
    fn begin(
        &self,
        work: impl FnOnce(&Path, archive::Watch<'_>) -> Unpacked + Send + 'static,
    ) -> JoinHandle<Unpacked> {
        let (stop, folder) = (self.context.stop_token().clone(), self.folder.to_owned());
        tokio::task::spawn_blocking(move || work(&folder, &mut |_| !stop.is_cancelled()))
    }

    fn told(&self, unpacked: Result<Unpacked, JoinError>) -> Result<Report, Failure> {
        self.context.keep_going()?;
        let unpacked =
            unpacked.map_err(|panic| Failure::new(FailureCode::Internal, panic.to_string()))?;
        unpacked.map_err(|error| {
            let what = self.aim.artifact.source.to_string();
            refused(Fact::Of { what, why: error.to_string().into() })
        })
    }
}

/// What is written to a file at once: each write is another thread's.
const WRITE_BYTES: usize = 1 << 20;

/// Writes the artifact to the new file `path`.
pub(crate) async fn spool(supply: &Supply<'_>, path: &Path) -> Result<(), Failure> {
    let write =
        |error: io::Error| folder::told(|path, why| Fact::NotWritable { path, why }, path, &error);
    let mut options = tokio::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path).await.map_err(write)?;
    let mut file = tokio::io::BufWriter::with_capacity(WRITE_BYTES, file);
    let mut bytes = supply.open()?;
    while let Some(chunk) = bytes.chunk().await? {
        file.write_all(&chunk).await.map_err(write)?;
    }
    file.flush().await.map_err(write)?;
    file.get_ref().sync_all().await.map_err(write)?;
    let made = path.to_owned();
    blocking(move || durable::sync_name(&made)).await?.map_err(write)
}

/// Chunks, read as one stream.
struct Fed {
    chunks: mpsc::Receiver<Bytes>,
    now: Bytes,
}

impl Read for Fed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.now = chunk,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.now.len());
        self.now.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_known_by_their_format_and_without_one_by_their_name() {
        let of = |format: Option<&str>, name: &str| {
            packed(&Artifact {
                source: "files".parse().unwrap(),
                part: None,
                began_at: None,
                ended_at: None,
                file_name: name.to_owned(),
                format: format.map(str::to_owned),
                content_type: None,
                size_bytes: 1,
                sha256: String::new(),
                contents: None,
                base: None,
                image: None,
            })
        };
        let (plain, compressed) =
            (Some(Packed::Tar { plain: true }), Some(Packed::Tar { plain: false }));
        assert_eq!(of(Some("tar"), "x"), plain);
        assert_eq!(of(Some("tar+gzip"), "x"), compressed);
        assert_eq!(of(Some("tar.zst"), "x"), compressed);
        assert_eq!(of(Some("zip"), "x"), Some(Packed::Zip));
        assert_eq!(of(Some("file-tree"), "x.tree.jsonl"), Some(Packed::Tree));
        assert_eq!(of(None, "etc.TGZ"), compressed);
        assert_eq!(of(None, "etc.tar.xz"), compressed);
        for other in [Some("pg_dump_Fc"), Some("pg_dump_Ft"), Some("sql.gz"), None] {
            assert_eq!(of(other, "dump.gz"), None, "{other:?}");
        }
        assert_eq!(of(Some("rdb"), "x.tar"), None, "what it says counts more than its name");
    }
}

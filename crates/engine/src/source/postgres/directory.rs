//! The directory format: several processes write a folder, which is then streamed as a tar.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use model::{Duty, Failure, FailureCode};
use rand::RngExt;
use tokio::sync::mpsc;

use super::{
    super::{
        OpenedSource, Part, SourceMeta, SourceOutcome, SourceStream,
        direct::Asked,
        tool::{Tool, within},
    },
    meta, told,
};
use crate::{duty::Owed, run::RunContext, trees::make_own};

const CHUNK: usize = 128 << 10;
const WAITING_CHUNKS: usize = 4;
/// How often a growing dump is measured.
const LOOK: Duration = Duration::from_secs(2);
/// What the folder is called inside the tar.
const INSIDE: &str = "dump";

/// Dumps with `dump`, which lacks only where to, and gives the folder's tar.
pub(super) async fn open(
    context: &RunContext,
    asked: &Asked<'_>,
    dump: Tool<'_>,
    part: &Part,
) -> Result<OpenedSource, Failure> {
    let meta = meta(part, "tar", "pg_dump_Fd");
    let number = context.engine.with_rng(RngExt::random::<u32>);
    let folder = context.engine.0.config.spool.join(format!("{}-{number:08x}", context.run.id));
    let folder = std::path::absolute(&folder).map_err(|error| at(&folder, &error))?;
    let owed = context.owe(Duty::RemoveFolder { path: folder.clone() }).await?;
    let inside = folder.join(INSIDE);
    let made = folder.clone();
    blocking(move || make_own(&made)).await.map_err(|error| at(&folder, &error))?;

    let dump = dump.arg(format!("--file={}", inside.display()));
    let mut writing = dump.start(context, asked.timeout()).await.map_err(told::explained)?;
    let limit = asked.max_size_bytes();
    let written = async {
        while writing.chunk().await?.is_some() {}
        Ok(())
    };
    let too_large = async {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(failure) = within(size(&inside).await, limit, &meta.file_name) {
                break failure;
            }
        }
    };
    tokio::select! {
        written = written => written.map_err(told::explained)?,
        failure = too_large => return Err(failure),
    }
    within(size(&inside).await, limit, &meta.file_name)?;

    let (sender, chunks) = mpsc::channel(WAITING_CHUNKS);
    tokio::task::spawn_blocking(move || {
        let archived = archive(&inside, &sender);
        if let Err(error) = archived {
            // Nobody may listen any more.
            let _ = sender.blocking_send(Err(at(&inside, &error)));
        }
    });
    Ok(Box::new(Archive {
        meta,
        chunks,
        size_bytes: 0,
        has_ended: false,
        owed: Some((context.clone(), owed)),
    }))
}

/// A folder's tar, as it is made.
struct Archive {
    meta: SourceMeta,
    chunks: mpsc::Receiver<Result<Option<Bytes>, Failure>>,
    size_bytes: u64,
    has_ended: bool,
    owed: Option<(RunContext, Owed)>,
}

#[async_trait::async_trait]
impl SourceStream for Archive {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.has_ended {
            return Ok(None);
        }
        let next = self.chunks.recv().await.unwrap_or_else(|| {
            Err(Failure::new(FailureCode::Internal, "the tar was not made to its end"))
        });
        let Some(chunk) = next? else {
            self.has_ended = true;
            if let Some((context, owed)) = self.owed.take() {
                context.settle(owed).await?;
            }
            return Ok(None);
        };
        self.size_bytes += chunk.len() as u64;
        Ok(Some(chunk))
    }

    fn outcome(&self) -> Option<SourceOutcome> {
        self.has_ended.then_some(SourceOutcome {
            size_bytes: self.size_bytes,
            sha256: None,
            verified_by_source: false,
        })
    }

    fn allows_empty(&self) -> bool {
        false
    }
}

type Sender = mpsc::Sender<Result<Option<Bytes>, Failure>>;

/// Sends the tar of `folder`, and `None` after it.
fn archive(folder: &Path, sender: &Sender) -> io::Result<()> {
    let mut tar = tar::Builder::new(BufWriter::with_capacity(CHUNK, Pipe(sender)));
    tar.follow_symlinks(false);
    tar.append_dir_all(INSIDE, folder)?;
    let mut out = tar.into_inner()?;
    out.flush()?;
    sender.blocking_send(Ok(None)).map_err(io::Error::other)
}

struct Pipe<'a>(&'a Sender);

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Some(Bytes::copy_from_slice(bytes))));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many bytes the files in `folder` have; what is not there has none.
async fn size(folder: &Path) -> u64 {
    let folder: PathBuf = folder.to_owned();
    let sum = tokio::task::spawn_blocking(move || {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
    });
    sum.await.unwrap_or_default()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn at(path: &Path, error: &io::Error) -> Failure {
    let message = format!("the spool folder: {}: {error}", path.display());
    Failure::new(FailureCode::SourceFailed, message)
}

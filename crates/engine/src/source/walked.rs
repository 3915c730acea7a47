//! The tar of folders of this machine, from threads that walk to a stream with an outcome.

use std::{
    io::{self, Write as _},
    thread,
};

use archive::{ArchiveError, Format, Item, Root, Sink, Tar, Walk, Warnings};
use bytes::Bytes;
use model::{Failure, FailureCode};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{SourceMeta, SourceOutcome, SourceStream, direct::Asked};
use crate::run::RunContext;

/// Chunks that may wait to be read.
const WAITING_CHUNKS: usize = 4;
/// Threads that read ahead: what waits for a disk, or for many small files, waits together.
const READERS: std::ops::RangeInclusive<usize> = 2..=4;

/// What is read, and how.
pub(super) struct Plan {
    /// In words, for failures.
    pub(super) what: String,
    /// The archive's name.
    pub(super) file_name: String,
    pub(super) walk: Walk,
    pub(super) roots: Vec<Root>,
    pub(super) warnings: Warnings,
    pub(super) keeps_devices: bool,
    /// What there is to say of one that is added.
    pub(super) note: fn(&Item) -> Option<&'static str>,
}

/// What has to be undone when nothing more is read.
#[async_trait::async_trait]
pub(super) trait Behind: Send {
    /// A warning that names files as they are known, not as they were read.
    fn as_named(&self, line: &str) -> String {
        line.to_owned()
    }

    /// Undoes it; gives what could not be done.
    async fn undo(self: Box<Self>, context: &RunContext) -> Vec<String>;
}

/// Files on their way, and what is behind them.
pub(super) struct Walked {
    meta: SourceMeta,
    context: RunContext,
    what: String,
    chunks: mpsc::Receiver<Bytes>,
    writer: Option<JoinHandle<Result<Warnings, ArchiveError>>>,
    behind: Option<Box<dyn Behind>>,
    read: u64,
    limit: u64,
    ends_by: Instant,
    warnings: Vec<String>,
    outcome: Option<SourceOutcome>,
}

impl Walked {
    /// Starts the walk.
    pub(super) fn begin(
        context: &RunContext,
        asked: &Asked<'_>,
        plan: Plan,
        behind: Box<dyn Behind>,
    ) -> Self {
        let Plan { what, file_name, walk, roots, mut warnings, keeps_devices, note } = plan;
        let (to, chunks) = mpsc::channel(WAITING_CHUNKS);
        let writer = tokio::task::spawn_blocking(move || {
            let tar = Tar::new(Sink::new(to.clone()));
            let tar = if keeps_devices { tar.keeping_devices() } else { tar };
            let mut watched = Watched { tar, to, note };
            let cores = thread::available_parallelism().map_or(1, usize::from);
            let readers = cores.clamp(*READERS.start(), *READERS.end());
            for root in &roots {
                walk.add_reading_ahead(root, readers, &mut watched, &mut warnings)?;
            }
            watched.tar.finish()?.flush()?;
            Ok(warnings)
        });
        Self {
            meta: SourceMeta {
                file_name,
                format: Some("tar".to_owned()),
                content_type: Some("application/x-tar".to_owned()),
                expected_size_bytes: None,
            },
            context: context.clone(),
            what,
            chunks,
            writer: Some(writer),
            behind: Some(behind),
            read: 0,
            limit: asked.max_size_bytes(),
            ends_by: Instant::now() + asked.timeout(),
            warnings: Vec::new(),
            outcome: None,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let chunk = tokio::time::timeout_at(self.ends_by, self.chunks.recv()).await;
        // A chunk that is there already is never too late for a timer.
        let (Ok(chunk), true) = (chunk, Instant::now() < self.ends_by) else {
            return Err(Failure::new(
                FailureCode::Timeout,
                format!("{} was not read in time: raise the app's time limit", self.what),
            ));
        };
        let Some(chunk) = chunk else {
            self.end().await?;
            return Ok(None);
        };
        self.read += chunk.len() as u64;
        if self.read > self.limit {
            return Err(Failure::new(
                FailureCode::SourceTooLarge,
                format!(
                    "{} has more than {} bytes: raise BACKUP_MAX_SIZE_MB or the app's own limit, \
                     or exclude what need not be kept",
                    self.what, self.limit
                ),
            ));
        }
        Ok(Some(chunk))
    }

    /// All bytes are read: what the walk says of them.
    async fn end(&mut self) -> Result<(), Failure> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let written = writer.await.unwrap_or_else(|panic| {
            Err(ArchiveError::Failed(format!("the walk ended by itself: {panic}")))
        });
        let warnings = written.map_err(|error| Failure {
            retryable: error.is_retryable(),
            ..Failure::new(FailureCode::SourceFailed, format!("{}: {error}", self.what))
        })?;
        self.warnings = warnings.told();
        self.outcome =
            Some(SourceOutcome { size_bytes: self.read, sha256: None, verified_by_source: false });
        Ok(())
    }

    /// Lets others go on as soon as nothing more is read. What cannot be undone is an
    /// embarrassment, no reason to throw the archive away: it stays owed and is tried again.
    async fn undo(&mut self) {
        let Some(behind) = self.behind.take() else { return };
        // A walk that is not read any more ends.
        self.chunks.close();
        self.warnings = self.warnings.iter().map(|line| behind.as_named(line)).collect();
        self.warnings.extend(behind.undo(&self.context).await);
    }
}

/// A tar that knows whether it is still read.
struct Watched {
    tar: Tar<Sink>,
    to: mpsc::Sender<Bytes>,
    note: fn(&Item) -> Option<&'static str>,
}

impl Format for Watched {
    fn add(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()> {
        if let Some(what) = (self.note)(item) {
            warnings.push(&item.path, what);
        }
        self.tar.add(item, warnings)
    }

    fn is_wanted(&self) -> bool {
        !self.to.is_closed()
    }
}

#[async_trait::async_trait]
impl SourceStream for Walked {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let next = self.next().await;
        if !matches!(next, Ok(Some(_))) {
            self.undo().await;
        }
        next
    }

    fn outcome(&self) -> Option<SourceOutcome> {
        self.outcome.clone()
    }

    fn allows_empty(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

//! The tar of a source, from a thread that walks to a stream with an outcome.

use std::{
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
};

use archive::{ArchiveError, Format, Item, Sink, Tar, Walk, Warnings};
use bytes::Bytes;
use model::{Failure, FailureCode};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{
    basis::Basis,
    paths::{OWN_NAMES, Wanted},
};
use crate::{
    run::RunContext,
    source::{OpenedSource, Part, SourceMeta, SourceOutcome, SourceStream, direct::Asked},
};

/// Chunks that may wait to be read.
const WAITING_CHUNKS: usize = 4;
/// Inode of the empty folder that a Btrfs snapshot has where another subvolume begins.
pub(super) const NO_SUBVOLUME: u64 = 2;
pub(super) const OTHER_SUBVOLUME: &str = "a subvolume of its own is not in the snapshot; left out";

/// How the files are walked through.
pub(super) fn walk(
    asked: &Asked<'_>,
    wanted: &Wanted,
    basis: &Basis,
    warnings: &mut Warnings,
) -> Result<Walk, Failure> {
    let config = &asked.engine.0.config;
    let excluded = asked.list("exclude").into_iter().chain([OWN_NAMES]);
    let mut walk = Walk::default()
        .following(asked.flag("follow_symlinks"))
        .on_one_file_system(asked.flag("one_file_system"))
        .within(basis.bounds(&config.file_roots))
        .without(&config.spool)
        .excluding(excluded)
        .map_err(|error| Failure::new(FailureCode::SourceConfig, error.to_string()))?;
    for folder in &wanted.destinations {
        walk = walk.without_name(folder);
        warnings.push(folder, "copies of this app are kept there; left out");
    }
    for (path, what) in &basis.warnings {
        warnings.push(path, what);
    }
    Ok(walk)
}

/// Starts the walk.
pub(super) fn open(
    context: &RunContext,
    asked: &Asked<'_>,
    part: &Part,
    wanted: &Wanted,
    basis: Basis,
) -> Result<OpenedSource, Failure> {
    let mut warnings = Warnings::default();
    let walk = walk(asked, wanted, &basis, &mut warnings)?;
    let roots = basis.roots.clone();
    let on_btrfs = basis.is_btrfs();
    let (to, chunks) = mpsc::channel(WAITING_CHUNKS);
    let writer = tokio::task::spawn_blocking(move || {
        let mut watched = Watched { tar: Tar::new(Sink::new(to.clone())), to, on_btrfs };
        for root in &roots {
            walk.add(root, &mut watched, &mut warnings)?;
        }
        let mut sink = watched.tar.finish()?;
        sink.flush()?;
        Ok(warnings)
    });
    Ok(Box::new(Opened {
        meta: SourceMeta {
            file_name: format!("{}.tar", part.name),
            format: Some("tar".to_owned()),
            content_type: Some("application/x-tar".to_owned()),
            expected_size_bytes: None,
        },
        context: context.clone(),
        name: part.name.to_string(),
        chunks,
        writer: Some(writer),
        basis: Some(basis),
        read: 0,
        limit: asked.max_size_bytes(),
        ends_by: Instant::now() + asked.timeout(),
        warnings: Vec::new(),
        outcome: None,
    }))
}

/// A tar that knows whether it is still read, and what a snapshot cannot hold.
struct Watched {
    tar: Tar<Sink>,
    to: mpsc::Sender<Bytes>,
    on_btrfs: bool,
}

impl Format for Watched {
    fn add(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()> {
        if self.on_btrfs && item.meta.is_dir() && item.meta.ino() == NO_SUBVOLUME {
            warnings.push(&item.path, OTHER_SUBVOLUME);
        }
        self.tar.add(item, warnings)
    }

    fn is_wanted(&self) -> bool {
        !self.to.is_closed()
    }
}

struct Opened {
    meta: SourceMeta,
    context: RunContext,
    name: String,
    chunks: mpsc::Receiver<Bytes>,
    writer: Option<JoinHandle<Result<Warnings, ArchiveError>>>,
    basis: Option<Basis>,
    read: u64,
    limit: u64,
    ends_by: Instant,
    warnings: Vec<String>,
    outcome: Option<SourceOutcome>,
}

impl Opened {
    /// All bytes are read: what the walk says of them, and then the snapshots' end.
    async fn end(&mut self) -> Result<(), Failure> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let written = writer.await.unwrap_or_else(|panic| {
            Err(ArchiveError::Failed(format!("the walk ended by itself: {panic}")))
        });
        let warnings = written.map_err(|error| Failure {
            retryable: error.is_retryable(),
            ..Failure::new(FailureCode::SourceFailed, format!("`{}`: {error}", self.name))
        })?;
        self.warnings = warnings.told();
        if let Some(basis) = self.basis.take() {
            self.warnings = self.warnings.iter().map(|line| basis.as_named(line)).collect();
            // A snapshot that stays is an embarrassment, no reason to throw the archive away: it
            // stays owed and is tried again.
            if let Err(failure) = basis.end(&self.context).await {
                self.warnings.push(failure.message);
            }
        }
        self.outcome =
            Some(SourceOutcome { size_bytes: self.read, sha256: None, verified_by_source: false });
        Ok(())
    }
}

#[async_trait::async_trait]
impl SourceStream for Opened {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let chunk = tokio::time::timeout_at(self.ends_by, self.chunks.recv()).await;
        // A chunk that is there already is never too late for a timer.
        let (Ok(chunk), true) = (chunk, Instant::now() < self.ends_by) else {
            return Err(Failure::new(
                FailureCode::Timeout,
                format!("`{}` was not read in time: raise the app's time limit", self.name),
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
                    "`{}` has more than {} bytes: raise BACKUP_MAX_SIZE_MB or the app's own limit, \
                     or exclude what need not be kept",
                    self.name, self.limit
                ),
            ));
        }
        Ok(Some(chunk))
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

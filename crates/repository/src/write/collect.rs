//! Folders put together from what a walk finds, while the content is still on its way.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
};

use bytes::Bytes;

use super::{
    contents::Failure,
    feeder::Feeder,
    pipeline::Job,
    receipt::{Piece, Promise, Stopped},
};
use crate::{BlobKind, Id, Node, RepositoryError, tree as trees};

/// How many entries the walk is ahead of their content, at most.
const AHEAD: usize = 4096;
/// Most problems that are told one by one.
const MAX_PROBLEMS: usize = 1_000;

/// What was stored, and what was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The tree at the root.
    pub tree: Id,
    /// How many files.
    pub files: u64,
    /// How many of them were taken from the parent.
    pub files_unchanged: u64,
    /// How many folders.
    pub folders: u64,
    /// How many bytes of files were read.
    pub bytes_read: u64,
    /// What could not be read. The caller decides what that means.
    pub problems: Problems,
}

impl Stored {
    pub(super) fn empty() -> Self {
        Self {
            tree: Id::default(),
            files: 0,
            files_unchanged: 0,
            folders: 0,
            bytes_read: 0,
            problems: Problems::default(),
        }
    }
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it lies.
    pub path: PathBuf,
    /// What came of it.
    pub what: String,
}

/// Everything that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    /// The first thousand.
    pub told: Vec<Problem>,
    /// How many there are in all.
    pub count: u64,
}

impl Problems {
    pub(super) fn add(&mut self, path: &Path, what: impl ToString) {
        self.count += 1;
        if self.told.len() < MAX_PROBLEMS {
            self.told.push(Problem { path: path.to_owned(), what: what.to_string() });
        }
    }
}

/// What a walk finds, depth first.
pub(super) enum Found {
    /// A folder; what follows lies in it, until it is left.
    Enter(Node),
    /// A file whose content is on its way.
    File(Node, Vec<Piece>),
    /// Anything that is complete.
    Other(Node),
    /// The folder ends.
    Leave,
}

/// A thread that puts together what a walk finds.
pub(super) struct Collector<F, T> {
    found: SyncSender<F>,
    thread: JoinHandle<Result<T, Failure>>,
}

impl<F: Send + 'static, T: Send + 'static> Collector<F, T> {
    pub(super) fn start(
        collect: impl FnOnce(&Receiver<F>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Self, RepositoryError> {
        let (found, queue) = sync_channel(AHEAD);
        let thread = std::thread::Builder::new()
            .name("repository".to_owned())
            .spawn(move || collect(&queue))
            .map_err(|e| RepositoryError::Internal(format!("starting a thread: {e}")))?;
        Ok(Self { found, thread })
    }

    /// Tells what was found. Where the walk is too far ahead, what was gathered has to go first:
    /// the other side may be waiting for just that.
    pub(super) fn tell(&self, found: F, feeder: &mut Feeder) -> Result<(), Failure> {
        match self.found.try_send(found) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(found)) => {
                feeder.flush()?;
                self.found.send(found).map_err(|_| Failure::Stopped)
            }
            Err(TrySendError::Disconnected(_)) => Err(Failure::Stopped),
        }
    }

    /// What it put together.
    pub(super) fn finish(self, mut feeder: Feeder) -> Result<T, Failure> {
        feeder.flush()?;
        drop(feeder);
        drop(self.found);
        self.thread.join().unwrap_or(Err(Failure::Stopped))
    }

    /// What it failed with, where it has left before the end.
    pub(super) fn abandon(self, failure: Failure) -> Failure {
        drop(self.found);
        match (self.thread.join(), failure) {
            (Ok(Err(Failure::Refused(why))), Failure::Stopped) => Failure::Refused(why),
            (_, failure) => failure,
        }
    }
}

/// A folder whose end was not found yet.
struct Open {
    folder: Option<Node>,
    entries: Vec<Node>,
}

pub(super) fn collect(found: &Receiver<Found>, jobs: &SyncSender<Job>) -> Result<Id, Failure> {
    let mut open = vec![Open { folder: None, entries: Vec::new() }];
    for found in found {
        let Some(top) = open.last_mut() else { break };
        match found {
            Found::Enter(node) => open.push(Open { folder: Some(node), entries: Vec::new() }),
            Found::Other(node) => top.entries.push(node),
            Found::File(mut node, pieces) => {
                node.content = Some(pieces.iter().map(Piece::id).collect::<Result<_, _>>()?);
                top.entries.push(node);
            }
            Found::Leave => {
                let Some(Open { folder: Some(mut node), entries }) = open.pop() else { break };
                node.subtree = Some(tree(entries, jobs)?);
                if let Some(above) = open.last_mut() {
                    above.entries.push(node);
                }
            }
        }
    }
    let root = open.pop().filter(|root| open.is_empty() && root.folder.is_none());
    // The walk ended early, and tells why itself.
    tree(root.ok_or(Failure::Stopped)?.entries, jobs)
}

/// Hands over a folder.
pub(super) fn tree(nodes: Vec<Node>, jobs: &SyncSender<Job>) -> Result<Id, Failure> {
    let json = trees::to_bytes(nodes)?;
    let id = Id::of(&json);
    let job = Job {
        kind: BlobKind::Tree,
        blobs: vec![Bytes::from(json)],
        ids: Some(vec![id]),
        promise: Promise::default(),
    };
    jobs.send(job).map_err(|_| Stopped)?;
    Ok(id)
}

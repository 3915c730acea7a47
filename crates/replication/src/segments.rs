//! WAL cut into segments; knows no network.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ring::digest::{Context, SHA256};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Commits, Error, Lsn, Scanner, SegmentSize, Timeline,
    body::{BLOCK, Block, Body, Spill},
};

/// A segment, or as much of it as there is.
#[derive(Debug, Clone)]
pub struct Filled {
    /// The timeline.
    pub timeline: Timeline,
    /// Where the segment begins.
    pub start: Lsn,
    /// Up to where its bytes are here.
    pub end: Lsn,
    /// Whether that is all of it.
    pub whole: bool,
    /// The bytes from `start` to `end`.
    pub body: Body,
    /// The SHA-256 of those bytes as they came, before they were kept anywhere.
    pub sha256: [u8; 32],
    /// The commits in them.
    pub commits: Option<Commits>,
}

/// Puts the pieces of one timeline together, from a segment's start on.
pub struct Assembler {
    timeline: Timeline,
    size: SegmentSize,
    start: Lsn,
    at: Lsn,
    blocks: Vec<Block>,
    spill: Spill,
    tail: BytesMut,
    digest: Context,
    scanner: Scanner,
    commits: Option<Commits>,
    room: Option<Arc<OwnedSemaphorePermit>>,
}

impl Assembler {
    /// Begins at the start of the segment that holds `at`.
    pub fn new(timeline: Timeline, size: SegmentSize, at: Lsn) -> Self {
        let start = size.start_of(at);
        Self {
            timeline,
            size,
            start,
            at: start,
            blocks: Vec::new(),
            spill: Spill::default(),
            tail: BytesMut::new(),
            digest: Context::new(&SHA256),
            scanner: Scanner::new(size, start),
            commits: None,
            room: None,
        }
    }

    /// The room in memory that the segment in hand takes.
    pub(crate) fn set_room(&mut self, room: OwnedSemaphorePermit) {
        self.room = Some(Arc::new(room));
    }

    /// Whether the segment in hand has room in memory.
    pub(crate) fn has_room(&self) -> bool {
        self.room.is_some()
    }

    /// The timeline.
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Where the segment in hand begins.
    pub fn start(&self) -> Lsn {
        self.start
    }

    /// Where the next byte belongs.
    pub fn at(&self) -> Lsn {
        self.at
    }

    /// Takes from `bytes`, which begin at `at`, what belongs to the segment in hand; the segment
    /// once it is whole. What is left in `bytes` belongs to the next one.
    pub fn feed(&mut self, at: Lsn, bytes: &mut Bytes) -> Result<Option<Filled>, Error> {
        if at != self.at {
            return Err(Error::protocol(format!("WAL at {at} where {} is next", self.at)));
        }
        let left = self.start.plus(self.size.bytes()).since(self.at);
        let piece = bytes.split_to(bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        self.scanner.feed(&piece);
        self.commits = Commits::join(self.commits, self.scanner.take());
        self.digest.update(&piece);
        self.keep(&piece);
        self.at = self.at.plus(piece.len() as u64);
        if (piece.len() as u64) < left {
            return Ok(None);
        }
        let whole = self.filled(true);
        self.start = self.at;
        self.blocks = Vec::new();
        self.spill = Spill::default();
        self.tail = BytesMut::new();
        self.digest = Context::new(&SHA256);
        self.commits = None;
        self.room = None;
        Ok(Some(whole))
    }

    /// Copies into blocks: what the network gave shares its memory with what came around it.
    fn keep(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.tail.is_empty() {
                self.tail = BytesMut::with_capacity(BLOCK);
            }
            let room = BLOCK - self.tail.len();
            let (now, later) = piece.split_at(piece.len().min(room));
            self.tail.extend_from_slice(now);
            piece = later;
            if self.tail.len() == BLOCK {
                self.blocks.push(Block::Memory(std::mem::take(&mut self.tail).freeze()));
            }
        }
    }

    /// Moves what is in memory of the segment in hand into a file of `folder` that has no name.
    pub(crate) async fn spill(&mut self, folder: &std::path::Path) -> std::io::Result<()> {
        self.spill.write(&mut self.blocks, folder).await
    }

    /// What is there of the segment in hand; `None` for nothing.
    pub fn prefix(&self) -> Option<Filled> {
        (self.at > self.start).then(|| self.filled(false))
    }

    fn filled(&self, whole: bool) -> Filled {
        let mut blocks = self.blocks.clone();
        if !self.tail.is_empty() {
            blocks.push(Block::Memory(Bytes::copy_from_slice(&self.tail)));
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.digest.clone().finish().as_ref());
        let body = Body::new(blocks, self.at.since(self.start), self.room.clone());
        Filled {
            timeline: self.timeline,
            start: self.start,
            end: self.at,
            whole,
            body,
            sha256,
            commits: self.commits,
        }
    }
}

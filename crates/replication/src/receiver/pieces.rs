//! What a receiver hands out, and how it comes to know that it was kept.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{Filled, History, Lsn, SegmentSize, SystemId, Timeline};

/// What happens while WAL is received.
#[derive(Debug)]
pub enum Event {
    /// A connection streams.
    Started {
        /// The cluster.
        system: SystemId,
        /// The timeline that is received.
        timeline: Timeline,
        /// From where.
        at: Lsn,
        /// How large segments are.
        size: SegmentSize,
        /// What the server says it is.
        version: String,
    },
    /// A whole segment.
    Segment(Piece),
    /// The beginning of the segment in hand; it replaces an earlier one.
    Prefix(Piece),
    /// The last bytes of a timeline that the server left: a segment that never becomes whole.
    Tail(Piece),
    /// The history file of a timeline; may come again with each connection.
    History {
        /// What the file says.
        history: History,
        /// The file.
        bytes: Bytes,
        /// To be kept like a segment.
        receipt: Receipt,
    },
}

/// A segment or a part of it, and the receipt for it.
#[derive(Debug)]
pub struct Piece {
    /// What it is.
    pub filled: Filled,
    /// Its name as PostgreSQL's.
    pub name: String,
    /// Says that it was kept.
    pub receipt: Receipt,
}

/// What became of a piece.
#[derive(Debug)]
pub(crate) enum Settled {
    Kept(u64),
    Prefix { start: Lsn, end: Lsn },
    PrefixGone,
    GivenBack(u64),
}

/// Whether losing it matters.
#[derive(Debug, Clone, Copy)]
enum About {
    Whole(u64),
    Prefix { start: Lsn, end: Lsn },
}

/// To be told once a piece is durable. Dropping it says that the piece was not kept: the receiver
/// ends and will receive it again. Only a prefix may be dropped at no cost.
#[derive(Debug)]
pub struct Receipt {
    about: About,
    settle: Option<mpsc::UnboundedSender<Settled>>,
}

impl Receipt {
    pub(crate) fn whole(id: u64, settle: mpsc::UnboundedSender<Settled>) -> Self {
        Self { about: About::Whole(id), settle: Some(settle) }
    }

    pub(crate) fn prefix(start: Lsn, end: Lsn, settle: mpsc::UnboundedSender<Settled>) -> Self {
        Self { about: About::Prefix { start, end }, settle: Some(settle) }
    }

    /// The piece is where no crash of this or the server's machine can take it.
    pub fn durable(mut self) {
        let settled = match self.about {
            About::Whole(id) => Settled::Kept(id),
            About::Prefix { start, end } => Settled::Prefix { start, end },
        };
        self.tell(settled);
    }

    fn tell(&mut self, settled: Settled) {
        if let Some(settle) = self.settle.take() {
            // The receiver may be gone; then nobody acknowledges anything.
            let _ = settle.send(settled);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let settled = match self.about {
            About::Whole(id) => Settled::GivenBack(id),
            About::Prefix { .. } => Settled::PrefixGone,
        };
        self.tell(settled);
    }
}

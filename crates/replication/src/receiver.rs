//! Receives WAL without an end: segments go out, and what is durable is told to the server.

mod pieces;
mod place;
mod run;

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::{Lsn, SegmentSize, SystemId, Timeline, durable::Durable};

use pieces::Settled;
pub use pieces::{Event, Piece, Receipt};

/// From where on WAL is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Whose WAL; another cluster is refused.
    pub system: SystemId,
    /// The timeline.
    pub timeline: Timeline,
    /// Up to where it is stored: receiving begins at the start of the segment that holds this.
    pub at: Lsn,
}

/// How to receive.
#[derive(Debug, Clone)]
pub struct ReceiverOptions {
    /// The slot; without one the server may remove WAL that was not received.
    pub slot: Option<String>,
    /// Where to begin; `None` for where the slot begins, or else where the server is.
    pub start: Option<Position>,
    /// How many bytes of segments may be in memory at once.
    pub memory: u64,
    /// A folder for the segments of a cluster of which not even two have room in `memory`: four of
    /// them at most. Without it two are held in memory all the same.
    pub spool: Option<PathBuf>,
    /// How often the beginning of an unfinished segment is handed out, if it has grown.
    pub prefix_every: Option<Duration>,
    /// How often the server is told how far we are, and asked for a sign of life.
    pub status_every: Duration,
    /// How long a server may be silent, which answers when asked, before it counts as gone.
    pub silence: Duration,
    /// How long a server that shuts down may wait for the last bytes to become durable before we
    /// leave, so that it can stop. Its slot keeps them.
    pub patience: Duration,
    /// What time it is, for the server's view of us.
    pub clock: fn() -> Timestamp,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self {
            slot: None,
            start: None,
            memory: 32 << 20,
            spool: None,
            prefix_every: Some(Duration::from_secs(15)),
            status_every: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            patience: Duration::from_secs(5),
            clock: Timestamp::now,
        }
    }
}

/// How the stream stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is connected and streams.
    pub is_streaming: bool,
    /// Where the server's WAL ends, by its last word.
    pub server: Lsn,
    /// Received.
    pub received: Lsn,
    /// Durable, as the server knows.
    pub durable: Lsn,
    /// When the server was heard last.
    pub heard: Option<Timestamp>,
    /// When it sent its last word, by its own clock.
    pub said: Option<Timestamp>,
}

/// Receives WAL; keeps its place from one connection to the next.
pub struct Receiver {
    options: ReceiverOptions,
    events: mpsc::Sender<Event>,
    settled: mpsc::UnboundedReceiver<Settled>,
    settle: mpsc::UnboundedSender<Settled>,
    position: Option<Position>,
    size: SegmentSize,
    durable: Durable,
    room: Option<Arc<Semaphore>>,
    next_id: u64,
    standing: watch::Sender<Standing>,
}

impl Receiver {
    /// A receiver whose pieces go to `events`; a full channel holds it back.
    pub fn new(options: ReceiverOptions, events: mpsc::Sender<Event>) -> Self {
        let (settle, settled) = mpsc::unbounded_channel();
        let position = options.start;
        Self {
            events,
            settled,
            settle,
            position,
            size: SegmentSize::default(),
            durable: Durable::new(Lsn(0)),
            room: None,
            next_id: 0,
            standing: watch::Sender::new(Standing::default()),
            options,
        }
    }

    /// How the stream stands, now and later.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Where it goes on: the start of the first segment that was not handed out whole.
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}

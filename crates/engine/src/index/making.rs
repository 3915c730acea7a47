//! An index that is being made: how far it is, and what came of it.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use model::{Fact, Told};
use tokio::sync::watch;

use crate::{EngineError, run::failure};

/// Why an index was not made, for everybody who waits for it.
#[derive(Debug, Clone)]
pub(crate) enum NotMade {
    Damaged(Told),
    Locked(Told),
    Other(Box<Fact>),
}

impl NotMade {
    pub(crate) fn error(self) -> EngineError {
        match self {
            Self::Damaged(why) => EngineError::damaged(why),
            Self::Locked(why) => EngineError::locked(why),
            Self::Other(why) => EngineError::invalid("source", *why),
        }
    }
}

impl From<EngineError> for NotMade {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Damaged(why) => Self::Damaged(why),
            EngineError::Locked(why) => Self::Locked(why),
            other => Self::Other(Box::new(failure::fact_of(&other))),
        }
    }
}

/// How much of an artifact was read for its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes there are to read.
    pub size_bytes: u64,
}

/// An index that is being made.
#[derive(Debug)]
pub(crate) struct Making {
    read_bytes: AtomicU64,
    size_bytes: u64,
    ended: watch::Sender<Option<Result<(), NotMade>>>,
}

impl Making {
    pub(crate) fn new(size_bytes: u64) -> Arc<Self> {
        let (ended, _) = watch::channel(None);
        Arc::new(Self { read_bytes: AtomicU64::new(0), size_bytes, ended })
    }

    pub(crate) fn reading(&self) -> Reading {
        let size_bytes = self.size_bytes;
        Reading { read_bytes: self.read_bytes.load(Relaxed).min(size_bytes), size_bytes }
    }

    pub(crate) fn end(&self, how: Result<(), EngineError>) {
        self.ended.send_replace(Some(how.map_err(NotMade::from)));
    }

    /// What came of it, once it has ended.
    pub(crate) async fn ended(&self) -> Result<(), NotMade> {
        let mut ended = self.ended.subscribe();
        let lost = || NotMade::from(EngineError::conflict(Fact::IndexNotMade {}));
        let how = ended.wait_for(Option::is_some).await.map_err(|_| lost())?;
        how.clone().unwrap_or_else(|| Err(lost()))
    }
}

/// What is read, counted.
pub(crate) struct Counted<R> {
    pub(crate) from: R,
    pub(crate) making: Arc<Making>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.making.read_bytes.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}

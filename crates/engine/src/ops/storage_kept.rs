//! What came and went day by day, kept for a while where there is much of it: it is added up from
//! every copy that ever was.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use catalog::StorageChange;
use tokio::time::Instant;

use crate::{Engine, EngineError};

/// So many copies are added up each time it is asked for.
const FEW: u64 = 5_000;
/// Older than this it is read anew, while whoever asks is told what is known.
const FRESH: Duration = Duration::from_secs(60);
/// Older than this nobody is told.
const OLDEST: Duration = Duration::from_secs(600);

type Changes = Arc<Vec<StorageChange>>;

/// What was read last.
#[derive(Default)]
pub(crate) struct Kept {
    last: Mutex<Option<(Instant, Changes)>>,
    /// One reads at a time; the others wait for it.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl Kept {
    /// What is known, and whether it is fresh.
    fn known(&self) -> Option<(Changes, bool)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, changes) = last.as_ref()?;
        let age = at.elapsed();
        (age < OLDEST).then(|| (Arc::clone(changes), age < FRESH))
    }
}

impl Engine {
    /// Every day on which the bytes at a destination changed; with many copies, as it was some
    /// minutes ago at most.
    pub(super) async fn storage_changes(&self) -> Result<Changes, EngineError> {
        let kept = &self.0.storage;
        if !self.0.catalog.has_more_copies(FEW).await? {
            return Ok(Arc::new(self.0.catalog.storage_changes().await?));
        }
        match kept.known() {
            Some((changes, true)) => return Ok(changes),
            Some((changes, false)) => {
                if let Ok(turn) = Arc::clone(&kept.reading).try_lock_owned() {
                    let engine = self.clone();
                    tokio::spawn(async move {
                        // Where it fails, the next one to ask tries again.
                        let _ = engine.read_storage().await;
                        drop(turn);
                    });
                }
                return Ok(changes);
            }
            None => {}
        }
        let _turn = kept.reading.lock().await;
        match kept.known() {
            Some((changes, _)) => Ok(changes),
            None => self.read_storage().await,
        }
    }

    async fn read_storage(&self) -> Result<Changes, EngineError> {
        let began = Instant::now();
        let changes = Arc::new(self.0.catalog.storage_changes().await?);
        let mut last = self.0.storage.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((began, Arc::clone(&changes)));
        Ok(changes)
    }
}

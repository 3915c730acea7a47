//! What became of blobs that were handed over.

use std::sync::{Arc, OnceLock};

use crate::Id;

/// The ids of one batch, once they are known. Whoever drops the other half unset has failed.
#[derive(Debug, Default)]
pub(super) struct Receipt(OnceLock<Option<Vec<Id>>>);

/// The work has stopped; why is told where the writer is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopped;

/// One blob of a batch.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    receipt: Arc<Receipt>,
    at: usize,
}

impl Piece {
    pub(super) fn new(receipt: &Arc<Receipt>, at: usize) -> Self {
        Self { receipt: Arc::clone(receipt), at }
    }

    /// Waits until the blob's id is known.
    pub(super) fn id(&self) -> Result<Id, Stopped> {
        self.receipt.0.wait().as_ref().and_then(|ids| ids.get(self.at)).copied().ok_or(Stopped)
    }
}

/// The half that tells.
#[derive(Debug, Default)]
pub(super) struct Promise(Arc<Receipt>);

impl Promise {
    pub(super) fn receipt(&self) -> &Arc<Receipt> {
        &self.0
    }

    pub(super) fn keep(self, ids: Vec<Id>) {
        let _ = self.0.0.set(Some(ids));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let _ = self.0.0.set(None);
    }
}

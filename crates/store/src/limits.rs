//! Time and size of requests to an object store.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};

use crate::{PartSizes, StoreError};

/// How long requests may take, how often they are tried again, and how large parts are.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One request; inside the retries.
    pub request: Duration,
    /// One part, or the completion of an upload; inside the retries.
    pub part: Duration,
    /// How often a request is tried again.
    pub retries: u32,
    /// The pause before it is tried again the first time; doubled each time, and up to twice as
    /// long by chance.
    pub first_pause: Duration,
    /// Sizes of parts.
    pub parts: PartSizes,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            part: Duration::from_secs(50),
            retries: 4,
            first_pause: Duration::from_secs(1),
            parts: PartSizes::default(),
        }
    }
}

impl Limits {
    /// Longest time that one call takes with all its retries. A deadline around it that is
    /// shorter would end them.
    pub fn longest_call(&self) -> Duration {
        let pauses = self.first_pause * 2 * ((1 << self.retries) - 1);
        self.part.max(self.request) * (self.retries + 1) + pauses
    }

    /// Asks until it is answered, or fails for good, or was tried often enough.
    pub(crate) async fn retried<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        ask: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.first_pause)
            .with_max_times(self.retries as usize);
        ask.retry(pauses).when(StoreError::is_retryable).await
    }
}

//! How well pieces are compressed: worse while the archive is behind its server and that helps.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Segments that the server has to be ahead of a piece.
const BEHIND: u64 = 4;

/// What the last piece took, and whether there is a hurry.
#[derive(Debug, Default)]
pub(super) struct Pace {
    is_behind: AtomicBool,
    last: Mutex<Spent>,
}

/// Where the time of a piece went.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    pub(super) compressing: Duration,
    /// Until the destination had taken it.
    pub(super) writing: Duration,
}

impl Pace {
    /// The server is `bytes` ahead of the piece that is put next.
    pub(super) fn note(&self, bytes: u64, segment_bytes: u64) {
        self.is_behind.store(bytes >= segment_bytes.saturating_mul(BEHIND), Ordering::Relaxed);
    }

    /// Whether to compress less. Where the destination is slow that would make it worse: there is
    /// more to be written.
    pub(super) fn is_hurried(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_behind.load(Ordering::Relaxed) && last.compressing > last.writing
    }

    pub(super) fn took(&self, spent: Spent) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = spent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 << 20;

    fn spent(compressing: u64, writing: u64) -> Spent {
        let secs = Duration::from_secs;
        Spent { compressing: secs(compressing), writing: secs(writing) }
    }

    #[test]
    fn a_hurry_needs_to_be_behind_and_a_destination_that_waits_for_us() {
        let pace = Pace::default();
        pace.note(100 * SEGMENT, SEGMENT);
        assert!(!pace.is_hurried(), "nothing is known of the destination yet");
        pace.took(spent(2, 1));
        assert!(pace.is_hurried());
        pace.note(4 * SEGMENT - 1, SEGMENT);
        assert!(!pace.is_hurried());
        pace.note(4 * SEGMENT, SEGMENT);
        assert!(pace.is_hurried());
        pace.took(spent(1, 2));
        assert!(!pace.is_hurried(), "more bytes would make it later still");
    }
}

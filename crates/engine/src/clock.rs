//! The machine's clock.

use jiff::Timestamp;
use model::Clock;

/// Reads the machine's clock. Binaries hand it in; nothing else reads the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

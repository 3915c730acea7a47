//! When an app runs.

use serde::{Deserialize, Serialize};

/// When an app runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Cron, preset or interval.
    pub spec: String,
    /// IANA time zone name.
    pub time_zone: String,
    /// Upper bound of the random delay, in seconds.
    pub jitter_secs: u32,
    /// Run once after downtime if fires were missed.
    pub catch_up: bool,
}

//! When an app runs: which moments a schedule names, and which of them are due.
//!
//! Daylight saving: a wall-clock time that occurs twice fires at its first occurrence only; one
//! that is skipped fires at the first moment after the gap, and several skipped ones fire there
//! once together.

mod fires;
mod spec;
#[cfg(test)]
mod tests;
mod zone;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use spec::{ScheduleError, ScheduleSpec};
pub use zone::{TimeZoneName, UnknownTimeZoneError};

/// Longest random delay: a day.
pub const MAX_JITTER_SECS: u32 = 86_400;
/// Missed fires are counted up to here; more is "at least".
pub const MAX_MISSED: u32 = 10_000;

/// When an app runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schedule {
    /// Cron, preset or interval.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "@every 4h"))]
    pub spec: ScheduleSpec,
    /// Whose wall clock it follows.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "Europe/Madrid"))]
    pub time_zone: TimeZoneName,
    /// Upper bound of the delay that spreads apps with the same schedule, in seconds.
    #[serde(default)]
    pub jitter_secs: u32,
    /// Run once after downtime if fires were missed.
    #[serde(default = "yes")]
    pub catch_up: bool,
}

fn yes() -> bool {
    true
}

/// What is due at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The latest fire time that has passed: the one to run.
    pub fire_at: Timestamp,
    /// Fire times before it that nothing served, up to [`MAX_MISSED`].
    pub missed: u32,
}

impl Schedule {
    /// A schedule without delay that catches up.
    pub fn new(spec: ScheduleSpec, time_zone: TimeZoneName) -> Self {
        Self { spec, time_zone, jitter_secs: 0, catch_up: true }
    }

    /// The first fire time after `now`.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.spec.next_after(now, &self.time_zone.zone())
    }

    /// The next `n` fire times after `now`.
    pub fn upcoming(&self, now: Timestamp, n: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(now), |last| self.next_after(*last)).take(n).collect()
    }

    /// What is due at `now` when everything up to `served` (the last fire answered, or when the
    /// schedule was set) is done. Takes bounded work whatever lies between. `None` also where
    /// the clock stands before `served`.
    pub fn due(&self, served: Timestamp, now: Timestamp) -> Option<Due> {
        let zone = self.time_zone.zone();
        let fire_at = self.spec.latest_until(now, &zone).filter(|fire_at| *fire_at > served)?;
        let missed = self.spec.count_between(served, fire_at, &zone);
        Some(Due { fire_at, missed })
    }

    /// The delay of the fire at `fire_at` for the app that `seed` names: between zero and
    /// `jitter_secs`, the same wherever and whenever it is asked for.
    pub fn jitter(&self, seed: &str, fire_at: Timestamp) -> SignedDuration {
        let bound = u64::from(self.jitter_secs.min(MAX_JITTER_SECS)) + 1;
        // FNV-1a over the seed, then the finaliser of SplitMix64 over both: well spread, and
        // unlike the standard hasher the same in every release.
        let mut hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash = hash
            .wrapping_add(fire_at.as_second().cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        SignedDuration::from_secs((hash % bound).cast_signed())
    }

    /// The longest wait between two of the next fire times: what an app's objective follows.
    pub fn interval_secs(&self, now: Timestamp) -> Option<u64> {
        let fires = self.upcoming(now, 15);
        fires
            .windows(2)
            .map(|pair| pair[1].as_second() - pair[0].as_second())
            .max()
            .and_then(|secs| u64::try_from(secs).ok())
    }
}

//! From wall-clock patterns to moments.

use croner::{Cron, Direction};
use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use super::{
    MAX_MISSED,
    spec::{Rule, ScheduleSpec},
};

impl ScheduleSpec {
    /// The first fire after `now`.
    pub(super) fn next_after(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(secs) => multiple(now, *secs, 1),
            // No time at or before the wall clock's is still to come: a repeated one fired at its
            // first occurrence, a skipped one at the end of its gap.
            Rule::Cron(cron) => wall_times(cron, zone.to_datetime(now), false, Direction::Forward)
                .map_while(|wall| moment_of(wall, zone))
                .find(|moment| *moment > now),
        }
    }

    /// The latest fire up to and including `now`.
    pub(super) fn latest_until(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(secs) => multiple(now, *secs, 0),
            Rule::Cron(cron) => {
                let wall = zone.to_datetime(now);
                // In a repeated hour all of it has fired once, also what lies ahead.
                let last = match zone.to_ambiguous_timestamp(wall).offset() {
                    AmbiguousOffset::Fold { before, after } => {
                        let length = i64::from(before.seconds()) - i64::from(after.seconds());
                        wall.checked_add(SignedDuration::from_secs(length)).ok()?
                    }
                    _ => wall,
                };
                wall_times(cron, last, true, Direction::Backward)
                    .map_while(|wall| moment_of(wall, zone))
                    .find(|moment| *moment <= now)
            }
        }
    }

    /// Fires after `served` and before `fire_at`, up to [`MAX_MISSED`].
    pub(super) fn count_between(
        &self,
        served: Timestamp,
        fire_at: Timestamp,
        zone: &TimeZone,
    ) -> u32 {
        match &self.rule {
            Rule::Every(secs) => {
                let secs = secs.cast_signed();
                let fires =
                    fire_at.as_second().div_euclid(secs) - served.as_second().div_euclid(secs);
                u32::try_from(fires - 1).unwrap_or(MAX_MISSED).min(MAX_MISSED)
            }
            Rule::Cron(_) => {
                let fires = std::iter::successors(self.next_after(served, zone), |last| {
                    self.next_after(*last, zone)
                });
                let missed =
                    fires.take_while(|fire| *fire < fire_at).take(MAX_MISSED as usize).count();
                u32::try_from(missed).unwrap_or(MAX_MISSED)
            }
        }
    }
}

/// The multiple of `secs` at or before `now`, plus `more`.
fn multiple(now: Timestamp, secs: u64, more: i64) -> Option<Timestamp> {
    let secs = secs.cast_signed();
    Timestamp::from_second((now.as_second().div_euclid(secs) + more) * secs).ok()
}

/// Wall-clock times that match, from `start` on.
fn wall_times(
    cron: &Cron,
    start: DateTime,
    inclusive: bool,
    direction: Direction,
) -> impl Iterator<Item = DateTime> {
    let find = move |from: &DateTime, inclusive| {
        match direction {
            Direction::Forward => cron.find_next_occurrence(from, inclusive),
            Direction::Backward => cron.find_previous_occurrence(from, inclusive),
        }
        .ok()
    };
    std::iter::successors(find(&start, inclusive), move |last| find(last, false))
}

/// When the wall clock first shows `wall`, or the end of the gap that skips it.
fn moment_of(wall: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(wall);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { before, .. } => {
            // With the offset from before the gap, the time lies just behind its end.
            let behind = before.to_timestamp(wall).ok()?;
            let after = behind.checked_add(SignedDuration::from_nanos(1)).ok()?;
            zone.preceding(after).next().map(|transition| transition.timestamp())
        }
        _ => ambiguous.earlier().ok(),
    }
}

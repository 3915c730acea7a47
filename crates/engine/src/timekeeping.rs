//! What the catalog remembers of the clock, so that no jump of it deletes anything.
//!
//! A stretch that the clock skipped (or that this machine slept or was off) ages no snapshot and
//! shortens no grace period; and for a day after it nothing expires, so that a person can look.

use jiff::{SignedDuration, Timestamp};
use model::retention::{DISTRUST, TimeJump, lived};
use serde::{Deserialize, Serialize};

use crate::{Engine, EngineError};

/// Where it is kept in the catalog.
const SETTING: &str = "clock";
/// A larger step is a jump.
pub(crate) const JUMP: SignedDuration = SignedDuration::from_hours(24);
/// How often the catalog is told the time; far below [`JUMP`].
pub(crate) const TELL_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// How many stretches are remembered.
const MAX_JUMPS: usize = 64;

/// The clock's past.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Timekeeping {
    /// The last time that was told.
    pub(crate) seen_at: Option<Timestamp>,
    /// When it last jumped, by the clock after it.
    pub(crate) jumped_at: Option<Timestamp>,
    /// What it skipped, oldest first.
    pub(crate) jumps: Vec<TimeJump>,
}

impl Timekeeping {
    /// Notes that the clock shows `now` where `expected` was due; tells whether that is a jump.
    fn compare(&mut self, expected: Timestamp, now: Timestamp) -> bool {
        let step = now.duration_since(expected);
        if step.abs() <= JUMP {
            return false;
        }
        // What lies ahead was skipped by a clock that has been set right since.
        self.jumps.retain(|jump| jump.to <= now);
        if step.is_positive() {
            let mut jump = TimeJump { from: expected, to: now };
            // Another orchestrator on this catalog may have noted the same.
            self.jumps.retain(|known| {
                let same = known.to > jump.from;
                if same {
                    jump.from = jump.from.min(known.from);
                }
                !same
            });
            self.jumps.push(jump);
            let extra = self.jumps.len().saturating_sub(MAX_JUMPS);
            self.jumps.drain(..extra);
        }
        self.jumped_at = Some(now);
        self.seen_at = Some(now);
        true
    }

    /// Whether the clock jumped too recently to be trusted with deleting.
    pub(crate) fn is_distrusted(&self, now: Timestamp) -> bool {
        self.jumped_at.is_some_and(|at| now.duration_since(at).abs() < DISTRUST)
    }

    /// The time that really passed between two moments.
    pub(crate) fn lived(&self, from: Timestamp, to: Timestamp) -> SignedDuration {
        lived(from, to, &self.jumps)
    }
}

/// The clock's past as of now, with a jump that nobody has noted yet.
pub(crate) async fn look(engine: &Engine) -> Result<Timekeeping, EngineError> {
    let mut known = read(engine).await?;
    if let Some(seen_at) = known.seen_at {
        known.compare(seen_at, engine.now());
    }
    Ok(known)
}

/// Tells the catalog the time; gives what was expected where that is a jump.
pub(crate) async fn tell(
    engine: &Engine,
    expected: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, EngineError> {
    let mut known = read(engine).await?;
    let expected = expected.or(known.seen_at).unwrap_or(now);
    let jumped = known.compare(expected, now);
    known.seen_at = Some(now);
    write(engine, &known).await?;
    Ok(jumped.then_some(expected))
}

async fn read(engine: &Engine) -> Result<Timekeeping, EngineError> {
    let text = engine.0.catalog.setting(SETTING).await?;
    // What cannot be read tells nothing; the next telling replaces it.
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

async fn write(engine: &Engine, known: &Timekeeping) -> Result<(), EngineError> {
    let text = serde_json::to_string(known).unwrap_or_default();
    Ok(engine.0.catalog.set_setting(SETTING, &text).await?)
}

impl Engine {
    /// Says that the clock is right, so that retention goes on before the day after a jump has
    /// passed. What the clock skipped still ages no snapshot.
    pub async fn accept_clock(&self) -> Result<(), EngineError> {
        let known = look(self).await?;
        write(self, &Timekeeping { jumped_at: None, ..known }).await
    }

    /// When the clock last jumped, while nothing expires because of it.
    pub async fn clock_jumped_at(&self) -> Result<Option<Timestamp>, EngineError> {
        let known = look(self).await?;
        Ok(known.jumped_at.filter(|_| known.is_distrusted(self.now())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + n * 86_400).unwrap()
    }

    #[test]
    fn only_large_steps_are_jumps_and_the_same_one_counts_once() {
        let mut known = Timekeeping::default();
        assert!(!known.compare(day(1), day(2)), "a day off is none");
        assert!(known.compare(day(2), day(367)));
        assert!(known.compare(day(3), day(368)), "another orchestrator saw it, too");
        assert_eq!(known.jumps, [TimeJump { from: day(2), to: day(368) }]);
        assert_eq!(known.lived(day(1), day(369)), SignedDuration::from_hours(48));
        assert!(known.compare(day(369), day(600)));
        assert_eq!(known.jumps.len(), 2);
    }

    #[test]
    fn setting_the_clock_right_forgets_what_it_skipped() {
        let mut known = Timekeeping::default();
        known.compare(day(2), day(367));
        assert!(known.compare(day(368), day(3)));
        assert_eq!(known.jumps, []);
        assert!(known.is_distrusted(day(3)));
        assert!(!known.is_distrusted(day(4)));
    }
}

//! Object Lock at S3: what is written can be deleted by nobody for a number of days.

use jiff::{SignedDuration, Timestamp};
use model::{Destination, Fact};
use store::{LockMode, ObjectLock, Prefix};

use crate::{EngineError, FieldError, doctor::CANARY, repositories::is_repository};

/// The setting that says who may shorten a lock; without it, nothing is locked.
pub(crate) const MODE: &str = "object_lock";
/// The setting that says for how many days.
pub(crate) const DAYS: &str = "object_lock_days";
/// A century is a slip.
const MAX_DAYS: u32 = 36_500;

/// For how long what is written at `destination` is locked, in days.
fn days(destination: &Destination) -> Option<u32> {
    destination.settings.get(MODE)?;
    destination.settings.get(DAYS)?.parse().ok()
}

/// The same as a length of time; nothing where nothing is locked.
pub(crate) fn length(destination: &Destination) -> SignedDuration {
    days(destination)
        .map_or(SignedDuration::ZERO, |days| SignedDuration::from_hours(24 * i64::from(days)))
}

/// Whether anything is locked at `destination`.
pub(crate) fn is_on(destination: &Destination) -> bool {
    days(destination).is_some()
}

/// The longest that an object may be locked from now: what upkeep prolongs gets a little more.
pub(crate) fn longest(destination: &Destination) -> SignedDuration {
    let length = length(destination);
    let ahead = SignedDuration::try_from(repository::locked_ahead(length.unsigned_abs()));
    if is_on(destination) { length.saturating_add(ahead.unwrap_or_default()) } else { length }
}

/// Until when a copy that was written at `destination` at `written` is locked.
pub(crate) fn until(destination: &Destination, written: Timestamp) -> Option<Timestamp> {
    days(destination)?;
    Some(written.saturating_add(length(destination)).unwrap_or(Timestamp::MAX))
}

/// The settings, if they can be meant.
pub(crate) fn check(destination: &Destination, errors: &mut Vec<FieldError>) {
    let get = |key: &str| destination.settings.get(key).map(String::as_str);
    let mut wrong = |key: &str, what: Fact| {
        errors.push(FieldError::new(format!("settings.{key}"), what));
    };
    match (get(MODE), get(DAYS)) {
        (None, None) => {}
        (Some(mode), _) if mode.parse::<LockMode>().is_err() => {
            wrong(MODE, Fact::LockModes {});
        }
        (None, Some(_)) => wrong(MODE, Fact::LockModeOrNone {}),
        (Some(_), days) => {
            let days = days.and_then(|days| days.parse::<u32>().ok());
            if !days.is_some_and(|days| (1..=MAX_DAYS).contains(&days)) {
                wrong(DAYS, Fact::LockDays {});
            }
        }
    }
}

/// What the store is told. Lock files of a repository come and go, and so do trials.
pub(crate) fn of(destination: &Destination) -> Result<Option<ObjectLock>, EngineError> {
    let Some(days) = days(destination) else { return Ok(None) };
    let mode = destination.settings.get(MODE).and_then(|mode| mode.parse().ok());
    let mode =
        mode.ok_or_else(|| EngineError::invalid(format!("settings.{MODE}"), Fact::LockModes {}))?;
    let free = if is_repository(destination) { "locks" } else { CANARY };
    let except = vec![Prefix::new(free).map_err(store::StoreError::from)?];
    Ok(Some(ObjectLock { mode, days, except }))
}

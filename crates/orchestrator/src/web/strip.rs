//! The last thirty days of an app, a cell a day.

use engine::AppCard;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use model::RunState;

use super::{lang::Lang, mark::run_class};

/// One day.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    /// Where it stands on the picture.
    pub(crate) x: usize,
    pub(crate) class: &'static str,
    /// `21 Nov 2026: good`.
    pub(crate) words: String,
    /// What happened on it.
    pub(crate) href: String,
}

/// The last days, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Strip {
    pub(crate) days: Vec<Day>,
    /// All of it in words.
    pub(crate) summary: String,
}

impl Strip {
    pub(crate) fn new(card: &AppCard, now: Timestamp, lang: Lang) -> Self {
        let zone = card.app.schedule.as_ref().map_or(TimeZone::UTC, |s| s.time_zone.zone());
        let today = now.to_zoned(zone).date();
        let count = card.strip.len();
        let days = card.strip.iter().enumerate().map(|(at, state)| {
            let back = i64::try_from(count - 1 - at).unwrap_or(0);
            let date = today.checked_sub(back.days()).unwrap_or(today);
            let class = state.map_or("none", run_class);
            let word = lang.t(&format!("day-{class}"));
            Day {
                x: at * 8,
                class,
                words: format!("{}: {word}", lang.date(date)),
                href: format!("/apps/{}/timeline?span=day&until={date}", card.app.name),
            }
        });
        let of = |wanted: &[RunState]| {
            card.strip.iter().flatten().filter(|state| wanted.contains(state)).count()
        };
        let summary = lang.fill(
            "strip-summary",
            [
                ("days", count.into()),
                ("good", of(&[RunState::Succeeded]).into()),
                ("partial", of(&[RunState::PartiallyFailed]).into()),
                ("failed", of(&[RunState::Failed, RunState::Interrupted]).into()),
            ],
        );
        Self { days: days.collect(), summary }
    }
}

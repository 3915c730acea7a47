//! Schedules as people write them.

use std::{fmt, str::FromStr};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::civil::{DateTime, date};
use serde::{Deserialize, Serialize};

use crate::{
    Fact,
    duration::{parse_secs, print_secs},
};

/// Shortest interval: a minute.
const MIN_EVERY_SECS: u64 = 60;
/// Longest interval: a year.
const MAX_EVERY_SECS: u64 = 366 * 86_400;
/// Longest text read.
const MAX_LEN: usize = 200;
/// A cron that does not fire within this many years of [`SEARCH_FROM`] never does in practice:
/// every combination of date and weekday recurs within 40 years.
const SEARCH_YEARS: i16 = 41;
const SEARCH_FROM: DateTime = date(2024, 1, 1).at(0, 0, 0, 0);

/// Words for crons, as the stock cron has them, and our two presets.
const PRESETS: &[(&str, &str)] = &[
    ("daily", "0 3 * * *"),
    ("weekly", "0 3 * * 0"),
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// What a schedule says: `daily` (03:00), `weekly` (Sunday 03:00), `@hourly` and its kin, five
/// fields of cron, or `@every 4h`. It never fires more often than once a minute.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScheduleSpec {
    text: String,
    pub(super) rule: Rule,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// Multiples of this many seconds since 1970: a restart does not shift them.
    Every(u64),
    Cron(Box<Cron>),
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// Not something we read.
    #[error(
        "`{}` is no schedule: use `daily`, `weekly`, `@every 4h` or cron's five fields such as `0 3 * * *` ({reason})",
        .text.escape_debug()
    )]
    Syntax {
        /// What was given.
        text: String,
        /// What is wrong with it: of ours, or in the words of the parser of crons.
        reason: Box<Fact>,
    },
    /// An interval too short or too long.
    #[error("an interval takes from one minute to 366 days")]
    Interval,
    /// A cron with seconds.
    #[error("a cron with seconds is not accepted: give five fields, once a minute is the most")]
    Seconds,
    /// A date that does not exist.
    #[error("`{}` never fires: no such date exists", .0.escape_debug())]
    Never(String),
}

impl From<ScheduleError> for Fact {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Syntax { text, reason } => {
                Self::NoSchedule { text: text.escape_debug().to_string(), why: (*reason).into() }
            }
            ScheduleError::Interval => Self::IntervalBounds {},
            ScheduleError::Seconds => Self::CronSeconds {},
            ScheduleError::Never(text) => {
                Self::NeverFires { text: text.escape_debug().to_string() }
            }
        }
    }
}

impl ScheduleSpec {
    /// Every day at 03:00.
    pub fn daily() -> Self {
        Self::preset("daily", "0 3 * * *")
    }

    fn preset(text: &str, cron: &str) -> Self {
        let cron = parse_cron(cron).expect("the presets are tested");
        Self { text: text.into(), rule: Rule::Cron(Box::new(cron)) }
    }
}

fn parse_cron(text: &str) -> Result<Cron, ScheduleError> {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(text)
        .map_err(|error| ScheduleError::Syntax {
            text: text.into(),
            reason: Box::new(Fact::said(error)),
        })
}

impl FromStr for ScheduleSpec {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = |reason: Fact| ScheduleError::Syntax {
            text: text.chars().take(MAX_LEN).collect(),
            reason: Box::new(reason),
        };
        if text.len() > MAX_LEN {
            return Err(syntax(Fact::ScheduleTooLong {}));
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        if let [word] = words[..]
            && let Some((name, cron)) = PRESETS.iter().find(|(n, _)| n.eq_ignore_ascii_case(word))
        {
            return Ok(Self::preset(name, cron));
        }
        if let [every, interval] = words[..]
            && every.eq_ignore_ascii_case("@every")
        {
            let secs = parse_secs(interval).ok_or_else(|| syntax(Fact::IntervalUnclear {}))?;
            if !(MIN_EVERY_SECS..=MAX_EVERY_SECS).contains(&secs) {
                return Err(ScheduleError::Interval);
            }
            return Ok(Self {
                text: format!("@every {}", print_secs(secs)),
                rule: Rule::Every(secs),
            });
        }
        match words.len() {
            5 if !text.contains('@') => {}
            6 | 7 => return Err(ScheduleError::Seconds),
            _ => return Err(syntax(Fact::NotFiveFields {})),
        }
        let text = words.join(" ");
        let cron = parse_cron(&text)?;
        let fires = cron
            .find_next_occurrence(&SEARCH_FROM, true)
            .is_ok_and(|first| first.year() < SEARCH_FROM.year() + SEARCH_YEARS);
        if !fires {
            return Err(ScheduleError::Never(text));
        }
        Ok(Self { text, rule: Rule::Cron(Box::new(cron)) })
    }
}

impl TryFrom<String> for ScheduleSpec {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ScheduleSpec> for String {
    fn from(spec: ScheduleSpec) -> Self {
        spec.text
    }
}

impl fmt::Display for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

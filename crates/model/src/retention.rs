//! Which snapshots are kept, and why: policy and facts in, decisions with reasons out.
//!
//! Periods are calendar periods in the app's time zone (weeks by ISO 8601); each rule keeps the
//! newest snapshot of each of its newest periods that have one, as restic's `forget` does.

mod plan;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Fact, SnapshotId, duration};

pub use plan::{CLOCK_TOLERANCE, DISTRUST, lived, plan};

/// More than this is taken for a slip.
pub const MAX_COUNT: u32 = 10_000;
/// How many of those taken before a deployment are kept where there are rules, and none for them.
pub const PRE_DEPLOY: u32 = 10;

/// Which snapshots are kept; empty keeps everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetentionPolicy {
    /// The newest this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    /// One for each of this many hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<u32>,
    /// One for each of this many days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<u32>,
    /// One for each of this many weeks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<u32>,
    /// One for each of this many months.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<u32>,
    /// One for each of this many years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<u32>,
    /// The newest this many of those taken before a deployment, which the rules above then do not
    /// count. Where another rule is there and this one is not: the newest 10, and what those rules
    /// keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_pre_deploy: Option<u32>,
    /// All that are younger than this before the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "30d"))]
    pub keep_within: Option<KeepWithin>,
}

/// A length of time, written `30d`, `12h`, `1w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeepWithin {
    secs: u64,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Nothing or too much.
    #[error("{rule} takes a number from 1 to {MAX_COUNT}; leave it out to have no such rule")]
    Count {
        /// Which rule.
        rule: Rule,
    },
    /// Not a length of time.
    #[error("`{}` is no length of time: write `30d`, `12h` or `1w`", .0.escape_debug())]
    Within(String),
}

impl From<PolicyError> for Fact {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Count { rule } => {
                Self::RuleCount { rule: rule.to_string(), most: u64::from(MAX_COUNT) }
            }
            PolicyError::Within(text) => Self::NoLength { text: text.escape_debug().to_string() },
        }
    }
}

/// A rule of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Rule {
    /// The newest ones.
    Last,
    /// By the hour.
    Hourly,
    /// By the day.
    Daily,
    /// By the week.
    Weekly,
    /// By the month.
    Monthly,
    /// By the year.
    Yearly,
    /// The newest ones taken before a deployment.
    PreDeploy,
}

/// A snapshot's copy as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The snapshot.
    pub id: SnapshotId,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Whether it was taken before a deployment.
    pub pre_deploy: bool,
    /// Whether the copy was proven and never found otherwise.
    pub good: bool,
    /// Whether somebody pinned it.
    pub pinned: bool,
    /// Whether a run refers to it.
    pub in_use: bool,
    /// Until when the destination lets nobody delete it, where it says so.
    pub locked_until: Option<Timestamp>,
}

/// Facts that stop retention altogether.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guards {
    /// Nothing can be deleted at the destination.
    pub append_only: bool,
    /// The app's last run failed.
    pub last_run_failed: bool,
    /// Its newest snapshot looks unlike the ones before it.
    pub newest_is_anomalous: bool,
    /// The catalog was rebuilt, and nobody has said yet that it is as it should be.
    pub recovered: bool,
    /// When the clock last jumped by more than a day, either way, by the clock after it; `None`
    /// once somebody has said that it is right.
    pub clock_jumped_at: Option<Timestamp>,
    /// Time that did not pass although the clock says so: snapshots do not age over it.
    pub jumps: Vec<TimeJump>,
}

/// A stretch that the clock skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeJump {
    /// What it showed before.
    pub from: Timestamp,
    /// What it showed after.
    pub to: Timestamp,
}

/// What is to happen to every candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetentionPlan {
    /// One for each candidate, newest first.
    pub decisions: Vec<Decision>,
    /// Why nothing may be deleted, whatever the decisions say.
    pub refusal: Option<Refusal>,
}

/// What is to happen to one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decision {
    /// The snapshot.
    pub id: SnapshotId,
    /// Keep or expire.
    pub verdict: Verdict,
    /// Why; at least one.
    pub reasons: Vec<Reason>,
}

/// Keep or expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// It stays.
    Keep,
    /// It goes, after the grace period.
    Expire,
}

/// Why a snapshot stays or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Reason {
    /// A rule keeps it.
    Rule {
        /// Which.
        rule: Rule,
        /// Which of the rule's, from 1.
        number: u32,
        /// How many the rule keeps.
        of: u32,
    },
    /// It is young enough.
    Within {
        /// How young that is.
        #[cfg_attr(feature = "openapi", schema(value_type = String, example = "30d"))]
        within: KeepWithin,
    },
    /// There are no rules.
    NoRules,
    /// It is the newest good one.
    LastGood,
    /// It is a base backup by which moments of the window are reached.
    Anchor,
    /// Somebody pinned it.
    Pinned,
    /// A run refers to it.
    InUse,
    /// It claims to be from the future.
    Future,
    /// Nothing else keeps it, and the destination lets nobody delete it yet.
    Locked {
        /// Until when.
        until: Timestamp,
    },
    /// It is not good, and no newer one is: there may be nothing better.
    NothingBetter,
    /// It is not good; a rule would keep it if it were, and the mark may be wrong.
    IfGood,
    /// No rule keeps it.
    NoRuleKeeps,
    /// It is not good, a newer one is, and no rule would keep it if it were.
    NotGood,
}

/// Why nothing may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Refusal {
    /// The destination is append-only.
    AppendOnly,
    /// The last run failed.
    LastRunFailed,
    /// The newest snapshot looks wrong.
    Anomalous,
    /// The plan would leave nothing.
    DeletesEverything,
    /// The clock has just jumped by more than a day.
    ClockJumped,
    /// The catalog was rebuilt and awaits a confirmation.
    Recovered,
}

impl RetentionPolicy {
    /// The rules by count, with their counts.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (Rule, u32)> {
        [
            (Rule::Last, self.keep_last),
            (Rule::Hourly, self.keep_hourly),
            (Rule::Daily, self.keep_daily),
            (Rule::Weekly, self.keep_weekly),
            (Rule::Monthly, self.keep_monthly),
            (Rule::Yearly, self.keep_yearly),
        ]
        .into_iter()
        .filter_map(|(rule, count)| Some((rule, count?)))
    }

    /// Whether it has no rule for what is not taken before a deployment: all of that is kept.
    pub fn is_empty(&self) -> bool {
        self.rules().next().is_none() && self.keep_within.is_none()
    }

    /// How many of those taken before a deployment are kept; `None` is all.
    pub fn pre_deploy(&self) -> Option<u32> {
        self.keep_pre_deploy.or((!self.is_empty()).then_some(PRE_DEPLOY))
    }

    /// Whether its counts make sense.
    pub fn check(&self) -> Result<(), PolicyError> {
        let pre_deploy = self.keep_pre_deploy.map(|count| (Rule::PreDeploy, count));
        match self.rules().chain(pre_deploy).find(|(_, count)| *count == 0 || *count > MAX_COUNT) {
            Some((rule, _)) => Err(PolicyError::Count { rule }),
            None => Ok(()),
        }
    }
}

impl KeepWithin {
    /// Its length in seconds.
    pub fn secs(self) -> u64 {
        self.secs
    }
}

impl std::str::FromStr for KeepWithin {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        duration::parse_secs(text)
            // Longer than a century is a slip, too.
            .filter(|secs| (1..=100 * 366 * 86_400).contains(secs))
            .map(|secs| Self { secs })
            .ok_or_else(|| PolicyError::Within(text.chars().take(32).collect()))
    }
}

impl TryFrom<String> for KeepWithin {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KeepWithin> for String {
    fn from(within: KeepWithin) -> Self {
        within.to_string()
    }
}

impl fmt::Display for KeepWithin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::print_secs(self.secs))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::PreDeploy => "before a deployment",
        })
    }
}

/// A moment to the minute.
pub fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { rule, number, of } => write!(f, "{rule} {number} of {of}"),
            Self::Within { within } => write!(f, "within {within}"),
            Self::NoRules => f.write_str("there are no rules: everything is kept"),
            Self::Anchor => f.write_str("base backup that moments of the window need"),
            Self::LastGood => f.write_str("the newest good one is always kept"),
            Self::Pinned => f.write_str("pinned"),
            Self::InUse => f.write_str("in use by a run"),
            Self::Future => f.write_str("its date is in the future"),
            Self::Locked { until } => write!(f, "locked until {}", date(*until)),
            Self::NothingBetter => f.write_str("not good, but nothing newer is"),
            Self::IfGood => f.write_str("damaged or missing; kept as long as if it were good"),
            Self::NoRuleKeeps => f.write_str("no rule keeps it"),
            Self::NotGood => f.write_str(
                "damaged or missing, a newer good one exists, and no rule would keep it",
            ),
        }
    }
}

impl From<Refusal> for Fact {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AppendOnly => Self::KeptAppendOnly {},
            Refusal::LastRunFailed => Self::KeptLastFailed {},
            Refusal::Anomalous => Self::KeptAnomalous {},
            Refusal::DeletesEverything => Self::KeptLast {},
            Refusal::ClockJumped => Self::KeptClock {},
            Refusal::Recovered => Self::KeptRecovered {},
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fact::from(*self).fmt(f)
    }
}

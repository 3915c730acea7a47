//! Drills: restores to scratch that prove a snapshot can come back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Name, RunId, Sentence, schedule::Schedule};

/// What an app's drills do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillPlan {
    /// When; `None` is only when asked.
    pub schedule: Option<Schedule>,
    /// Questions of one's own.
    pub questions: Vec<DrillQuestion>,
    /// Commands of one's own, for artifacts that nothing else can check.
    pub commands: Vec<DrillCommand>,
}

/// A question to a restored database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillQuestion {
    /// The artifact whose restored database is asked.
    pub artifact: Name,
    /// A query of one row and one column.
    pub sql: String,
    /// What it has to answer; `None`: anything but nothing, NULL, false or 0.
    pub expect: Option<String>,
}

/// A command that checks a restored artifact: exit code 0 is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillCommand {
    /// The artifact.
    pub artifact: Name,
    /// Program and arguments; `{}` is the path of the artifact's file or, for archives, of the
    /// folder it was unpacked into.
    pub argv: Vec<String>,
}

/// What came of a drill.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillReport {
    /// One for each artifact.
    pub items: Vec<DrillItem>,
    /// Seconds from its start to its end: what a restore would take at least.
    pub took_secs: f64,
}

impl DrillReport {
    /// Whether something was checked of every artifact and all of it was good.
    pub fn is_proof(&self) -> bool {
        !self.items.is_empty() && self.items.iter().all(DrillItem::is_proof)
    }
}

/// What came of the drill of one artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillItem {
    /// The artifact.
    pub artifact: Name,
    /// Where it was restored to, for people.
    pub scratch: Sentence,
    /// Seconds until it was restored.
    pub restore_secs: f64,
    /// Seconds that the checks took after that.
    pub check_secs: f64,
    /// What was checked.
    pub checks: Vec<DrillCheck>,
}

impl DrillItem {
    /// Whether something was proven, and nothing was found wrong. Nothing checked is no proof.
    pub fn is_proof(&self) -> bool {
        let is = |state| self.checks.iter().any(|check| check.state == state);
        is(DrillState::Passed) && !is(DrillState::Failed)
    }
}

/// One check of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillCheck {
    /// What was checked: `pg_amcheck`, `rows`, `integrity_check`.
    pub name: String,
    /// How it went.
    pub state: DrillState,
    /// What it found, with the figures.
    #[serde(flatten)]
    pub sentence: Sentence,
}

words! {
    /// How a check went.
    pub enum DrillState {
        /// Good.
        Passed,
        /// Wrong.
        Failed,
        /// Could not be looked at, and why; proves nothing.
        Skipped,
    }
}

/// The last drill of a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proof {
    /// The drill.
    pub run_id: RunId,
    /// When it ended.
    pub at: Timestamp,
    /// Whether the snapshot came back as it should.
    pub passed: bool,
    /// Seconds it took.
    pub took_secs: f64,
}

#[cfg(test)]
mod tests {
    use super::{
        DrillState::{Failed, Passed, Skipped},
        *,
    };

    #[test]
    fn a_drill_that_checked_nothing_proves_nothing() {
        let item = |states: &[DrillState]| DrillItem {
            artifact: "db".parse().unwrap(),
            scratch: Sentence::default(),
            restore_secs: 0.0,
            check_secs: 0.0,
            checks: states
                .iter()
                .map(|state| DrillCheck {
                    name: String::new(),
                    state: *state,
                    sentence: Sentence::default(),
                })
                .collect(),
        };
        assert!(!item(&[]).is_proof());
        assert!(!item(&[Skipped]).is_proof());
        assert!(!item(&[Passed, Failed]).is_proof());
        assert!(item(&[Passed, Skipped]).is_proof());
        assert!(!DrillReport::default().is_proof());
        let half = DrillReport { items: vec![item(&[Passed]), item(&[])], took_secs: 1.0 };
        assert!(!half.is_proof(), "every artifact is to be proven");
    }
}

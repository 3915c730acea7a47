//! Drills: restores to scratch that prove a snapshot can come back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Landing, Name, RunId, Sentence, schedule::Schedule};

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
    /// The app, booted on what came back.
    pub boot: Option<DrillBoot>,
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

/// An app that is booted on what came back: a copy of its container, on a network that leads nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillBoot {
    /// The app's container, by its name.
    pub container: String,
    /// Artifacts that the app needs; empty is all.
    pub needs: Vec<Name>,
    /// What it is asked for, such as `/health`; `None`: its container's own health check counts.
    pub path: Option<String>,
    /// Its port; 80 where it is not said.
    pub port: Option<u16>,
    /// The status it has to answer with; `None`: anything from 200 to 399.
    pub status: Option<u16>,
    /// Seconds that it may take until it answers; 120 where it is not said.
    pub timeout_secs: Option<u64>,
    /// Whom it is to its database, where that is not the source's user.
    pub user: Option<String>,
}

/// What came of a drill.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillReport {
    /// One for each artifact.
    pub items: Vec<DrillItem>,
    /// The app, where it was to be booted.
    #[serde(default)]
    pub boot: Option<BootReport>,
    /// Seconds from its start to its end: what a restore would take at least.
    pub took_secs: f64,
}

impl DrillReport {
    /// Whether something was checked of every artifact and all of it was good.
    pub fn is_proof(&self) -> bool {
        !self.items.is_empty()
            && self.items.iter().all(DrillItem::is_proof)
            && self.boot.as_ref().is_none_or(BootReport::is_proof)
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
    /// Where replay ended, where it was a server at a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landing: Option<Landing>,
}

impl DrillItem {
    /// Whether something was proven, and nothing was found wrong. Nothing checked is no proof.
    pub fn is_proof(&self) -> bool {
        is_proof(&self.checks)
    }
}

fn is_proof(checks: &[DrillCheck]) -> bool {
    let is = |state| checks.iter().any(|check| check.state == state);
    is(DrillState::Passed) && !is(DrillState::Failed)
}

/// What came of booting the app on what came back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BootReport {
    /// The container that a copy of was booted.
    pub container: String,
    /// Where, for people.
    pub scratch: Sentence,
    /// Seconds that it took.
    pub took_secs: f64,
    /// What was checked.
    pub checks: Vec<DrillCheck>,
}

impl BootReport {
    /// Whether it answered as it should.
    pub fn is_proof(&self) -> bool {
        is_proof(&self.checks)
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
            landing: None,
        };
        assert!(!item(&[]).is_proof());
        assert!(!item(&[Skipped]).is_proof());
        assert!(!item(&[Passed, Failed]).is_proof());
        assert!(item(&[Passed, Skipped]).is_proof());
        assert!(!DrillReport::default().is_proof());
        let half =
            DrillReport { items: vec![item(&[Passed]), item(&[])], boot: None, took_secs: 1.0 };
        assert!(!half.is_proof(), "every artifact is to be proven");
        let boot = |states: &[DrillState]| BootReport {
            container: "app".to_owned(),
            scratch: Sentence::default(),
            took_secs: 1.0,
            checks: item(states).checks,
        };
        let booted = |states: &[DrillState]| DrillReport {
            items: vec![item(&[Passed])],
            boot: Some(boot(states)),
            took_secs: 1.0,
        };
        assert!(booted(&[Passed, Skipped]).is_proof());
        assert!(!booted(&[Failed]).is_proof(), "nor is one whose app does not answer");
    }
}

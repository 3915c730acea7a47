//! What somebody asks of a restore, and what came of it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    CodeState, DestinationId, FailureCode, Landing, MomentOrder, Name, RunId, Sentence, SnapshotId,
};

/// What a restore is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreOrder {
    /// Where to.
    pub target: RestoreTarget,
    /// What of the snapshot; empty is all of it.
    #[serde(default)]
    pub only: Vec<Selection>,
    /// The destination to read from; `None` is whichever has a good copy.
    #[serde(default)]
    pub from: Option<DestinationId>,
    /// What is there already may be replaced.
    #[serde(default)]
    pub overwrite: bool,
    /// The app comes back as a whole: it is stopped, and started again with its code as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<WholeOrder>,
    /// A base backup is brought to this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<MomentOrder>,
    /// A restore of a server in its place, which is gone back on: what it kept takes its place again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<RunId>,
    /// Why it was given up: what earlier tries have made is cleared away, and nothing is brought
    /// back any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<FailureCode>,
}

/// How an app comes back as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WholeOrder {
    /// Its code stays as it is.
    pub without_code: bool,
    /// Changes to its code that are in no commit are set aside; else they stand against it.
    pub set_aside: bool,
}

/// Where a restore puts what it brings back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RestoreTarget {
    /// In the place of what the app has now.
    App,
    /// Next to it: a new database, volume or folder.
    Beside {
        /// What the new one is called; with several artifacts each gets its own name after it.
        name: Name,
    },
    /// Files in a folder of the orchestrator's machine, one sub-folder for each artifact.
    Folder {
        /// An absolute path.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        path: PathBuf,
    },
}

impl RestoreTarget {
    /// Its word: `app`, `beside` or `folder`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Beside { .. } => "beside",
            Self::Folder { .. } => "folder",
        }
    }
}

/// A part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Selection {
    /// The artifact.
    pub artifact: Name,
    /// Files and folders inside it; empty is all.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Tables inside it, as `schema.table`; empty is all.
    #[serde(default)]
    pub tables: Vec<String>,
}

/// What came of a restore, as far as it is. Kept while it goes on, so that one that was cut off
/// goes on where it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreReport {
    /// A word in the names of what it makes; the same in every try.
    pub tag: String,
    /// The snapshot taken before, to go back to.
    #[serde(default)]
    pub undo_snapshot: Option<SnapshotId>,
    /// One for each artifact.
    pub steps: Vec<RestoreStep>,
    /// What is done of the app as a whole, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<WholeReport>,
    /// Where it landed, where it was to a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landing: Option<Landing>,
    /// In what state it left the app.
    pub condition: Condition,
    /// Seconds from its first try's start to its end.
    #[serde(default)]
    pub took_secs: f64,
}

impl RestoreReport {
    /// The condition that the steps amount to.
    pub fn judge(&self) -> Condition {
        let is = |state| self.steps.iter().any(|step| step.state == state);
        let all = self.steps.iter().all(|s| s.state == StepState::Done);
        let code = self.whole.as_ref().is_none_or(|whole| whole.is_done(WholeStep::Code));
        if !self.steps.is_empty() && all && code {
            Condition::Restored
        } else if is(StepState::Done) || is(StepState::Switching) {
            Condition::Mixed
        } else {
            Condition::Untouched
        }
    }
}

/// What is done of an app as a whole, as far as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WholeReport {
    /// In the order in which they are done; the parts are put in their places after the first.
    pub acts: Vec<WholeAct>,
    /// Containers that were stopped for it and not started since.
    pub stopped: Vec<String>,
    /// What was checked out before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_before: Option<CodeState>,
}

impl WholeReport {
    /// All of it still to be done.
    pub fn waiting() -> Self {
        let acts = [WholeStep::Stop, WholeStep::Code, WholeStep::Start, WholeStep::Health];
        let waiting = |step| WholeAct { step, done: false, notes: Vec::new() };
        Self { acts: acts.map(waiting).into(), ..Self::default() }
    }

    /// Whether `step` is done.
    pub fn is_done(&self, step: WholeStep) -> bool {
        self.acts.iter().any(|act| act.step == step && act.done)
    }
}

/// One thing that is done of an app as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WholeAct {
    /// What.
    pub step: WholeStep,
    /// Whether it is done.
    pub done: bool,
    /// Things to know.
    #[serde(default)]
    pub notes: Vec<Sentence>,
}

words! {
    /// What is done of an app as a whole.
    pub enum WholeStep {
        /// Its containers are stopped.
        Stop,
        /// Its code is checked out.
        Code,
        /// Its containers are started.
        Start,
        /// It is seen how they do.
        Health,
    }
}

words! {
    /// In what state a restore left what it was to restore.
    #[derive(Default)]
    pub enum Condition {
        /// Nothing that was there was changed.
        #[default]
        Untouched,
        /// Everything asked for is in its place.
        Restored,
        /// Some of it is in its place, some is not: the steps tell which.
        Mixed,
    }
}

/// One artifact on its way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreStep {
    /// The artifact.
    pub artifact: Name,
    /// What is restored, for people: `database shop at db:5432`.
    pub target: Sentence,
    /// How far it is.
    pub state: StepState,
    /// What was made for it, by its exact name there.
    #[serde(default)]
    pub made: Option<String>,
    /// Where what was there before is kept, by its exact name.
    #[serde(default)]
    pub kept: Option<String>,
    /// The destination it was read from.
    #[serde(default)]
    pub read_from: Option<DestinationId>,
    /// Things to know.
    #[serde(default)]
    pub notes: Vec<Sentence>,
}

words! {
    /// How far a restore of one artifact is.
    #[derive(Default)]
    pub enum StepState {
        /// Not begun.
        #[default]
        Waiting,
        /// Its bytes are being read into something new.
        Loading,
        /// All of it is there, proven, beside what was there.
        Loaded,
        /// Taking the place of what was there.
        Switching,
        /// In its place.
        Done,
    }
}

/// What a restore would meet, looked at before it changes anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preflight {
    /// One for each artifact.
    pub items: Vec<PreflightItem>,
    /// What stands against it, or is to be known.
    pub checks: Vec<PreflightCheck>,
    /// Bytes to be read, before compression.
    pub size_bytes: u64,
    /// What has to be typed before it begins: the app's name where something is replaced.
    pub confirm: Option<String>,
    /// Seconds the last restore or drill of this size took, scaled; `None` without one.
    pub estimate_secs: Option<u64>,
}

impl Preflight {
    /// Whether nothing stands against it.
    pub fn may_begin(&self) -> bool {
        self.checks.iter().all(|check| check.level != PreflightLevel::Blocked)
    }
}

/// One artifact and where it would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreflightItem {
    /// The artifact.
    pub artifact: Name,
    /// Where it would go, for people.
    pub target: Sentence,
    /// What is there now and would be replaced, for people.
    pub replaces: Option<Sentence>,
    /// Its size, before compression.
    pub size_bytes: u64,
}

/// Something found before a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreflightCheck {
    /// The artifact it is about, where it is about one.
    pub artifact: Option<Name>,
    /// How much it matters.
    pub level: PreflightLevel,
    /// What it is.
    #[serde(flatten)]
    pub sentence: Sentence,
}

words! {
    /// How much something found before a restore matters.
    #[derive(PartialOrd, Ord)]
    pub enum PreflightLevel {
        /// As it should be.
        Good,
        /// To be known.
        Warning,
        /// It cannot begin.
        Blocked,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        StepState::{Done, Loaded, Switching, Waiting},
        *,
    };

    fn report(states: &[StepState]) -> RestoreReport {
        let step = |state: &StepState| RestoreStep {
            artifact: "db".parse().unwrap(),
            target: "database db".into(),
            state: *state,
            made: None,
            kept: None,
            read_from: None,
            notes: Vec::new(),
        };
        RestoreReport { steps: states.iter().map(step).collect(), ..RestoreReport::default() }
    }

    #[test]
    fn a_restore_is_whole_only_when_every_step_is() {
        for (states, condition) in [
            (&[][..], Condition::Untouched),
            (&[Waiting, Loaded], Condition::Untouched),
            (&[Done, Loaded], Condition::Mixed),
            (&[Switching], Condition::Mixed),
            (&[Done, Done], Condition::Restored),
        ] {
            assert_eq!(report(states).judge(), condition, "{states:?}");
        }
    }

    #[test]
    fn an_order_says_where_to() {
        let order: RestoreOrder =
            serde_json::from_str(r#"{"target":{"to":"beside","name":"shop-old"}}"#).unwrap();
        assert_eq!(order.target.word(), "beside");
        assert!(!order.overwrite && order.only.is_empty());
    }
}

//! States, by shape, word and colour together; few, and the same everywhere.

use engine::Health;
use model::{CopyState, PreflightLevel, RunState};

use super::{assets, lang::Lang};

/// A state as a page shows it.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// Its class in the stylesheet, which is its shape's name too.
    pub(crate) class: &'static str,
    /// Its word.
    pub(crate) word: String,
}

impl Mark {
    fn new(class: &'static str, lang: Lang) -> Self {
        Self { class, word: lang.t(&format!("state-{class}")) }
    }

    /// The address of its shape.
    pub(crate) fn icon(&self) -> String {
        icon(self.class)
    }

    pub(crate) fn health(health: Health, lang: Lang) -> Self {
        let class = match health {
            Health::Damaged => "damaged",
            Health::Failed => "failed",
            Health::Late => "late",
            Health::Partial => "partial",
            Health::NeverRun => "never",
            Health::Running => "running",
            Health::Good => "good",
            Health::Disabled => "disabled",
        };
        Self::new(class, lang)
    }

    pub(crate) fn run(state: RunState, lang: Lang) -> Self {
        Self::new(run_class(state), lang)
    }

    pub(crate) fn copy(state: CopyState, lang: Lang) -> Self {
        let class = match state {
            CopyState::Good => "good",
            CopyState::Damaged => "damaged",
            CopyState::Missing => "missing",
            CopyState::Expiring => "expiring",
            CopyState::Deleting => "deleting",
            CopyState::Expired => "expired",
        };
        Self::new(class, lang)
    }

    /// Whether what was wanted holds.
    pub(crate) fn kept(holds: bool, lang: Lang) -> Self {
        Self::new(if holds { "good" } else { "late" }, lang)
    }

    pub(crate) fn preflight(level: PreflightLevel, lang: Lang) -> Self {
        let class = match level {
            PreflightLevel::Good => "good",
            PreflightLevel::Warning => "late",
            PreflightLevel::Blocked => "failed",
        };
        Self { class, word: lang.t(&format!("preflight-{level}")) }
    }

    pub(crate) fn check(state: engine::CheckState, lang: Lang) -> Self {
        let class = match state {
            engine::CheckState::Ok => "good",
            engine::CheckState::Warning => "partial",
            engine::CheckState::Failed => "failed",
        };
        let word = match state {
            engine::CheckState::Ok => lang.t("check-ok"),
            engine::CheckState::Warning => lang.t("check-warning"),
            engine::CheckState::Failed => lang.t("check-failed"),
        };
        Self { class, word }
    }
}

/// The class of a run's state.
pub(crate) fn run_class(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "queued",
        RunState::Running => "running",
        RunState::Succeeded => "good",
        RunState::PartiallyFailed => "partial",
        RunState::Failed => "failed",
        RunState::Cancelled => "cancelled",
        RunState::Interrupted => "interrupted",
    }
}

/// The address of a shape.
pub(crate) fn icon(name: &str) -> String {
    format!("{}#{name}", assets::address("icons.svg"))
}

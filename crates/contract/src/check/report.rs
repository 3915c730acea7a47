//! What the checker found.

use serde::{Deserialize, Serialize};

use super::Checker;
use crate::ContractError;

/// Every check, in the order of the report.
pub(super) const CHECKS: [&str; 22] = [
    "health",
    "token-missing",
    "token-wrong",
    "capabilities",
    "not-found",
    "method-not-allowed",
    "unusable-request",
    "export",
    "file-name",
    "checksum-placement",
    "unknown-members",
    "spool",
    "job-accepted",
    "job-run-id",
    "job-status",
    "job-download",
    "job-range",
    "job-cancel",
    "concurrent-exports",
    "abort",
    "import-token",
    "import-refusals",
];

/// What the checker found about a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The server.
    pub url: String,
    /// Version of the contract that was checked.
    pub contract: String,
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Checks that did not apply.
    pub skipped: usize,
    /// Each check, in order.
    pub checks: Vec<Check>,
}

impl CheckReport {
    /// Whether nothing failed.
    pub fn is_conforming(&self) -> bool {
        self.failed == 0
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, which stays the same from version to version.
    pub id: String,
    /// How it ended.
    pub state: CheckState,
    /// What was seen.
    pub detail: String,
    /// What to do where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As the contract asks.
    Passed,
    /// Not as the contract asks.
    Failed,
    /// Not asked, because the server does not offer it or an earlier check failed.
    Skipped,
}

/// Why a check did not pass.
#[derive(Debug)]
pub(super) enum Finding {
    Failed { detail: String, advice: String },
    Skipped(String),
}

impl Finding {
    pub(super) fn failed(detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Failed { detail: detail.into(), advice: advice.into() }
    }

    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }
}

impl From<ContractError> for Finding {
    fn from(error: ContractError) -> Self {
        let advice = match &error {
            ContractError::Unreachable { .. } => {
                "start the server, and let it listen on an address that is reached from here"
            }
            ContractError::Refused { .. } => {
                "on one machine, allow loopback; otherwise give the address in the app's network"
            }
            ContractError::Unauthorized { .. } => {
                "give the token that the server expects, and compare it with `Bearer <TOKEN>`"
            }
            ContractError::Busy { .. } => {
                "free the turn as soon as the client goes away or its export ends"
            }
            ContractError::Truncated { .. } => {
                "end a chunked body with its last chunk, or send exactly Content-Length bytes"
            }
            ContractError::Mismatch(_) => {
                "count and hash exactly the bytes of the body, before any transfer coding"
            }
            ContractError::Timeout { .. } => {
                "answer and send without long pauses; offer jobs (202) for exports that take long"
            }
            ContractError::TooLarge { .. } => "raise the limit of this check, or export less",
            ContractError::JobFailed(_)
            | ContractError::ImportFailed(_)
            | ContractError::Status { .. } => "look into the server's log for why it failed",
            ContractError::NotOffered { .. } | ContractError::Unreadable(_) => {
                "say `restore` in the capabilities where artifacts are taken back"
            }
            ContractError::Protocol { .. } | ContractError::Cancelled => {
                "change the answer to what the contract tells"
            }
        };
        Self::failed(error.to_string(), advice)
    }
}

/// A passed check tells what was seen.
pub(super) type Outcome = Result<String, Finding>;

/// Collects findings in order.
pub(super) struct Reporter<'a> {
    checker: &'a Checker,
    checks: Vec<Check>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(checker: &'a Checker) -> Self {
        Self { checker, checks: Vec::new() }
    }

    pub(super) fn add(&mut self, id: &'static str, outcome: Outcome) {
        let (state, detail, advice) = match outcome {
            Ok(detail) => (CheckState::Passed, detail, None),
            Err(Finding::Failed { detail, advice }) => (CheckState::Failed, detail, Some(advice)),
            Err(Finding::Skipped(why)) => (CheckState::Skipped, why, None),
        };
        // What a server said back may hold the token, or what a terminal would obey.
        let detail = self.checker.client.redact(&detail);
        let detail = detail.chars().filter(|c| !c.is_control()).take(2_000).collect();
        self.checks.push(Check { id: id.to_owned(), state, detail, advice });
    }

    /// Skips `ids`.
    pub(super) fn skip(&mut self, ids: &[&'static str], why: &str) {
        for id in ids {
            self.add(id, Err(Finding::skipped(why)));
        }
    }

    /// Skips every check that has no finding yet.
    pub(super) fn skip_rest(&mut self, why: &str) {
        for id in CHECKS {
            if !self.checks.iter().any(|check| check.id == id) {
                self.add(id, Err(Finding::skipped(why)));
            }
        }
    }

    pub(super) fn finish(self) -> CheckReport {
        let count = |state| self.checks.iter().filter(|check| check.state == state).count();
        CheckReport {
            url: self.checker.client.base().to_string(),
            contract: crate::wire::VERSION.to_owned(),
            passed: count(CheckState::Passed),
            failed: count(CheckState::Failed),
            skipped: count(CheckState::Skipped),
            checks: self.checks,
        }
    }
}

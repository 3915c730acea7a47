//! What is known of a repository without reading it: how it stood when somebody last looked.

use jiff::Timestamp;
use model::{Destination, DestinationId};
use serde::{Deserialize, Serialize};

use crate::{Engine, EngineError};

/// How a repository stood when it was last looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepositoryState {
    /// What it keeps.
    pub statistics: Option<RepositoryStatistics>,
    /// What the last check found.
    pub checked: Option<RepositoryCheck>,
    /// What was freed the last time.
    pub freed: Option<RepositoryFreed>,
    /// How long what it keeps is locked, where the storage locks it.
    pub locked: Option<RepositoryLocked>,
}

/// How much a repository keeps, and how much room it takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepositoryStatistics {
    /// When it was counted.
    pub at: Timestamp,
    /// restic's snapshots: one for each artifact, manifest and other object.
    pub snapshots: u64,
    /// Bytes that restoring all of them would write.
    pub raw_bytes: u64,
    /// Bytes of what is different.
    pub unique_bytes: u64,
    /// Bytes that the repository takes.
    pub stored_bytes: u64,
    /// Bytes of what nothing needs any more.
    pub unused_bytes: u64,
    /// How many times less deduplication leaves.
    pub deduplication: f64,
    /// How many times less compression leaves.
    pub compression: f64,
}

impl RepositoryStatistics {
    pub(crate) fn new(at: Timestamp, of: &repository::Statistics) -> Self {
        Self {
            at,
            snapshots: of.snapshots,
            raw_bytes: of.raw_bytes,
            unique_bytes: of.unique_bytes,
            stored_bytes: of.stored_bytes,
            unused_bytes: of.unused_bytes,
            deduplication: of.deduplication(),
            compression: of.compression(),
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepositoryCheck {
    /// When it ended.
    pub at: Timestamp,
    /// Whether every byte was read.
    pub read_data: bool,
    /// Packs that are known.
    pub packs: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// How much is wrong.
    pub problem_count: u64,
    /// The first of that, in words.
    pub problems: Vec<String>,
    /// What to do, step by step.
    pub advice: Vec<String>,
}

impl RepositoryCheck {
    /// One word for each step of the advice, where it has one: for whoever says it in another
    /// language.
    pub fn advice_codes(&self) -> impl Iterator<Item = (&str, Option<&'static str>)> {
        self.advice.iter().map(|step| (step.as_str(), repository::guidance::code(step)))
    }
}

/// What was freed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepositoryFreed {
    /// When it ended.
    pub at: Timestamp,
    /// Packs that were deleted.
    pub deleted: u64,
    /// Bytes of those.
    pub deleted_bytes: u64,
    /// Packs that were marked, to be deleted a day later.
    pub marked: u64,
    /// Bytes of those.
    pub marked_bytes: u64,
    /// Packs that were written anew without what nobody needs.
    pub rewritten: u64,
    /// Packs that had been marked and wait.
    pub waiting: u64,
    /// Which snapshots there were: while they are the same, nothing more can be freed.
    pub of: String,
}

/// For how long what snapshots need can be deleted by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepositoryLocked {
    /// When it was looked at.
    pub at: Timestamp,
    /// Objects that snapshots need.
    pub objects: u64,
    /// Those that were locked for longer then.
    pub prolonged: u64,
    /// Until when all that the newest snapshot needs is locked.
    pub newest_until: Option<Timestamp>,
    /// When the last of all locks ends.
    pub last_until: Option<Timestamp>,
}

fn setting(id: DestinationId) -> String {
    format!("repository:{id}")
}

impl Engine {
    /// How the repository at `destination` stood when somebody last looked.
    pub async fn repository_state(
        &self,
        destination: &Destination,
    ) -> Result<RepositoryState, EngineError> {
        let text = self.0.catalog.setting(&setting(destination.id)).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Writes how it stands now.
    pub(crate) async fn note_repository(
        &self,
        destination: &Destination,
        change: impl FnOnce(&mut RepositoryState) + Send,
    ) -> Result<(), EngineError> {
        let mut state = self.repository_state(destination).await?;
        change(&mut state);
        let text = serde_json::to_string(&state).unwrap_or_default();
        Ok(self.0.catalog.set_setting(&setting(destination.id), &text).await?)
    }
}

//! After a recovery nothing is deleted, and on a new machine nothing is fired, until a person has
//! looked: what the copy did not know (a pin, another orchestrator that still runs) must not cost
//! a snapshot.

use jiff::Timestamp;
use model::{Event, EventId, EventKind, Fact, Sentence, Severity};
use serde::{Deserialize, Serialize};

use crate::{Engine, EngineError};

const SETTING: &str = "recovery_hold";

/// What waits for a person, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hold {
    /// When the catalog was rebuilt.
    pub at: Timestamp,
    /// From what, in words.
    pub from: String,
    /// The same without its language; `None` where it was stored by an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Fact>,
    /// Whether schedules wait as well.
    pub schedules: bool,
}

impl Engine {
    /// What waits for [`Self::confirm_recovery`].
    pub async fn recovery_hold(&self) -> Result<Option<Hold>, EngineError> {
        let text = self.0.catalog.setting(SETTING).await?;
        // What cannot be read still holds: deleting is what must not happen by mistake.
        Ok(text.map(|text| {
            serde_json::from_str(&text).unwrap_or_else(|_| Hold {
                at: self.now(),
                from: "unknown".to_owned(),
                fact: None,
                schedules: true,
            })
        }))
    }

    /// Holds retention, and schedules where told, after the catalog was rebuilt `from` something.
    pub async fn hold_after_recovery(
        &self,
        from: impl Into<Sentence>,
        schedules: bool,
    ) -> Result<(), EngineError> {
        let from: Sentence = from.into();
        let hold =
            Hold { at: self.now(), from: from.message.clone(), fact: from.fact.clone(), schedules };
        let text = serde_json::to_string(&hold).unwrap_or_default();
        self.0.catalog.set_setting(SETTING, &text).await?;
        let from = from.into();
        let rebuilt = if schedules {
            Fact::CatalogRebuilt { from }
        } else {
            Fact::CatalogRebuiltHere { from }
        };
        self.tell(EventKind::CatalogRebuilt, Severity::Warning, None, rebuilt).await
    }

    /// Says that the rebuilt catalog is as it should be: schedules and retention go on.
    pub async fn confirm_recovery(&self) -> Result<(), EngineError> {
        self.0.catalog.forget_setting(SETTING).await?;
        self.0.schedule_bell.notify_one();
        Ok(())
    }

    /// Writes an event that belongs to no run.
    pub(crate) async fn tell(
        &self,
        kind: EventKind,
        severity: Severity,
        destination_id: Option<model::DestinationId>,
        sentence: impl Into<Sentence>,
    ) -> Result<(), EngineError> {
        let event = Event {
            id: self.new_id(EventId::generate),
            at: self.now(),
            kind,
            severity,
            app_id: None,
            run_id: None,
            snapshot_id: None,
            destination_id,
            sentence: sentence.into(),
        };
        Ok(self.0.catalog.append_events(&[event]).await?)
    }
}

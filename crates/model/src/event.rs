//! What people may want to know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AppId, DestinationId, EventId, RunId, Sentence, SnapshotId};

/// Something that happened. Written in the same transaction as what it tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Identity.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// How much it matters.
    pub severity: Severity,
    /// The app it concerns.
    pub app_id: Option<AppId>,
    /// The run it concerns.
    pub run_id: Option<RunId>,
    /// The snapshot it concerns.
    pub snapshot_id: Option<SnapshotId>,
    /// The destination it concerns.
    pub destination_id: Option<DestinationId>,
    /// One sentence without secrets.
    #[serde(flatten)]
    pub sentence: Sentence,
}

words! {
    /// Kinds of event.
    pub enum EventKind {
        /// A run ended as `succeeded`.
        RunSucceeded,
        /// A run ended as `partially_failed`.
        RunPartiallyFailed,
        /// A run ended as `failed`.
        RunFailed,
        /// A run ended as `cancelled`.
        RunCancelled,
        /// A run ended as `interrupted`.
        RunInterrupted,
        /// The first good run after a bad one.
        Recovered,
        /// Fire times passed while nothing ran.
        FiresMissed,
        /// A snapshot looks unlike the ones before it.
        SizeAnomaly,
        /// A copy was found damaged or missing.
        CopyDamaged,
        /// Retention refused to delete, and why.
        RetentionRefused,
        /// Snapshots were expired.
        SnapshotsExpired,
        /// Partial uploads were swept.
        OrphansSwept,
        /// The clock moved in a way that no schedule can trust.
        ClockSkew,
        /// What `backups.yml` declares was brought about.
        ConfigApplied,
        /// `backups.yml` cannot be used; what it declared before stays in force.
        ConfigRejected,
        /// Labels of a container asked for what labels may not have.
        LabelsRefused,
        /// Something on this host is in no app.
        Uncovered,
        /// A restore ended well.
        Restored,
        /// A drill proved that a snapshot can come back.
        DrillPassed,
        /// A drill did not.
        DrillFailed,
        /// What a run stopped, paused or made on this host could not be put back.
        NotPutBack,
        /// A change of a repository's password that was cut off was brought to its end.
        RotationEnded,
        /// The catalog's own copy could not be made or put somewhere.
        CatalogCopyFailed,
        /// Nobody has stored the recovery kit as it is now.
        RecoveryKitDue,
        /// The catalog was rebuilt from a copy or from manifests.
        CatalogRebuilt,
        /// A destination's manifests were read into the catalog.
        Reindexed,
        /// A message about an alert was given up.
        AlertUndelivered,
        /// WAL is missing: moments in it cannot be restored.
        WalGap,
        /// WAL has not come, or could not be stored, for too long.
        WalBehind,
        /// WAL comes and is stored again.
        WalResumed,
        /// A slot was let go of, so that the server's disk does not fill.
        SlotReleased,
    }
}

words! {
    /// How much an event matters.
    #[derive(PartialOrd, Ord)]
    pub enum Severity {
        /// Good to know.
        Info,
        /// Look when there is time.
        Warning,
        /// Look now.
        Error,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Fact;

    #[test]
    fn events_have_their_code_and_older_ones_are_read() {
        let old = json!({
            "id": "01arz3ndektsv4rrffq69g5fav", "at": "2026-01-02T03:04:05Z",
            "kind": "fires_missed", "severity": "warning", "app_id": null, "run_id": null,
            "snapshot_id": null, "destination_id": null, "message": "it was told so",
        });
        let old: Event = serde_json::from_value(old).unwrap();
        assert_eq!(old.sentence, Sentence::from("it was told so"));
        let missed = Fact::FiresMissed { count: 3, app: "shop".to_owned() };
        let event = Event { sentence: missed.into(), ..old };
        let stored = serde_json::to_value(&event).unwrap();
        assert_eq!(stored["code"], "fires_missed");
        assert_eq!(stored["facts"]["count"], 3);
        assert!(stored["message"].as_str().unwrap().starts_with("3 of the times"), "{stored}");
        assert_eq!(serde_json::from_value::<Event>(stored).unwrap(), event);
    }
}

//! Object Lock: what is written can be deleted by nobody for a while.
//!
//! An object is locked as soon as it is whole, by a request of its own: the time counts from when
//! the service itself says that it was written, and parts of an upload know no lock.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Deserialize;

use super::{S3, inside};
use crate::{Key, LockMode, ObjectMeta, StoreError, StoreErrorKind};

const DAY: Duration = Duration::from_secs(86_400);

/// An answer to `GetObjectLockConfiguration`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    #[serde(default)]
    object_lock_enabled: String,
}

impl S3 {
    /// Whether the bucket knows Object Lock. It can be switched on only there.
    pub async fn has_object_lock(&self) -> Result<bool, StoreError> {
        let query = [("object-lock", "")];
        let told = self.requests.document_if_there("ObjectLockConfiguration", &query).await?;
        Ok(told.is_some_and(|told: Configuration| told.object_lock_enabled == "Enabled"))
    }

    /// Locks what was just written, where the destination says so.
    pub(super) async fn protect(&self, key: &Key, meta: &ObjectMeta) -> Result<(), StoreError> {
        let Some(lock) = &self.object_lock else { return Ok(()) };
        if lock.except.iter().any(|folder| folder.contains(key.as_str())) {
            return Ok(());
        }
        let written = meta.modified_at.ok_or_else(|| {
            let what =
                format!("{}: {key}: the service does not tell when it was written", self.location);
            StoreError::new(StoreErrorKind::Unavailable, what)
        })?;
        let until = until(written, lock.days).ok_or_else(|| {
            StoreError::config(format!("{}: {} days are too many", self.location, lock.days))
        })?;
        let mode = match lock.mode {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        };
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        let whole = format!("{}{key}", inside(&self.root));
        self.requests.put(&whole, &[("retention", "")], body.into_bytes()).await
    }
}

/// When a lock of `days` ends, in whole seconds.
fn until(written: SystemTime, days: u32) -> Option<Timestamp> {
    let end = Timestamp::try_from(written.checked_add(DAY * days)?).ok()?;
    Timestamp::from_second(end.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_after_whole_days() {
        let written = SystemTime::from("2026-11-21T10:00:00.7Z".parse::<Timestamp>().unwrap());
        assert_eq!(until(written, 30).unwrap().to_string(), "2026-12-21T10:00:00Z");
        assert_eq!(until(written, u32::MAX), None);
    }
}

//! Object Lock: what is written can be deleted by nobody for a while.
//!
//! An object is locked as soon as it is whole, by a request of its own: the time counts from when
//! the service itself says that it was written, and parts of an upload know no lock.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;

use super::{S3, inside};
use crate::{Key, LockMode, Locked, Locking, ObjectMeta, Prolonged, StoreError, StoreErrorKind};

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
        self.retain(key, lock.mode, until).await
    }

    async fn retain(&self, key: &Key, mode: LockMode, until: Timestamp) -> Result<(), StoreError> {
        let mode = word(mode);
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        self.requests.put(&self.whole(key), &[("retention", "")], body.into_bytes()).await
    }

    fn whole(&self, key: &Key) -> String {
        format!("{}{key}", inside(&self.root))
    }
}

#[async_trait]
impl Locking for S3 {
    fn length(&self) -> Duration {
        self.object_lock.as_ref().map_or(Duration::ZERO, |lock| DAY * lock.days)
    }

    /// By the headers of the object: a service shows them to whoever may ask for its retention.
    async fn lock_of(&self, key: &Key) -> Result<Option<Locked>, StoreError> {
        let headers = self.requests.head(&self.whole(key)).await?;
        let told = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let mode = told("x-amz-object-lock-mode").and_then(|mode| mode.to_lowercase().parse().ok());
        let until = told("x-amz-object-lock-retain-until-date")
            .and_then(|until| until.parse::<Timestamp>().ok());
        Ok(mode.zip(until).map(|(mode, until)| Locked { mode, until: until.into() }))
    }

    async fn prolong(
        &self,
        key: &Key,
        need: SystemTime,
        until: SystemTime,
    ) -> Result<Prolonged, StoreError> {
        let lock = self.object_lock.as_ref().ok_or_else(|| {
            StoreError::config(format!("{}: nothing is locked here", self.location))
        })?;
        let before = self.lock_of(key).await?;
        if let Some(before) = before.filter(|before| before.until >= need) {
            return Ok(Prolonged { until: before.until, is_longer: false });
        }
        let far = |_| StoreError::config(format!("{}: {key}: a lock without end", self.location));
        let until = Timestamp::try_from(until.max(need)).map_err(far)?;
        // Whole seconds, rounded up.
        let until = Timestamp::from_second(until.as_second() + 1).unwrap_or(until);
        // What nobody may shorten stays so.
        let mode = match before {
            Some(Locked { mode: LockMode::Compliance, .. }) => LockMode::Compliance,
            _ => lock.mode,
        };
        self.retain(key, mode, until).await?;
        Ok(Prolonged { until: until.into(), is_longer: true })
    }
}

/// What the service calls it.
fn word(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => "GOVERNANCE",
        LockMode::Compliance => "COMPLIANCE",
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

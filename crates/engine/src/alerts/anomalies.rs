//! Whether an app's newest snapshot is unlike the ones before it.
//!
//! Its size was judged when it was made (`crate::anomaly`), from the fourth on: retention waits
//! because of it, so it is told as soon. How long it took and how many files it has is judged once
//! it is known what is usual.

use std::collections::HashMap;

use model::{AlertKind, App, AppId, Fact, Size, Snapshot, SnapshotId, duration::print_secs};

use super::usual::{Numbers, Usual};
use crate::{Engine, EngineError};

/// Above this multiple of the median a run took too long.
const SLOW: u64 = 3;
/// Runs take some seconds more or less for no reason worth telling.
const NOISE_SECS: u64 = 120;
/// Above this multiple of the median, or below the median by as much, files are too many or few.
const MANY: u64 = 2;
/// Folders have some files more or less for no reason worth telling.
const NOISE_FILES: u64 = 20;

/// What was found of each app's newest snapshot, which does not change while that is the newest.
#[derive(Default)]
pub(super) struct Anomalies(HashMap<AppId, (SnapshotId, Vec<(AlertKind, Fact)>)>);

impl Anomalies {
    pub(super) async fn of(
        &mut self,
        engine: &Engine,
        app: &App,
        snapshot: &Snapshot,
    ) -> Result<Vec<(AlertKind, Fact)>, EngineError> {
        let known = self.0.get(&app.id).filter(|(id, _)| *id == snapshot.id);
        let mut found = match known {
            Some((_, found)) => found.clone(),
            None => {
                let usual = Usual::of(&engine.numbers_of(app.id, Some(snapshot)).await?);
                let found = judge(app, &usual, engine.numbers(snapshot).await?);
                self.0.insert(app.id, (snapshot.id, found.clone()));
                found
            }
        };
        // Not remembered: somebody may accept it.
        if snapshot.anomalous {
            let size = Size(snapshot.size_bytes());
            let app = app.name.to_string();
            found.push((AlertKind::SizeAnomaly, Fact::UnlikeBefore { app, size }));
        }
        Ok(found)
    }

    pub(super) fn forget_others(&mut self, apps: &[AppId]) {
        let apps: std::collections::HashSet<_> = apps.iter().collect();
        self.0.retain(|id, _| apps.contains(id));
    }
}

fn judge(app: &App, usual: &Usual, now: Numbers) -> Vec<(AlertKind, Fact)> {
    let mut found = Vec::new();
    if !usual.is_learned() {
        return found;
    }
    let name = || app.name.to_string();
    if let (Some(usual), Some(took)) = (usual.duration_secs, now.duration_secs)
        && took > usual.saturating_mul(SLOW).max(usual + NOISE_SECS)
    {
        let (took, usual) = (print_secs(took), print_secs(usual));
        found
            .push((AlertKind::DurationAnomaly, Fact::SlowerThanUsual { app: name(), took, usual }));
    }
    if let (Some(usual), Some(files)) = (usual.files, now.files)
        && (files > usual.saturating_mul(MANY) || files.saturating_mul(MANY) < usual)
        && files.abs_diff(usual) >= NOISE_FILES
    {
        found.push((AlertKind::FileCountAnomaly, Fact::FilesUnusual { app: name(), files, usual }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(learned: usize, of: Numbers) -> Vec<AlertKind> {
        let usual = Numbers { size_bytes: 1, duration_secs: Some(100), files: Some(1_000) };
        let usual = Usual::of(&vec![usual; learned]);
        let app: App = serde_json::from_value(serde_json::json!({
            "id": "01arz3ndektsv4rrffq69g5fav", "name": "shop", "enabled": true, "sources": [],
            "destinations": [], "schedule": null, "retention": {}, "limits": {},
            "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
            "version": 1,
        }))
        .unwrap();
        judge(&app, &usual, of).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn nothing_is_judged_before_ten_are_known() {
        let odd = Numbers { size_bytes: 1, duration_secs: Some(9_000), files: Some(3) };
        assert_eq!(found(9, odd), []);
        assert_eq!(found(10, odd), [AlertKind::DurationAnomaly, AlertKind::FileCountAnomaly]);
    }

    #[test]
    fn a_little_more_or_less_is_usual() {
        let one =
            |secs, files| Numbers { size_bytes: 1, duration_secs: Some(secs), files: Some(files) };
        assert_eq!(found(10, one(300, 2_000)), []);
        assert_eq!(found(10, one(1, 500)), []);
        assert_eq!(found(10, one(301, 1_000)), [AlertKind::DurationAnomaly]);
        assert_eq!(found(10, one(100, 2_001)), [AlertKind::FileCountAnomaly]);
        let unknown = Numbers { size_bytes: 1, duration_secs: None, files: None };
        assert_eq!(found(10, unknown), []);
    }
}

//! What archives of WAL take at their destinations, day by day: their objects come and go too fast
//! to be asked one by one.

use std::collections::BTreeMap;

use model::{AppId, DestinationId};
use serde::{Deserialize, Serialize};

use crate::{Engine, EngineError};

/// Days that are remembered.
const DAYS: usize = 120;
/// Seconds of a day.
const DAY: i64 = 86_400;
/// Before the app's id, in the name of the setting that holds it.
const PREFIX: &str = "wal_taken/";

/// Bytes at the end of each day (days since 1970, in UTC), by destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Taken(BTreeMap<String, BTreeMap<i64, u64>>);

impl Taken {
    /// What is known of an app's archive.
    pub(crate) async fn of(engine: &Engine, app: AppId) -> Result<Self, EngineError> {
        let text = engine.0.catalog.setting(&setting(app)).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// What is known of every archive, by its app's id.
    pub(crate) async fn all(engine: &Engine) -> Result<BTreeMap<String, Self>, EngineError> {
        let all = engine.0.catalog.settings_under(PREFIX).await?;
        let read =
            |(app, text): (String, String)| (app, serde_json::from_str(&text).unwrap_or_default());
        Ok(all.into_iter().map(read).collect())
    }

    fn note(&mut self, at: DestinationId, day: i64, bytes: u64) {
        let days = self.0.entry(at.to_string()).or_default();
        days.insert(day, bytes);
        while days.len() > DAYS {
            days.pop_first();
        }
    }

    /// Bytes now, at all destinations.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().filter_map(|days| days.last_key_value()).map(|(_, bytes)| bytes).sum()
    }

    /// Bytes now, by destination.
    pub(crate) fn places(&self) -> impl Iterator<Item = (DestinationId, u64)> {
        let last = |(id, days): (&String, &BTreeMap<i64, u64>)| {
            Some((id.parse().ok()?, *days.last_key_value()?.1))
        };
        self.0.iter().filter_map(last)
    }

    /// By how much it became more or less on which days, at `at` or everywhere.
    pub(crate) fn changes(&self, at: Option<DestinationId>) -> Vec<(i64, i64)> {
        let own = self.0.iter().filter(|(id, _)| at.is_none_or(|at| at.to_string() == **id));
        let mut all = Vec::new();
        for (_, days) in own {
            let mut before = 0;
            for (day, bytes) in days {
                let bytes = i64::try_from(*bytes).unwrap_or(i64::MAX);
                all.push((*day, bytes - before));
                before = bytes;
            }
        }
        all
    }
}

fn setting(app: AppId) -> String {
    format!("{PREFIX}{app}")
}

/// Writes down what an archive takes now.
pub(super) async fn note(
    engine: &Engine,
    app: AppId,
    at: DestinationId,
    bytes: u64,
) -> Result<(), EngineError> {
    let known = Taken::of(engine, app).await?;
    let mut now = known.clone();
    now.note(at, engine.now().as_second().div_euclid(DAY), bytes);
    if now != known {
        let text = serde_json::to_string(&now).unwrap_or_default();
        engine.0.catalog.set_setting(&setting(app), &text).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_changes() {
        let (one, other) = (format!("{:026}", 1), format!("{:026}", 2));
        let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
        let mut taken = Taken::default();
        for (at, day, bytes) in [(one, 3, 10), (one, 3, 12), (one, 5, 7), (other, 5, 100)] {
            taken.note(at, day, bytes);
        }
        assert_eq!(taken.bytes(), 107);
        assert_eq!(taken.places().collect::<Vec<_>>(), [(one, 7), (other, 100)]);
        assert_eq!(taken.changes(Some(one)), [(3, 12), (5, -5)]);
        assert_eq!(taken.changes(None).iter().map(|(_, change)| change).sum::<i64>(), 107);
        let stored = serde_json::to_string(&taken).unwrap();
        assert_eq!(serde_json::from_str::<Taken>(&stored).unwrap(), taken);
        for day in 0..1_000 {
            taken.note(one, day, 1);
        }
        assert_eq!(taken.changes(Some(one)).len(), DAYS);
    }
}

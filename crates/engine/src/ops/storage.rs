//! What copies and archives of WAL take at destinations: what it was, and what it will be.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use model::{AppId, Destination, DestinationId, DestinationKind};
use serde::Serialize;

use crate::{Engine, EngineError, doctor_host::room, pitr::taken::Taken};

/// Days that are told.
const TOLD_DAYS: usize = 90;
/// Days from which the days to come are foretold.
const LEARNED_DAYS: usize = 30;
/// Fewer days than this say nothing of those to come.
const LEAST_DAYS: usize = 7;
/// Days that are foretold.
const FORETOLD_DAYS: i64 = 30;
/// Nobody knows what is in ten years.
const MOST_DAYS: u32 = 3_650;

/// What copies and archives of WAL take, day by day; manifests aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StorageTrend {
    /// The end of each of the last days, in UTC, oldest first: at most 90, from the first snapshot on.
    pub days: Vec<StorageDay>,
    /// Bytes now.
    pub bytes: u64,
    /// What may come; `None` until there have been seven days.
    pub forecast: Option<StorageForecast>,
    /// Bytes that are free, where a destination in a folder of this machine says so.
    pub free_bytes: Option<u64>,
}

/// What copies took at the end of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StorageDay {
    /// The day.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub date: Date,
    /// Bytes.
    pub bytes: u64,
}

/// What copies will take if it goes on as in the last thirty days: the median of the slopes between
/// any two of them (Theil 1950, Sen 1968), which a single large snapshot does not bend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StorageForecast {
    /// Bytes more each day; below zero where it becomes less.
    pub bytes_per_day: i64,
    /// Bytes in thirty days.
    pub in_30_days: u64,
    /// Days until nothing is free, where it is known what is and it becomes less.
    pub full_in_days: Option<u32>,
}

impl Engine {
    /// What copies take at all destinations together.
    pub async fn storage(&self) -> Result<StorageTrend, EngineError> {
        self.trend(None, None).await
    }

    /// What copies take at `destination`.
    pub async fn storage_at(&self, destination: &Destination) -> Result<StorageTrend, EngineError> {
        self.trend(Some(destination.id), free(destination).await).await
    }

    /// What an app's copies and its archive of WAL take, all destinations together.
    pub async fn storage_of(&self, app: AppId) -> Result<StorageTrend, EngineError> {
        let mut changes: BTreeMap<i64, i64> = BTreeMap::new();
        for change in self.0.catalog.storage_changes_of(app).await? {
            *changes.entry(change.day).or_default() += change.bytes;
        }
        for (day, bytes) in Taken::of(self, app).await?.changes(None) {
            *changes.entry(day).or_default() += bytes;
        }
        let today = self.now().to_zoned(TimeZone::UTC).date();
        Ok(told(&changes, today, None))
    }

    /// Bytes that archives of WAL take, by destination.
    pub async fn archived_bytes(&self) -> Result<HashMap<DestinationId, u64>, EngineError> {
        let mut all = HashMap::new();
        for (place, bytes) in Taken::all(self).await?.values().flat_map(Taken::places) {
            *all.entry(place).or_default() += bytes;
        }
        Ok(all)
    }

    async fn trend(
        &self,
        at: Option<DestinationId>,
        free_bytes: Option<u64>,
    ) -> Result<StorageTrend, EngineError> {
        let mut changes: BTreeMap<i64, i64> = BTreeMap::new();
        for change in self.storage_changes().await?.iter() {
            if at.is_none_or(|id| id == change.destination_id) {
                *changes.entry(change.day).or_default() += change.bytes;
            }
        }
        for taken in Taken::all(self).await?.values() {
            for (day, bytes) in taken.changes(at) {
                *changes.entry(day).or_default() += bytes;
            }
        }
        let today = self.now().to_zoned(TimeZone::UTC).date();
        Ok(told(&changes, today, free_bytes))
    }
}

/// Bytes that are free where a destination lies in a folder of this machine.
async fn free(destination: &Destination) -> Option<u64> {
    let here = match destination.kind {
        DestinationKind::Local => true,
        DestinationKind::Tree => destination.settings.get("host").is_none_or(String::is_empty),
        _ => false,
    };
    let path = destination.settings.get("path").filter(|_| here)?.clone();
    let asked = tokio::task::spawn_blocking(move || room(Path::new(&path)));
    asked.await.ok()?.ok().map(|(free, _, _)| free)
}

/// `changes` by days since 1970.
fn told(changes: &BTreeMap<i64, i64>, today: Date, free_bytes: Option<u64>) -> StorageTrend {
    let epoch = Date::constant(1970, 1, 1);
    let last = epoch.until(today).map_or(0, |span| i64::from(span.get_days()));
    let first = changes.keys().next().copied().unwrap_or(last).min(last);
    let first = first.max(last - (TOLD_DAYS as i64 - 1));
    let mut bytes: i64 = changes.range(..first).map(|(_, change)| change).sum();
    let mut days = Vec::new();
    if !changes.is_empty() {
        for day in first..=last {
            bytes += changes.get(&day).unwrap_or(&0);
            let date = epoch.checked_add(day.days()).unwrap_or(today);
            days.push(StorageDay { date, bytes: bytes.max(0).cast_unsigned() });
        }
    }
    let bytes = days.last().map_or(0, |day| day.bytes);
    let forecast = forecast(&days, bytes, free_bytes);
    StorageTrend { days, bytes, forecast, free_bytes }
}

fn forecast(days: &[StorageDay], now: u64, free_bytes: Option<u64>) -> Option<StorageForecast> {
    let days = &days[days.len().saturating_sub(LEARNED_DAYS)..];
    if days.len() < LEAST_DAYS {
        return None;
    }
    let mut slopes = Vec::with_capacity(days.len() * days.len() / 2);
    for (at, from) in days.iter().enumerate() {
        for (span, to) in (1..).zip(&days[at + 1..]) {
            slopes.push((to.bytes.cast_signed() - from.bytes.cast_signed()) / span);
        }
    }
    slopes.sort_unstable();
    let middle = slopes.len() / 2;
    let slope: i64 = if slopes.len() % 2 == 1 {
        slopes[middle]
    } else {
        i64::midpoint(slopes[middle - 1], slopes[middle])
    };
    let full_in_days = free_bytes
        .filter(|_| slope > 0)
        .and_then(|free| u32::try_from(free / slope.cast_unsigned()).ok())
        .filter(|days| *days <= MOST_DAYS);
    let in_30_days = now.saturating_add_signed(slope.saturating_mul(FORETOLD_DAYS));
    Some(StorageForecast { bytes_per_day: slope, in_30_days, full_in_days })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = Date::constant(2026, 11, 22);
    const LAST: i64 = 20_779;

    fn growing(days: i64, by: i64) -> BTreeMap<i64, i64> {
        (0..days).map(|back| (LAST - back, by)).collect()
    }

    #[test]
    fn days_add_up_and_those_to_come_follow_them() {
        let trend = told(&growing(20, 100), TODAY, Some(5_000));
        assert_eq!(trend.days.len(), 20);
        assert_eq!(trend.days[0].date, Date::constant(2026, 11, 3));
        assert_eq!((trend.days[0].bytes, trend.bytes), (100, 2_000));
        let forecast = trend.forecast.unwrap();
        assert_eq!(forecast.bytes_per_day, 100);
        assert_eq!((forecast.in_30_days, forecast.full_in_days), (5_000, Some(50)));
    }

    #[test]
    fn what_was_long_ago_counts_and_is_not_told() {
        let mut changes = growing(3, 1);
        changes.insert(LAST - 400, 1_000);
        let trend = told(&changes, TODAY, None);
        assert_eq!(trend.days.len(), TOLD_DAYS);
        assert_eq!((trend.days[0].bytes, trend.bytes), (1_000, 1_003));
    }

    #[test]
    fn a_single_leap_does_not_bend_it() {
        let mut changes = growing(30, 10);
        changes.insert(LAST - 15, 1_000_000);
        let forecast = told(&changes, TODAY, Some(1 << 40)).forecast.unwrap();
        // Pairs across the leap are fewer than half.
        assert!(forecast.bytes_per_day < 70_000, "{forecast:?}");
        let still = told(&growing(30, 0), TODAY, Some(1)).forecast.unwrap();
        assert_eq!((still.bytes_per_day, still.full_in_days), (0, None));
    }

    #[test]
    fn nothing_is_foretold_from_little() {
        assert_eq!(told(&growing(6, 1), TODAY, None).forecast, None);
        let empty = told(&BTreeMap::new(), TODAY, None);
        assert_eq!((empty.days.len(), empty.bytes, empty.forecast), (0, 0, None));
        // What leaves makes it less, and never less than nothing.
        let mut changes = growing(30, -5);
        changes.insert(LAST - 40, 100);
        let trend = told(&changes, TODAY, Some(10));
        let forecast = trend.forecast.unwrap();
        assert!(forecast.bytes_per_day <= 0 && forecast.full_in_days.is_none());
        assert_eq!(trend.bytes, 0);
    }
}

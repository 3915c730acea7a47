//! What an app's snapshots usually are: the medians of the last good ones.

use catalog::CatalogError;
use jiff::Timestamp;
use model::{App, AppId, Contents, Snapshot, retention::CLOCK_TOLERANCE};
use serde::Serialize;

use crate::{Engine, EngineError};

/// How many snapshots are compared with.
pub(crate) const NEEDED: u32 = 10;

/// What an app's last good snapshots were like.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usual {
    /// How many snapshots are known; with fewer than `needed` it is still learnt what is usual, and
    /// neither durations nor numbers of files are judged.
    pub learned: u32,
    /// How many are needed.
    pub needed: u32,
    /// Median of their sizes, in bytes.
    pub size_bytes: Option<u64>,
    /// Median of the time that their runs took, in seconds.
    pub duration_secs: Option<u64>,
    /// Median of how many files they have; `None` where they are not counted.
    pub files: Option<u64>,
}

/// A snapshot in the numbers that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) size_bytes: u64,
    pub(super) duration_secs: Option<u64>,
    pub(super) files: Option<u64>,
}

impl Usual {
    pub(super) fn of(earlier: &[Numbers]) -> Self {
        Self {
            learned: u32::try_from(earlier.len()).unwrap_or(NEEDED).min(NEEDED),
            needed: NEEDED,
            size_bytes: median(earlier.iter().map(|one| one.size_bytes)),
            duration_secs: median(earlier.iter().filter_map(|one| one.duration_secs)),
            files: median(earlier.iter().filter_map(|one| one.files)),
        }
    }

    /// Whether enough is known to judge by.
    pub fn is_learned(&self) -> bool {
        self.learned >= self.needed
    }
}

fn median(numbers: impl Iterator<Item = u64>) -> Option<u64> {
    let mut sorted: Vec<_> = numbers.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

impl Engine {
    /// What the snapshots of an app usually are.
    pub async fn usual(&self, app: &App) -> Result<Usual, EngineError> {
        Ok(Usual::of(&self.numbers_of(app.id, None).await?))
    }

    /// The last snapshots of an app that looked as usual, newest first, in numbers; `before` a
    /// moment where it is given.
    pub(super) async fn numbers_of(
        &self,
        app: AppId,
        before: Option<&Snapshot>,
    ) -> Result<Vec<Numbers>, EngineError> {
        let horizon = self.now().saturating_add(CLOCK_TOLERANCE).unwrap_or(Timestamp::MAX);
        let until = before.map_or(horizon, |one| one.taken_at);
        let earlier = self.0.catalog.usual_snapshots(app, until, u64::from(NEEDED) + 1).await?;
        let mut numbers = Vec::new();
        for snapshot in earlier.iter().filter(|one| before.is_none_or(|of| of.id != one.id)) {
            if numbers.len() < NEEDED as usize {
                numbers.push(self.numbers(snapshot).await?);
            }
        }
        Ok(numbers)
    }

    pub(super) async fn numbers(&self, snapshot: &Snapshot) -> Result<Numbers, EngineError> {
        let counts = snapshot.artifacts.iter().filter_map(|artifact| match &artifact.contents {
            Some(Contents::Members { files, .. }) => Some(*files),
            _ => None,
        });
        let files = counts.fold(None, |sum: Option<u64>, files| Some(sum.unwrap_or(0) + files));
        let duration_secs = match self.0.catalog.run(snapshot.run_id).await {
            Ok(run) => run
                .started_at
                .zip(run.finished_at)
                .and_then(|(from, to)| u64::try_from(to.duration_since(from).as_secs()).ok()),
            // Its run was of another catalog.
            Err(CatalogError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Numbers { size_bytes: snapshot.size_bytes(), duration_secs, files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_what_is_known() {
        let one = |size_bytes, files| Numbers { size_bytes, duration_secs: None, files };
        let usual = Usual::of(&[one(3, Some(7)), one(1, None), one(2, None)]);
        assert_eq!((usual.size_bytes, usual.files, usual.duration_secs), (Some(2), Some(7), None));
        assert_eq!((usual.learned, usual.needed, usual.is_learned()), (3, 10, false));
        assert_eq!(Usual::of(&[]).size_bytes, None);
    }
}

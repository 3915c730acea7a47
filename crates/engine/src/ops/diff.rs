//! What is different between two snapshots of an app.

use std::{collections::BTreeMap, time::SystemTime};

use model::{Artifact, Contents, Fact, Snapshot, SnapshotId, TableRows};
use serde::Serialize;

use super::indexing::is_archive;
use crate::{
    Engine, EngineError,
    index::{ArchiveEntry, Cache, EntryKind, IndexError, compare},
};

/// What is different between two snapshots of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SnapshotDiff {
    /// The one that is compared with.
    pub before: SnapshotId,
    /// The one that is looked at.
    pub after: SnapshotId,
    /// Whether every artifact is the same, byte for byte.
    pub is_same: bool,
    /// What each source gave, by its name.
    pub sources: Vec<SourceDiff>,
}

/// What is different in what a source gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceDiff {
    /// The source.
    pub source: String,
    /// What became of the whole; `None` where it is the same, byte for byte.
    pub change: Option<Change>,
    /// Its size in bytes in the one before.
    pub before_bytes: Option<u64>,
    /// Its size in bytes.
    pub after_bytes: Option<u64>,
    /// What was compared within it.
    pub compared: Compared,
    /// How many files or tables are new.
    pub added: u64,
    /// How many are gone.
    pub removed: u64,
    /// How many are different.
    pub changed: u64,
    /// The differences, folder by folder; not all of them where there are many.
    pub entries: Vec<DiffEntry>,
    /// How many more there are.
    pub untold: u64,
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is different.
    Changed,
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Compared {
    /// The members of an archive, by what the archive tells of them.
    Members,
    /// The rows of tables, as they were counted while they were stored.
    Tables,
    /// Only the whole.
    Whole,
}

/// A file, a folder or a table that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiffEntry {
    /// Its path, or the table's name.
    pub path: String,
    /// What became of it.
    pub change: Change,
    /// What it is; `None` for a table.
    pub kind: Option<EntryKind>,
    /// Bytes of the file, or rows of the table, in the one before.
    pub before: Option<u64>,
    /// The same in the one that is looked at.
    pub after: Option<u64>,
    /// What of it is different, where it is in both.
    pub differs: Vec<Aspect>,
}

/// What can be different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Aspect {
    /// What it is: a file, a folder, a link.
    Kind,
    /// Its size.
    Size,
    /// When it was modified.
    Time,
    /// Its permissions.
    Mode,
    /// Its owner or group.
    Owner,
    /// Where it leads.
    Link,
    /// How many rows it has.
    Rows,
}

/// Differences as they are found: all are counted, and some of them told.
struct Found {
    diff: SourceDiff,
    most: usize,
}

impl Found {
    fn new(source: &str, artifacts: [Option<&Artifact>; 2], most: usize) -> Self {
        let [before, after] = artifacts;
        let change = match (before, after) {
            (Some(before), Some(after)) if before.sha256 == after.sha256 => None,
            (Some(_), Some(_)) => Some(Change::Changed),
            (None, _) => Some(Change::Added),
            (_, None) => Some(Change::Removed),
        };
        let diff = SourceDiff {
            source: source.to_owned(),
            change,
            before_bytes: before.map(|one| one.size_bytes),
            after_bytes: after.map(|one| one.size_bytes),
            compared: Compared::Whole,
            added: 0,
            removed: 0,
            changed: 0,
            entries: Vec::new(),
            untold: 0,
        };
        Self { diff, most }
    }

    fn tell(&mut self, entry: DiffEntry) {
        match entry.change {
            Change::Added => self.diff.added += 1,
            Change::Removed => self.diff.removed += 1,
            Change::Changed => self.diff.changed += 1,
        }
        if self.diff.entries.len() < self.most {
            self.diff.entries.push(entry);
        } else {
            self.diff.untold += 1;
        }
    }

    fn members(&mut self, before: Option<&ArchiveEntry>, after: Option<&ArchiveEntry>) {
        let Some(one) = after.or(before) else { return };
        let (change, differs) = match (before, after) {
            (Some(before), Some(after)) => (Change::Changed, differs(before, after)),
            (None, _) => (Change::Added, Vec::new()),
            _ => (Change::Removed, Vec::new()),
        };
        if change == Change::Changed && differs.is_empty() {
            return;
        }
        let size = |one: Option<&ArchiveEntry>| {
            one.filter(|one| one.kind == EntryKind::File).map(|one| one.size_bytes)
        };
        self.tell(DiffEntry {
            path: one.path.clone(),
            change,
            kind: Some(one.kind),
            before: size(before),
            after: size(after),
            differs,
        });
    }

    fn tables(&mut self, before: &[TableRows], after: &[TableRows]) {
        let mut all: BTreeMap<&str, [Option<u64>; 2]> = BTreeMap::new();
        for (at, tables) in [before, after].into_iter().enumerate() {
            for one in tables {
                all.entry(&one.table).or_default()[at] = Some(one.rows);
            }
        }
        for (table, [before, after]) in all.into_iter().filter(|(_, [one, other])| one != other) {
            let (change, differs) = match (before, after) {
                (None, _) => (Change::Added, Vec::new()),
                (_, None) => (Change::Removed, Vec::new()),
                _ => (Change::Changed, vec![Aspect::Rows]),
            };
            let path = table.to_owned();
            self.tell(DiffEntry { path, change, kind: None, before, after, differs });
        }
    }
}

/// What of two members of one path is different. When a folder was modified says only that there
/// is something else in it.
fn differs(before: &ArchiveEntry, after: &ArchiveEntry) -> Vec<Aspect> {
    let is_folder = before.kind == EntryKind::Folder && after.kind == EntryKind::Folder;
    let all = [
        (Aspect::Kind, before.kind != after.kind),
        (Aspect::Size, before.size_bytes != after.size_bytes && !is_folder),
        (Aspect::Time, before.modified_at != after.modified_at && !is_folder),
        (Aspect::Mode, before.mode != after.mode),
        (Aspect::Owner, (before.uid, before.gid) != (after.uid, after.gid)),
        (Aspect::Link, before.link != after.link),
    ];
    all.into_iter().filter(|(_, is_different)| *is_different).map(|(aspect, _)| aspect).collect()
}

fn artifact<'a>(snapshot: &'a Snapshot, source: &str) -> Option<&'a Artifact> {
    snapshot.artifacts.iter().find(|one| one.source.as_str() == source)
}

/// The sources of two snapshots, by name.
fn sources<'a>(before: &'a Snapshot, after: &'a Snapshot) -> Vec<&'a str> {
    let all = before.artifacts.iter().chain(&after.artifacts);
    let mut names: Vec<_> = all.map(|one| one.source.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn tables(artifact: &Artifact) -> Option<&[TableRows]> {
    match artifact.contents.as_ref()? {
        Contents::Tables { tables, .. } => Some(tables),
        Contents::Members { .. } => None,
    }
}

impl Engine {
    /// What is different in `after` since `before`, of all sources or of one; of each source at most
    /// `most` differences are told, and all are counted. Archives are compared by their indexes,
    /// which are made where they are not there.
    pub async fn diff(
        &self,
        before: SnapshotId,
        after: SnapshotId,
        source: Option<&str>,
        most: usize,
    ) -> Result<SnapshotDiff, EngineError> {
        let (one, other) = self.pair(before, after).await?;
        let mut all = sources(&one, &other);
        if let Some(source) = source {
            all.retain(|name| *name == source);
            if all.is_empty() {
                return Err(EngineError::not_found("artifact", source));
            }
        }
        let mut diffs = Vec::new();
        for source in all {
            let artifacts = [artifact(&one, source), artifact(&other, source)];
            let mut found = Found::new(source, artifacts, most);
            if let ([Some(a), Some(b)], Some(Change::Changed)) = (artifacts, found.diff.change) {
                if let (Some(a), Some(b)) = (tables(a), tables(b)) {
                    found.diff.compared = Compared::Tables;
                    found.tables(a, b);
                } else if is_archive(&one, a) && is_archive(&other, b) {
                    found = self.members(found, before, after).await?;
                }
            }
            diffs.push(found.diff);
        }
        let is_same = diffs.iter().all(|diff| diff.change.is_none());
        Ok(SnapshotDiff { before, after, is_same, sources: diffs })
    }

    /// The archives that are compared for that: their sources, and of which snapshots.
    pub async fn archives_to_compare(
        &self,
        before: SnapshotId,
        after: SnapshotId,
    ) -> Result<Vec<String>, EngineError> {
        let (one, other) = self.pair(before, after).await?;
        let is_compared = |source: &&str| match (artifact(&one, source), artifact(&other, source)) {
            (Some(a), Some(b)) => {
                a.sha256 != b.sha256
                    && (tables(a).is_none() || tables(b).is_none())
                    && is_archive(&one, a)
                    && is_archive(&other, b)
            }
            _ => false,
        };
        Ok(sources(&one, &other).into_iter().filter(is_compared).map(str::to_owned).collect())
    }

    async fn pair(
        &self,
        before: SnapshotId,
        after: SnapshotId,
    ) -> Result<(Snapshot, Snapshot), EngineError> {
        let one = self.0.catalog.snapshot(before).await?;
        let other = self.0.catalog.snapshot(after).await?;
        if one.app_id != other.app_id {
            return Err(EngineError::invalid("from", Fact::OtherApps {}));
        }
        Ok((one, other))
    }

    async fn members(
        &self,
        mut found: Found,
        before: SnapshotId,
        after: SnapshotId,
    ) -> Result<Found, EngineError> {
        let source = found.diff.source.clone();
        let before = self.indexed(before, &source).await?;
        let after = self.indexed(after, &source).await?;
        let now = SystemTime::from(self.now());
        let compared = tokio::task::spawn_blocking(move || {
            let (Some(before), Some(after)) = (Cache::open(&before, now), Cache::open(&after, now))
            else {
                return Ok(None);
            };
            compare(&before, &after, |a, b| found.members(a.as_ref(), b.as_ref()))?;
            found.diff.compared = Compared::Members;
            Ok(Some(found))
        });
        let lost = || EngineError::conflict(Fact::IndexGone {});
        let compared: Result<_, IndexError> = compared.await.map_err(|_| lost())?;
        compared.map_err(|error| EngineError::damaged(error.to_string()))?.ok_or_else(lost)
    }
}

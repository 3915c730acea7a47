//! What is stored, as positions: which WAL there is, which timelines come from which, and which
//! pieces lead from one position to another.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use jiff::Timestamp;
use model::{AppId, WalPiece, WalPieceKind, WalPieceState};
use replication::{History, Lsn, Position, SegmentSize, Stored, SystemId, Timeline};

use super::names::read;
use crate::{Engine, EngineError};

/// Everything that is stored of an app's WAL, and good, but not by which objects: as large as there
/// are holes and timelines, however long the archive is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outline {
    pub(crate) stored: Stored,
    histories: BTreeMap<(SystemId, Timeline), History>,
    timelines: BTreeSet<(SystemId, Timeline)>,
    /// Of the piece that was stored last: when, its end, and of which it is.
    last: Option<(Timestamp, model::Lsn, SystemId, Timeline)>,
    /// How large the segments of a cluster are.
    sizes: BTreeMap<SystemId, u64>,
}

/// The same with the pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub(crate) outline: Outline,
    /// Segments and beginnings; of several beginnings of one segment the longest.
    pieces: BTreeMap<(SystemId, Timeline, Lsn), WalPiece>,
    /// History files, by name.
    files: BTreeMap<(SystemId, String), WalPiece>,
}

impl Outline {
    /// What the catalog says is stored for `app`.
    pub(crate) async fn load(engine: &Engine, app: AppId) -> Result<Self, EngineError> {
        let mut outline = Self::default();
        let take = |piece: WalPiece| {
            outline.add(&piece);
        };
        engine.0.catalog.each_wal(app, take).await?;
        Ok(outline)
    }

    /// Adds a piece, and says of which timeline it is; one that is not good counts for nothing.
    fn add(&mut self, piece: &WalPiece) -> Option<(SystemId, Timeline)> {
        let system: SystemId = piece.system.parse().ok()?;
        let timeline = Timeline::new(piece.timeline)?;
        if piece.state != WalPieceState::Good {
            return None;
        }
        match piece.kind {
            WalPieceKind::Segment | WalPieceKind::Beginning => {
                self.stored.insert(system, timeline, read(piece.start), read(piece.end));
                self.timelines.insert((system, timeline));
                self.sizes.entry(system).or_insert(piece.segment_bytes);
                self.last = self.last.max(Some((piece.stored_at, piece.end, system, timeline)));
            }
            WalPieceKind::History => {
                let text = piece.history.as_deref().unwrap_or_default();
                let history = History::parse(timeline, text.as_bytes()).ok()?;
                self.histories.insert((system, timeline), history);
            }
            WalPieceKind::Label => return None,
        }
        Some((system, timeline))
    }

    /// From where a timeline came; one whose history is not stored came from nowhere.
    pub(crate) fn history(&self, system: SystemId, timeline: Timeline) -> History {
        let known = self.histories.get(&(system, timeline)).cloned();
        known.unwrap_or_else(|| History::first(timeline))
    }

    /// The histories of all timelines of a cluster, oldest first.
    pub(crate) fn histories(&self, system: SystemId) -> Vec<History> {
        let known = self.histories.keys().chain(&self.timelines).copied();
        let all: BTreeSet<Timeline> =
            known.filter(|(own, _)| *own == system).map(|(_, timeline)| timeline).collect();
        all.into_iter().map(|timeline| self.history(system, timeline)).collect()
    }

    /// All clusters.
    pub(crate) fn systems(&self) -> BTreeSet<SystemId> {
        self.timelines.iter().map(|(system, _)| *system).collect()
    }

    /// The newest timeline of a cluster.
    pub(crate) fn newest(&self, system: SystemId) -> Option<Timeline> {
        self.histories(system).last().map(History::timeline)
    }

    /// The first position after `at` on a timeline from which on something is stored again.
    pub(crate) fn goes_on(&self, system: SystemId, timeline: Timeline, at: Lsn) -> Option<Lsn> {
        let ranges = self.stored.of(system, timeline)?;
        ranges.iter().map(|(start, _)| start).find(|start| *start > at)
    }

    /// Where receiving goes on: after the last byte of the cluster that was received last.
    pub(crate) fn end(&self) -> Option<Position> {
        let (_, _, system, timeline) = self.last?;
        let at = self.stored.of(system, timeline)?.end()?;
        Some(Position { system, timeline, at })
    }

    /// How large segments of a cluster are.
    pub(crate) fn size(&self, system: SystemId) -> Option<SegmentSize> {
        SegmentSize::new(*self.sizes.get(&system)?)
    }
}

impl Index {
    #[cfg(test)]
    pub(crate) fn of(pieces: impl IntoIterator<Item = WalPiece>) -> Self {
        let mut index = Self::default();
        for piece in pieces {
            index.add(piece);
        }
        index
    }

    /// Adds a piece; one that is not good counts for nothing.
    pub(crate) fn add(&mut self, piece: WalPiece) {
        let Some((system, timeline)) = self.outline.add(&piece) else { return };
        match piece.kind {
            WalPieceKind::Segment | WalPieceKind::Beginning => {
                match self.pieces.entry((system, timeline, read(piece.start))) {
                    Entry::Vacant(entry) => drop(entry.insert(piece)),
                    Entry::Occupied(mut longest) => {
                        if longest.get().end < piece.end {
                            longest.insert(piece);
                        }
                    }
                }
            }
            WalPieceKind::History => {
                self.files.insert((system, piece.name.clone()), piece);
            }
            WalPieceKind::Label => {}
        }
    }

    /// The history files of a cluster.
    pub(crate) fn files(&self, system: SystemId) -> impl Iterator<Item = &WalPiece> {
        let own = self.files.iter().filter(move |((of, _), _)| *of == system);
        own.map(|(_, piece)| piece)
    }

    /// The pieces from the segment that holds `from` up to `to`, in their order along `history`;
    /// or the first position that is missing.
    pub(crate) fn needed(
        &self,
        system: SystemId,
        history: &History,
        (from, to): (Lsn, Lsn),
    ) -> Result<Vec<&WalPiece>, (Timeline, Lsn)> {
        let mut found = Vec::new();
        let mut at = from;
        let way = history.stretches();
        let first = way.iter().position(|one| one.end.is_none_or(|end| from < end));
        for stretch in &way[first.unwrap_or(0)..] {
            // The segment with a fork is needed of both timelines.
            let until = stretch.end.map_or(to, |left| left.min(to));
            while at < until {
                let piece = self.piece_at(system, stretch.timeline, at);
                let piece = piece.ok_or((stretch.timeline, at))?;
                found.push(piece);
                at = read(piece.end);
            }
            if at >= to && stretch.end.is_none_or(|left| left > to) {
                break;
            }
            at = until;
        }
        Ok(found)
    }

    /// The piece that holds the byte at `at`.
    fn piece_at(&self, system: SystemId, timeline: Timeline, at: Lsn) -> Option<&WalPiece> {
        let before = (system, timeline, Lsn(0))..=(system, timeline, at);
        let (_, piece) = self.pieces.range(before).next_back()?;
        (read(piece.end) > at).then_some(piece)
    }

    /// The pieces of one timeline that lie, in part at least, within a span.
    fn within(
        &self,
        system: SystemId,
        timeline: Timeline,
        (from, to): (Lsn, Lsn),
    ) -> impl DoubleEndedIterator<Item = &WalPiece> {
        let all = (system, timeline, Lsn(0))..(system, timeline, to);
        let all = if from < to { Some(self.pieces.range(all)) } else { None };
        all.into_iter()
            .flatten()
            .map(|(_, piece)| piece)
            .filter(move |piece| read(piece.end) > from)
    }

    /// When the last transaction was committed in the pieces between two positions along `history`.
    pub(crate) fn last_commit(
        &self,
        system: SystemId,
        history: &History,
        (from, to): (Lsn, Lsn),
    ) -> Option<Timestamp> {
        let spans = history.stretches().into_iter().map(|one| {
            (one.timeline, (one.start.max(from), one.end.map_or(to, |left| left.min(to))))
        });
        spans
            .filter_map(|(timeline, span)| {
                self.within(system, timeline, span).filter_map(|piece| piece.last_commit).max()
            })
            .max()
    }
}

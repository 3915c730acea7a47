//! What the catalog knows of an app's base backups and WAL.

use jiff::Timestamp;
use model::{App, ArchiveStanding, Artifact, Snapshot, WalPiece, WalPieceKind, WalPieceState};
use replication::{Base, History, Lsn, SegmentSize, SystemId, Timeline};

use super::choose::{Known, KnownBase, KnownPiece};
use crate::{
    Engine,
    pitr::{index::Index, ops::MARGIN},
};

/// What is stored for one app, and the objects that hold it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Archive {
    pub(crate) known: Known,
    /// The objects that hold its WAL.
    pub(crate) index: Index,
    /// Base backups that can be read.
    pub(crate) bases: Vec<Snapshot>,
}

impl Archive {
    /// What is known of `app` now.
    pub(crate) async fn of(engine: &Engine, app: &App) -> Result<Self, catalog::CatalogError> {
        let catalog = &engine.0.catalog;
        let (mut index, mut pieces, mut histories) = (Index::default(), Vec::new(), Vec::new());
        let take = |piece: WalPiece| {
            pieces.extend(known_piece(&piece));
            histories.extend(history(&piece));
            index.add(piece);
        };
        catalog.each_wal(app.id, take).await?;
        let points = catalog.restore_points(app.id).await?;
        let standing = catalog.wal_standing(app.id).await?;
        let mut bases = catalog.snapshots_of_app(app.id).await?;
        bases.retain(|one| {
            base_of(one).is_some() && one.copies.iter().any(|copy| copy.state.is_restorable())
        });
        let known = Known {
            bases: bases.iter().filter_map(known_base).collect(),
            pieces,
            histories,
            points,
            quiet_until: standing.as_ref().and_then(quiet_until),
        };
        Ok(Self { known, index, bases })
    }
}

/// The base backup in a snapshot, where it is one.
pub(crate) fn base_of(snapshot: &Snapshot) -> Option<&Artifact> {
    snapshot.artifacts.iter().find(|artifact| artifact.base.is_some())
}

fn known_base(snapshot: &Snapshot) -> Option<KnownBase> {
    let artifact = base_of(snapshot)?;
    let facts = artifact.base.as_ref()?;
    let base = Base {
        system: facts.system.parse().ok()?,
        timeline: Timeline::new(facts.timeline)?,
        start: Lsn(facts.start.0),
        end: Lsn(facts.end.0),
    };
    Some(KnownBase {
        snapshot: snapshot.id,
        at: artifact.ended_at.unwrap_or(snapshot.taken_at),
        base,
        segment: SegmentSize::new(facts.segment_bytes)?,
        major: facts.major,
    })
}

fn known_piece(piece: &WalPiece) -> Option<KnownPiece> {
    let is_wal = matches!(piece.kind, WalPieceKind::Segment | WalPieceKind::Beginning);
    if !is_wal || piece.state != WalPieceState::Good {
        return None;
    }
    Some(KnownPiece {
        system: piece.system.parse().ok()?,
        timeline: Timeline::new(piece.timeline)?,
        start: Lsn(piece.start.0),
        end: Lsn(piece.end.0),
        last_commit: piece.last_commit,
    })
}

fn history(piece: &WalPiece) -> Option<(SystemId, History)> {
    let text = piece.history.as_ref()?;
    let timeline = Timeline::new(piece.timeline)?;
    Some((piece.system.parse().ok()?, History::parse(timeline, text.as_bytes()).ok()?))
}

/// When the server said last that it has written nothing that is not stored.
fn quiet_until(standing: &ArchiveStanding) -> Option<Timestamp> {
    let (server, stored) = (standing.server_at?, standing.stored_to?);
    let said = standing.said_at.filter(|_| stored >= server)?;
    Some(said.saturating_sub(MARGIN).unwrap_or(said))
}

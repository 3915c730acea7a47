//! Holes in what is handed over: an `archive_command` that was away, a slot that was let go of.

use model::{App, EventKind, Fact, Lsn, Severity, WalGap, WalPiece, WalPieceState};

use super::{index::Index, told, window};
use crate::{Engine, EngineError};

/// Looks whether there is a hole that no base backup follows yet, and gives where it begins. It is
/// told of where the look `before` has seen it, too: pieces may come out of their order.
pub(super) async fn look(
    engine: &Engine,
    app: &App,
    before: Option<Lsn>,
) -> Result<Option<Lsn>, EngineError> {
    let (mut index, mut bad) = (Index::default(), Vec::new());
    let take = |piece: WalPiece| {
        if piece.state != WalPieceState::Good {
            // What came and is gone or altered is told of as that.
            bad.push((piece.start, piece.end));
        }
        index.add(piece);
    };
    engine.0.catalog.each_wal(app.id, take).await?;
    let (_, mut gaps) = window::draw(&engine.wal_bases(app.id).await?, &index, None);
    gaps.retain(|gap: &WalGap| {
        let was_there = bad.iter().any(|(start, end)| *start <= gap.start && gap.start < *end);
        gap.start > Lsn(0) && !was_there
    });
    if let Some(gap) = gaps.iter().find(|gap| Some(gap.start) == before) {
        let (from, to) = (gap.start.to_string(), gap.end.to_string());
        let fact = Fact::WalHole { app: app.name.to_string(), from, to };
        told::tell_once(engine, app.id, EventKind::WalGap, Severity::Error, fact).await?;
    }
    Ok(gaps.iter().rev().find(|gap| gap.until_at.is_none()).map(|gap| gap.start))
}

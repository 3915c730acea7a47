//! The WAL that a replay needs, brought into the data directory before its server starts: what the
//! server does not find there is proven not to be anywhere.

use std::path::{Path, PathBuf};

use model::{App, Fact, Failure, FailureCode, WalPiece, WalPieceKind, WalPieceState};
use store::StoreErrorKind;

use super::{choose::Way, known::Archive, prepare};
use crate::{
    Engine, EngineError,
    pitr::archive::Archive as Stored,
    run::{RunContext, failure},
    target::refused,
};

/// Objects that are read at once.
const AT_ONCE: usize = 4;

/// What [`Way`] needs, as objects: its segments, and every history of its cluster, by which the
/// restored server finds a timeline that nobody had.
pub(crate) fn needed<'a>(archive: &'a Archive, way: &Way) -> Vec<&'a WalPiece> {
    let system = way.base.base.system.to_string();
    let histories = archive.pieces.iter().filter(|one| {
        one.kind == WalPieceKind::History
            && one.system == system
            && one.state == WalPieceState::Good
    });
    let segments = way.pieces.iter().filter_map(|one| archive.pieces.get(one.number));
    histories.chain(segments).collect()
}

/// Bytes of what is `needed` here.
pub(crate) fn size(way: &Way) -> u64 {
    way.pieces.len() as u64 * way.base.segment.bytes()
}

/// Brings all of it into `data`.
pub(crate) async fn fetch(
    context: &RunContext,
    app: &App,
    needed: &[&WalPiece],
    data: &Path,
) -> Result<(), Failure> {
    let engine = &context.engine;
    let archive = engine.wal_archive(app).await.map_err(|error| failure::of_engine(&error))?;
    let folder = data.join(prepare::WAL);
    for some in needed.chunks(AT_ONCE) {
        let mut fetching = Vec::with_capacity(AT_ONCE);
        for piece in some {
            fetching.push(one(context, &archive, piece, folder.join(&piece.name)));
        }
        futures::future::try_join_all(fetching).await?;
    }
    Ok(())
}

async fn one(
    context: &RunContext,
    archive: &Stored,
    piece: &WalPiece,
    path: PathBuf,
) -> Result<(), Failure> {
    let fetched = tokio::select! {
        biased;
        failure = context.stopped() => return Err(failure),
        fetched = archive.fetch_to(piece, &path) => fetched,
    };
    if let Err(error) = fetched {
        return Err(told(&context.engine, piece, error).await);
    }
    let count = if piece.kind == WalPieceKind::History { 0 } else { piece.segment_bytes };
    context.journal.add_bytes(usize::try_from(count).unwrap_or(0));
    Ok(())
}

/// Why a piece cannot be used. What is wrong with it is written down, so that no window holds it.
async fn told(engine: &Engine, piece: &WalPiece, error: EngineError) -> Failure {
    let state = match &error {
        EngineError::Damaged(_) => Some(WalPieceState::Damaged),
        EngineError::Store(error) => match error.kind() {
            StoreErrorKind::NotFound => Some(WalPieceState::Missing),
            StoreErrorKind::Damaged | StoreErrorKind::Mismatch => Some(WalPieceState::Damaged),
            _ => None,
        },
        _ => None,
    };
    let failure = failure::of_engine(&error);
    let Some(state) = state else { return failure };
    let now = WalPiece { state, ..piece.clone() };
    if let Err(error) = engine.0.catalog.put_wal(&now).await {
        return Failure::new(FailureCode::Catalog, error.to_string());
    }
    // It says nothing of the base backup's copies.
    refused(Fact::WalNotGood { name: piece.name.clone(), why: failure.into() })
}

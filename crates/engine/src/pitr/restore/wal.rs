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

/// How often the beginning of a segment may be replaced by a longer one while it is fetched.
const MOST_TRIES: u32 = 10;
/// Objects that are read at once.
const AT_ONCE: usize = 4;

/// What [`Way`] needs, as objects: its segments, and every history of its cluster, by which the
/// restored server finds a timeline that nobody had.
pub(crate) fn needed<'a>(archive: &'a Archive, way: &Way) -> Result<Vec<&'a WalPiece>, Failure> {
    let system = way.base.base.system;
    let from = way.base.segment.start_of(way.base.base.start);
    let segments = archive.index.needed(system, &way.history, (from, way.end));
    let mut all = segments.map_err(|(timeline, at)| {
        let message = format!("the WAL of timeline {timeline} at {at} is missing");
        Failure::new(FailureCode::Internal, message)
    })?;
    all.extend(archive.index.files(system));
    Ok(all)
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
    let engine = &context.engine;
    let mut now = piece.clone();
    for tried in 1.. {
        let fetched = tokio::select! {
            biased;
            failure = context.stopped() => return Err(failure),
            fetched = archive.fetch_to(&now, &path) => fetched,
        };
        let Err(error) = fetched else { break };
        match longer(engine, &now).await? {
            Some(longer) if is_gone(&error) && tried < MOST_TRIES => now = longer,
            _ => return Err(told(engine, &now, error).await),
        }
        let cleared = tokio::fs::remove_file(&path).await;
        if let Err(error) = cleared
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let (path, why) = (path.display().to_string(), error.to_string());
            return Err(refused(Fact::NotWritable { path, why }));
        }
    }
    let count = if piece.kind == WalPieceKind::History { 0 } else { piece.segment_bytes };
    context.journal.add_bytes(usize::try_from(count).unwrap_or(0));
    Ok(())
}

fn is_gone(error: &EngineError) -> bool {
    matches!(error, EngineError::Store(error) if error.kind() == StoreErrorKind::NotFound)
}

/// What has taken the place of the beginning of a segment: more of it, as soon as there is.
async fn longer(engine: &Engine, piece: &WalPiece) -> Result<Option<WalPiece>, Failure> {
    if piece.kind != WalPieceKind::Beginning {
        return Ok(None);
    }
    let named = engine.0.catalog.wal_named(piece.app_id, &piece.name).await;
    let named = named.map_err(|error| failure::of_catalog(&error))?;
    let others = named.into_iter().filter(|one| {
        one.state == WalPieceState::Good
            && one.system == piece.system
            && one.end >= piece.end
            && one.key != piece.key
    });
    Ok(others.max_by_key(|one| one.end))
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

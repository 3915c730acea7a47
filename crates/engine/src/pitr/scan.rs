//! The destination's listing held against the catalog: what is new is learned, what is gone or
//! altered is found.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use model::{WalPiece, WalPieceKind, WalPieceState};
use store::ObjectMeta;

use super::{
    archive::{Archive, key},
    names::PieceName,
};
use crate::{Engine, EngineError};

/// A destination's clock may differ by this much.
const SLACK: SignedDuration = SignedDuration::from_mins(2);

/// What a look at a destination found.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Pieces that were good, and are no more.
    pub(super) lost: Vec<WalPiece>,
}

/// Looks at all that is stored. A listing that fails changes nothing.
pub(super) async fn scan(engine: &Engine, archive: &Archive) -> Result<Scanned, EngineError> {
    let catalog = &engine.0.catalog;
    let known = catalog.wal_of_app(archive.app).await?;
    let listing = archive.store.list(&archive.prefix()?).await?;
    let listed: Vec<ObjectMeta> = listing.try_collect().await?;
    let mut listed: HashMap<String, ObjectMeta> =
        listed.into_iter().map(|meta| (meta.key.to_string(), meta)).collect();
    let mut scanned = Scanned::default();
    for piece in known {
        let found = listed.remove(&piece.key);
        let is_good = piece.state == WalPieceState::Good;
        match look(archive, &piece, found).await? {
            Look::Same => {}
            Look::Now(next) => {
                catalog.put_wal(&next).await?;
                if is_good && next.state != WalPieceState::Good {
                    scanned.lost.push(*next);
                }
            }
            Look::Gone => {
                // It may have been replaced by a longer one meanwhile.
                let named = catalog.wal_named(archive.app, &piece.name).await?;
                if is_replaced(&piece, &named) {
                    catalog.forget_wal(archive.app, &[piece.key]).await?;
                } else if named.iter().any(|one| one.key == piece.key) {
                    let next = WalPiece { state: WalPieceState::Missing, ..piece };
                    catalog.put_wal(&next).await?;
                    scanned.lost.push(next);
                }
            }
        }
    }
    for meta in listed.into_values() {
        let name = archive.within(meta.key.as_str()).and_then(PieceName::parse);
        let Some(name) = name else { continue };
        if name.kind == WalPieceKind::History {
            archive.adopt(engine, &name, &meta.key).await?;
            continue;
        }
        let modified_at = moment(&meta);
        let at = modified_at.unwrap_or_else(|| engine.now());
        let piece = name.piece(archive.app, meta.key.as_str(), meta.size_bytes, at);
        catalog.put_wal(&WalPiece { modified_at, ..piece }).await?;
        // A beginning that was replaced since the listing was made.
        if let Err(error) = archive.store.stat(&meta.key).await
            && error.kind() == store::StoreErrorKind::NotFound
        {
            catalog.forget_wal(archive.app, &[meta.key.to_string()]).await?;
        }
    }
    Ok(scanned)
}

/// Whether a beginning has a good successor: then nothing is lost with it.
pub(super) fn is_replaced(piece: &WalPiece, named: &[WalPiece]) -> bool {
    piece.kind == WalPieceKind::Beginning
        && named.iter().any(|other| {
            other.state == WalPieceState::Good
                && other.system == piece.system
                && other.key != piece.key
                && (other.kind == WalPieceKind::Segment
                    || other.kind == WalPieceKind::Beginning && other.end > piece.end)
        })
}

enum Look {
    Same,
    Now(Box<WalPiece>),
    Gone,
}

async fn look(
    archive: &Archive,
    piece: &WalPiece,
    found: Option<ObjectMeta>,
) -> Result<Look, EngineError> {
    let Some(meta) = found else {
        if piece.state == WalPieceState::Missing {
            return Ok(Look::Same);
        }
        // A listing may lag; what is said of one object counts.
        return match archive.store.stat(&key(&piece.key)?).await {
            Ok(_) => Ok(Look::Same),
            Err(error) if error.kind() == store::StoreErrorKind::NotFound => Ok(Look::Gone),
            Err(error) => Err(error.into()),
        };
    };
    if piece.state == WalPieceState::Damaged {
        return Ok(Look::Same);
    }
    let modified_at = moment(&meta);
    let next = |state| Box::new(WalPiece { state, modified_at, ..piece.clone() });
    if meta.size_bytes != piece.stored_bytes {
        return Ok(Look::Now(next(WalPieceState::Damaged)));
    }
    let is_touched = match (piece.modified_at, modified_at) {
        (Some(before), Some(now)) => before != now,
        (None, Some(now)) => now.duration_since(piece.stored_at) > SLACK,
        _ => false,
    };
    if is_touched || piece.state == WalPieceState::Missing {
        return match archive.prove(piece).await {
            Ok(()) => Ok(Look::Now(next(WalPieceState::Good))),
            Err(EngineError::Damaged(_)) => Ok(Look::Now(next(WalPieceState::Damaged))),
            Err(error) => Err(error),
        };
    }
    Ok(if piece.modified_at == modified_at {
        Look::Same
    } else {
        Look::Now(next(WalPieceState::Good))
    })
}

fn moment(meta: &ObjectMeta) -> Option<Timestamp> {
    meta.modified_at.and_then(|at| at.try_into().ok())
}

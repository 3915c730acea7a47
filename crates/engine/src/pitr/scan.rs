//! The destination's listing held against the catalog: what is new is learned, what is gone or
//! altered is found.

use std::{collections::HashMap, time::Duration};

use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use model::{WalPiece, WalPieceKind, WalPieceState};
use store::ObjectMeta;

use super::{
    archive::{Archive, key},
    names::PieceName,
};
use crate::{Engine, EngineError};

/// Objects in one answer of a store that is asked for a listing.
const PAGE: u64 = 1_000;
/// A destination's clock may differ by this much.
const SLACK: SignedDuration = SignedDuration::from_mins(2);

/// What a look at a destination found.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Pieces that were good, and are no more.
    pub(super) lost: Vec<WalPiece>,
    /// How many objects there are.
    pub(super) objects: u64,
    /// What they take there, in bytes.
    pub(super) bytes: u64,
}

/// How long after a listing of so many objects the next one is due, where `scan` is how often one
/// is wanted: no more than four answers of a store in that time, and at least one listing in sixty
/// times as long.
pub(super) fn pause(objects: u64, scan: Duration) -> Duration {
    let answers = u32::try_from(objects.div_ceil(PAGE)).unwrap_or(u32::MAX);
    (scan / 4).saturating_mul(answers).clamp(scan, scan * 60)
}

/// Looks at all that is stored. A listing that fails changes nothing.
pub(super) async fn scan(engine: &Engine, archive: &Archive) -> Result<Scanned, EngineError> {
    let catalog = &engine.0.catalog;
    let mut scanned = Scanned::default();
    let mut listed: HashMap<String, Found> = HashMap::new();
    let mut listing = archive.store.list(&archive.prefix()?).await?;
    while let Some(meta) = listing.try_next().await? {
        scanned.objects += 1;
        scanned.bytes += meta.size_bytes;
        let found = Found { size_bytes: meta.size_bytes, modified_at: moment(&meta) };
        listed.insert(meta.key.to_string(), found);
    }
    // After the listing: what came meanwhile is asked for by its name.
    let mut other = Vec::new();
    let take = |piece: WalPiece| {
        let found = listed.remove(&piece.key);
        if !found.as_ref().is_some_and(|found| found.is_same(&piece)) {
            other.push((piece, found));
        }
    };
    catalog.each_wal(archive.app, take).await?;
    for (piece, found) in other {
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
    let mut new = Vec::new();
    for (text, Found { size_bytes, modified_at }) in listed {
        let name = archive.within(&text).and_then(PieceName::parse);
        let Some(name) = name else { continue };
        let at_key = key(&text)?;
        if name.kind == WalPieceKind::History {
            archive.adopt(engine, &name, &at_key).await?;
            continue;
        }
        let at = modified_at.unwrap_or_else(|| engine.now());
        let piece = name.piece(archive.app, &text, size_bytes, at);
        let piece = WalPiece { modified_at, ..piece };
        if piece.kind != WalPieceKind::Beginning {
            new.push(piece);
            continue;
        }
        catalog.put_wal(&piece).await?;
        // It may have been replaced since the listing was made.
        if let Err(error) = archive.store.stat(&at_key).await
            && error.kind() == store::StoreErrorKind::NotFound
        {
            catalog.forget_wal(archive.app, &[text]).await?;
        }
    }
    catalog.put_wals(&new).await?;
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

/// What a listing says of an object.
struct Found {
    size_bytes: u64,
    modified_at: Option<Timestamp>,
}

impl Found {
    /// Whether it is as it was, and was good: what there is most of by far.
    fn is_same(&self, piece: &WalPiece) -> bool {
        piece.state == WalPieceState::Good
            && self.size_bytes == piece.stored_bytes
            && self.modified_at == piece.modified_at
    }
}

enum Look {
    Same,
    Now(Box<WalPiece>),
    Gone,
}

async fn look(
    archive: &Archive,
    piece: &WalPiece,
    found: Option<Found>,
) -> Result<Look, EngineError> {
    let Some(found) = found else {
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
    let modified_at = found.modified_at;
    let next = |state| Box::new(WalPiece { state, modified_at, ..piece.clone() });
    if found.size_bytes != piece.stored_bytes {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_archives_are_listed_less_often() {
        let after = |objects| pause(objects, Duration::from_secs(60)).as_secs();
        assert_eq!([0, 10, 4_000].map(after), [60; 3]);
        assert_eq!([4_001, 10_000, 100_000].map(after), [75, 150, 1_500]);
        assert_eq!([240_000, 100_000_000].map(after), [3_600; 2]);
    }
}

//! WAL that no base backup needs any more goes, after the base that needed it is gone for good.

use std::collections::BTreeMap;

use catalog::PlanRecord;
use jiff::{SignedDuration, Timestamp};
use model::{App, BaseFacts, CopyState, PlanId, RecoveryPlan, WalPiece, WalPieceKind};

use super::archive::Archive;
use crate::{Engine, EngineError, stores::object_lock, timekeeping};

/// Objects deleted between two looks at the right to do so.
const AT_ONCE: usize = 50;

/// A base backup that is still there, whatever of it.
#[derive(Debug, Clone)]
pub(super) struct There {
    pub(super) facts: BaseFacts,
    pub(super) at: Timestamp,
}

/// Deletes what nothing needs; how many objects. Only after a scan that found nothing missing.
pub(super) async fn apply(
    engine: &Engine,
    app: &App,
    plan: &RecoveryPlan,
    archive: &Archive,
    token: i64,
) -> Result<usize, EngineError> {
    let now = engine.now();
    let clock = timekeeping::look(engine).await?;
    if archive.destination.append_only
        || engine.recovery_hold().await?.is_some()
        || clock.is_distrusted(now)
    {
        return Ok(0);
    }
    let there = bases_there(engine, app).await?;
    let pieces = engine.0.catalog.wal_of_app(app.id).await?;
    let window = SignedDuration::from_hours(24 * i64::from(plan.window_days));
    let begins = now.checked_sub(window).unwrap_or(Timestamp::MIN);
    let is_locked = |piece: &WalPiece| {
        object_lock::until(&archive.destination, piece.stored_at).is_some_and(|until| until > now)
    };
    let goes: Vec<&WalPiece> =
        unneeded(&pieces, &there, begins).into_iter().filter(|piece| !is_locked(piece)).collect();
    let (Some(first), Some(last)) = (goes.first(), goes.last()) else { return Ok(0) };
    let told = serde_json::json!({
        "wal": goes.len(), "first": first.key, "last": last.key, "window_begins": begins,
        "bases": there.iter().map(|base| &base.facts).collect::<Vec<_>>(),
    });
    let record = PlanRecord {
        id: engine.new_id(PlanId::generate),
        at: now,
        app_id: app.id,
        destination_id: archive.destination.id,
        run_id: None,
        plan_json: told.to_string(),
    };
    engine.0.catalog.record_plan(&record).await?;
    let mut deleted = 0;
    for some in goes.chunks(AT_ONCE) {
        if !engine.0.catalog.holds_receiver(app.id, token, engine.now()).await? {
            break;
        }
        for piece in some {
            archive.delete(engine, piece).await?;
            deleted += 1;
        }
    }
    let outcome = format!("{{\"deleted\":{deleted}}}");
    engine.0.catalog.finish_plan(record.id, engine.now(), &outcome).await?;
    forget_points(engine, app, &there).await?;
    Ok(deleted)
}

/// All base backups of `app` of which any copy is not deleted for good.
async fn bases_there(engine: &Engine, app: &App) -> Result<Vec<There>, EngineError> {
    let snapshots = engine.0.catalog.snapshots_of_app(app.id).await?;
    let of = |snapshot: &model::Snapshot| {
        let artifact = snapshot.artifacts.iter().find(|one| one.base.is_some())?;
        let is_there = snapshot.copies.iter().any(|copy| copy.state != CopyState::Expired);
        let at = artifact.ended_at.unwrap_or(snapshot.taken_at);
        Some(There { facts: artifact.base.clone().filter(|_| is_there)?, at })
    };
    Ok(snapshots.iter().filter_map(of).collect())
}

/// The pieces that no base needs, oldest first. Histories are always kept; of a cluster without a
/// base all goes once another one's reach back to the window's beginning.
pub(super) fn unneeded<'a>(
    pieces: &'a [WalPiece],
    there: &[There],
    window_begins: Timestamp,
) -> Vec<&'a WalPiece> {
    let mut oldest: BTreeMap<&str, &There> = BTreeMap::new();
    for base in there {
        let first = oldest.entry(&base.facts.system).or_insert(base);
        if base.facts.start < first.facts.start {
            *first = base;
        }
    }
    let reaches_back = there.iter().any(|base| base.at <= window_begins);
    let mut goes: Vec<&WalPiece> = pieces
        .iter()
        .filter(|piece| match (piece.kind, oldest.get(piece.system.as_str())) {
            (WalPieceKind::History, _) => false,
            (WalPieceKind::Label, Some(base)) => {
                piece.stored_at < base.at && piece.stored_at < window_begins
            }
            (WalPieceKind::Segment | WalPieceKind::Beginning, Some(base)) => {
                let size = piece.segment_bytes.max(1);
                piece.end.0 <= base.facts.start.0 / size * size
            }
            (_, None) => reaches_back && piece.stored_at < window_begins,
        })
        .collect();
    goes.sort_by_key(|piece| (&piece.system, piece.timeline, piece.start));
    goes
}

/// Named moments before the oldest base lead nowhere.
async fn forget_points(engine: &Engine, app: &App, there: &[There]) -> Result<(), EngineError> {
    let Some(oldest) = there.iter().map(|base| base.at).min() else { return Ok(()) };
    for point in engine.0.catalog.restore_points(app.id).await? {
        if point.made_at < oldest {
            engine.0.catalog.forget_restore_point(app.id, &point.name).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{AppId, Lsn, WalPieceState};

    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap() + SignedDuration::from_hours(24 * days)
    }

    fn piece(system: &str, kind: WalPieceKind, number: u64, stored_at: Timestamp) -> WalPiece {
        WalPiece {
            app_id: AppId::generate(at(0), &mut rand::rng()),
            system: system.to_owned(),
            timeline: 1,
            kind,
            name: number.to_string(),
            start: Lsn(number << 20),
            end: Lsn((number + 1) << 20),
            segment_bytes: 1 << 20,
            hash: String::new(),
            key: format!("{system}/{number}"),
            stored_bytes: 1,
            stored_at,
            modified_at: None,
            last_commit: None,
            history: None,
            state: WalPieceState::Good,
        }
    }

    fn base(system: &str, number: u64, ended: Timestamp) -> There {
        let facts = BaseFacts {
            system: system.to_owned(),
            timeline: 1,
            start: Lsn((number << 20) + 40),
            end: Lsn((number << 20) + 400),
            segment_bytes: 1 << 20,
            major: 15,
        };
        There { facts, at: ended }
    }

    #[test]
    fn only_what_no_base_needs_goes() {
        use WalPieceKind as K;
        let all = [
            piece("7", K::History, 0, at(0)),
            piece("7", K::Segment, 3, at(0)),
            piece("7", K::Segment, 4, at(1)),
            piece("7", K::Segment, 5, at(2)),
            piece("7", K::Beginning, 6, at(3)),
            piece("6", K::Segment, 9, at(-9)),
        ];
        let goes = |there: &[There], begins| -> Vec<String> {
            unneeded(&all, there, begins).iter().map(|piece| piece.key.clone()).collect()
        };
        assert!(goes(&[], at(5)).is_empty(), "without a base nothing is old");
        let bases = [base("7", 4, at(1)), base("7", 6, at(3))];
        assert_eq!(goes(&bases, at(0)), ["7/3"]);
        // Of a cluster that is no more all goes once another reaches far enough back.
        assert_eq!(goes(&bases, at(2)), ["6/9", "7/3"]);
        assert_eq!(goes(&bases[1..], at(2)), ["7/3", "7/4", "7/5"]);
    }
}

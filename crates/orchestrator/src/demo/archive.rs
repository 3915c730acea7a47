//! The archive of WAL of the demonstration's shop: a week that any moment of can be gone back to.

use catalog::Past;
use engine::{Engine, EngineError};
use jiff::Timestamp;
use model::{
    App, ArchiveStanding, BaseFacts, Lsn, RestorePoint, SnapshotKind, WalPiece, WalPieceKind,
};

use super::{
    company,
    history::{History, after, hours},
};

const SYSTEM: &str = "7423118092466173217";
const SEGMENT: u64 = 16 << 20;
/// The first segment's number.
const FIRST: u64 = 0x2_41;
/// Days back.
const DAYS: i64 = 7;

/// Adds it; one segment for each hour, a base backup for each day.
pub(super) async fn add(engine: &Engine, history: &mut History) -> Result<(), EngineError> {
    let app = history.apps()[0].clone();
    let now = engine.now();
    let first = hours(history.today(), -DAYS * 24);
    let mut past = Past::default();
    let mut number = FIRST;
    let mut at = first;
    while at < now {
        let end = hours(at, 1);
        let is_whole = end <= now;
        let stored_at = if is_whole { end } else { now };
        let piece = piece(&app, number, stored_at, is_whole);
        engine.catalog().put_wal(&piece).await?;
        if at.duration_since(first).as_hours() % 24 == 1 {
            base(history, &app, number, at, &mut past);
        }
        number += 1;
        at = end;
    }
    engine.catalog().write_past(&past).await?;
    let end = Some(Lsn((number - 1) * SEGMENT + SEGMENT / 2));
    let standing = ArchiveStanding {
        is_live: true,
        trouble: None,
        heard_at: Some(now),
        said_at: Some(now),
        server_at: end,
        stored_to: end,
        lag_secs: 0,
        kept_bytes: Some(SEGMENT),
        kept_limit: Some(10 << 30),
        free_bytes: Some(212 << 30),
        slot_status: Some("reserved".to_owned()),
    };
    engine.catalog().set_wal_standing(app.id, &standing).await?;
    let point = RestorePoint {
        name: "before-release-2.40".to_owned(),
        at: Lsn((FIRST + 5 * 24 + 14) * SEGMENT + 0x1000),
        made_at: after(hours(first, 5 * 24 + 14), 12 * 60),
        system: SYSTEM.to_owned(),
        timeline: 1,
    };
    Ok(engine.catalog().add_restore_point(app.id, &point).await?)
}

fn piece(app: &App, number: u64, stored_at: Timestamp, is_whole: bool) -> WalPiece {
    let name = format!("00000001{:08X}{:08X}", number >> 8, number & 0xff);
    let start = number * SEGMENT;
    WalPiece {
        app_id: app.id,
        system: SYSTEM.to_owned(),
        timeline: 1,
        kind: if is_whole { WalPieceKind::Segment } else { WalPieceKind::Beginning },
        start: Lsn(start),
        end: Lsn(start + if is_whole { SEGMENT } else { SEGMENT / 2 }),
        segment_bytes: SEGMENT,
        hash: format!("{number:016x}"),
        key: format!("apps/{}/wal/{SYSTEM}-16m/00000001/{name}.zst", app.name),
        name,
        stored_bytes: SEGMENT / 5,
        stored_at,
        modified_at: Some(stored_at),
        last_commit: Some(after(stored_at, -3)),
        history: None,
        state: model::WalPieceState::Good,
    }
}

/// A base backup in the segment of this number.
fn base(history: &mut History, app: &App, number: u64, at: Timestamp, past: &mut Past) {
    let mut run = history.run(app, model::RunKind::Backup, (at, at));
    run.snapshot_kind = SnapshotKind::Base;
    let database = company::app(0).1[0];
    let mut artifacts = history.artifacts(&[database], &run, 0);
    for artifact in &mut artifacts {
        "base.tar".clone_into(&mut artifact.file_name);
        artifact.format = Some("pg_basebackup".to_owned());
        artifact.contents = None;
        artifact.base = Some(BaseFacts {
            system: SYSTEM.to_owned(),
            timeline: 1,
            start: Lsn(number * SEGMENT + 0x28),
            end: Lsn(number * SEGMENT + 0x158),
            segment_bytes: SEGMENT,
            major: 17,
        });
    }
    run.finished_at = artifacts.first().and_then(|artifact| artifact.ended_at);
    run.bytes_read = artifacts.iter().map(|artifact| artifact.size_bytes).sum();
    let mut snapshot = history.snapshot(app, &run, artifacts, true, 0);
    snapshot.proof = None;
    run.snapshot_id = Some(snapshot.id);
    past.runs.push(run);
    past.snapshots.push(snapshot);
}

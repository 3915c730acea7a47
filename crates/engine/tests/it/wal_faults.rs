//! What happens to an archive of WAL when things go wrong.

use std::{collections::BTreeSet, time::Duration};

use engine::Handed;
use futures::StreamExt as _;
use model::{EventKind, Lsn, RecoveryState, WalPieceKind, WalPieceState, WalWay};

use crate::wal::Archived;

/// A segment in the middle of what is stored.
async fn middle(archived: &Archived) -> model::WalPiece {
    let segments = archived.pieces(WalPieceKind::Segment).await;
    let base = archived.state().await.windows[0].start;
    let after: Vec<_> = segments.into_iter().filter(|piece| piece.start > base).collect();
    after[after.len() / 2].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_and_altered_segments_are_gaps_and_a_new_base_follows() {
    let Some(archived) = Archived::to("disk", WalWay::Stream).await else { return };
    archived.until("a first window", |state| state.windows.len() == 1).await;
    archived.write(5);
    archived.caught_up().await;
    let lost = middle(&archived).await;
    std::fs::remove_file(archived.file(&lost)).unwrap();
    let state = archived.until("short", |state| state.windows[0].end <= lost.start).await;
    assert_eq!(state.windows[0].end, lost.start);
    assert!(!state.gaps.is_empty() && state.gaps[0].start == lost.start, "{:?}", state.gaps);
    // It is told right after it is known.
    for _ in 0..100 {
        if archived.events(EventKind::WalGap).await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(archived.events(EventKind::WalGap).await, 1);
    let state = archived.until("anchored anew", |state| state.windows.len() == 2).await;
    assert!(state.windows[1].start > lost.end);
    assert_eq!(state.gaps[0].until_at, Some(state.windows[1].start_at));

    archived.write(4);
    archived.caught_up().await;
    let segments = archived.pieces(WalPieceKind::Segment).await;
    let after = |piece: &&model::WalPiece| piece.start > state.windows[1].start;
    let altered = segments.iter().filter(after).nth(1).unwrap().clone();
    let mut bytes = std::fs::read(archived.file(&altered)).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    std::fs::write(archived.file(&altered), bytes).unwrap();
    let is_short = |state: &model::RecoveryState| state.windows[1].end <= altered.start;
    archived.until("short again", is_short).await;
    let damaged = archived.pieces(WalPieceKind::Segment).await;
    let damaged = damaged.iter().find(|piece| piece.key == altered.key).unwrap().state;
    assert_eq!(damaged, WalPieceState::Damaged);
    archived.until("anchored again", |state| state.windows.len() == 3).await;
    let fetched =
        archived.world.engine.fetch_wal(archived.world.app.id, &altered.name).await.map(drop);
    assert!(fetched.is_err(), "damaged is not absent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_somebody_drops_is_made_again() {
    let Some(archived) = Archived::to("disk", WalWay::Stream).await else { return };
    archived.until("a first window", |state| state.windows.len() == 1).await;
    archived.sql(
        "DO $$ BEGIN LOOP BEGIN \
         PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots; \
         PERFORM pg_sleep(0.05); \
         PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots; RETURN; \
         EXCEPTION WHEN object_in_use THEN NULL; END; END LOOP; END $$",
    );
    archived.write(3);
    archived.caught_up().await;
    archived.until("streaming again", |state| state.standing.is_live).await;
    assert_eq!(archived.sql("SELECT count(*) FROM pg_replication_slots"), "1");
    // With the plan the slot goes as well: nobody would ever free what it keeps.
    archived.world.change_app(|app| app.recovery = None).await;
    for _ in 0..200 {
        if archived.sql("SELECT count(*) FROM pg_replication_slots") == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the slot stays");
}

/// Puts something in the destination's place, so that nothing can be written there.
pub(crate) fn away(archived: &Archived) -> impl FnOnce() {
    let disk = archived.world.folder.path().join("disk");
    let aside = disk.with_extension("away");
    std::fs::rename(&disk, &aside).unwrap();
    std::fs::write(&disk, "not a folder").unwrap();
    move || {
        std::fs::remove_file(&disk).unwrap();
        std::fs::rename(&aside, &disk).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_while_the_destination_is_away() {
    let Some(archived) = Archived::to("disk", WalWay::Stream).await else { return };
    archived.until("a first window", |state| state.windows.len() == 1).await;
    archived.write(2);
    archived.caught_up().await;
    let back = away(&archived);
    archived.write(40);
    let end = archived.end();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let state = archived.state().await;
    let window = state.windows[0].end;
    assert!(window < end, "{window} of {end}");
    let flushed: Lsn = archived
        .sql("SELECT COALESCE(max(flush_lsn), '0/0') FROM pg_stat_replication")
        .parse()
        .unwrap();
    assert!(flushed <= window, "{flushed} was acknowledged, {window} is stored");
    let kept: Lsn = archived.sql("SELECT restart_lsn FROM pg_replication_slots").parse().unwrap();
    assert!(kept <= window, "{kept} is kept, {window} is stored");
    assert_eq!(archived.events(EventKind::WalBehind).await, 1);
    assert!(state.standing.lag_secs >= 2 && state.standing.trouble.is_some(), "{state:?}");
    back();
    let state = archived.caught_up().await;
    assert_eq!(state.windows.len(), 1, "{state:#?}");
    assert!(state.gaps.is_empty(), "{state:#?}");
    for _ in 0..100 {
        if archived.events(EventKind::WalResumed).await == 1 {
            assert_eq!(archived.events(EventKind::WalGap).await, 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody tells that it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_let_go_of_before_the_servers_disk_fills() {
    let Some(archived) = Archived::to("disk", WalWay::Stream).await else { return };
    archived.plan(|plan| plan.most_kept_bytes = Some(12 << 20)).await;
    archived.until("a first window", |state| state.windows.len() == 1).await;
    archived.caught_up().await;
    let back = away(&archived);
    archived.write(60);
    for turn in 0..200 {
        assert!(turn < 199, "it is not let go of");
        if archived.events(EventKind::SlotReleased).await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    archived.sql("CHECKPOINT");
    back();
    // Whether the WAL was gone by then is the server's affair; what is told is true either way.
    // A base backup may bring the window to its end before the stream goes on.
    archived.caught_up().await;
    let state = archived.until("streaming again", |state| state.standing.is_live).await;
    assert!(state.windows.len() == 2 || state.gaps.is_empty(), "{state:#?}");
}

/// Ends the segment in hand; gives the names of all that are whole.
fn closed(archived: &Archived) -> Vec<String> {
    archived.sql("SELECT pg_switch_wal()");
    // At the very beginning of a segment, servers name the one before.
    archived.sql("SELECT pg_logical_emit_message(true, 'within', 'the next')");
    let names = archived.sql(
        "SELECT name FROM pg_ls_waldir() WHERE length(name) = 24 \
         AND name < pg_walfile_name(pg_current_wal_lsn()) ORDER BY name",
    );
    names.lines().map(str::to_owned).collect()
}

/// Hands over what is whole, but what `given` names, until the state is as it should be.
async fn handing(
    archived: &Archived,
    given: &mut BTreeSet<String>,
    what: &str,
    is_so: impl Fn(&RecoveryState) -> bool,
) -> RecoveryState {
    for _ in 0..300 {
        for name in closed(archived) {
            if !given.insert(name.clone()) {
                continue;
            }
            let read = format!("SELECT encode(pg_read_binary_file('pg_wal/{name}'), 'hex')");
            let bytes = hex::decode(archived.sql(&read)).unwrap();
            let size = bytes.len() as u64;
            let body = futures::stream::iter([Ok(bytes.into())]).boxed();
            let (engine, app) = (&archived.world.engine, archived.world.app.id);
            engine.push_wal(app, &name, Handed::ByReceiver, body, size).await.unwrap();
        }
        let state = archived.state().await;
        if is_so(&state) {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not {what}: {:#?}", archived.state().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_in_what_is_handed_over_is_told_once_and_a_base_follows() {
    let Some(archived) = Archived::to("disk", WalWay::Push).await else { return };
    archived.sql("ALTER SYSTEM SET wal_keep_size = '256MB'");
    archived.sql("SELECT pg_reload_conf()");
    let mut given = BTreeSet::new();
    let first = handing(&archived, &mut given, "a window", |state| state.windows.len() == 1).await;
    assert!(first.gaps.is_empty(), "{first:#?}");
    assert_eq!(archived.events(EventKind::WalGap).await, 0);
    archived.write(2);
    given.extend(closed(&archived));
    archived.write(1);
    let two = |state: &RecoveryState| state.windows.len() == 2;
    let state = handing(&archived, &mut given, "a second window", two).await;
    let [gap] = state.gaps.as_slice() else { panic!("{state:#?}") };
    assert!(gap.start >= first.windows[0].start && gap.until_at.is_some(), "{gap:?}");
    for _ in 0..100 {
        if archived.events(EventKind::WalGap).await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(archived.events(EventKind::WalGap).await, 1);
    let query = catalog::EventQuery { limit: 500, ..catalog::EventQuery::default() };
    let events = archived.world.engine.catalog().events(query).await.unwrap();
    let told = events.into_iter().find(|event| event.kind == EventKind::WalGap).unwrap().sentence;
    let (from, to) = (gap.start, gap.end);
    assert!(told.message.contains(&format!("from {from} to {to}")), "{told:?} {gap:?}");
}

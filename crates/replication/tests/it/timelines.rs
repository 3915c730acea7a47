//! Promotions.

use replication::{Connection, Error, Lsn, Position, SegmentSize, Timeline};

use crate::{
    cluster::Cluster,
    receiving::{flushed, options, same_as, work},
};

/// What a standby without a slot needs of its primary, and we of the standby.
const KEEP: &[&str] = &["wal_keep_size = 256MB"];

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_is_followed() {
    let Some(primary) = Cluster::start_with(&["--wal-segsize=1"], KEEP) else { return };
    let standby = primary.standby();
    let mut open = Connection::open(&standby.settings()).await.unwrap();
    open.create_slot("ours").await.unwrap();
    open.close().await;
    let mut work = work(&standby.settings(), options(Some("ours")), |_| false);
    assert!(primary.pgbench(&["-i", "-s", "1"]).status().unwrap().success());
    let wanted = flushed(&primary);
    work.until(wanted).await;
    primary.down("fast");
    standby.promote();
    standby.sql("CREATE TABLE after (x int); SELECT pg_switch_wal()");
    standby.sql("CREATE TABLE more (x int)");
    work.until(flushed(&standby)).await;
    {
        let kept = work.kept.lock().unwrap();
        let lines: Vec<_> = kept.started.iter().map(|(line, _)| line.number()).collect();
        assert_eq!(lines, [1, 2]);
        let folder = standby.data().join("pg_wal");
        let theirs = std::fs::read(folder.join("00000002.history")).unwrap();
        assert_eq!(kept.histories["00000002.history"], theirs);
        assert!(same_as(&kept, &folder) >= 2);
        // The old timeline's last bytes are where the new one's first segment begins.
        let (name, tail) =
            kept.partial.iter().rfind(|(name, _)| name.starts_with("00000001")).unwrap();
        let new = name.replacen("00000001", "00000002", 1);
        assert!(!tail.is_empty() && kept.segments[&new].starts_with(tail), "{name}");
    }
    work.stop();
}

/// The promoted server never had what we received last: its branch is taken from the fork on.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_behind_us_is_taken_from_the_fork_on() {
    let Some(primary) = Cluster::start_with(&["--wal-segsize=1"], KEEP) else { return };
    let standby = primary.standby();
    standby.down("fast");
    let mut open = Connection::open(&primary.settings()).await.unwrap();
    let info = open.identify().await.unwrap();
    assert!(primary.pgbench(&["-i", "-s", "1"]).status().unwrap().success());
    let ours = flushed(&primary);
    primary.down("immediate");
    standby.up();
    standby.promote();
    standby.sql("CREATE TABLE after (x int)");

    let mut options = options(None);
    let stored = Position { system: info.system, timeline: info.timeline, at: ours };
    options.start = Some(stored);
    let mut work = work(&standby.settings(), options.clone(), |_| false);
    let end = flushed(&standby);
    assert!(end < ours);
    let at = work
        .standing
        .wait_for(|standing| standing.is_streaming && standing.received >= end)
        .await
        .unwrap()
        .received;
    work.until(at).await;
    let (line, from) = work.kept.lock().unwrap().started[0];
    let two = Timeline::new(2).unwrap();
    let size = SegmentSize::new(1 << 20).unwrap();
    assert_eq!((line, size.start_of(from)), (two, from));
    assert!(from < end);
    work.stop();

    // A timeline the server knows nothing of is no beginning.
    options.start =
        Some(Position { timeline: Timeline::new(7).unwrap(), at: Lsn(1 << 20), ..stored });
    let (_, error) = crate::receiving::work(&standby.settings(), options, |_| false).end().await;
    assert!(matches!(error, Error::Diverged { .. }) && !error.is_retryable(), "{error}");
}

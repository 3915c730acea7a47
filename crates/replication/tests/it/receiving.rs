//! A receiver at a server that writes, crashes, stops and stays idle.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use replication::{
    Connection, Error, Event, Lsn, Position, Problem, Receiver, ReceiverOptions, Settings,
    Standing, Timeline,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::cluster::Cluster;

/// What was received, by name.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) segments: BTreeMap<String, Vec<u8>>,
    pub(crate) partial: BTreeMap<String, Vec<u8>>,
    pub(crate) histories: BTreeMap<String, Vec<u8>>,
    pub(crate) commits: u64,
    pub(crate) newest_commit: Option<jiff::Timestamp>,
    pub(crate) started: Vec<(Timeline, Lsn)>,
}

async fn joined(body: &mut replication::Body) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = body.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    assert_eq!(all.len() as u64, body.len());
    all
}

impl Kept {
    /// Keeps an event in memory and says so.
    fn take(&mut self, event: Event, bytes: Vec<u8>) {
        match event {
            Event::Started { timeline, at, .. } => self.started.push((timeline, at)),
            Event::Segment(piece) => {
                if let Some(commits) = piece.filled.commits {
                    self.commits += commits.count;
                    self.newest_commit = self.newest_commit.max(Some(commits.last));
                }
                let before = self.segments.insert(piece.name, bytes.clone());
                assert!(before.is_none_or(|before| before == bytes), "another content");
                piece.receipt.durable();
            }
            Event::Prefix(piece) | Event::Tail(piece) => {
                self.partial.insert(piece.name, bytes);
                piece.receipt.durable();
            }
            Event::History { history, bytes, receipt } => {
                self.histories.insert(history.timeline().history_name(), bytes.to_vec());
                receipt.durable();
            }
        }
    }
}

/// A receiver at work, with a keeper in memory.
pub(crate) struct Work {
    pub(crate) kept: Arc<Mutex<Kept>>,
    pub(crate) standing: watch::Receiver<Standing>,
    run: JoinHandle<(Receiver, Error)>,
}

pub(crate) fn options(slot: Option<&str>) -> ReceiverOptions {
    ReceiverOptions {
        slot: slot.map(str::to_owned),
        prefix_every: Some(Duration::from_millis(300)),
        status_every: Duration::from_secs(1),
        ..ReceiverOptions::default()
    }
}

/// Receives until the connection ends; again while `again` says so.
pub(crate) fn work(
    settings: &Settings,
    options: ReceiverOptions,
    again: fn(&Error) -> bool,
) -> Work {
    let (events, mut taken) = mpsc::channel(4);
    let kept = Arc::new(Mutex::new(Kept::default()));
    let keeper = Arc::clone(&kept);
    tokio::spawn(async move {
        while let Some(mut event) = taken.recv().await {
            let bytes = match &mut event {
                Event::Segment(piece) | Event::Prefix(piece) | Event::Tail(piece) => {
                    joined(&mut piece.filled.body).await
                }
                _ => Vec::new(),
            };
            keeper.lock().unwrap().take(event, bytes);
        }
    });
    let mut receiver = Receiver::new(options, events);
    let standing = receiver.standing();
    let settings = settings.clone();
    let run = tokio::spawn(async move {
        loop {
            let error = receiver.run(&settings).await;
            if !again(&error) {
                return (receiver, error);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    Work { kept, standing, run }
}

impl Work {
    /// Waits until all up to `at` is durable.
    pub(crate) async fn until(&mut self, at: Lsn) {
        let now = self.standing.clone();
        let wait = self.standing.wait_for(|standing| standing.durable >= at);
        let limit = tokio::time::sleep(Duration::from_secs(60));
        tokio::select! {
            done = wait => drop(done.unwrap()),
            ended = &mut self.run => panic!("it ended before {at}: {}", ended.unwrap().1),
            () = limit => panic!("not durable up to {at}: {:?}", now.borrow()),
        }
    }

    pub(crate) async fn end(self) -> (Receiver, Error) {
        tokio::time::timeout(Duration::from_secs(30), self.run).await.unwrap().unwrap()
    }

    pub(crate) fn stop(&self) {
        self.run.abort();
    }
}

pub(crate) fn flushed(cluster: &Cluster) -> Lsn {
    cluster.sql("SELECT pg_current_wal_flush_lsn()").parse().unwrap()
}

/// Every segment that the server still has is the same here.
pub(crate) fn same_as(kept: &Kept, folder: &Path) -> usize {
    let mut same = 0;
    for (name, bytes) in &kept.segments {
        if let Ok(theirs) = std::fs::read(folder.join(name)) {
            assert!(theirs == *bytes, "{name} differs");
            same += 1;
        }
    }
    same
}

async fn with_slot(cluster: &Cluster) {
    let mut open = Connection::open(&cluster.settings()).await.unwrap();
    open.create_slot("ours").await.unwrap();
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_are_the_servers_while_it_writes() {
    let Some(cluster) = Cluster::start_with(&[], &["wal_keep_size = 512MB"]) else { return };
    with_slot(&cluster).await;
    let mut work = work(&cluster.settings(), options(Some("ours")), |_| false);
    assert!(cluster.pgbench(&["-i", "-s", "5"]).status().unwrap().success());
    let before = cluster.sql("SELECT count(*) FROM pgbench_history");
    assert!(cluster.pgbench(&["-c", "4", "-T", "5"]).status().unwrap().success());
    cluster.sql("SELECT pg_switch_wal()");
    cluster.sql("CREATE TABLE last_one (x int)");
    let end = flushed(&cluster);
    work.until(end).await;
    let written: u64 = cluster.sql("SELECT count(*) FROM pgbench_history").parse().unwrap();
    let clock: i64 = cluster
        .sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        .parse()
        .unwrap();
    {
        let kept = work.kept.lock().unwrap();
        assert!(kept.segments.len() >= 4, "{} segments", kept.segments.len());
        let same = same_as(&kept, &cluster.data().join("pg_wal"));
        assert!(same >= 4, "only {same} compared");
        assert!(kept.commits >= written, "{} commits, {written} rows, {before}", kept.commits);
        let newest = kept.newest_commit.unwrap().as_millisecond();
        assert!((clock - newest).abs() < 60_000, "{newest} at {clock}");
        // The beginning of the segment in hand is the server's too.
        let (name, prefix) = kept.partial.last_key_value().unwrap();
        let theirs = std::fs::read(cluster.data().join("pg_wal").join(name)).unwrap();
        assert!(theirs.starts_with(prefix), "the beginning of {name} differs");
    }
    // The slot lets go of what is durable, and of nothing else.
    let restart: Lsn = cluster.sql("SELECT restart_lsn FROM pg_replication_slots").parse().unwrap();
    assert!(restart >= end, "{restart} before {end}");
    work.stop();
}

/// A segment that has no room in memory lies in the spool, in a file that nobody sees.
#[tokio::test(flavor = "multi_thread")]
async fn large_segments_go_through_the_spool() {
    let Some(cluster) =
        Cluster::start_with(&["--wal-segsize=64"], &["min_wal_size = 128MB", "max_wal_size = 1GB"])
    else {
        return;
    };
    let spool = tempfile::tempdir().unwrap();
    let mut options = options(None);
    options.spool = Some(spool.path().into());
    let mut work = work(&cluster.settings(), options.clone(), |_| false);
    assert!(cluster.pgbench(&["-i", "-s", "8"]).status().unwrap().success());
    cluster.sql("SELECT pg_switch_wal()");
    cluster.sql("CREATE TABLE last_one (x int)");
    work.until(flushed(&cluster)).await;
    assert!(same_as(&work.kept.lock().unwrap(), &cluster.data().join("pg_wal")) >= 1);
    assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
    work.stop();

    // Where not even root can make a folder.
    options.spool = Some("/proc/nowhere".into());
    let mut work = crate::receiving::work(&cluster.settings(), options, |_| false);
    work.standing.wait_for(|standing| standing.is_streaming).await.unwrap();
    assert!(cluster.pgbench(&["-i", "-s", "2"]).status().unwrap().success());
    let (_, error) = work.end().await;
    assert!(matches!(error, Error::Spool { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_a_crash_and_a_stop_of_the_server() {
    let Some(cluster) = Cluster::start_with(&[], &["wal_keep_size = 512MB"]) else { return };
    with_slot(&cluster).await;
    let mut work = work(&cluster.settings(), options(Some("ours")), Error::is_retryable);
    assert!(cluster.pgbench(&["-i", "-s", "2"]).status().unwrap().success());
    let mut bench = cluster.pgbench(&["-c", "2", "-T", "30"]).spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.down("immediate");
    bench.wait().unwrap();
    cluster.up();
    assert!(cluster.pgbench(&["-c", "2", "-T", "2"]).status().unwrap().success());
    // A stop in order waits until the last byte is durable, and is not held up by it.
    let begun = std::time::Instant::now();
    cluster.down("fast");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    cluster.up();
    cluster.sql("SELECT pg_switch_wal()");
    cluster.sql("CREATE TABLE last_one (x int)");
    work.until(flushed(&cluster)).await;
    let kept = work.kept.lock().unwrap();
    assert!(kept.started.len() >= 3, "{:?}", kept.started);
    let same = same_as(&kept, &cluster.data().join("pg_wal"));
    assert!(same >= 2, "only {same} compared");
    // Without a hole.
    let size = replication::SegmentSize::default();
    let starts: Vec<_> = kept.segments.keys().map(|n| size.parse_name(n).unwrap().1).collect();
    assert!(starts.windows(2).all(|two| two[1].since(two[0]) == size.bytes()), "{starts:?}");
    drop(kept);
    work.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_before_it_is_kept() {
    let Some(cluster) = Cluster::start(&["--wal-segsize=1"]) else { return };
    with_slot(&cluster).await;
    let restart =
        || -> Lsn { cluster.sql("SELECT restart_lsn FROM pg_replication_slots").parse().unwrap() };
    let (events, mut taken) = mpsc::channel(1);
    let mut options = options(Some("ours"));
    options.prefix_every = None;
    options.memory = 3 << 20;
    options.silence = Duration::from_secs(3);
    let mut receiver = Receiver::new(options, events);
    let standing = receiver.standing();
    let settings = cluster.settings();
    let run = tokio::spawn(async move { (receiver.run(&settings).await, receiver) });
    let first = restart();
    assert!(cluster.pgbench(&["-i", "-s", "1"]).status().unwrap().success());
    // Nobody keeps anything for longer than a silent server would be suffered.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!run.is_finished());
    assert!(restart() <= first);
    let behind = standing.borrow().received.since(first);
    assert!(behind <= 4 << 20, "{behind} bytes in memory");

    // All but the second are kept: it and what follows stay unacknowledged.
    let mut seen = Vec::new();
    let mut second = None;
    while seen.len() < 3 {
        if let Event::Segment(piece) = taken.recv().await.unwrap() {
            seen.push(piece.filled.end);
            if seen.len() == 2 { second = Some(piece) } else { piece.receipt.durable() }
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(restart(), seen[0]);
    // Given back: the receiver ends, and begins with that one again.
    let start = second.as_ref().unwrap().filled.start;
    drop(second);
    let drain = tokio::spawn(async move { while taken.recv().await.is_some() {} });
    let (error, receiver) = run.await.unwrap();
    assert!(matches!(error, Error::NotKept(at) if at == start), "{error}");
    assert!(error.is_retryable());
    assert_eq!(receiver.position().unwrap().at, start);
    drop(receiver);
    drain.await.unwrap();
}

/// More than in memory, so that the next one comes while others are on their way; and bounded.
#[tokio::test(flavor = "multi_thread")]
async fn four_segments_wait_in_the_spool() {
    let Some(cluster) = Cluster::start(&["--wal-segsize=1"]) else { return };
    with_slot(&cluster).await;
    let (events, mut taken) = mpsc::channel(8);
    let spool = tempfile::tempdir().unwrap();
    let mut options = options(Some("ours"));
    options.prefix_every = None;
    options.memory = 1 << 20;
    options.spool = Some(spool.path().into());
    let mut receiver = Receiver::new(options, events);
    let settings = cluster.settings();
    let run = tokio::spawn(async move { receiver.run(&settings).await });
    assert!(cluster.pgbench(&["-i", "-s", "1"]).status().unwrap().success());
    let mut held = VecDeque::new();
    let next = |taken: &mut mpsc::Receiver<Event>| {
        let next = taken.try_recv();
        next.ok().and_then(|event| match event {
            Event::Segment(piece) => Some(piece),
            _ => None,
        })
    };
    for _ in 0..50 {
        held.extend(next(&mut taken));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(held.len(), 4, "as many as there is room for");
    held.pop_front().unwrap().receipt.durable();
    for _ in 0..20 {
        held.extend(next(&mut taken));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(held.len(), 4, "one more for one that is kept");
    run.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_is_not_a_stalled_one() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let mut options = options(None);
    options.silence = Duration::from_secs(2);
    options.status_every = Duration::from_millis(500);
    let mut work = work(&cluster.settings(), options, |_| false);
    let standing = *work.standing.wait_for(|standing| standing.is_streaming).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let later = *work.standing.borrow();
    assert!(later.is_streaming && later.heard > standing.heard, "{later:?}");
    // One that hangs is noticed.
    let pid = cluster.sql("SELECT pid FROM pg_stat_replication");
    let signal = |name: &str| {
        let done = std::process::Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(done.success());
    };
    signal("-STOP");
    let (_, error) = work.end().await;
    signal("-CONT");
    assert!(matches!(error, Error::Timeout { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wal_that_is_gone_and_other_clusters_end_it_for_good() {
    let Some(cluster) = Cluster::start(&["--wal-segsize=1"]) else { return };
    let mut open = Connection::open(&cluster.settings()).await.unwrap();
    let info = open.identify().await.unwrap();
    let mut options = options(None);
    let start = Position { system: info.system, timeline: info.timeline, at: info.flushed };
    options.start = Some(start);
    assert!(cluster.pgbench(&["-i", "-s", "5"]).status().unwrap().success());
    cluster.sql("CHECKPOINT");
    cluster.sql("SELECT pg_switch_wal()");
    cluster.sql("CHECKPOINT");
    let (_, error) = work(&cluster.settings(), options.clone(), Error::is_retryable).end().await;
    assert_eq!(error.server().map(|server| server.problem), Some(Problem::WalRemoved), "{error}");
    assert!(error.to_string().contains("new base backup"), "{error}");

    options.start = Some(Position { system: info.system + 1, ..start });
    let (_, error) = work(&cluster.settings(), options.clone(), Error::is_retryable).end().await;
    assert!(matches!(error, Error::OtherCluster { .. }), "{error}");

    options.start = Some(Position { at: Lsn(1 << 40), ..start });
    let (_, error) = work(&cluster.settings(), options, Error::is_retryable).end().await;
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
}

//! Numbers that are watched and texts that are looked for, on either database.

use catalog::{CancelOutcome, CopyCount, Ending, LogQuery, Progress, Queue, RunTotal};
use jiff::{SignedDuration, Timestamp};
use model::{
    AppId, CopyState, DestinationId, DestinationOutcome, EventId, LogLevel, Run, RunKind, RunState,
    Snapshot, SnapshotId, Stage, StoredCopy,
};
use secrecy::SecretString;

use crate::suite::{app, claimed, destination, ending, later, now, open, run, snapshot};

pub(crate) async fn totals_count_every_end_once(url: &SecretString) {
    let catalog = open(url).await;
    assert_eq!(catalog.run_totals().await.unwrap(), []);
    let id = AppId::generate(now(), &mut rand::rng());
    for written in [100, 11] {
        let one = run(Some(id));
        let token = claimed(&catalog, &one).await;
        for at in 0..2 {
            let outcome = DestinationOutcome {
                run_id: one.id,
                destination_id: DestinationId::generate(later(at), &mut rand::rng()),
                stage: Stage::Store,
                state: RunState::Succeeded,
                bytes_written: written,
                failure: None,
            };
            catalog.outcome(&outcome, token).await.unwrap();
        }
        let progress = Progress { bytes_read: 3, ..Progress::default() };
        catalog.progress(one.id, token, &progress).await.unwrap();
        let end = ending(RunState::Succeeded);
        catalog.finish(one.id, token, &end).await.unwrap();
        // What has ended cannot end again.
        assert!(catalog.finish(one.id, token, &end).await.is_err());
    }
    let total = RunTotal {
        app_id: Some(id),
        kind: RunKind::Backup,
        state: RunState::Succeeded,
        runs: 2,
        worked: std::time::Duration::from_secs(10),
        bytes_read: 14,
        bytes_written: 222,
    };
    assert_eq!(catalog.run_totals().await.unwrap(), [total]);

    let cut = Run { kind: RunKind::Verify, ..run(None) };
    let token = claimed(&catalog, &cut).await;
    let end = Ending { bytes_read: 1, ..ending(RunState::Interrupted) };
    catalog.end_interrupted(cut.id, token, &end).await.unwrap();
    let waiting = run(Some(id));
    catalog.enqueue(&waiting).await.unwrap();
    let event = EventId::generate(now(), &mut rand::rng());
    let outcome = catalog.cancel(waiting.id, now(), event, None).await.unwrap();
    assert_eq!(outcome, CancelOutcome::CancelledNow);
    let all = catalog.run_totals().await.unwrap();
    let told = |one: &RunTotal| (one.app_id, one.kind, one.state, one.runs);
    assert_eq!(
        all.iter().map(told).collect::<Vec<_>>(),
        [
            (None, RunKind::Verify, RunState::Interrupted, 1),
            (Some(id), RunKind::Backup, RunState::Cancelled, 1),
            (Some(id), RunKind::Backup, RunState::Succeeded, 2),
        ]
    );
    assert_eq!(all[1].worked, std::time::Duration::ZERO, "nobody worked on it");
}

pub(crate) async fn copies_and_the_queue_are_counted(url: &SecretString) {
    let catalog = open(url).await;
    assert_eq!(catalog.queue(now()).await.unwrap(), Queue::default());
    assert_eq!(catalog.copy_counts().await.unwrap(), []);
    let (id, at) = (
        AppId::generate(now(), &mut rand::rng()),
        DestinationId::generate(now(), &mut rand::rng()),
    );
    for n in 0..2 {
        let one = run(Some(id));
        let token = claimed(&catalog, &one).await;
        let mut made = snapshot(id, one.id, at);
        if n == 1 {
            made.copies[0].state = CopyState::Damaged;
        }
        let end = Ending { snapshot: Some(made), ..ending(RunState::Succeeded) };
        catalog.finish(one.id, token, &end).await.unwrap();
    }
    let count = |state| CopyCount { destination_id: at, state, copies: 1, bytes: 7 };
    let counts = catalog.copy_counts().await.unwrap();
    assert_eq!(counts, [count(CopyState::Damaged), count(CopyState::Good)]);

    let one = run(None);
    claimed(&catalog, &one).await;
    let due: Timestamp = now() - SignedDuration::from_secs(40);
    for not_before in [later(3_600), due, now()] {
        catalog.enqueue(&Run { not_before, ..run(None) }).await.unwrap();
    }
    let queue = catalog.queue(now()).await.unwrap();
    assert_eq!(queue, Queue { queued: 3, running: 1, due_since: Some(due) });
    assert_eq!(catalog.queue(due - SignedDuration::from_secs(1)).await.unwrap().due_since, None);
}

pub(crate) async fn the_newest_snapshots_come_page_by_page(url: &SecretString) {
    let catalog = open(url).await;
    let (id, at) = (
        AppId::generate(now(), &mut rand::rng()),
        DestinationId::generate(now(), &mut rand::rng()),
    );
    let mut made = Vec::new();
    for n in 0..7 {
        let one = run(Some(id));
        let token = claimed(&catalog, &one).await;
        let mut snapshot = Snapshot { taken_at: later(n), ..snapshot(id, one.id, at) };
        if n == 4 {
            snapshot.copies[0].state = CopyState::Expired;
        } else {
            made.push(snapshot.id);
        }
        let end = Ending { snapshot: Some(snapshot), ..ending(RunState::Succeeded) };
        catalog.finish(one.id, token, &end).await.unwrap();
    }
    made.reverse();
    let page = async |offset, limit| -> Vec<SnapshotId> {
        let found = catalog.recent_snapshots(offset, limit).await.unwrap();
        found.into_iter().map(|one| one.id).collect()
    };
    assert_eq!(page(0, 100).await, made);
    assert_eq!(page(0, 4).await, made[..4]);
    assert_eq!(page(4, 4).await, made[4..]);
    assert_eq!(page(6, 4).await, []);
    assert_eq!(catalog.recent_count(500).await.unwrap(), 6);
    assert_eq!(catalog.recent_count(5).await.unwrap(), 5);
}

pub(crate) async fn how_apps_stand_is_told_of_all_at_once(url: &SecretString) {
    let catalog = open(url).await;
    let disk = destination("disk");
    catalog.insert_destination(&disk).await.unwrap();
    let apps = ["never", "harmed", "failed"].map(|name| app(name, disk.id));
    for one in &apps {
        catalog.insert_app(one).await.unwrap();
    }
    let [never, harmed, failed] = apps.each_ref().map(|one| one.id);
    let ended = async |app, queued, state, made: Option<(i64, &[CopyState])>| {
        let one = Run { queued_at: later(queued), ..run(Some(app)) };
        let token = claimed(&catalog, &one).await;
        let snapshot = made.map(|(secs, states)| {
            let made = snapshot(app, one.id, disk.id);
            let copy = |state: &CopyState| StoredCopy {
                destination_id: DestinationId::generate(now(), &mut rand::rng()),
                state: *state,
                ..made.copies[0].clone()
            };
            let id = SnapshotId::generate(later(secs), &mut rand::rng());
            Snapshot {
                id,
                taken_at: later(secs),
                copies: states.iter().map(copy).collect(),
                ..made
            }
        });
        let end = Ending { snapshot, at: later(100), ..ending(state) };
        catalog.finish(one.id, token, &end).await.unwrap();
    };
    let (good, damaged) = (CopyState::Good, CopyState::Damaged);
    ended(harmed, 1, RunState::Succeeded, Some((10, &[good]))).await;
    ended(harmed, 2, RunState::Succeeded, Some((20, &[good, damaged]))).await;
    ended(failed, 1, RunState::Succeeded, Some((30, &[good]))).await;
    ended(failed, 2, RunState::Succeeded, Some((40, &[damaged]))).await;
    ended(failed, 3, RunState::Failed, None).await;
    catalog.set_last_fire(failed, later(50)).await.unwrap();
    let told: Vec<_> = catalog
        .standings()
        .await
        .unwrap()
        .into_iter()
        .map(|one| {
            let newest = one.newest.map(|newest| (newest.taken_at, newest.is_harmed));
            (one.app.id, one.last_end, newest, one.last_fire)
        })
        .collect();
    assert_eq!(
        told,
        [
            (failed, Some(RunState::Failed), Some((later(30), false)), Some(later(50))),
            (harmed, Some(RunState::Succeeded), Some((later(20), true)), None),
            (never, None, None, None),
        ]
    );
    let ends = catalog.run_ends(&[harmed, failed, never], now()).await.unwrap();
    assert_eq!(ends[&harmed], [(later(100), RunState::Succeeded); 2]);
    assert_eq!((ends[&failed].len(), ends.contains_key(&never)), (3, false));
    assert!(catalog.run_ends(&[failed], later(101)).await.unwrap().is_empty());
    let moments = catalog.good_moments(&[harmed, failed], later(11)).await.unwrap();
    assert_eq!(moments[&harmed], [later(20)]);
    assert_eq!(moments[&failed], [later(30), later(40)]);
}

pub(crate) async fn a_log_is_searched_by_text_and_level(url: &SecretString) {
    let catalog = open(url).await;
    let one = run(None);
    claimed(&catalog, &one).await;
    let messages = [
        (LogLevel::Debug, "asking 10% of it"),
        (LogLevel::Info, "Asking the rest"),
        (LogLevel::Warn, r#"said: "level":"error" and a_b"#),
        (LogLevel::Error, "CONEXIÓN perdida"),
        (LogLevel::Info, "conexión hecha, axb"),
        (LogLevel::Debug, "Ñandú"),
    ];
    let lines: Vec<_> = messages
        .iter()
        .map(|(level, text)| (now(), *level, Stage::Store, (*text).to_owned()))
        .collect();
    catalog.append_log(one.id, &lines).await.unwrap();
    let other = run(None);
    claimed(&catalog, &other).await;
    catalog.append_log(other.id, &lines).await.unwrap();
    let found = async |query: LogQuery| -> Vec<i64> {
        let all = LogQuery { limit: 100, ..query.clone() };
        let seqs: Vec<_> = catalog
            .log_lines(one.id, &all)
            .await
            .unwrap()
            .into_iter()
            .map(|line| line.seq)
            .collect();
        assert_eq!(catalog.log_count(one.id, &query).await.unwrap(), seqs.len() as u64);
        seqs
    };
    let search = |text: &str| LogQuery { search: text.to_owned(), ..LogQuery::default() };
    assert_eq!(found(search("")).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(found(search("ASKING")).await, [1, 2]);
    assert_eq!(found(search("conexión")).await, [4, 5]);
    assert_eq!(found(search("CONEXIÓN")).await, [4, 5]);
    assert_eq!(found(search("ñANDú")).await, [6]);
    // Nothing in it is a wildcard, and no message is taken for what it quotes.
    assert_eq!(found(search("10%")).await, [1]);
    assert_eq!(found(search("a_b")).await, [3]);
    assert_eq!(found(search("%")).await, [1]);
    for none in ["!", "'", "\\", "store", "seq", "' OR 1=1 --"] {
        assert_eq!(found(search(none)).await, [0; 0], "{none}");
    }
    let least = |level| LogQuery { level: Some(level), ..LogQuery::default() };
    assert_eq!(found(least(LogLevel::Debug)).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(found(least(LogLevel::Info)).await, [2, 3, 4, 5]);
    assert_eq!(found(least(LogLevel::Warn)).await, [3, 4]);
    assert_eq!(found(least(LogLevel::Error)).await, [4]);
    let both = LogQuery { level: Some(LogLevel::Info), ..search("a") };
    assert_eq!(found(LogQuery { after: 2, ..both.clone() }).await, [3, 4, 5]);
    assert_eq!(found(LogQuery { after: 3, ..LogQuery::default() }).await, [4, 5, 6]);
    let page = LogQuery { offset: 1, limit: 1, ..both };
    let lines = catalog.log_lines(one.id, &page).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [3]);
}

//! What must hold on either database.

use std::collections::{BTreeMap, BTreeSet};

use catalog::{
    CancelOutcome, Catalog, CatalogError, CopyUpdate, Ending, Enqueued, Progress, StorageChange,
};
use jiff::{SignedDuration, Timestamp};
use model::{
    App, AppId, Artifact, Binding, ContractSource, CopyState, Destination, DestinationId,
    DestinationKind, DestinationOutcome, Duty, EventId, Limits, LogLevel, Run, RunId, RunKind,
    RunState, SealedSecret, Snapshot, SnapshotId, SnapshotKind, Source, SourceKind, Stage,
    StoredCopy, StoredObject, Trigger, retention::RetentionPolicy,
};
use secrecy::SecretString;

const LEASE: SignedDuration = SignedDuration::from_secs(30);

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

pub(crate) fn later(secs: i64) -> Timestamp {
    now() + SignedDuration::from_secs(secs)
}

pub(crate) async fn open(url: &SecretString) -> Catalog {
    Catalog::open(url, 8).await.unwrap()
}

pub(crate) fn destination(name: &str) -> Destination {
    Destination {
        id: DestinationId::generate(now(), &mut rand::rng()),
        name: name.parse().unwrap(),
        kind: DestinationKind::Local,
        settings: BTreeMap::new(),
        secrets: BTreeMap::new(),
        append_only: false,
        verify_every_days: None,
        managed_by: None,
        created_at: now(),
        updated_at: now(),
        version: 1,
        last_check: None,
    }
}

pub(crate) fn app(name: &str, to: DestinationId) -> App {
    App {
        id: AppId::generate(now(), &mut rand::rng()),
        name: name.parse().unwrap(),
        enabled: true,
        sources: vec![Source {
            name: name.parse().unwrap(),
            kind: SourceKind::Contract(ContractSource {
                url: "http://app:8080".parse().unwrap(),
                token: SealedSecret::from_ciphertext("v1:x".to_owned()),
                previous_token: None,
                export_type: None,
                drive_folder_id: None,
                accept_unverified: false,
                allow_empty: false,
            }),
        }],
        destinations: vec![Binding {
            destination_id: to,
            folder: String::new(),
            retention: None,
            template: None,
            logs: false,
        }],
        schedule: None,
        retention: RetentionPolicy::default(),
        limits: Limits::default(),
        compression: None,
        drill: model::DrillPlan::default(),
        quiesce: model::QuiescePlan::default(),
        code: None,
        recovery: None,
        managed_by: None,
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

pub(crate) fn run(app_id: Option<AppId>) -> Run {
    Run {
        id: RunId::generate(now(), &mut rand::rng()),
        app_id,
        kind: RunKind::Backup,
        trigger: Trigger::Manual,
        state: RunState::Queued,
        stage: Stage::Queued,
        attempt: 1,
        retry_of: None,
        fire_at: None,
        named_at: None,
        missed_fires: 0,
        snapshot_id: None,
        destination_id: None,
        snapshot_kind: SnapshotKind::Manual,
        label: None,
        git_commit: None,
        deploy: None,
        lenient: false,
        not_before: now(),
        queued_at: now(),
        started_at: None,
        finished_at: None,
        bytes_read: 0,
        bytes_expected: None,
        restore: None,
        after: None,
        read_data: false,
        cancel_requested: false,
        lease: None,
        failure: None,
    }
}

pub(crate) fn ending(state: RunState) -> Ending {
    Ending {
        at: later(5),
        state,
        failure: None,
        snapshot: None,
        copies: Vec::new(),
        proof: None,
        follow_ups: Vec::new(),
        events: Vec::new(),
        bytes_read: 7,
    }
}

pub(crate) fn snapshot(app_id: AppId, run_id: RunId, at: DestinationId) -> Snapshot {
    Snapshot {
        id: SnapshotId::generate(now(), &mut rand::rng()),
        app_id,
        run_id,
        taken_at: now(),
        kind: SnapshotKind::Manual,
        label: None,
        git_commit: None,
        pinned: false,
        verified_by_source: true,
        anomalous: false,
        warnings: Vec::new(),
        app_state: None,
        proof: None,
        artifacts: vec![Artifact {
            source: "db".parse().unwrap(),
            part: None,
            began_at: None,
            ended_at: None,
            file_name: "db.dump".to_owned(),
            format: None,
            content_type: None,
            size_bytes: 7,
            sha256: "00".repeat(32),
            contents: None,
            base: None,
            image: None,
        }],
        copies: vec![StoredCopy {
            destination_id: at,
            state: CopyState::Good,
            manifest_key: "a.manifest.json".to_owned(),
            objects: vec![StoredObject {
                source: "db".parse().unwrap(),
                key: "a.dump".to_owned(),
                stored_size_bytes: 7,
                stored_sha256: "00".repeat(32),
                compression: "none".to_owned(),
                encryption: "none".to_owned(),
                tree: None,
            }],
            committed_at: now(),
            verified_at: None,
            expiring_since: None,
            log_key: None,
        }],
    }
}

pub(crate) async fn claimed(catalog: &Catalog, one: &Run) -> i64 {
    catalog.enqueue(one).await.unwrap();
    let taken = catalog.claim("worker", now(), LEASE).await.unwrap().unwrap();
    assert_eq!(taken.id, one.id);
    assert_eq!(taken.state, RunState::Running);
    taken.lease.unwrap().token
}

pub(crate) async fn names_are_unique_without_regard_to_case(url: &SecretString) {
    let catalog = open(url).await;
    let disk = destination("Disk");
    catalog.insert_destination(&disk).await.unwrap();
    let again = catalog.insert_destination(&destination("disk")).await;
    assert!(matches!(again, Err(CatalogError::NameTaken { .. })));
    let first = app("Shop", disk.id);
    catalog.insert_app(&first).await.unwrap();
    let again = catalog.insert_app(&app("SHOP", disk.id)).await;
    assert!(matches!(again, Err(CatalogError::NameTaken { .. })));
    assert_eq!(catalog.app_by_name("sHoP").await.unwrap(), first);
    catalog.remove_app(first.id, now()).await.unwrap();
    assert!(catalog.app(first.id).await.is_err());
    catalog.insert_app(&app("shop", disk.id)).await.unwrap();
    assert_eq!(catalog.all_apps().await.unwrap().len(), 1);
}

pub(crate) async fn an_edit_names_the_version_it_saw(url: &SecretString) {
    let catalog = open(url).await;
    let disk = destination("disk");
    catalog.insert_destination(&disk).await.unwrap();
    let first = app("shop", disk.id);
    catalog.insert_app(&first).await.unwrap();
    let second =
        catalog.update_app(&App { enabled: false, ..first.clone() }, later(1)).await.unwrap();
    assert_eq!(second.version, 2);
    assert!(matches!(catalog.update_app(&first, later(2)).await, Err(CatalogError::Stale { .. })));
    assert_eq!(catalog.app(first.id).await.unwrap(), second);
}

pub(crate) async fn a_list_shows_every_edit(url: &SecretString) {
    let (catalog, other) = (open(url).await, open(url).await);
    let disk = destination("disk");
    catalog.insert_destination(&disk).await.unwrap();
    let (shop, mut blog) = (app("shop", disk.id), app("blog", disk.id));
    // What lists are gathered with may stand in a name of somebody's own.
    blog.destinations[0].folder = String::from("a\u{1f}b\u{1e}c, \u{2028}ñ");
    catalog.insert_app(&shop).await.unwrap();
    catalog.insert_app(&blog).await.unwrap();
    assert_eq!(catalog.all_apps().await.unwrap(), [blog.clone(), shop.clone()]);
    assert_eq!(other.all_apps().await.unwrap().len(), 2);
    // Both read it before: one edits it, by a name that comes first, the other has to see that.
    let edited = App { name: "a-shop".parse().unwrap(), ..shop };
    let edited = catalog.update_app(&edited, later(1)).await.unwrap();
    for catalog in [&catalog, &other] {
        assert_eq!(catalog.all_apps().await.unwrap(), [edited.clone(), blog.clone()]);
    }
    other.remove_app(blog.id, later(2)).await.unwrap();
    assert_eq!(catalog.all_apps().await.unwrap(), [edited]);
}

pub(crate) async fn a_used_destination_stays(url: &SecretString) {
    let catalog = open(url).await;
    let disk = destination("disk");
    catalog.insert_destination(&disk).await.unwrap();
    let user = app("shop", disk.id);
    catalog.insert_app(&user).await.unwrap();
    let removed = catalog.remove_destination(disk.id, now()).await;
    assert!(matches!(removed, Err(CatalogError::InUse { .. })));
    catalog.remove_app(user.id, now()).await.unwrap();
    catalog.remove_destination(disk.id, now()).await.unwrap();
    assert!(catalog.all_destinations().await.unwrap().is_empty());
}

pub(crate) async fn a_fire_is_queued_once(url: &SecretString) {
    let catalog = open(url).await;
    let id = AppId::generate(now(), &mut rand::rng());
    let fire = |at| Run { fire_at: Some(at), ..run(Some(id)) };
    let mut queue = Vec::new();
    for _ in 0..5 {
        let (catalog, one) = (catalog.clone(), fire(now()));
        queue.push(tokio::spawn(
            async move { catalog.enqueue_fire(&one, now(), &[]).await.unwrap() },
        ));
    }
    let mut new = 0;
    for one in queue {
        new += usize::from(one.await.unwrap() == Enqueued::New);
    }
    assert_eq!(new, 1);
    assert_eq!(
        catalog.enqueue_fire(&fire(later(60)), later(60), &[]).await.unwrap(),
        Enqueued::New
    );
    assert_eq!(catalog.last_fires().await.unwrap()[&id], later(60));
    let other = AppId::generate(now(), &mut rand::rng());
    let of = async |apps: &[AppId]| catalog.last_fires_of(apps).await.unwrap();
    assert_eq!(of(&[other, id]).await, [(id, later(60))].into());
    assert_eq!(of(&[other]).await, [].into());
    assert_eq!(of(&[]).await, [].into());
    // A retry of the same fire is another run.
    let retry = Run { attempt: 2, ..fire(now()) };
    assert_eq!(catalog.enqueue(&retry).await.unwrap(), Enqueued::New);
}

pub(crate) async fn every_run_is_claimed_once(url: &SecretString) {
    const RUNS: usize = 120;
    let catalog = open(url).await;
    let mut queued = BTreeSet::new();
    for _ in 0..RUNS {
        let one = run(Some(AppId::generate(now(), &mut rand::rng())));
        queued.insert(one.id);
        catalog.enqueue(&one).await.unwrap();
    }
    let mut workers = Vec::new();
    for worker in 0..5 {
        let catalog = catalog.clone();
        workers.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            let mut idle = 0;
            while idle < 20 {
                match catalog.claim(&format!("worker-{worker}"), now(), LEASE).await.unwrap() {
                    Some(one) => taken.push(one.id),
                    None => idle += 1,
                }
            }
            taken
        }));
    }
    let mut taken = Vec::new();
    for worker in workers {
        taken.extend(worker.await.unwrap());
    }
    assert_eq!(taken.len(), RUNS, "none twice");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), queued, "every one");
}

pub(crate) async fn an_app_has_one_run_at_a_time(url: &SecretString) {
    let catalog = open(url).await;
    let id = AppId::generate(now(), &mut rand::rng());
    let (first, second) = (run(Some(id)), run(Some(id)));
    let token = claimed(&catalog, &first).await;
    catalog.enqueue(&second).await.unwrap();
    assert_eq!(catalog.claim("other", now(), LEASE).await.unwrap(), None);
    catalog.finish(first.id, token, &ending(RunState::Succeeded)).await.unwrap();
    let next = catalog.claim("other", now(), LEASE).await.unwrap().unwrap();
    assert_eq!(next.id, second.id);
    let future = Run { not_before: later(60), ..run(None) };
    catalog.enqueue(&future).await.unwrap();
    assert_eq!(catalog.claim("other", now(), LEASE).await.unwrap(), None);
}

pub(crate) async fn a_stale_token_can_do_nothing(url: &SecretString) {
    let catalog = open(url).await;
    let one = run(Some(AppId::generate(now(), &mut rand::rng())));
    let token = claimed(&catalog, &one).await;
    catalog.heartbeat(one.id, token, later(10), LEASE).await.unwrap();
    catalog.check_lease(one.id, token, later(35)).await.unwrap();
    assert!(catalog.check_lease(one.id, token, later(41)).await.is_err());
    assert!(catalog.heartbeat(one.id, token, later(41), LEASE).await.is_err(), "no way back");
    assert_eq!(catalog.interrupted(later(39)).await.unwrap().len(), 0);
    let found = catalog.interrupted(later(41)).await.unwrap();
    assert_eq!(found.len(), 1);
    let follow_up = Run { attempt: 2, retry_of: Some(one.id), ..run(one.app_id) };
    let end = Ending {
        proof: None,
        follow_ups: vec![follow_up.clone()],
        ..ending(RunState::Interrupted)
    };
    catalog.end_interrupted(one.id, token, &end).await.unwrap();
    assert!(catalog.end_interrupted(one.id, token, &end).await.is_err(), "once");

    let at = DestinationId::generate(now(), &mut rand::rng());
    let progress = Progress { stage: Stage::Store, bytes_read: 1, ..Progress::default() };
    assert!(catalog.finish(one.id, token, &ending(RunState::Succeeded)).await.is_err());
    assert!(catalog.progress(one.id, token, &progress).await.is_err());
    assert!(catalog.enter_stage(one.id, token, Stage::Commit, now()).await.is_err());
    assert!(catalog.intend_object(one.id, token, at, "x").await.is_err());
    assert_eq!(catalog.run(one.id).await.unwrap().state, RunState::Interrupted);
    assert_eq!(catalog.active_runs().await.unwrap()[0].id, follow_up.id);
}

pub(crate) async fn what_each_destination_took_is_told_while_it_goes_on(url: &SecretString) {
    let catalog = open(url).await;
    let one = run(Some(AppId::generate(now(), &mut rand::rng())));
    let token = claimed(&catalog, &one).await;
    let [quick, ended, unknown] =
        std::array::from_fn(|_| DestinationId::generate(now(), &mut rand::rng()));
    for (destination_id, state) in [(quick, RunState::Running), (ended, RunState::Succeeded)] {
        let outcome = DestinationOutcome {
            run_id: one.id,
            destination_id,
            stage: Stage::Store,
            state,
            bytes_written: 5,
            failure: None,
        };
        catalog.outcome(&outcome, token).await.unwrap();
    }
    let written = vec![(quick, 70), (ended, 3), (unknown, 1)];
    let progress = Progress { stage: Stage::Store, written, ..Progress::default() };
    catalog.progress(one.id, token, &progress).await.unwrap();
    let told: BTreeMap<_, _> = catalog
        .outcomes(one.id)
        .await
        .unwrap()
        .into_iter()
        .map(|outcome| (outcome.destination_id, (outcome.state, outcome.bytes_written)))
        .collect();
    assert_eq!(told[&quick], (RunState::Running, 70));
    assert_eq!(told[&ended], (RunState::Succeeded, 5), "the end has the last word");
    assert_eq!(told.len(), 2);
}

pub(crate) async fn a_duty_stays_until_it_is_done(url: &SecretString) {
    let catalog = open(url).await;
    let one = run(Some(AppId::generate(now(), &mut rand::rng())));
    let token = claimed(&catalog, &one).await;
    let start = Duty::StartContainer { container: "abc".to_owned() };
    let remove = Duty::RemoveFolder { path: "/spool/x".into() };
    assert_eq!(catalog.owe(one.id, token, "here", &start).await.unwrap(), 1);
    assert_eq!(catalog.owe(one.id, token, "here", &remove).await.unwrap(), 2);
    assert!(catalog.owe(one.id, token + 1, "here", &start).await.is_err(), "a stale token");
    let owed: Vec<_> = catalog.duties(one.id).await.unwrap();
    assert_eq!(owed.iter().map(|one| &one.duty).collect::<Vec<_>>(), [&remove, &start]);
    assert_eq!(catalog.duties_of_ended_runs("here").await.unwrap(), [], "it goes on");
    catalog.duty_done(one.id, 2).await.unwrap();
    catalog.finish(one.id, token, &ending(RunState::Failed)).await.unwrap();
    assert_eq!(catalog.duties_of_ended_runs("there").await.unwrap(), []);
    let left = catalog.duties_of_ended_runs("here").await.unwrap();
    assert_eq!(left.iter().map(|one| (one.seq, &one.duty)).collect::<Vec<_>>(), [(1, &start)]);
    catalog.duty_done(one.id, 1).await.unwrap();
    assert_eq!(catalog.duties(one.id).await.unwrap(), []);
}

pub(crate) async fn the_end_is_one_transaction(url: &SecretString) {
    let catalog = open(url).await;
    let id = AppId::generate(now(), &mut rand::rng());
    let at = DestinationId::generate(now(), &mut rand::rng());
    let one = run(Some(id));
    let token = claimed(&catalog, &one).await;
    catalog.intend_object(one.id, token, at, "a.manifest.json").await.unwrap();
    catalog.intend_object(one.id, token, at, "given-up").await.unwrap();
    let made = snapshot(id, one.id, at);
    // An update of a copy that is not there fails the whole end.
    let wrong = CopyUpdate {
        snapshot_id: SnapshotId::generate(now(), &mut rand::rng()),
        destination_id: at,
        state: CopyState::Good,
        verified_at: None,
        expiring_since: None,
    };
    let end = Ending {
        snapshot: Some(made.clone()),
        copies: vec![wrong],
        proof: None,
        follow_ups: vec![run(Some(id))],
        ..ending(RunState::Succeeded)
    };
    assert!(catalog.finish(one.id, token, &end).await.is_err());
    assert_eq!(catalog.run(one.id).await.unwrap().state, RunState::Running);
    let known = catalog.runs_by_id(&[one.id, run(None).id]).await.unwrap();
    assert_eq!(known.keys().collect::<Vec<_>>(), [&one.id]);
    assert_eq!(known[&one.id], catalog.run(one.id).await.unwrap());
    assert!(catalog.snapshot(made.id).await.is_err());
    assert_eq!(catalog.active_runs().await.unwrap().len(), 1);

    let end = Ending { copies: Vec::new(), ..end };
    catalog.finish(one.id, token, &end).await.unwrap();
    assert_eq!(catalog.snapshot(made.id).await.unwrap(), made);
    let ended = catalog.run(one.id).await.unwrap();
    assert_eq!((ended.state, ended.bytes_read), (RunState::Succeeded, 7));
    assert_eq!(ended.snapshot_id, Some(made.id));
    assert_eq!(catalog.active_runs().await.unwrap().len(), 1, "the follow-up");
    // Of what it began, the snapshot's objects are no leftovers.
    assert_eq!(catalog.runs_with_leftovers().await.unwrap(), [one.id]);
    let left = catalog.leftovers(one.id).await.unwrap();
    assert_eq!(left.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["given-up"]);
    assert!(catalog.is_committed(at, "a.manifest.json").await.unwrap());
    assert!(!catalog.is_committed(at, "a.manifest").await.unwrap());
    assert_eq!(catalog.last_good_snapshots(&[id]).await.unwrap()[&id].id, made.id);
    assert_eq!(catalog.last_runs(&[id]).await.unwrap()[&id].id, one.id);
    assert_eq!(catalog.run_ends(&[id], now()).await.unwrap()[&id].len(), 1);
    // A base backup says nothing of whether the app is backed up.
    let other = AppId::generate(now(), &mut rand::rng());
    let base = Run { snapshot_kind: SnapshotKind::Base, ..run(Some(other)) };
    catalog.enqueue(&base).await.unwrap();
    let mut token = None;
    while token.is_none() {
        let taken = catalog.claim("worker", now(), LEASE).await.unwrap().unwrap();
        token = taken.lease.filter(|_| taken.id == base.id).map(|lease| lease.token);
    }
    let made = Snapshot { kind: SnapshotKind::Base, ..snapshot(other, base.id, at) };
    let end = Ending { snapshot: Some(made.clone()), ..ending(RunState::Succeeded) };
    catalog.finish(base.id, token.unwrap(), &end).await.unwrap();
    assert_eq!(catalog.run(base.id).await.unwrap().kind, RunKind::Backup);
    assert_eq!(catalog.snapshot(made.id).await.unwrap(), made);
    assert!(catalog.last_good_snapshots(&[other]).await.unwrap().is_empty());
    assert!(catalog.last_runs(&[other]).await.unwrap().is_empty());
    assert!(catalog.run_ends(&[other], now()).await.unwrap().is_empty());
    assert!(catalog.good_moments(&[other], later(-9_999)).await.unwrap().is_empty());
}

pub(crate) async fn a_waiting_run_is_cancelled_at_once(url: &SecretString) {
    let catalog = open(url).await;
    let event = || EventId::generate(now(), &mut rand::rng());
    let waiting = run(None);
    catalog.enqueue(&waiting).await.unwrap();
    let outcome = catalog.cancel(waiting.id, now(), event(), None).await.unwrap();
    assert_eq!(outcome, CancelOutcome::CancelledNow);
    assert_eq!(catalog.claim("worker", now(), LEASE).await.unwrap(), None);
    let outcome = catalog.cancel(waiting.id, now(), event(), None).await.unwrap();
    assert_eq!(outcome, CancelOutcome::AlreadyEnded);
    let busy = run(None);
    let token = claimed(&catalog, &busy).await;
    let outcome = catalog.cancel(busy.id, now(), event(), None).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Requested);
    assert!(catalog.heartbeat(busy.id, token, now(), LEASE).await.unwrap().cancel_requested);
}

pub(crate) async fn copies_are_deleted_in_steps_and_pins_hold(url: &SecretString) {
    let catalog = open(url).await;
    let id = AppId::generate(now(), &mut rand::rng());
    let at = DestinationId::generate(now(), &mut rand::rng());
    let maker = run(Some(id));
    let token = claimed(&catalog, &maker).await;
    let made = snapshot(id, maker.id, at);
    let end = Ending { snapshot: Some(made.clone()), ..ending(RunState::Succeeded) };
    catalog.finish(maker.id, token, &end).await.unwrap();

    let expire = Run { kind: RunKind::Expire, ..run(Some(id)) };
    let token = claimed(&catalog, &expire).await;
    let begin = || catalog.begin_delete(expire.id, token, made.id, at);
    assert!(matches!(begin().await, Err(CatalogError::InUse { .. })), "not marked yet");
    let mark = CopyUpdate {
        snapshot_id: made.id,
        destination_id: at,
        state: CopyState::Expiring,
        verified_at: None,
        expiring_since: Some(now()),
    };
    catalog.update_copy(expire.id, token, &mark).await.unwrap();
    assert_eq!(catalog.apps_with_copies_expiring_before(later(1)).await.unwrap(), [id]);
    catalog.set_pinned(made.id, true).await.unwrap();
    assert!(matches!(begin().await, Err(CatalogError::InUse { .. })), "pinned");
    catalog.set_pinned(made.id, false).await.unwrap();
    let reader = Run { kind: RunKind::Verify, snapshot_id: Some(made.id), ..run(Some(id)) };
    catalog.enqueue(&reader).await.unwrap();
    assert!(matches!(begin().await, Err(CatalogError::InUse { .. })), "a run refers to it");
    catalog
        .cancel(reader.id, now(), EventId::generate(now(), &mut rand::rng()), None)
        .await
        .unwrap();
    begin().await.unwrap();
    assert!(catalog.set_pinned(made.id, true).await.is_err(), "too late");
    assert_eq!(catalog.snapshot(made.id).await.unwrap().copies[0].state, CopyState::Deleting);
    let changes = catalog.storage_changes().await.unwrap();
    let day = |at: Timestamp| at.as_second() / 86_400;
    let stored = made.copies[0].stored_bytes().cast_signed();
    let told = |change: &StorageChange| (change.destination_id, change.day, change.bytes);
    assert!(stored > 0);
    assert_eq!(changes.iter().map(told).collect::<Vec<_>>(), [(at, day(made.taken_at), stored)]);
    let gone =
        CopyUpdate { state: CopyState::Expired, expiring_since: Some(later(86_400)), ..mark };
    catalog.update_copy(expire.id, token, &gone).await.unwrap();
    let changes = catalog.storage_changes().await.unwrap();
    let expected = [(at, day(made.taken_at), stored), (at, day(later(86_400)), -stored)];
    assert_eq!(changes.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(catalog.storage_changes_of(id).await.unwrap(), changes);
    let other = AppId::generate(later(1), &mut rand::rng());
    assert_eq!(catalog.storage_changes_of(other).await.unwrap(), []);
    // Also those that are gone are added up.
    assert!(catalog.has_more_copies(0).await.unwrap());
    assert!(!catalog.has_more_copies(1).await.unwrap());
}

pub(crate) async fn logs_are_numbered_without_gaps(url: &SecretString) {
    let catalog = open(url).await;
    let one = run(None);
    let token = claimed(&catalog, &one).await;
    for part in 0..3 {
        let line = |n| (now(), LogLevel::Info, Stage::Store, format!("{part}-{n}"));
        assert_eq!(catalog.append_log(one.id, &[line(0), line(1)]).await.unwrap(), 2 * (part + 1));
    }
    let lines = catalog.log_after(one.id, 2, 3).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [3, 4, 5]);
    catalog.enter_stage(one.id, token, Stage::Export, now()).await.unwrap();
    catalog.enter_stage(one.id, token, Stage::Store, later(1)).await.unwrap();
    let times = catalog.stage_times(one.id).await.unwrap();
    assert_eq!(times[0].finished_at, Some(later(1)));
    assert_eq!((times[1].stage, times[1].finished_at), (Stage::Store, None));
}

pub(crate) async fn what_is_written_is_there_after_opening_again(url: &SecretString) {
    let catalog = open(url).await;
    let disk = destination("disk");
    catalog.insert_destination(&disk).await.unwrap();
    catalog.set_setting("key", "value").await.unwrap();
    drop(catalog);
    let catalog = open(url).await;
    assert_eq!(catalog.destination(disk.id).await.unwrap(), disk);
    assert_eq!(catalog.setting("key").await.unwrap().as_deref(), Some("value"));
    assert_eq!(catalog.setting("other").await.unwrap(), None);
    // Those of one kind, and of no other: `_` stands for itself, and `A` is not `a`.
    for name in ["of_one/b", "of_one/a", "of-one/c", "OF_ONE/d", "of_one"] {
        catalog.set_setting(name, &name.to_uppercase()).await.unwrap();
    }
    let under = catalog.settings_under("of_one/").await.unwrap();
    let wanted = [("a", "OF_ONE/A"), ("b", "OF_ONE/B")];
    assert_eq!(under, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

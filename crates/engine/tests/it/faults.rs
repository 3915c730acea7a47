//! Faults of apps and of ourselves. After each, nothing new is at the destination and an earlier
//! snapshot restores byte for byte.

use std::time::Duration;

use model::{FailureCode, RunState};

use crate::{
    app_server::Export,
    world::{World, sample},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_broken_export_becomes_a_snapshot() {
    use FailureCode as F;
    let world = World::new(&["disk"]).await;
    let good = world.good_snapshot().await;
    let files = world.files("disk");
    let bytes = sample(3);
    let faults = [
        (Export::NoFinalChunk(bytes.clone()), F::SourceTruncated),
        (Export::ShortBody(bytes.clone()), F::SourceTruncated),
        (Export::Reset(bytes.clone()), F::SourceTruncated),
        (Export::CloseDelimited(bytes.clone()), F::SourceProtocol),
        (Export::WrongChecksum(bytes.clone()), F::SourceMismatch),
        (Export::FlippedBit(bytes.clone()), F::SourceMismatch),
        (Export::SizePlusOne(bytes.clone()), F::SourceMismatch),
        (Export::SizeText(bytes.clone(), "-1"), F::SourceProtocol),
        (Export::SizeText(bytes.clone(), "0"), F::SourceMismatch),
        (Export::SizeText(bytes.clone(), "1e30"), F::SourceProtocol),
        (Export::SizeText(bytes.clone(), "18446744073709551616"), F::SourceProtocol),
        (Export::SizeText(bytes.clone(), "abc"), F::SourceProtocol),
        (Export::SizeText(bytes.clone(), "5\r\nx-size: 5"), F::SourceProtocol),
        (Export::Headers(Vec::new()), F::SourceEmpty),
        (Export::Page("text/html", "<!doctype html><h1>502 Bad Gateway</h1>"), F::SourceFormat),
        (Export::Page("application/json", r#"{"error":"no such database"}"#), F::SourceFormat),
        (Export::Format("pg_dump_Fc", "app.dump", sample(4)), F::SourceFormat),
        (Export::Format("tar.gz", "a.tar.gz", cut_gzip()), F::SourceFormat),
        (Export::Drip(Duration::from_millis(200)), F::Timeout),
        (Export::Silence, F::Timeout),
        (Export::Status(500), F::SourceFailed),
        (Export::Status(409), F::SourceBusy),
        (Export::Status(503), F::SourceBusy),
        (Export::Status(302), F::SourceProtocol),
        (Export::Status(401), F::SourceUnauthorized),
        (Export::Job("failed"), F::SourceFailed),
        (Export::Job("running"), F::Timeout),
    ];
    for (export, expected) in faults {
        let shown = format!("{export:?}").chars().take(40).collect::<String>();
        world.server.answer_with(export);
        let run = world.back_up().await;
        assert_eq!(run.state, RunState::Failed, "{shown}");
        let failure = run.failure.unwrap();
        assert_eq!(failure.code, expected, "{shown}: {}", failure.message);
        world.quiet().await;
        assert_eq!(world.files("disk"), files, "{shown}");
        assert_eq!(world.restored(&good).await, sample(1), "{shown}");
    }
    assert!(world.server.cancels() >= 1, "an abandoned job is cancelled");
}

/// A gzip stream without its end.
fn cut_gzip() -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&sample(5)).unwrap();
    let mut bytes = gzip.finish().unwrap();
    bytes.truncate(bytes.len() - 100);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_out_of_reach_is_told_as_that() {
    let world = World::new(&["disk"]).await;
    let app = world.engine.catalog().app(world.app.id).await.unwrap();
    let mut elsewhere = app.clone();
    let model::SourceKind::Contract(server) = &mut elsewhere.sources[0].kind else {
        panic!("the app has a server of the contract");
    };
    server.url = "http://127.0.0.1:1/".parse().unwrap();
    world.engine.catalog().update_app(&elsewhere, world.engine.now()).await.unwrap();
    let run = world.back_up().await;
    assert_eq!(run.failure.unwrap().code, FailureCode::SourceUnreachable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_token_is_tried_in_both_orders() {
    let world = World::new(&["disk"]).await;
    let draft = |token: &str| engine::AppDraft {
        name: "shop".to_owned(),
        url: world.server.url(),
        token: Some(token.into()),
        destinations: vec![engine::BindingDraft {
            destination: "disk".to_owned(),
            ..engine::BindingDraft::default()
        }],
        ..engine::AppDraft::default()
    };
    // Rotated here first: the app still has the old one.
    let edited = world.engine.edit_app(world.app.id, 1, draft("the-next-token")).await.unwrap();
    assert_eq!(world.back_up().await.state, RunState::Succeeded);
    // Now the app has it, too.
    world.server.rotate_token("the-next-token");
    world.quiet().await;
    assert_eq!(world.back_up().await.state, RunState::Succeeded);
    assert_eq!(edited.version, 2);
    let told = world.everything_told().await;
    assert!(!told.contains("the-next-token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_at_the_destination_is_found_and_refused() {
    let world = World::new(&["disk", "other"]).await;
    let snapshot = world.good_snapshot().await;
    let disk = world.engine.catalog().destination_by_name("disk").await.unwrap();
    let copy = snapshot.copies.iter().find(|copy| copy.destination_id == disk.id).unwrap();
    let object = world.folder.path().join("disk").join(&copy.objects[0].key);
    let mut bytes = std::fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&object, bytes).unwrap();

    let verify = world.engine.verify_now(snapshot.id, None).await.unwrap();
    let verify = world.ended(&verify).await;
    assert_eq!(verify.state, RunState::PartiallyFailed);
    assert_eq!(verify.failure.unwrap().code, FailureCode::Damaged);
    let marked = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
    // The good copy is taken by itself.
    assert_eq!(world.restored(&marked).await, sample(1));

    std::fs::remove_file(&object).unwrap();
    let verify = world.engine.verify_now(snapshot.id, Some(disk.id)).await.unwrap();
    assert_eq!(world.ended(&verify).await.failure.unwrap().code, FailureCode::Missing);
}

/// A tmpfs, unmounted when dropped.
pub(crate) struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    pub(crate) fn mount(at: std::path::PathBuf, size: &str) -> Option<Self> {
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&at)
            .status()
            .is_ok_and(|status| status.success());
        assert!(mounted || std::env::var_os("CI").is_none(), "mounting needs root");
        mounted.then_some(Self(at))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_destination_fails_alone_and_recovers() {
    let world = World::new(&["disk", "other"]).await;
    let earlier = world.good_snapshot().await;
    let Some(full) = Tmpfs::mount(world.folder.path().join("other"), "1m") else {
        eprintln!("skipped: mounting needs root");
        return;
    };
    let mut noise = vec![0; 8 << 20];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut noise).unwrap();
    world.server.answer_with(Export::Trailers(noise.clone()));
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::PartiallyFailed);
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::DestinationFull, "{}", failure.message);
    assert!(failure.message.contains("other"), "{}", failure.message);
    assert_eq!(world.files("other"), Vec::<std::path::PathBuf>::new(), "nothing half-written");
    let snapshot = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    assert_eq!(snapshot.copies.len(), 1);
    assert!(world.restored(&snapshot).await == noise);
    world.wait_out_leftovers().await;
    drop(full);
    let later = world.good_snapshot().await;
    assert_eq!(later.copies.len(), 2);
    assert_eq!(world.restored(&earlier).await, sample(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_refuses_where_the_listing_lacks_what_should_be_there() {
    let world = World::new(&["disk"]).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(world.good_snapshot().await);
    }
    let mut app = world.engine.catalog().app(world.app.id).await.unwrap();
    app.retention.keep_last = Some(1);
    world.engine.catalog().update_app(&app, world.engine.now()).await.unwrap();
    let manifest = world.folder.path().join("disk").join(&made[2].copies[0].manifest_key);
    let hidden = manifest.with_extension("hidden");
    std::fs::rename(&manifest, &hidden).unwrap();
    let files = world.files("disk");
    let run = world.engine.expire_now(app.id).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.failure.unwrap().code, FailureCode::RetentionRefused);
    assert_eq!(world.files("disk"), files, "nothing was deleted");
    std::fs::rename(&hidden, &manifest).unwrap();
    let run = world.engine.expire_now(app.id).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Succeeded);
    assert_eq!(world.files("disk").len(), 2);
    assert_eq!(world.restored(&made[2]).await, sample(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_orchestrator_left_is_ended_removed_and_tried_again() {
    let world = World::new(&["disk"]).await;
    let good = world.good_snapshot().await;
    let files = world.files("disk");
    // A run that a process which no longer exists has begun, with an object half-way.
    let catalog = world.engine.catalog();
    let disk = catalog.destination_by_name("disk").await.unwrap();
    let dead = engine_run(&world).await;
    let key = "apps/shop/half.dump";
    let token = dead.lease.as_ref().unwrap().token;
    catalog.intend_object(dead.id, token, disk.id, key).await.unwrap();
    let at = |name: &str| world.folder.path().join("disk/apps/shop").join(name);
    std::fs::write(at("half.dump"), "half").unwrap();
    let partial = at(".bo-0123456789abcdef-half.dump.partial");
    std::fs::write(&partial, "part").unwrap();
    let of_another = at(".bo-0123456789abcdef-other-half.dump.partial");
    std::fs::write(&of_another, "part of a run under way").unwrap();

    let ended = world.ended(&dead).await;
    assert_eq!(ended.state, RunState::Interrupted);
    for _ in 0..500 {
        if !at("half.dump").exists() && !partial.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!at("half.dump").exists() && !partial.exists());
    assert!(of_another.exists());
    assert!(files.iter().all(|file| file.exists()));
    assert_eq!(world.restored(&good).await, sample(1));
    // Its old worker can write nothing more.
    let stale = catalog.check_lease(dead.id, token, world.engine.now()).await;
    assert!(stale.is_err());
    assert!(catalog.intend_object(dead.id, token, disk.id, "x").await.is_err());
}

/// A run claimed by a worker that will never be heard of.
async fn engine_run(world: &World) -> model::Run {
    let catalog = world.engine.catalog();
    let lease = jiff::SignedDuration::from_millis(1_500);
    let earlier = catalog.last_ended_run(world.app.id, model::RunKind::Backup).await.unwrap();
    let earlier = earlier.unwrap();
    for _ in 0..50 {
        let run = model::Run {
            id: model::RunId::generate(world.engine.now(), &mut rand::rng()),
            state: RunState::Queued,
            finished_at: None,
            snapshot_id: None,
            ..earlier.clone()
        };
        catalog.enqueue(&run).await.unwrap();
        // The living workers may be quicker: then another one is queued.
        match catalog.claim("dead", world.engine.now(), lease).await.unwrap() {
            Some(claimed) if claimed.id == run.id => return claimed,
            _ => world.quiet().await,
        }
    }
    panic!("the living workers took every run");
}

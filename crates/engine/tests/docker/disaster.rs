//! Everything is gone but one destination and the recovery kit: a database, files of the machine and
//! a volume come back from there.

use std::{path::Path, sync::Arc};

use engine::{
    AppDraft, BindingDraft, EngineConfig, RestoreRequest, RunRequest, SystemClock,
    recovery::{fetch_newest, restore_copy},
};
use model::{RunState, Snapshot};
use secrecy::SecretString;
use store::Local;
use tokio_util::sync::CancellationToken;

use crate::{
    host::{Host, Made},
    images::Image,
    postgres::{PASSWORD, SUM, fill, server, sql},
    restore_volume::list,
    volume::TREE,
    world::{World, local, open_at, quick, source},
};

fn config(host: &Host, folder: &Path, roots: &Path) -> EngineConfig {
    let mut config = quick("one");
    config.docker_host = Some(host.url().to_owned());
    config.source_timeout = std::time::Duration::from_secs(120);
    config.idle_timeout = std::time::Duration::from_secs(20);
    config.max_size_bytes = 1 << 30;
    config.file_roots = vec![roots.to_owned()];
    config.restore_roots = vec![roots.to_owned()];
    config.spool = folder.join("spool");
    config.catalog_copies = folder.join("copies");
    config
}

pub(crate) async fn an_app_comes_back_with_its_orchestrator(host: Arc<Host>) {
    let (machine, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    host.image(Image::Base);
    // The app: a database, files, a volume.
    let db: Made<'_> = server(&host, "disaster", Image::Postgres15, "trust", &[]);
    fill(&host, &db);
    let rows = sql(&host, &db, "shop", SUM);
    let files = machine.path().join("files");
    std::fs::create_dir_all(files.join("sub")).unwrap();
    std::fs::write(files.join("sub/one"), "first").unwrap();
    let volume = host.volume("disaster");
    let mount = format!("{}:/v", volume.name);
    host.run(&["-v", &mount], Image::Postgres15, &["bash", "-c", TREE]);
    let kept = list(&host, &volume.name);

    let first = tempfile::tempdir().unwrap();
    let world = World::with(&["disk"], config(&host, first.path(), machine.path())).await;
    world.engine.add_destination(local("vault", disk.path())).await.unwrap();
    let path = files.display().to_string();
    let draft = AppDraft {
        name: "shop-app".to_owned(),
        sources: vec![
            source(
                "db",
                "postgres",
                &[("container", &db.name), ("database", "shop")],
                &[("password", PASSWORD)],
            ),
            source("files", "files", &[("path", &path)], &[]),
            source("data", "volume", &[("volume", &volume.name)], &[]),
        ],
        destinations: vec![BindingDraft {
            destination: "vault".to_owned(),
            folder: "apps/shop".to_owned(),
            ..BindingDraft::default()
        }],
        ..AppDraft::default()
    };
    let app = world.engine.register_app(draft).await.unwrap();
    let run = world.engine.run_now(&app, &RunRequest::default()).await.unwrap();
    let run = ended(&world.engine, &run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let state = world.engine.copy_catalog().await.unwrap();
    assert_eq!(state.problems().count(), 0, "{state:?}");
    let kit: SecretString = world.engine.recovery_kit(false).await.unwrap().identity;

    // The disaster.
    let name = db.name.clone();
    world.stop();
    drop(world);
    drop(first);
    drop(db);
    host.docker(&["volume", "rm", &volume.name]);
    std::fs::remove_dir_all(&files).unwrap();

    // A clean start: a new server without data, and an orchestrator made of the destination.
    let second = tempfile::tempdir().unwrap();
    let place = Local::open(disk.path()).await.unwrap();
    let (found, wrong) = fetch_newest(&place, &kit, second.path()).await.unwrap();
    let found = found.unwrap_or_else(|| panic!("{wrong:?}"));
    let url = format!("sqlite://{}?mode=rwc", second.path().join("catalog.sqlite").display());
    let url: SecretString = url.into();
    let now = model::Clock::now(&SystemClock);
    drop(restore_copy(&found.file, &kit, &url, false, now).await.unwrap());
    let config = config(&host, second.path(), machine.path());
    let engine = open_at(&url, config, Arc::new(SystemClock)).await;
    let shutdown = CancellationToken::new();
    let (serving, until) = (engine.clone(), shutdown.clone());
    tokio::spawn(async move { serving.serve(until).await });
    let app = engine.catalog().app(app.id).await.unwrap();
    let vault = engine.catalog().destination_by_name("vault").await.unwrap();
    engine.reindex(&vault).await.unwrap();
    let snapshots: Vec<Snapshot> = engine.catalog().snapshots_of_app(app.id).await.unwrap();
    assert_eq!(snapshots.len(), 1);

    let mut again = server(&host, "reborn", Image::Postgres15, "trust", &[]);
    host.docker(&["rename", &again.name, &name]);
    again.name = name;
    let request = RestoreRequest { to: "app".to_owned(), ..RestoreRequest::default() };
    let seen = engine.preflight(snapshots[0].id, &request).await.unwrap();
    assert!(seen.may_begin() && seen.confirm.is_none(), "{seen:?}");
    let run = engine.restore_now(snapshots[0].id, &request).await.unwrap();
    let run = ended(&engine, &run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(sql(&host, &again, "shop", SUM), rows);
    assert_eq!(std::fs::read_to_string(files.join("sub/one")).unwrap(), "first");
    assert_eq!(list(&host, &volume.name), kept);

    let run = engine.drill_snapshot(snapshots[0].id).await.unwrap();
    let run = ended(&engine, &run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    shutdown.cancel();
}

async fn ended(engine: &engine::Engine, run: &model::Run) -> model::Run {
    for _ in 0..6_000 {
        let run = engine.catalog().run(run.id).await.unwrap();
        if run.state.is_terminal() {
            return run;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the run did not end");
}

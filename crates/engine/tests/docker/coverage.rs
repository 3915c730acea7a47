//! What a host has, what of it is in an app, and what is told.

use std::{sync::Arc, time::Duration};

use catalog::EventQuery;
use engine::{CheckState, CoverageState, Covered, CoveredKind, ProtectRequest, RunRequest};
use model::{EventKind, RunState};

use crate::{
    host::Host,
    images::Image,
    postgres::{PASSWORD, SERVE, config, fill, ready},
    world::{World, quick, source},
};

async fn found(world: &World, id: &str) -> Option<Covered> {
    world.engine.coverage().await.unwrap().into_iter().find(|one| one.id == id)
}

pub(crate) async fn what_is_in_no_app_is_told(host: Arc<Host>) {
    let (read, unread) = (host.volume("read"), host.volume("unread"));
    let mount = format!("{}:/v", unread.name);
    let user = host.container("user", &["-v", &mount], Image::Base, &["sleep", "600"]);
    let bare = host.container("bare", &[], Image::Base, &["sleep", "600"]);
    let mut config = quick("one");
    config.docker_host = Some(host.url().to_owned());
    let draft = source("files", "volume", &[("volume", &read.name)], &[]);
    let world = World::reading(vec![draft], config).await;

    let one = found(&world, &format!("volume:{}", read.name)).await.unwrap();
    assert_eq!((one.state, one.apps), (CoverageState::Protected, vec!["direct".to_owned()]));
    let id = format!("volume:{}", unread.name);
    let one = found(&world, &id).await.unwrap();
    assert_eq!(one.state, CoverageState::Uncovered);
    assert!(one.detail.contains(&user.name), "{one:?}");
    let one = found(&world, &format!("container:{}", bare.name)).await.unwrap();
    assert_eq!(one.state, CoverageState::Stateless);

    let is_told = async || {
        let query = EventQuery { limit: 100, ..EventQuery::default() };
        let events = world.engine.catalog().events(query).await.unwrap();
        events.iter().any(|one| one.kind == EventKind::Uncovered && one.sentence.contains(&id))
    };
    for _ in 0..500 {
        if is_told().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_told().await, "no event told of {id}");

    world.engine.ignore_coverage(&id, "a cache").await.unwrap();
    let one = found(&world, &id).await.unwrap();
    assert_eq!((one.state, one.reason.as_deref()), (CoverageState::Ignored, Some("a cache")));
    world.engine.ignore_coverage(&id, "").await.unwrap();
    assert_eq!(found(&world, &id).await.unwrap().state, CoverageState::Uncovered);
    for wrong in ["container:x", "volume:", "x"] {
        assert!(world.engine.ignore_coverage(wrong, "why").await.is_err(), "{wrong}");
    }

    let report = world.engine.doctor_host().await.unwrap();
    let docker = report.checks.iter().find(|check| check.id == "docker").unwrap();
    assert_eq!(docker.state, CheckState::Ok, "{docker:?}");
}

/// A server of one compose project, its files and somebody's uploads: one app, tried, whose first
/// run is good.
pub(crate) async fn what_is_found_is_protected(host: Arc<Host>) {
    let project = "com.docker.compose.project=found-shop";
    let files = host.volume_with("files", &["--label", project]);
    let uploads = host.volume_with("uploads", &["--label", project]);
    let (files_at, uploads_at) = (format!("{}:/data", files.name), format!("{}:/v", uploads.name));
    host.run(&["-v", &uploads_at], Image::Base, &["sh", "-c", "echo a picture > /v/file"]);
    let (made, told) = (format!("PW={PASSWORD}"), format!("POSTGRES_PASSWORD={PASSWORD}"));
    // A container of no network has no ports to tell what it is by.
    let options = ["-v", &files_at, "--label", project, "--expose", "5432", "--stop-signal", "INT"];
    let says = ["--env", &made, "--env", &told, "--env", "POSTGRES_USER=postgres"];
    let serve = ["bash", "-c", SERVE, "serve", "scram-sha-256"];
    let options = [&options[..], &says].concat();
    let (db, _) = host.networked("found-db", &options, Image::Postgres17, &serve);
    ready(&host, &db);
    fill(&host, &db);
    let mut config = config(&host);
    let spool = tempfile::tempdir().unwrap();
    spool.path().clone_into(&mut config.spool);
    config.idle_timeout = Duration::from_secs(20);
    config.source_timeout = Duration::from_secs(60);
    let world = World::with(&["disk"], config).await;

    let database = &format!("database:{}", db.name);
    let [data, pictures] = &[&files, &uploads].map(|one| format!("volume:{}", one.name));
    let ids = [database, data, pictures];
    let one = found(&world, database).await.unwrap();
    assert_eq!((one.kind, one.state), (CoveredKind::Database, CoverageState::Uncovered));
    assert_eq!(one.source_kind.as_deref(), Some("postgres"));
    assert_eq!(one.project.as_deref(), Some("found-shop"));
    let one = found(&world, data).await.unwrap();
    assert_eq!(one.files_of.as_deref(), Some(db.name.as_str()));
    assert_eq!(found(&world, pictures).await.unwrap().files_of, None);

    let request = ProtectRequest {
        ids: ids.map(Clone::clone).to_vec(),
        destination: "disk".to_owned(),
        ..ProtectRequest::default()
    };
    let made = world.engine.protect(&request).await.unwrap();
    let [made] = made.as_slice() else { panic!("{made:?}") };
    assert!(made.added, "{:?}", made.report);
    // The server's files are in its dumps.
    assert_eq!(made.name, "found-shop");
    assert_eq!(made.ids.len(), 2, "{made:?}");
    assert!(made.ids.contains(database) && made.ids.contains(pictures), "{made:?}");
    for id in ids {
        let one = found(&world, id).await.unwrap();
        assert_eq!((one.state, one.apps), (CoverageState::Protected, vec![made.name.clone()]));
    }

    let apps = world.engine.catalog().all_apps().await.unwrap();
    let app = apps.into_iter().find(|app| app.name.as_str() == "found-shop").unwrap();
    let run = world.engine.run_now(&app, &RunRequest::default()).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let snapshot = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    let read: Vec<_> = snapshot.artifacts.iter().map(|one| one.source.as_str()).collect();
    assert!(read.contains(&format!("{}.shop", db.name).as_str()), "{read:?}");
    let tar = world.restored_part(&snapshot, &uploads.name).await;
    assert!(tar.windows(9).any(|some| some == b"a picture"));

    assert!(world.engine.protect(&request).await.is_err(), "it is protected already");
    // Its name means nothing here, so that it does not answer; what fails is not kept.
    let alone = ["--expose", "6379"];
    let (cache, _) = host.networked("found-cache", &alone, Image::Redis, &["redis-server"]);
    let unreached = ProtectRequest { ids: vec![format!("database:{}", cache.name)], ..request };
    let nowhere = ProtectRequest { destination: "none".to_owned(), ..unreached.clone() };
    assert!(world.engine.protect(&nowhere).await.is_err());
    let made = world.engine.protect(&unreached).await.unwrap();
    assert!(matches!(made.as_slice(), [one] if !one.added), "{made:?}");
    let apps = world.engine.catalog().all_apps().await.unwrap();
    assert_eq!(apps.len(), 2, "the world's own and the one that was found: {apps:?}");
}

//! What a host has, what of it is in an app, and what is told.

use std::{sync::Arc, time::Duration};

use catalog::EventQuery;
use engine::{CheckState, CoverageState, Covered, ProtectRequest, RunRequest};
use model::{EventKind, RunState};

use crate::{
    host::Host,
    images::Image,
    postgres::{config, server},
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

/// A server of one compose project with its files and somebody's uploads: one app, tried, and its
/// first run is good.
pub(crate) async fn what_is_found_is_protected(host: Arc<Host>) {
    let (files, uploads) = (host.volume("files"), host.volume("uploads"));
    let project = "com.docker.compose.project=found-shop";
    let mount = format!("{}:/data", files.name);
    let options = ["-v", mount.as_str(), "--label", project, "--expose", "5432"];
    let db = server(&host, "found-db", Image::Postgres17, "trust", &options);
    let read = source("files", "volume", &[("volume", &uploads.name)], &[]);
    let world = World::reading(vec![read], config(&host)).await;
    let ids = [&format!("database:{}", db.name), &format!("volume:{}", files.name)];
    let one = found(&world, ids[1]).await.unwrap();
    assert_eq!(one.files_of.as_deref(), Some(db.name.as_str()));
    let request = ProtectRequest {
        ids: ids.map(Clone::clone).to_vec(),
        destination: "disk".to_owned(),
        ..ProtectRequest::default()
    };
    let made = world.engine.protect(&request).await.unwrap();
    let [made] = made.as_slice() else { panic!("{made:?}") };
    assert!(made.added, "{:?}", made.report);
    assert_eq!((made.name.as_str(), &made.ids), ("found-shop", &vec![ids[0].clone()]));
    for id in ids {
        assert_eq!(found(&world, id).await.unwrap().state, CoverageState::Protected, "{id}");
    }
    let app = world.engine.catalog().all_apps().await.unwrap();
    let app = app.into_iter().find(|app| app.name.as_str() == "found-shop").unwrap();
    let run = world.engine.run_now(&app, &RunRequest::default()).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Succeeded);
    // A second time it is refused, and what is nowhere too.
    assert!(world.engine.protect(&request).await.is_err());
    // What fails when it is tried is not kept.
    let options = ["--expose", "6379"];
    let cache = host.container("found-cache", &options, Image::Redis, &["redis-server"]);
    let out_of_reach = ProtectRequest { ids: vec![format!("database:{}", cache.name)], ..request };
    let nowhere = ProtectRequest { destination: "none".to_owned(), ..out_of_reach.clone() };
    assert!(world.engine.protect(&nowhere).await.is_err());
    let made = world.engine.protect(&out_of_reach).await.unwrap();
    assert!(made.iter().all(|one| !one.added), "{made:?}");
    let apps = world.engine.catalog().all_apps().await.unwrap();
    assert!(apps.iter().all(|app| app.name.as_str() != cache.name));
}

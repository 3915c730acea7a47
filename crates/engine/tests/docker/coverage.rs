//! What a host has, what of it is in an app, and what is told.

use std::{sync::Arc, time::Duration};

use catalog::EventQuery;
use engine::{CheckState, CoverageState, Covered};
use model::EventKind;

use crate::{
    host::Host,
    images::Image,
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

//! Labels on containers: apps come, change and go with them, and refuse what they may not have.

use std::{sync::Arc, time::Duration};

use catalog::EventQuery;
use engine::{RunRequest, SystemClock};
use model::{App, EventKind, ManagedBy, RunState};

use crate::{
    host::Host,
    images::Image,
    world::{World, quick},
};

/// The app of that name as soon as it is as it should be.
async fn app_that(world: &World, name: &str, is_so: impl Fn(&App) -> bool) -> App {
    for _ in 0..800 {
        if let Ok(app) = world.engine.catalog().app_by_name(name).await
            && is_so(&app)
        {
            return app;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("`{name}` did not become what its container asks for");
}

pub(crate) async fn apps_come_and_go_with_their_containers(host: Arc<Host>) {
    let volume = host.volume("labelled");
    let mount = format!("{}:/v", volume.name);
    let mut config = quick("one");
    config.docker_host = Some(host.url().to_owned());
    config.labels = true;
    let world = World::at(&["disk"], config, Arc::new(SystemClock)).await;

    let labels = ["backup.enable=true", "backup.schedule=@every 4h", "backup.stop=pause"];
    let mut options = vec!["-v", &mount];
    options.extend(labels.iter().flat_map(|label| ["--label", *label]));
    let wish = host.container("wish", &options, Image::Base, &["sleep", "600"]);
    let greedy = ["--label", "backup.enable=true", "--label", "backup.mount=/:/host"];
    let greedy = host.container("greedy", &greedy, Image::Base, &["sleep", "600"]);
    let quiet = ["-v", &mount, "--label", "backup.schedule=daily"];
    let quiet = host.container("quiet", &quiet, Image::Base, &["sleep", "600"]);

    let app = app_that(&world, &wish.name, |app| app.enabled).await;
    assert_eq!(app.managed_by, Some(ManagedBy::Labels));
    assert!(app.schedule.is_some());
    let run = world.engine.run_now(&app, &RunRequest::default()).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);

    let events = world.engine.catalog().events(EventQuery { limit: 100, ..Default::default() });
    let refusals = events.await.unwrap();
    let refusals: Vec<_> =
        refusals.iter().filter(|event| event.kind == EventKind::LabelsRefused).collect();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert!(refusals[0].sentence.message.contains(&greedy.name), "{refusals:?}");
    assert!(refusals[0].sentence.message.contains("backup.mount"), "{refusals:?}");
    for other in [&greedy.name, &quiet.name] {
        assert!(world.engine.catalog().app_by_name(other).await.is_err(), "{other}");
    }
    // Nothing changed, nothing is written.
    assert_eq!(app_that(&world, &wish.name, |app| app.enabled).await.version, app.version);

    let name = wish.name.clone();
    host.docker(&["rm", "--force", &name]);
    let gone = app_that(&world, &name, |app| !app.enabled).await;
    assert_eq!(gone.id, app.id);
    // Made anew with another wish, it is the same app.
    let run = ["run", "--detach", "--network", "none", "--name", &name, "-v", &mount];
    let labels = ["--label", "backup.enable=true", "--label", "backup.keep-daily=7"];
    let command = [host.image(Image::Base), "sleep", "600"];
    host.docker(&[&run[..], &labels, &command].concat());
    let back = app_that(&world, &name, |app| app.enabled).await;
    assert_eq!(back.id, app.id);
    assert_eq!(back.retention.keep_daily, Some(7));
    assert!(back.schedule.is_none());
}

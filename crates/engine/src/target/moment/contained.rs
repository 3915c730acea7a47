//! A server that is in a container: replayed in containers of its image, in a new volume, and left
//! running in a new container beside it.

use std::{path::Path, time::Duration};

use bollard::{
    Docker,
    models::HealthStatusEnum,
    query_parameters::{InspectContainerOptions, ListContainersOptions, RemoveVolumeOptions},
};
use model::{Fact, Failure, FailureCode, MomentOrder, RestoreTarget, Size};
use tokio::time::Instant;

use super::{
    super::{Aim, Loaded, Look, Placing, Supply, Switched, blocking, folder, refused, volume},
    files, known, place,
    pour::{Goal, pour},
    room, settings, way,
};
use crate::{
    docker::{self, beside, containers, served::Served},
    duty::Owed,
    pitr::restore::{
        choose::Way,
        home::Inside,
        prepare, replay,
        server::{self, Plan, Server},
    },
    run::RunContext,
    source::{
        tool::{Tool, Where},
        volume::is_volume_name,
    },
};

/// How long a server may take until it answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(300);
const ASKING: Duration = Duration::from_secs(20);
/// What a copy beside is not to take from others: what is published for the original.
const NO_SUBSCRIPTIONS: &str = "max_logical_replication_workers = '0'";

/// The container that the source's server is in, and the Docker that has it.
pub(super) async fn there(aim: &Aim<'_>) -> Result<(Docker, Served), Failure> {
    let asked = aim.asked()?;
    let docker = docker::connect(aim.engine.config()).await?;
    match Served::of(&docker, &asked).await? {
        Some(served) => Ok((docker, served)),
        None => Err(refused(Fact::NoContainerToCopy {})),
    }
}

/// What the new container is called, and its volume.
pub(super) fn name(aim: &Aim<'_>) -> Result<String, Failure> {
    match aim.target {
        RestoreTarget::Beside { name } if is_volume_name(name.as_str()) => Ok(name.to_string()),
        RestoreTarget::Beside { name } => {
            Err(refused(Fact::NotNameOfVolume { name: name.to_string() }))
        }
        _ => Err(Failure::new(FailureCode::Internal, "the order names no container")),
    }
}

/// What a restore beside would meet.
pub(super) async fn look(aim: &Aim<'_>) -> Result<Look, Failure> {
    let (docker, served) = there(aim).await?;
    let name = name(aim)?;
    let container = name.clone();
    let mut look =
        Look::at(Fact::ContainerBeside { container: name.clone(), original: served.name });
    if beside::find(&docker, &name, aim.tag).await?.is_some() {
        look.block(Fact::ContainerIsThere { container });
    }
    if volume::find(&docker, &name).await?.is_some() {
        look.block(Fact::VolumeIsThere { volume: name });
    }
    Ok(look)
}

/// Says what replays, and how much room it takes.
pub(super) async fn about(aim: &Aim<'_>, way: &Way, needed: u64, look: &mut Look) {
    let (docker, served) = match there(aim).await {
        Ok(found) => found,
        Err(failure) => return look.block(failure),
    };
    let needs = way.base.major;
    match served.major.filter(|major| *major != needs) {
        Some(has) => look.block(other_major(&served, has, needs)),
        None => look.good(Fact::ReplayedInside { image: called(&docker, &served).await }),
    }
    folder::room(look, &room(aim), needed).await;
    look.warn(Fact::VolumeRoom { needed: Size(needed) });
}

fn other_major(served: &Served, has: u32, needs: u32) -> Fact {
    let container = served.name.clone();
    Fact::OtherMajor { container, has: has.into(), needs: needs.into() }
}

/// The image's name by digest, for people; its id where no registry gave it one.
async fn called(docker: &Docker, served: &Served) -> String {
    let found = docker.inspect_image(&served.image).await.ok();
    let digest = found.and_then(|found| found.repo_digests?.into_iter().next());
    digest.unwrap_or_else(|| served.image.clone())
}

/// Removes what has this restore's mark: its containers, and then the volume `made`.
pub(super) async fn clear(aim: &Aim<'_>, made: &str) -> Result<(), Failure> {
    let docker = docker::connect(aim.engine.config()).await?;
    if let RestoreTarget::Beside { .. } = aim.target
        && beside::find(&docker, made, aim.tag).await? == Some(true)
    {
        containers::remove(&docker, made).await?;
    }
    let Some(found) = volume::find(&docker, made).await? else { return Ok(()) };
    if !volume::is_ours(&found, aim.tag) {
        return Ok(());
    }
    // Whoever was killed may have left some that work on it.
    let filters = [("volume", made), ("label", docker::HELPER)];
    let filters = filters.map(|(key, value)| (key.to_owned(), vec![value.to_owned()]));
    let options =
        ListContainersOptions { all: true, filters: Some(filters.into()), ..Default::default() };
    let left = docker.list_containers(Some(options)).await.map_err(|error| docker::told(&error))?;
    for one in left.into_iter().filter_map(|one| one.id) {
        containers::remove_scratch(&docker, &one).await?;
    }
    match docker.remove_volume(made, None::<RemoveVolumeOptions>).await {
        Err(error) if !docker::is_gone(&error) => Err(docker::told(&error)),
        _ => Ok(()),
    }
}

/// Brings the server to its moment in the new volume `made`.
pub(super) async fn load(
    placing: &Placing<'_>,
    supply: &Supply<'_>,
    order: &MomentOrder,
) -> Result<Loaded, Failure> {
    let Placing { context, aim, made } = *placing;
    let (docker, served) = there(aim).await?;
    if *aim.target == RestoreTarget::App {
        place::prove(context, aim, &docker, &served).await?;
    }
    let archive = known(aim).await?;
    let way = way(aim, &archive, order)?;
    let stage = room(aim);
    let owed = context.owe(model::Duty::RemoveFolder { path: stage.clone() }).await?;
    server::room(&stage).await?;
    volume::make(&docker, made, aim.tag).await?;
    let inside = Inside {
        image: served.image.clone(),
        user: served.user.clone(),
        volume: made.to_owned(),
        at: served.at.clone(),
        data: served.data.clone(),
    };
    let data = stage.join("data");
    let staged = async {
        let has = inside.major(context).await?;
        if let Some(has) = has.filter(|has| *has != way.base.major) {
            return Err(refused(other_major(&served, has, way.base.major)));
        }
        let owner = inside.owner(context).await?;
        let mut notes = files(placing, &archive, &way, supply, &data).await?;
        finish(aim, &way, order, &data, &mut notes).await?;
        let (volume, image, within) = (made, served.image.as_str(), served.within());
        let goal = Goal { volume, image, within, owner };
        pour(context, aim, &docker, &goal, &data).await?;
        Ok(notes)
    };
    let staged = staged.await;
    unstage(context, owed).await;
    let mut notes = staged?;
    let plan = Plan {
        lan: None,
        app: aim.app,
        source: &aim.artifact.source,
        settings: settings(aim),
        way: &way,
        data: served.data.clone().into(),
        room: stage,
        inside: Some(inside.clone()),
        is_scratch: false,
        pause: order.pause,
    };
    let server = Server::replayed(context, &plan).await?;
    let landing = server.landing.clone();
    server.end(context).await?;
    if !order.pause {
        let script = "rm -rf \"$1/$2\"";
        inside.told(context, script, &[&served.data, prepare::WAL]).await?;
    }
    notes.push(server::landed(&landing).into());
    Ok(Loaded { notes, landing: Some(landing) })
}

/// The last of what is written into the data directory before it goes into its volume.
async fn finish(
    aim: &Aim<'_>,
    way: &Way,
    order: &MomentOrder,
    data: &Path,
    notes: &mut Vec<model::Sentence>,
) -> Result<(), Failure> {
    let mut lines =
        if order.pause { replay::left(way) } else { vec!["archive_mode = 'off'".to_owned()] };
    let is_beside = matches!(aim.target, RestoreTarget::Beside { .. });
    if is_beside {
        lines.push(NO_SUBSCRIPTIONS.to_owned());
        notes.push(Fact::SubscriptionsHeld {}.into());
    }
    let (folder, mark) = (data.to_owned(), place::mark(aim.tag));
    let written = blocking(move || {
        prepare::set(&folder, &lines)?;
        place::unmark(&folder)?;
        // By this it is known from what it takes the place of.
        if is_beside { Ok(()) } else { std::fs::write(folder.join(mark), "") }
    });
    written.await?.map_err(|error| {
        let (what, why) = (data.display().to_string(), error.to_string());
        refused(Fact::NotMade { what, why })
    })
}

async fn unstage(context: &RunContext, owed: Owed) {
    if let Err(failure) = context.settle(owed).await {
        context.journal.warn(failure.message);
    }
}

/// Starts the new container, and waits until it answers.
pub(super) async fn switch(placing: &Placing<'_>) -> Result<Switched, Failure> {
    let Placing { context, aim, made } = *placing;
    let (docker, served) = there(aim).await?;
    let networks = beside::make(&docker, &served, made, made, aim.tag).await?;
    containers::start(&docker, made).await?;
    answers(context, aim, &docker, made).await?;
    let container = made.to_owned();
    let user = settings(aim).get("user").cloned().unwrap_or_else(|| "postgres".to_owned());
    let paused = aim.moment.is_some_and(|order| order.pause);
    let command = format!("docker exec -it {made} psql -U {user}");
    let mut notes = vec![
        Fact::CopyRuns {
            container: container.clone(),
            image: called(&docker, &served).await,
            command,
        }
        .into(),
    ];
    if !networks.is_empty() {
        notes.push(
            Fact::CopyInNetworks { container: container.clone(), networks: networks.join(", ") }
                .into(),
        );
    }
    if paused {
        notes.push(Fact::CopyWaits { container }.into());
    }
    Ok(Switched { kept: None, notes })
}

/// Waits until the server in `container` takes connections, and its health check is content.
pub(super) async fn answers(
    context: &RunContext,
    aim: &Aim<'_>,
    docker: &Docker,
    container: &str,
) -> Result<(), Failure> {
    let until = Instant::now() + ANSWERS_WITHIN;
    let place = Where::Container(container.to_owned());
    loop {
        context.keep_going()?;
        let found = docker.inspect_container(container, None::<InspectContainerOptions>).await;
        let state = found.map_err(|error| docker::told(&error))?.state.unwrap_or_default();
        let is_up = state.running == Some(true) && state.restarting != Some(true);
        let why = if is_up {
            let health = state.health.and_then(|health| health.status);
            let is_well =
                !matches!(health, Some(HealthStatusEnum::STARTING | HealthStatusEnum::UNHEALTHY));
            match Tool::new(aim.engine, &place, "pg_isready").output(4 << 10, ASKING).await {
                Ok(_) if is_well => return Ok(()),
                Ok(_) => "its health check is not content".to_owned(),
                Err(failure) => failure.message,
            }
        } else {
            let code = state.exit_code.unwrap_or_default();
            format!("it ended with exit code {code}: see `docker logs {container}`")
        };
        if !is_up || Instant::now() > until {
            let container = container.to_owned();
            return Err(refused(Fact::NotAnswering { container, why }));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

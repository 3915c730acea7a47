//! The containers that are an app, and never the servers that it is read from.

use std::collections::{BTreeMap, BTreeSet};

use bollard::{
    Docker,
    models::{ContainerInspectResponse, ContainerSummary},
    query_parameters::InspectContainerOptions,
};
use model::{App, DirectKind, Fact, Failure, FailureCode, QuiesceMode, SourceKind};

use crate::{
    Engine,
    docker::{self, image, remake},
    run::RunContext,
    source::volume::users::Running,
};

/// The label that compose gives to containers.
const COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// A container of an app.
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) inspected: ContainerInspectResponse,
    /// Where it runs, or is about to.
    pub(crate) running: Option<Running>,
}

/// The containers that the app's plan names; else those that use its volumes. Without Docker, or
/// where it does not answer and nobody is to be held, there are none.
pub(super) async fn of_app(context: &RunContext, app: &App) -> Result<Vec<Known>, Failure> {
    let plan = &app.quiesce;
    let is_asked = plan.holds() || !plan.containers.is_empty();
    if !is_asked && volumes(app).next().is_none() || context.engine.0.config.docker_host.is_none() {
        return if plan.holds() && plan.mode != QuiesceMode::Filesystem {
            docker::connect(&context.engine.0.config).await.map(|_| Vec::new())
        } else {
            Ok(Vec::new())
        };
    }
    match found(&context.engine, app, context.run.lenient).await {
        Err(failure) if !is_asked => {
            context.journal.info(format!("its containers are not noted: {}", failure.message));
            Ok(Vec::new())
        }
        found => found,
    }
}

/// The same; with `lenient` those that are named and not there are left out.
pub(crate) async fn found(
    engine: &Engine,
    app: &App,
    lenient: bool,
) -> Result<Vec<Known>, Failure> {
    let docker = docker::connect(&engine.0.config).await?;
    let all = docker::others(&docker).await?;
    let servers = servers(&docker, app, &all).await;
    let mut known = BTreeMap::new();
    if app.quiesce.containers.is_empty() {
        let volumes: BTreeSet<_> = volumes(app).collect();
        for one in &all {
            let uses = docker::volumes_of(one).iter().any(|own| volumes.contains(own.as_str()));
            let id = one.id.clone().unwrap_or_default();
            let is_kept = remake::is_kept(&docker::name_of(one));
            if uses && !is_kept && !servers.contains(&id) {
                known.insert(docker::name_of(one), id);
            }
        }
    } else {
        for wanted in &app.quiesce.containers {
            let found = all.iter().find(|one| docker::name_of(one) == *wanted);
            let Some(one) = found else {
                if lenient {
                    continue;
                }
                let message = format!("there is no container `{wanted}`: see quiesce.containers");
                return Err(Failure::new(FailureCode::SourceConfig, message));
            };
            let id = one.id.clone().unwrap_or_default();
            if servers.contains(&id) {
                let message = format!(
                    "`{wanted}` is the server of a source of this app: it has to run to be \
                     read; take it out of quiesce.containers"
                );
                return Err(Failure::new(FailureCode::SourceConfig, message));
            }
            known.insert(wanted.clone(), id);
        }
    }
    let mut inspected = Vec::with_capacity(known.len());
    for (name, id) in known {
        inspected.extend(inspect(&docker, name, &id).await?);
    }
    Ok(inspected)
}

/// The container `id` as it is; `None` where it is gone.
pub(crate) async fn inspect(
    docker: &Docker,
    name: String,
    id: &str,
) -> Result<Option<Known>, Failure> {
    let inspected = match docker.inspect_container(id, None::<InspectContainerOptions>).await {
        Ok(inspected) => inspected,
        Err(error) if docker::is_gone(&error) => return Ok(None),
        Err(error) => return Err(docker::told(&error)),
    };
    let is = |flag: Option<bool>| flag == Some(true);
    let runs = inspected
        .state
        .as_ref()
        .is_some_and(|state| is(state.running) || is(state.paused) || is(state.restarting));
    let running = runs.then(|| Running::of(inspected.clone()));
    Ok(Some(Known { name, inspected, running }))
}

/// Ids of the containers that have to run for the app to be read: servers of its databases, and of
/// the contract.
async fn servers(docker: &Docker, app: &App, all: &[ContainerSummary]) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for source in &app.sources {
        let told = match &source.kind {
            SourceKind::Contract(server) => server.url.host_str().map(str::to_owned),
            SourceKind::Direct(direct)
                if matches!(
                    direct.what,
                    DirectKind::Postgres | DirectKind::Mysql | DirectKind::Redis
                ) =>
            {
                image::container(docker, direct).await
            }
            SourceKind::Direct(_) => None,
        };
        let Some(told) = told else { continue };
        ids.extend(all.iter().filter(|one| is_called(one, &told)).filter_map(|one| one.id.clone()));
    }
    ids
}

/// Whether `told` is its name, its id, or what it is called in a network or a compose file.
fn is_called(container: &ContainerSummary, told: &str) -> bool {
    let id = container.id.as_deref().unwrap_or_default();
    let service = container.labels.as_ref().and_then(|all| all.get(COMPOSE_SERVICE));
    let networks = container.network_settings.iter().filter_map(|all| all.networks.as_ref());
    let mut aliases = networks.flat_map(|all| all.values()).filter_map(|one| one.aliases.as_ref());
    docker::name_of(container) == told
        || id == told
        || told.len() >= 12 && id.starts_with(told)
        || service.is_some_and(|service| service == told)
        || aliases.any(|all| all.iter().any(|alias| alias == told))
}

fn volumes(app: &App) -> impl Iterator<Item = &str> {
    app.sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Direct(direct) if direct.what == DirectKind::Volume => direct.setting("volume"),
        _ => None,
    })
}

/// Nobody is there to be held.
pub(super) fn none(app: &App) -> Failure {
    let message = format!(
        "`{}` has no container to be paused or stopped: name them in quiesce.containers",
        app.name
    );
    Failure::new(FailureCode::SourceConfig, message)
}

pub(super) fn not_stopped(why: Fact) -> Failure {
    Failure::new(FailureCode::SourceConfig, Fact::also(why, Fact::DoPauseQuiesce {}))
}

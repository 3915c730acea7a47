//! Keeps the apps that labels ask for as their containers are.

use std::{collections::BTreeSet, time::Duration};

use bollard::{models::ContainerSummary, query_parameters::EventsOptions};
use futures::StreamExt as _;
use model::{App, EventKind, Fact, Failure, ManagedBy};
use tokio_util::sync::CancellationToken;

use super::labels::Labelled;
use crate::{Engine, EngineError, run::failure};

/// How often containers are looked at, besides what Docker tells by itself.
const EVERY: Duration = Duration::from_secs(30);
/// How long Docker's events may go on before they are acted on.
const SETTLE: Duration = Duration::from_millis(500);

/// Looks at labels until `shutdown`, where that is allowed.
pub(crate) async fn follow_labels(engine: &Engine, shutdown: CancellationToken) {
    let config = &engine.0.config;
    if !config.labels || config.docker_host.is_none() {
        return;
    }
    let mut refused = BTreeSet::new();
    let mut last_trouble = String::new();
    while !shutdown.is_cancelled() {
        let trouble = match look(engine, &mut refused).await {
            Ok(()) => String::new(),
            Err(failure) => failure.message,
        };
        if !trouble.is_empty() && trouble != last_trouble {
            tracing::warn!("labels cannot be looked at: {trouble}; trying again");
        }
        last_trouble = trouble;
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
            () = something_happened(engine) => {}
        }
    }
}

/// Resolves shortly after a container came, went or changed; never where Docker does not say.
async fn something_happened(engine: &Engine) {
    if let Ok(docker) = super::connect(&engine.0.config).await {
        let happened = ["create", "destroy", "rename", "update"].map(str::to_owned);
        let filters = [
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), happened.to_vec()),
        ];
        let options = EventsOptions { filters: Some(filters.into()), ..Default::default() };
        let mut events = Box::pin(docker.events(Some(options)));
        if let Some(Ok(_)) = events.next().await {
            return tokio::time::sleep(SETTLE).await;
        }
    }
    std::future::pending::<()>().await;
}

/// One look at all containers.
async fn look(engine: &Engine, refused: &mut BTreeSet<String>) -> Result<(), Failure> {
    let docker = super::connect(&engine.0.config).await?;
    let containers: Vec<_> = super::others(&docker).await?.into_iter().map(of_summary).collect();
    let catalog = &engine.0.catalog;
    let of_catalog = |error: catalog::CatalogError| failure::of_catalog(&error);
    let destinations = catalog.all_destinations().await.map_err(of_catalog)?;
    let destinations: Vec<_> = destinations.iter().map(|one| one.name.to_string()).collect();
    let apps = catalog.all_apps().await.map_err(of_catalog)?;
    let mut still = BTreeSet::new();
    for container in containers.iter().filter(|container| container.is_enabled()) {
        let current = apps.iter().find(|app| is_named(app, &container.name));
        let kept = match container.draft(&destinations, engine.0.config.label_exec) {
            Ok(draft) => keep(engine, current, draft).await,
            Err(why) => Err(why),
        };
        if let Err(why) = kept {
            let told = Fact::LabelsNotFollowed { container: container.name.clone(), why };
            let message = told.to_string();
            still.insert(message.clone());
            if refused.insert(message.clone()) {
                tracing::warn!("{message}");
                super::tell(engine, EventKind::LabelsRefused, told).await.map_err(of_catalog)?;
            }
        }
    }
    // What is put right and goes wrong again is told again.
    refused.retain(|message| still.contains(message));
    for app in &apps {
        let is_asked_for =
            containers.iter().any(|one| one.is_enabled() && is_named(app, &one.name));
        if app.managed_by == Some(ManagedBy::Labels) && app.enabled && !is_asked_for {
            tracing::info!(app = %app.name, "no container asks for it any more: disabled");
            let disabled = App { enabled: false, ..app.clone() };
            catalog.update_app(&disabled, engine.now()).await.map_err(of_catalog)?;
            engine.0.schedule_bell.notify_one();
        }
    }
    Ok(())
}

pub(super) fn is_named(app: &App, container: &str) -> bool {
    app.name.as_str().eq_ignore_ascii_case(container)
}

/// Makes or updates the app; gives why not.
async fn keep(
    engine: &Engine,
    current: Option<&App>,
    draft: crate::AppDraft,
) -> Result<(), String> {
    let told = |error: EngineError| error.to_string();
    let wanted =
        App { managed_by: Some(ManagedBy::Labels), ..engine.new_app(draft).await.map_err(told)? };
    let catalog = &engine.0.catalog;
    let written = match current {
        None => catalog.insert_app(&wanted).await,
        Some(current) if current.managed_by != Some(ManagedBy::Labels) => {
            return Err(format!("there is an app `{}` that labels do not manage", current.name));
        }
        Some(current) => {
            let wanted = App {
                id: current.id,
                created_at: current.created_at,
                updated_at: current.updated_at,
                version: current.version,
                ..wanted
            };
            if wanted == *current {
                return Ok(());
            }
            catalog.update_app(&wanted, engine.now()).await.map(drop)
        }
    };
    engine.0.schedule_bell.notify_one();
    written.map_err(|error| error.to_string())
}

pub(super) fn of_summary(container: ContainerSummary) -> Labelled {
    Labelled {
        name: super::name_of(&container),
        volumes: super::volumes_of(&container),
        labels: container.labels.unwrap_or_default().into_iter().collect(),
    }
}

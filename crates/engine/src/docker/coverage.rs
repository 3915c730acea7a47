//! What this host has, and what of it is in an app.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bollard::{
    Docker,
    models::{ContainerSummary, ContainerSummaryStateEnum},
    query_parameters::ListVolumesOptions,
};
use model::{App, DirectKind, EventKind, Fact, Failure, SourceKind};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::told;
use crate::{Engine, EngineError};

/// Where what is ignored is kept in the catalog.
const IGNORED: &str = "coverage.ignored";
/// Where it is kept how much was uncovered at the last look.
pub(super) const OPEN: &str = "coverage.open";
/// Where what was told of once is kept.
const TOLD: &str = "coverage.told";
const MAX_REASON: usize = 500;
/// How often the host is looked at by itself.
const EVERY: Duration = Duration::from_secs(300);
/// How many names one event holds.
const MAX_TOLD: usize = 20;

/// Tells of what is newly uncovered until `shutdown`, where there is a Docker.
pub(crate) async fn follow_coverage(engine: &Engine, shutdown: CancellationToken) {
    if engine.0.config.docker_host.is_none() {
        return;
    }
    loop {
        if let Err(error) = tell_of_new(engine).await {
            tracing::debug!(%error, "coverage cannot be looked at; trying again");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// One event for all that was covered, or was not there, at the last look.
async fn tell_of_new(engine: &Engine) -> Result<(), EngineError> {
    let covered = engine.coverage().await?;
    let uncovered = covered.into_iter().filter(|one| one.state == CoverageState::Uncovered);
    let uncovered: BTreeSet<String> = uncovered.map(|one| one.id).collect();
    let told = engine.0.catalog.setting(TOLD).await?;
    let told: Option<BTreeSet<String>> = told.and_then(|text| serde_json::from_str(&text).ok());
    if told.as_ref() == Some(&uncovered) {
        return Ok(());
    }
    let told = told.unwrap_or_default();
    let new: Vec<_> = uncovered.difference(&told).map(String::as_str).collect();
    if !new.is_empty() {
        let what = new[..new.len().min(MAX_TOLD)].join(", ");
        let uncovered = match new.len().saturating_sub(MAX_TOLD) as u64 {
            0 => Fact::Uncovered { what },
            more => Fact::UncoveredMore { what, more },
        };
        super::tell(engine, EventKind::Uncovered, uncovered).await?;
    }
    let text = serde_json::to_string(&uncovered)
        .map_err(|error| EngineError::refused(error.to_string()))?;
    Ok(engine.0.catalog.set_setting(TOLD, &text).await?)
}

/// A container, volume or database of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Covered {
    /// `volume:NAME`, `database:CONTAINER` or `container:NAME`.
    pub id: String,
    /// What it is.
    pub kind: CoveredKind,
    /// Its name in Docker.
    pub name: String,
    /// What else is known of it: who uses a volume, what a database is.
    pub detail: String,
    /// The compose project that it belongs to.
    pub project: Option<String>,
    /// What kind of source reads it: `volume`, `postgres`, `mysql` or `redis`.
    pub source_kind: Option<String>,
    /// The database server whose files a volume holds: what protects that server protects it.
    pub files_of: Option<String>,
    /// Whether an app reads it.
    pub state: CoverageState,
    /// The apps that do.
    pub apps: Vec<String>,
    /// Why it is ignored.
    pub reason: Option<String>,
}

/// What can be covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CoveredKind {
    /// A container with no volume and no database: nothing of it outlives it.
    Container,
    /// A volume.
    Volume,
    /// A database server in a container.
    Database,
}

/// Whether it is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CoverageState {
    /// No app reads it, and nobody said why.
    Uncovered,
    /// Somebody said why no app reads it.
    Ignored,
    /// An app reads it.
    Protected,
    /// It keeps nothing that would be lost with it.
    Stateless,
}

/// What `ignored` holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Ignored(BTreeMap<String, String>);

impl Engine {
    /// What this host has, what is not covered first; nothing where no Docker is used.
    pub async fn coverage(&self) -> Result<Vec<Covered>, EngineError> {
        if self.0.config.docker_host.is_none() {
            return Ok(Vec::new());
        }
        let apps = self.0.catalog.all_apps().await?;
        let ignored = self.ignored().await?;
        let docker = super::connect(&self.0.config).await;
        let docker = docker.map_err(EngineError::refused)?;
        let found = found(&docker).await;
        let mut found = found.map_err(EngineError::refused)?;
        for one in &mut found {
            one.judge(&apps, &ignored);
        }
        with_their_servers(&mut found);
        found.sort_by(|a, b| (a.state, &a.id).cmp(&(b.state, &b.id)));
        let open = found.iter().filter(|one| one.state == CoverageState::Uncovered).count();
        if self.uncovered_count().await? != Some(open) {
            self.0.catalog.set_setting(OPEN, &open.to_string()).await?;
        }
        Ok(found)
    }

    /// Says why no app need read it; an empty reason takes that back.
    pub async fn ignore_coverage(&self, id: &str, reason: &str) -> Result<(), EngineError> {
        let known = id
            .split_once(':')
            .is_some_and(|(kind, name)| matches!(kind, "volume" | "database") && !name.is_empty());
        if !known || id.len() > 300 {
            return Err(EngineError::invalid("id", Fact::CoverageId {}));
        }
        let reason = reason.trim();
        if reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
            let most = Fact::OneLineUpTo { count: MAX_REASON as u64 };
            return Err(EngineError::invalid("reason", most));
        }
        let mut ignored = self.ignored().await?;
        if reason.is_empty() {
            ignored.0.remove(id);
        } else {
            ignored.0.insert(id.to_owned(), reason.to_owned());
        }
        let text = serde_json::to_string(&ignored)
            .map_err(|error| EngineError::refused(error.to_string()))?;
        Ok(self.0.catalog.set_setting(IGNORED, &text).await?)
    }

    async fn ignored(&self) -> Result<Ignored, EngineError> {
        let text = self.0.catalog.setting(IGNORED).await?;
        // Unreadable is as if nothing were ignored: more is told, never less.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }
}

impl Covered {
    fn new(kind: CoveredKind, name: &str, detail: String) -> Self {
        let word = match kind {
            CoveredKind::Container => "container",
            CoveredKind::Volume => "volume",
            CoveredKind::Database => "database",
        };
        Self {
            id: format!("{word}:{name}"),
            kind,
            name: name.to_owned(),
            detail,
            project: None,
            source_kind: None,
            files_of: None,
            state: CoverageState::Uncovered,
            apps: Vec::new(),
            reason: None,
        }
    }

    fn judge(&mut self, apps: &[App], ignored: &Ignored) {
        if self.kind == CoveredKind::Container {
            self.state = CoverageState::Stateless;
            return;
        }
        let reads = |app: &&App| app.sources.iter().any(|source| self.is_read_by(&source.kind));
        let apps = apps.iter().filter(|app| app.enabled).filter(reads);
        self.apps = apps.map(|app| app.name.to_string()).collect();
        self.reason = ignored.0.get(&self.id).cloned();
        self.state = match (&self.reason, self.apps.is_empty()) {
            (_, false) => CoverageState::Protected,
            (Some(_), true) => CoverageState::Ignored,
            (None, true) => CoverageState::Uncovered,
        };
    }

    fn is_read_by(&self, source: &SourceKind) -> bool {
        let SourceKind::Direct(direct) = source else { return false };
        let names = |key: &str| direct.setting(key) == Some(self.name.as_str());
        match self.kind {
            CoveredKind::Volume => direct.what == DirectKind::Volume && names("volume"),
            // By its container's name, which on a network of containers is its host name, too.
            CoveredKind::Database => {
                let is_database = matches!(
                    direct.what,
                    DirectKind::Postgres | DirectKind::Mysql | DirectKind::Redis
                );
                is_database && (names("container") || names("host"))
            }
            CoveredKind::Container => false,
        }
    }
}

/// The files of a server that an app dumps are in that app: a copy of them, taken while the server
/// runs, would be worth less.
fn with_their_servers(found: &mut [Covered]) {
    let servers: BTreeMap<String, Vec<String>> = found
        .iter()
        .filter(|one| one.kind == CoveredKind::Database && one.state == CoverageState::Protected)
        .map(|one| (one.name.clone(), one.apps.clone()))
        .collect();
    for one in found.iter_mut().filter(|one| one.state == CoverageState::Uncovered) {
        if let Some(apps) = one.files_of.as_ref().and_then(|server| servers.get(server)) {
            one.apps.clone_from(apps);
            one.state = CoverageState::Protected;
        }
    }
}

/// Compose writes it on what it makes.
const PROJECT: &str = "com.docker.compose.project";

/// Everything the host has.
async fn found(docker: &Docker) -> Result<Vec<Covered>, Failure> {
    let volumes = docker.list_volumes(None::<ListVolumesOptions>).await;
    let volumes = volumes.map_err(|error| told(&error))?;
    let containers = super::others(docker).await?;
    let mut users: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut servers = BTreeSet::new();
    for container in &containers {
        if database(container).is_some() {
            servers.insert(super::name_of(container));
        }
        for mount in container.mounts.iter().flatten() {
            if let Some(volume) = mount.name.as_deref() {
                users.entry(volume).or_default().insert(super::name_of(container));
            }
        }
    }
    let mut found = Vec::new();
    for volume in volumes.volumes.iter().flatten() {
        let users = users.get(volume.name.as_str());
        if super::is_anonymous(&volume.name) && users.is_none() {
            // Left behind by a container that nobody named it for.
            continue;
        }
        let detail = match users {
            Some(users) => users.iter().cloned().collect::<Vec<_>>().join(", "),
            None => "used by no container".to_owned(),
        };
        let only = users.filter(|users| users.len() == 1).and_then(BTreeSet::first);
        found.push(Covered {
            project: volume.labels.get(PROJECT).cloned(),
            source_kind: Some(DirectKind::Volume.to_string()),
            files_of: only.filter(|user| servers.contains(*user)).cloned(),
            ..Covered::new(CoveredKind::Volume, &volume.name, detail)
        });
    }
    for container in &containers {
        let name = super::name_of(container);
        let has_volumes = container.mounts.iter().flatten().any(|mount| mount.name.is_some());
        match database(container) {
            Some(what) => {
                let labels = container.labels.as_ref();
                found.push(Covered {
                    project: labels.and_then(|labels| labels.get(PROJECT)).cloned(),
                    source_kind: Some(what.to_string()),
                    ..Covered::new(CoveredKind::Database, &name, words(what).to_owned())
                });
            }
            None if !has_volumes => {
                let image = container.image.clone().unwrap_or_default();
                found.push(Covered::new(CoveredKind::Container, &name, image));
            }
            None => {}
        }
    }
    Ok(found)
}

/// A kind of database server, for people.
fn words(what: DirectKind) -> &'static str {
    match what {
        DirectKind::Mysql => "MySQL or MariaDB",
        DirectKind::Redis => "Redis or Valkey",
        _ => "PostgreSQL",
    }
}

/// Which database server a running container is, by its image's name or its port.
fn database(container: &ContainerSummary) -> Option<DirectKind> {
    if container.state != Some(ContainerSummaryStateEnum::RUNNING) {
        return None;
    }
    let image = container.image.as_deref().unwrap_or_default();
    let image = image.rsplit('/').next().unwrap_or_default();
    let image = image.split([':', '@']).next().unwrap_or_default();
    let by_image = match image {
        "postgres" | "postgresql" | "postgis" | "timescaledb" | "pgvector" => {
            Some(DirectKind::Postgres)
        }
        "mysql" | "mariadb" | "percona" => Some(DirectKind::Mysql),
        "redis" | "valkey" => Some(DirectKind::Redis),
        _ => None,
    };
    by_image.or_else(|| {
        container.ports.iter().flatten().find_map(|port| match port.private_port {
            5432 => Some(DirectKind::Postgres),
            3306 => Some(DirectKind::Mysql),
            6379 => Some(DirectKind::Redis),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_known_by_image_or_port() {
        let running = |image: &str, port: Option<u16>| ContainerSummary {
            image: Some(image.to_owned()),
            state: Some(ContainerSummaryStateEnum::RUNNING),
            ports: port.map(|port| {
                vec![bollard::models::PortSummary { private_port: port, ..Default::default() }]
            }),
            ..Default::default()
        };
        for (image, port, wanted) in [
            ("postgres:16", None, Some(DirectKind::Postgres)),
            ("registry:5000/team/mariadb@sha256:00", None, Some(DirectKind::Mysql)),
            ("own/cache", Some(6379), Some(DirectKind::Redis)),
            ("postgres-exporter", None, None),
            ("nginx", Some(80), None),
        ] {
            assert_eq!(database(&running(image, port)), wanted, "{image}");
        }
        let stopped = ContainerSummary { image: Some("postgres".into()), ..Default::default() };
        assert_eq!(database(&stopped), None);
    }

    #[test]
    fn the_files_of_a_server_go_with_it() {
        let volume = |files_of: Option<&str>| Covered {
            files_of: files_of.map(str::to_owned),
            ..Covered::new(CoveredKind::Volume, "files", String::new())
        };
        let server = |state| Covered {
            state,
            apps: vec!["shop".to_owned()],
            ..Covered::new(CoveredKind::Database, "db", String::new())
        };
        for (state, files_of, wanted) in [
            (CoverageState::Protected, Some("db"), CoverageState::Protected),
            (CoverageState::Protected, Some("other"), CoverageState::Uncovered),
            (CoverageState::Protected, None, CoverageState::Uncovered),
            (CoverageState::Uncovered, Some("db"), CoverageState::Uncovered),
        ] {
            let mut found = [server(state), volume(files_of)];
            with_their_servers(&mut found);
            assert_eq!(found[1].state, wanted, "{state:?} {files_of:?}");
        }
    }
}

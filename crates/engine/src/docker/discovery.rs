//! What was found on this host and ticked becomes apps, tried before they are kept.

use std::collections::{BTreeMap, BTreeSet};

use bollard::query_parameters::InspectContainerOptions;
use model::{DirectKind, Fact, Name, retention::RetentionPolicy};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{coverage::CoverageState, told};
use crate::{
    AppDraft, BindingDraft, CheckState, Covered, Engine, EngineError, FieldError, Report,
    ScheduleDraft, SourceDraft,
};

/// Most that is ticked at once.
const MOST: usize = 200;

/// What is to be protected from now on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProtectRequest {
    /// As coverage shows them: `volume:NAME` or `database:CONTAINER`. What belongs to one compose
    /// project becomes one app.
    pub ids: Vec<String>,
    /// Where copies go: a destination's name or id.
    pub destination: String,
    /// When; left out: once a day, within the hour after 3 in the morning.
    #[cfg_attr(feature = "openapi", schema(default = json!(null)))]
    pub schedule: Option<ScheduleDraft>,
    /// Which snapshots are kept; left out: 7 daily, 4 weekly, 6 monthly.
    #[cfg_attr(feature = "openapi", schema(default = json!(null)))]
    pub retention: Option<RetentionPolicy>,
}

/// What came of it, for one app.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Protected {
    /// The app's name.
    pub name: String,
    /// What of the host is in it.
    pub ids: Vec<String>,
    /// Whether it is kept; if not, what stands against it is in `report`.
    pub added: bool,
    /// What was tried.
    pub report: Report,
}

impl Engine {
    /// Makes apps of what this host has. Each is tried first, and kept where nothing fails.
    pub async fn protect(&self, request: &ProtectRequest) -> Result<Vec<Protected>, EngineError> {
        if request.ids.is_empty() || request.ids.len() > MOST {
            return Err(EngineError::invalid("ids", Fact::TickSome { most: MOST as u64 }));
        }
        let found = self.coverage().await?;
        let ticked =
            ticked(&found, &request.ids).map_err(|error| EngineError::Invalid(vec![error]))?;
        let taken = self.catalog().all_apps().await?;
        let mut taken: BTreeSet<String> =
            taken.iter().map(|app| app.name.as_str().to_lowercase()).collect();
        let mut made = Vec::new();
        for (wanted, of_it) in grouped(&ticked) {
            let name = free_name(&wanted, &mut taken);
            let mut sources = Vec::with_capacity(of_it.len());
            for one in &of_it {
                sources.push(self.source_of(one).await?);
            }
            let draft = AppDraft {
                destinations: vec![BindingDraft {
                    destination: request.destination.clone(),
                    folder: name.clone(),
                    ..BindingDraft::default()
                }],
                schedule: Some(request.schedule.clone().unwrap_or_else(nightly)),
                retention: request.retention.clone().unwrap_or_else(usual),
                sources,
                name: name.clone(),
                ..AppDraft::default()
            };
            // What is wrong with the destination or the schedule is the caller's to mend.
            self.new_app(draft.clone()).await?;
            let report = self.try_app(&draft, None).await?;
            let added = report.checks.iter().all(|check| check.state != CheckState::Failed);
            if added {
                self.register_app(draft).await?;
            }
            let ids = of_it.iter().map(|one| one.id.clone()).collect();
            made.push(Protected { name, ids, added, report });
        }
        Ok(made)
    }

    /// How many volumes and databases were in no app when this host was looked at last.
    pub async fn uncovered_count(&self) -> Result<Option<usize>, EngineError> {
        if self.config().docker_host.is_none() {
            return Ok(None);
        }
        let open = self.catalog().setting(super::coverage::OPEN).await?;
        Ok(open.and_then(|text| text.parse().ok()))
    }

    /// A source that reads it: databases by the programs in their own containers, with what the
    /// container's environment says of users and passwords.
    async fn source_of(&self, one: &Covered) -> Result<SourceDraft, EngineError> {
        let kind: DirectKind =
            one.source_kind.as_deref().unwrap_or_default().parse().map_err(|_| {
                EngineError::invalid("ids", Fact::NothingReadable { id: one.id.clone() })
            })?;
        let mut settings = BTreeMap::new();
        let mut secrets = BTreeMap::new();
        let mut set = |key: &str, value: &str| settings.insert(key.to_owned(), value.to_owned());
        match kind {
            DirectKind::Volume => {
                set("volume", &one.name);
            }
            DirectKind::Redis => {
                set("host", &one.name);
            }
            _ => {
                set("container", &one.name);
                set("database", "*");
            }
        }
        if kind != DirectKind::Volume {
            let says = self.environment(&one.name).await?;
            let first = |names: &[&str]| names.iter().find_map(|name| says.get(*name));
            let (user, password): (Option<&str>, _) = match kind {
                DirectKind::Postgres => (
                    first(&["POSTGRES_USER", "POSTGRESQL_USERNAME"]).map(String::as_str),
                    first(&["POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "PGPASSWORD"]),
                ),
                DirectKind::Mysql => {
                    (Some("root"), first(&["MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD"]))
                }
                _ => (None, first(&["REDIS_PASSWORD", "VALKEY_PASSWORD"])),
            };
            if let Some(user) = user {
                settings.insert("user".to_owned(), user.to_owned());
            }
            if let Some(password) = password {
                secrets.insert("password".to_owned(), SecretString::from(password.as_str()));
            }
        }
        Ok(SourceDraft {
            name: name_of(&one.name),
            kind: kind.to_string(),
            settings,
            secrets,
            ..SourceDraft::default()
        })
    }

    async fn environment(&self, container: &str) -> Result<BTreeMap<String, String>, EngineError> {
        let refused = |failure: model::Failure| EngineError::refused(failure);
        let docker = super::connect(self.config()).await.map_err(refused)?;
        let options = None::<InspectContainerOptions>;
        let found = docker.inspect_container(container, options).await;
        let found = found.map_err(|error| refused(told(&error)))?;
        let lines = found.config.and_then(|config| config.env).unwrap_or_default();
        let pairs = lines.iter().filter_map(|line| line.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// What `ids` name, but the files of servers that are ticked, too: their dumps are the copy.
fn ticked<'a>(found: &'a [Covered], ids: &[String]) -> Result<Vec<&'a Covered>, FieldError> {
    let mut all = Vec::new();
    for id in ids {
        let one = found.iter().find(|one| one.id == *id && one.source_kind.is_some());
        let Some(one) = one else {
            return Err(FieldError::new("ids", Fact::NotOfHost { id: id.clone() }));
        };
        if one.state == CoverageState::Protected {
            let apps = one.apps.join(", ");
            return Err(FieldError::new("ids", Fact::CoveredAlready { id: id.clone(), apps }));
        }
        if !all.contains(&one) {
            all.push(one);
        }
    }
    let servers: BTreeSet<&str> = all.iter().map(|one| one.name.as_str()).collect();
    let is_dumped =
        |one: &&Covered| one.files_of.as_deref().is_none_or(|server| !servers.contains(server));
    Ok(all.iter().copied().filter(is_dumped).collect())
}

/// By compose project; what is in none is by itself.
fn grouped<'a>(ticked: &[&'a Covered]) -> BTreeMap<String, Vec<&'a Covered>> {
    let mut groups: BTreeMap<String, Vec<&Covered>> = BTreeMap::new();
    for one in ticked {
        groups
            .entry(one.project.clone().unwrap_or_else(|| one.name.clone()))
            .or_default()
            .push(one);
    }
    groups
}

/// `text` as a name of ours.
fn name_of(text: &str) -> String {
    let fits = |text: &str| text.parse::<Name>().is_ok();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let plain: String = text.chars().map(|c| if is_plain(c) { c } else { '-' }).take(60).collect();
    let trimmed = plain.trim_matches(['.', '_', '-']);
    if fits(trimmed) { trimmed.to_owned() } else { "app".to_owned() }
}

/// The same, with a number behind it where an app has it.
fn free_name(text: &str, taken: &mut BTreeSet<String>) -> String {
    let name = name_of(text);
    let mut free = name.clone();
    let mut number = 2;
    while !taken.insert(free.to_lowercase()) {
        free = format!("{name}-{number}");
        number += 1;
    }
    free
}

fn nightly() -> ScheduleDraft {
    ScheduleDraft { spec: "0 3 * * *".to_owned(), jitter_secs: 3600, ..ScheduleDraft::default() }
}

fn usual() -> RetentionPolicy {
    RetentionPolicy {
        keep_daily: Some(7),
        keep_weekly: Some(4),
        keep_monthly: Some(6),
        ..RetentionPolicy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::coverage::CoveredKind, *};

    fn found(id: &str, project: Option<&str>, files_of: Option<&str>) -> Covered {
        let (kind, name) = id.split_once(':').unwrap();
        let is_volume = kind == "volume";
        Covered {
            id: id.to_owned(),
            kind: if is_volume { CoveredKind::Volume } else { CoveredKind::Database },
            name: name.to_owned(),
            detail: String::new(),
            project: project.map(str::to_owned),
            source_kind: Some(if is_volume { "volume" } else { "postgres" }.to_owned()),
            files_of: files_of.map(str::to_owned),
            state: CoverageState::Uncovered,
            apps: Vec::new(),
            reason: None,
        }
    }

    #[test]
    fn a_project_is_one_app_without_the_files_of_its_server() {
        let all = [
            found("database:shop-db", Some("shop"), None),
            found("volume:shop_pgdata", Some("shop"), Some("shop-db")),
            found("volume:shop_uploads", Some("shop"), None),
            found("volume:alone", None, None),
        ];
        let ids: Vec<String> = all.iter().map(|one| one.id.clone()).collect();
        let those = ticked(&all, &ids).unwrap();
        let groups = grouped(&those);
        let told: Vec<(&str, Vec<&str>)> = groups
            .iter()
            .map(|(name, of_it)| (name.as_str(), of_it.iter().map(|one| one.id.as_str()).collect()))
            .collect();
        let shop = vec!["database:shop-db", "volume:shop_uploads"];
        assert_eq!(told, [("alone", vec!["volume:alone"]), ("shop", shop)]);
        // Alone it is read as it is.
        assert_eq!(ticked(&all, &ids[1..2]).unwrap().len(), 1);
        assert!(ticked(&all, &["volume:none".to_owned()]).is_err());
        let protected = Covered { state: CoverageState::Protected, ..all[0].clone() };
        assert!(ticked(&[protected], &ids[..1]).is_err());
    }

    #[test]
    fn names_are_made_fit_and_free() {
        let mut taken = BTreeSet::from(["shop".to_owned()]);
        assert_eq!(free_name("Shop", &mut taken), "Shop-2");
        assert_eq!(free_name("shop", &mut taken), "shop-3");
        assert_eq!(free_name("_x_", &mut taken), "x");
        assert_eq!(free_name("…", &mut taken), "app");
        assert!(free_name(&"n".repeat(200), &mut taken).parse::<Name>().is_ok());
    }
}

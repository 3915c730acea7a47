//! Apps that only manifests still know, set up again as far as a manifest tells: disabled, without
//! a secret, with the one destination whose manifest it is.

use std::collections::{HashMap, HashSet};

use artifact::Manifest;
use jiff::Timestamp;
use model::{
    App, AppId, Binding, ContractSource, Destination, DirectKind, DirectSource, Name, Source,
    SourceKind, app::Limits, layout::Template, retention::RetentionPolicy, schedule::Schedule,
};
use serde::Deserialize;

use crate::{Engine, EngineError, vault::Purpose};

/// What a manifest tells of its app.
pub(super) struct Told {
    name: String,
    folder: String,
    settings: serde_json::Value,
}

impl Told {
    pub(super) fn of(manifest: &Manifest, key: &str) -> Self {
        Self {
            name: manifest.app.name.clone(),
            folder: key.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
            settings: manifest.settings.clone(),
        }
    }
}

/// Apps that the catalog does not know, each as its newest manifest tells.
pub(super) struct Unknown {
    known: HashSet<AppId>,
    told: HashMap<AppId, (Timestamp, Told)>,
}

impl Unknown {
    pub(super) fn new(known: HashSet<AppId>) -> Self {
        Self { known, told: HashMap::new() }
    }

    pub(super) fn note(&mut self, id: AppId, at: Timestamp, told: Told) {
        let is_newer = self.told.get(&id).is_none_or(|(known, _)| *known < at);
        if is_newer && !self.known.contains(&id) {
            self.told.insert(id, (at, told));
        }
    }
}

/// Settings as `run::commit` writes them; what an older one lacks is as if it were not set.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    sources: Vec<ToldSource>,
    schedule: Option<Schedule>,
    retention: RetentionPolicy,
    limits: Limits,
    compression: Option<String>,
    #[serde(default)]
    drill: model::DrillPlan,
    #[serde(default)]
    quiesce: model::QuiescePlan,
    #[serde(default)]
    code: Option<model::CodePlan>,
    #[serde(default)]
    recovery: Option<model::RecoveryPlan>,
    binding: Option<ToldBinding>,
}

#[derive(Deserialize)]
struct ToldBinding {
    folder: String,
    #[serde(default)]
    retention: Option<RetentionPolicy>,
    #[serde(default)]
    template: Option<Template>,
    #[serde(default)]
    logs: bool,
}

#[derive(Deserialize)]
struct ToldSource {
    name: Name,
    kind: String,
    #[serde(default)]
    url: Option<url::Url>,
    #[serde(default)]
    export_type: Option<String>,
    #[serde(default)]
    drive_folder_id: Option<String>,
    #[serde(default)]
    accept_unverified: bool,
    #[serde(default)]
    allow_empty: bool,
    #[serde(default)]
    settings: std::collections::BTreeMap<String, String>,
}

impl Engine {
    /// Adds the apps that were unknown; gives their names, and what of them was left out.
    pub(super) async fn add_unknown(
        &self,
        destination: &Destination,
        unknown: Unknown,
    ) -> Result<(Vec<String>, Vec<String>), EngineError> {
        let (mut names, mut left_out) = (Vec::new(), Vec::new());
        for (id, (_, told)) in unknown.told {
            let mut app = self.rebuilt(id, &told, destination);
            let left = without_orders(&mut app);
            let first = app.name.clone();
            for number in 2..100 {
                match self.0.catalog.insert_app(&app).await {
                    Ok(()) => break,
                    // Another app has the name now.
                    Err(catalog::CatalogError::NameTaken { .. }) => {
                        let next = format!("{first}_{number}");
                        app.name = next.parse().unwrap_or_else(|_| name_of(id));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            left_out.extend(left.map(|left| format!("`{}`: {left}", app.name)));
            names.push(app.name.to_string());
        }
        names.sort();
        left_out.sort();
        Ok((names, left_out))
    }

    fn rebuilt(&self, id: AppId, told: &Told, destination: &Destination) -> App {
        // What cannot be read is left out: the snapshots are what matters.
        let settings: Settings = serde_json::from_value(told.settings.clone()).unwrap_or_default();
        // A manifest that was copied here tells of the folder elsewhere.
        let lies_in = |binding: &ToldBinding| {
            let folder = binding.folder.trim_matches('/');
            folder.is_empty()
                || told.folder == folder
                || told.folder.starts_with(&format!("{folder}/"))
        };
        let binding = settings.binding.filter(lies_in).unwrap_or_else(|| ToldBinding {
            folder: told.folder.clone(),
            retention: None,
            template: None,
            logs: false,
        });
        let now = self.now();
        App {
            id,
            name: told.name.parse().unwrap_or_else(|_| name_of(id)),
            enabled: false,
            sources: settings.sources.into_iter().filter_map(|one| self.source(one)).collect(),
            destinations: vec![Binding {
                destination_id: destination.id,
                folder: binding.folder,
                retention: binding.retention,
                template: binding.template,
                logs: binding.logs,
            }],
            schedule: settings.schedule,
            retention: settings.retention,
            limits: settings.limits,
            compression: settings.compression,
            drill: settings.drill,
            quiesce: settings.quiesce,
            code: settings.code,
            recovery: settings
                .recovery
                .map(|plan| model::RecoveryPlan { destination: destination.id, ..plan }),
            managed_by: None,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    fn source(&self, told: ToldSource) -> Option<Source> {
        let kind = match told.url {
            Some(url) if told.kind == "contract" => SourceKind::Contract(ContractSource {
                url,
                // Nobody's token: whoever enables the app enters one.
                token: self.seal(Purpose::AppToken, &"".into()),
                previous_token: None,
                export_type: told.export_type,
                drive_folder_id: told.drive_folder_id,
                accept_unverified: told.accept_unverified,
                allow_empty: told.allow_empty,
            }),
            _ => SourceKind::Direct(DirectSource {
                what: told.kind.parse::<DirectKind>().ok()?,
                settings: told.settings,
                secrets: std::collections::BTreeMap::new(),
            }),
        };
        Some(Source { name: told.name, kind })
    }
}

/// Takes out of a plan what would be run on this machine, and when: whoever can write to a
/// destination could have written it. Gives what that was, for people.
fn without_orders(app: &mut App) -> Option<String> {
    let plan = &mut app.drill;
    let commands = std::mem::take(&mut plan.commands);
    let schedule = plan.schedule.take();
    let mut left = Vec::new();
    if !commands.is_empty() {
        let programs: Vec<_> = commands
            .iter()
            .map(|command| format!("{:?}", command.argv.first().map_or("", String::as_str)))
            .collect();
        left.push(format!("the drill's commands ({})", programs.join(", ")));
    }
    if let Some(boot) = plan.boot.take() {
        left.push(format!("the app that drills boot ({:?})", boot.container));
    }
    if schedule.is_some() {
        left.push("the drill's schedule".to_owned());
    }
    if !std::mem::take(&mut app.quiesce).is_empty() {
        left.push("what brings the app to stand still".to_owned());
    }
    if let Some(code) = app.code.take() {
        left.push(format!("where its code is ({})", code.path.display()));
    }
    (!left.is_empty()).then(|| {
        format!("{} were not taken over from the manifest: enter them again", left.join(" and "))
    })
}

fn name_of(id: AppId) -> Name {
    let text = id.to_string();
    let short: String = text.chars().rev().take(8).collect();
    let name = format!("app-{short}");
    name.parse().unwrap_or_else(|_| unreachable!("letters and digits are a name"))
}

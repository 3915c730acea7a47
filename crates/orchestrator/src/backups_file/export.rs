//! What is registered, as a file that declares it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    alerts,
    keys::{
        AlertChannelEntry, AlertRouteEntry, AppEntry, BindingEntry, DestinationEntry,
        DrillBootEntry, DrillCommandEntry, DrillEntry, DrillQuestionEntry, LimitsEntry,
        RetentionEntry, ScheduleEntry, SourceEntry,
    },
    recovery,
    values::{Flag, Number, Settings, ShortOr, Text},
    variables::literally,
    whole,
};

/// A file, and the variables that its secrets are to come from.
pub(crate) struct Exported {
    pub(crate) backups_yml: String,
    pub(crate) stack_env: String,
}

#[derive(Serialize)]
struct Sections {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destinations: Vec<DestinationEntry>,
    apps: Vec<AppEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alert_channels: Vec<AlertChannelEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alert_routes: Vec<AlertRouteEntry>,
}

/// Lists of what is registered, as the API shows them.
#[derive(Default)]
pub(crate) struct Registered {
    pub(crate) apps: Value,
    pub(crate) destinations: Value,
    pub(crate) channels: Value,
    pub(crate) routes: Value,
}

const HEAD: &str = "# What was registered, as `backup-orchestrator config export` told it. Secrets \
                    are in stack.env.\n";

/// What is registered, as a file; what is declared elsewhere already, only with `all`.
pub(crate) fn export(registered: &Registered, all: bool) -> Exported {
    let Registered { apps, destinations, channels, routes } = registered;
    let mut variables = Variables::default();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let wanted = |one: &Value| all || one["managed_by"].is_null();
    let names: BTreeMap<String, String> =
        list(destinations).iter().map(|one| (text(&one["id"]), text(&one["name"]))).collect();
    let sections = Sections {
        destinations: list(destinations)
            .iter()
            .filter(|one| wanted(one))
            .map(|one| destination(one, &mut variables))
            .collect(),
        apps: list(apps)
            .iter()
            .filter(|one| wanted(one))
            .map(|one| app(one, &names, &mut variables))
            .collect(),
        alert_channels: list(channels)
            .iter()
            .filter(|one| wanted(one))
            .map(|one| {
                let name = text(&one["name"]);
                alerts::channel(one, variables.secrets(&[&name], &one["secrets"]))
            })
            .collect(),
        alert_routes: list(routes)
            .iter()
            .filter(|one| wanted(one))
            .filter_map(|one| {
                alerts::route(one, |name| list(apps).iter().any(|app| app["name"] == name))
            })
            .collect(),
    };
    let yaml = serde_saphyr::to_string(&sections).unwrap_or_default();
    Exported { backups_yml: format!("{HEAD}{yaml}"), stack_env: variables.skeleton() }
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub(super) fn words(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| text(value)).filter(|text| !text.is_empty())
}

pub(super) fn number(value: &Value) -> Option<Number> {
    words(value).map(Number)
}

/// The flag where it is not what it would be left out.
pub(super) fn flag(value: &Value, default: bool) -> Option<Flag> {
    value.as_bool().filter(|is| *is != default).map(|is| Flag(is.to_string()))
}

pub(super) fn settings(value: &Value) -> Settings {
    let all = value.as_object().into_iter().flatten();
    Settings(all.map(|(key, value)| (key.clone(), vec![literally(&text(value))])).collect())
}

fn destination(one: &Value, variables: &mut Variables) -> DestinationEntry {
    let name = text(&one["name"]);
    DestinationEntry {
        kind: text(&one["kind"]),
        settings: settings(&one["settings"]),
        secrets: variables.secrets(&[&name], &one["secrets"]),
        append_only: flag(&one["append_only"], false),
        verify_every_days: number(&one["verify_every_days"]),
        name,
    }
}

fn app(one: &Value, names: &BTreeMap<String, String>, variables: &mut Variables) -> AppEntry {
    let name = text(&one["name"]);
    let sources = one["sources"].as_array().into_iter().flatten();
    let sources = sources.map(|source| {
        let own = text(&source["name"]);
        SourceEntry {
            kind: text(&source["kind"]),
            settings: settings(&source["settings"]),
            secrets: variables.secrets(&[&name, &own], &source["secrets"]),
            name: (own != name).then_some(own),
        }
    });
    let sources = sources.collect();
    let bindings = one["destinations"].as_array().into_iter().flatten();
    let schedule = match &one["schedule"] {
        Value::Null => ShortOr::Short("manual".to_owned()),
        schedule => long_schedule(schedule),
    };
    AppEntry {
        sources,
        enabled: flag(&one["enabled"], true),
        destinations: Some(bindings.map(|binding| self::binding(binding, names)).collect()),
        schedule: Some(schedule),
        time_zone: None,
        retention: Some(retention(&one["retention"])),
        compression: words(&one["compression"]),
        limits: limits(&one["limits"]),
        drill: drill(&one["drill"]),
        quiesce: whole::quiesce(&one["quiesce"]),
        code: whole::code(&one["code"]),
        recovery: recovery::entry(&one["recovery"], |id| {
            names.get(id).cloned().unwrap_or_else(|| id.to_owned())
        }),
        name,
    }
}

fn boot(one: &Value) -> DrillBootEntry {
    let literal = |key: &str| one[key].as_str().map(literally);
    let needs = one["needs"].as_array().filter(|needs| !needs.is_empty());
    DrillBootEntry {
        container: literally(&text(&one["container"])),
        needs: needs.map(|needs| needs.iter().map(text).collect()),
        path: literal("path"),
        port: number(&one["port"]),
        status: number(&one["status"]),
        timeout_secs: number(&one["timeout_secs"]),
        user: literal("user"),
    }
}

fn drill(one: &Value) -> Option<DrillEntry> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (questions, commands) = (list(&one["questions"]), list(&one["commands"]));
    let entry = DrillEntry {
        schedule: (!one["schedule"].is_null()).then(|| long_schedule(&one["schedule"])),
        questions: (!questions.is_empty()).then(|| {
            let question = |one: &Value| DrillQuestionEntry {
                artifact: words(&one["artifact"]),
                sql: literally(&text(&one["sql"])),
                expect: one["expect"].as_str().map(|expect| Text(literally(expect))),
            };
            questions.iter().map(question).collect()
        }),
        commands: (!commands.is_empty()).then(|| {
            let command = |one: &Value| DrillCommandEntry {
                artifact: words(&one["artifact"]),
                argv: list(&one["argv"]).iter().map(|word| literally(&text(word))).collect(),
            };
            commands.iter().map(command).collect()
        }),
        boot: (!one["boot"].is_null()).then(|| boot(&one["boot"])),
    };
    let says = entry.schedule.is_some()
        || entry.questions.is_some()
        || entry.commands.is_some()
        || entry.boot.is_some();
    says.then_some(entry)
}

fn long_schedule(schedule: &Value) -> ShortOr<ScheduleEntry> {
    ShortOr::Long(ScheduleEntry {
        spec: text(&schedule["spec"]),
        time_zone: words(&schedule["time_zone"]),
        jitter_secs: number(&schedule["jitter_secs"]).filter(|secs| secs.0 != "0"),
        catch_up: flag(&schedule["catch_up"], true),
    })
}

fn binding(one: &Value, names: &BTreeMap<String, String>) -> ShortOr<BindingEntry> {
    let id = text(&one["destination_id"]);
    ShortOr::Long(BindingEntry {
        destination: names.get(&id).cloned().unwrap_or(id),
        folder: words(&one["folder"]).map(|folder| literally(&folder)),
        retention: (!one["retention"].is_null()).then(|| retention(&one["retention"])),
        template: words(&one["template"]),
        logs: flag(&one["logs"], false),
    })
}

fn retention(one: &Value) -> RetentionEntry {
    RetentionEntry {
        keep_last: number(&one["keep_last"]),
        keep_hourly: number(&one["keep_hourly"]),
        keep_daily: number(&one["keep_daily"]),
        keep_weekly: number(&one["keep_weekly"]),
        keep_monthly: number(&one["keep_monthly"]),
        keep_yearly: number(&one["keep_yearly"]),
        keep_pre_deploy: number(&one["keep_pre_deploy"]),
        keep_within: words(&one["keep_within"]),
    }
}

fn limits(one: &Value) -> Option<LimitsEntry> {
    let is_set = one.as_object()?.values().any(|value| !value.is_null());
    is_set.then(|| LimitsEntry {
        timeout_secs: number(&one["timeout_secs"]),
        max_size_bytes: number(&one["max_size_bytes"]),
        retries: number(&one["retries"]),
        objective_secs: number(&one["objective_secs"]),
        restore_objective_secs: number(&one["restore_objective_secs"]),
    })
}

/// The variables that stand for secrets, in the order in which they are met.
#[derive(Default)]
struct Variables(Vec<String>);

impl Variables {
    fn secrets(&mut self, owner: &[&str], names: &Value) -> Settings {
        let names = names.as_array().into_iter().flatten().map(text);
        let all = names.map(|secret| {
            let variable = self.variable(owner, &secret);
            (secret, vec![format!("${{{variable}}}")])
        });
        Settings(all.collect())
    }

    /// A name of its own for a secret.
    fn variable(&mut self, owner: &[&str], secret: &str) -> String {
        let mut words: Vec<_> = owner.to_vec();
        words.dedup();
        words.push(secret);
        let shout = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let mut name: String = words.join("_").chars().map(shout).collect();
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            name.insert(0, '_');
        }
        while self.0.contains(&name) {
            name.push('_');
        }
        self.0.push(name.clone());
        name
    }

    fn skeleton(&self) -> String {
        let lines: Vec<_> = self.0.iter().map(|name| format!("{name}=\n")).collect();
        format!("# Secrets of backups.yml.\n{}", lines.concat())
    }
}

//! `backups.yml`: checked and exported, its schema, and how the server stands to it.

use std::path::{Path, PathBuf};

use catalog::Catalog;
use clap::Subcommand;
use engine::{DeclareError, Engine, EngineConfig, Parts, SystemClock, Vault};
use model::{Fact, ManagedBy};
use rand::SeedableRng as _;
use serde_json::{Value, json};

use super::{
    client::{CliError, Client},
    show::{self, Out, items, text},
};
use crate::{
    backups_file::{
        Declaration, File, Finding, Registered, Variables, export, read_small, stack_env_of,
    },
    settings::{Environment, Settings},
};

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Says what is wrong with a file, line by line, and what it declares; needs no server.
    Check {
        /// The file.
        #[arg(default_value = "backups.yml")]
        file: PathBuf,
        /// Its variables; `stack.env` beside it unless told.
        #[arg(long, value_name = "FILE")]
        stack_env: Option<PathBuf>,
    },
    /// Writes what is registered as a file, without its secrets, and a `stack.env` to fill in.
    Export {
        /// The file; standard output where it is left out. `stack.env` is written beside it.
        file: Option<PathBuf>,
        /// Also what is declared in a file already.
        #[arg(long)]
        all: bool,
    },
    /// Prints the JSON schema of the file; needs no server.
    Schema,
    /// Shows which file the server follows, and what it has to say about it.
    Show,
}

/// What needs no server.
pub(super) async fn alone(
    command: &ConfigCommand,
    environment: &Environment,
    out: &Out,
) -> Option<Result<u8, CliError>> {
    match command {
        ConfigCommand::Schema => {
            show::raw(File::schema().as_bytes());
            Some(Ok(0))
        }
        ConfigCommand::Check { file, stack_env } => {
            Some(check(file, stack_env.as_deref(), environment, out).await)
        }
        ConfigCommand::Export { .. } | ConfigCommand::Show => None,
    }
}

pub(super) async fn config(
    client: &Client,
    command: ConfigCommand,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        ConfigCommand::Export { file, all } => {
            let registered = Registered {
                apps: client.get("apps").await?,
                destinations: client.get("destinations").await?,
                channels: client.get("alert-channels").await?,
                routes: client.get("alert-routes").await?,
            };
            let exported = export(&registered, all);
            match file {
                Some(file) => write(&file, &exported.backups_yml, &exported.stack_env, out)?,
                None if out.json => show::one(&json!({
                    "backups_yml": exported.backups_yml, "stack_env": exported.stack_env,
                })),
                None => {
                    show::raw(exported.backups_yml.as_bytes());
                    // To fill in, and harmless where it stands.
                    for line in exported.stack_env.lines().filter(|line| line.contains('=')) {
                        show::line(&format!("# stack.env: {line}"));
                    }
                }
            }
            Ok(0)
        }
        _ => shown(client, out).await,
    }
}

async fn shown(client: &Client, out: &Out) -> Result<u8, CliError> {
    let config = client.get("config").await?;
    let state = text(&config["state"]);
    out.answer(&config, || {
        let file = text(&config["file"]);
        show::line(&match state {
            "none" => "the server follows no backups.yml".to_owned(),
            "in_force" => format!("{file} is in force"),
            "waiting" => format!("{file} is right and waits to be brought about"),
            _ => format!("{file} cannot be used; what it declared before is in force"),
        });
        for finding in items(&config["findings"]) {
            let line = finding["line"].as_u64().map(|line| format!("{line}:")).unwrap_or_default();
            let (key, message) = (text(&finding["key"]), text(&finding["message"]));
            let level = text(&finding["level"]);
            show::line(&show::safe(&format!("{file}:{line} {level}: {key}: {message}")));
        }
    });
    Ok(u8::from(state == "rejected"))
}

/// Both files, neither over one that is there.
fn write(file: &Path, backups: &str, variables: &str, out: &Out) -> Result<(), CliError> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let stack_env = file.with_file_name("stack.env");
    for path in [file, &stack_env] {
        if path.exists() {
            let message = format!("{} is there already: nothing is written", path.display());
            return Err(CliError::Refused(message));
        }
    }
    for (path, text, mode) in [(file, backups, 0o644), (&stack_env, variables, 0o600)] {
        let told = |error: std::io::Error| CliError::Failed(format!("{}: {error}", path.display()));
        let mut options = std::fs::OpenOptions::new();
        let mut made = options.write(true).create_new(true).mode(mode).open(path).map_err(told)?;
        made.write_all(text.as_bytes()).map_err(told)?;
    }
    let answer = json!({ "file": file.display().to_string(),
        "stack_env": stack_env.display().to_string() });
    out.answer(&answer, || {
        show::line(&format!("{} and {} are written", file.display(), stack_env.display()));
    });
    Ok(())
}

async fn check(
    file: &Path,
    stack_env: Option<&Path>,
    environment: &Environment,
    out: &Out,
) -> Result<u8, CliError> {
    let read = |path: &Path| {
        read_small(path).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
    };
    let Some(source) = read(file)? else {
        return Err(CliError::Usage(format!("there is no file {}", file.display())));
    };
    let variables = match stack_env {
        Some(path) => Some(
            read(path)?
                .ok_or_else(|| CliError::Usage(format!("there is no file {}", path.display())))?,
        ),
        None => read(&stack_env_of(file, environment))?,
    };
    let variables = Variables::new(environment, &variables.unwrap_or_default());
    let folder = file.parent().unwrap_or(Path::new(""));
    let (findings, declares) = match Declaration::parse(&source, &variables, folder) {
        Err(findings) => (findings, Value::Null),
        Ok(declaration) => judge(declaration, environment).await?,
    };
    let name = file.display().to_string();
    let is_wrong = findings.iter().any(Finding::is_error);
    let answer = json!({ "file": name, "ok": !is_wrong, "findings": findings,
        "declares": declares });
    out.answer(&answer, || {
        for finding in &findings {
            let told = show::safe(&finding.told(&name));
            if finding.is_error() { show::aside(&told) } else { show::line(&told) }
        }
        for destination in items(&declares["destinations"]) {
            let (name, kind) = (text(&destination["name"]), text(&destination["kind"]));
            show::line(&format!("destination {name} ({kind})"));
        }
        for app in items(&declares["apps"]) {
            show::line(&sentence(app));
        }
        for channel in items(&declares["alert_channels"]) {
            let (name, kind) = (text(&channel["name"]), text(&channel["kind"]));
            show::line(&show::safe(&format!("channel {name} ({kind})")));
        }
        for route in items(&declares["alert_routes"]) {
            let to = show::word(&route["channels"]);
            show::line(&show::safe(&format!("route {} to {to}", text(&route["name"]))));
        }
    });
    Ok(if is_wrong { 2 } else { 0 })
}

fn sentence(app: &Value) -> String {
    let list = |value: &Value| items(value).iter().map(text).collect::<Vec<_>>().join(", ");
    let schedule = match app["schedule"].as_str() {
        Some(schedule) => format!("{schedule} ({})", text(&app["time_zone"])),
        None => "by hand".to_owned(),
    };
    let off = if app["enabled"] == false { ", disabled" } else { "" };
    format!(
        "app {} ({}) to {}, {schedule}{off}",
        text(&app["name"]),
        list(&app["sources"]),
        list(&app["destinations"]),
    )
}

/// What the engine says of it, on a catalog that is empty and goes away.
async fn judge(
    declaration: Declaration,
    environment: &Environment,
) -> Result<(Vec<Finding>, Value), CliError> {
    let folder = tempfile::tempdir().map_err(CliError::failed)?;
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("catalog.sqlite").display());
    let config = Settings::read(environment)
        .map_or_else(|_| EngineConfig::new("check".to_owned()), |settings| settings.engine);
    let engine = Engine::new(Parts {
        catalog: Catalog::open(&url.into(), 1).await.map_err(CliError::failed)?,
        clock: std::sync::Arc::new(SystemClock),
        vault: Vault::new(&"nothing is kept".into()),
        config,
        wording: std::sync::Arc::new(engine::PlainWording),
        rng: rand::rngs::StdRng::from_rng(&mut rand::rng()),
    });
    let mut findings = Vec::new();
    match engine.try_declared(ManagedBy::File, &declaration.declared).await {
        Ok(_) => {}
        Err(DeclareError::Wrong(wrong)) => {
            // What is named may be registered on the server, which is not asked.
            let (elsewhere, wrong) = wrong.into_iter().partition(|(_, error)| {
                let (field, fact) = (&error.field, error.fact());
                match fact {
                    Fact::NoSuchDestination { .. } => field.ends_with(".destination"),
                    Fact::NoSuchChannel { .. } => field.starts_with("channels["),
                    Fact::NoSuchApp { .. } => field.starts_with("apps["),
                    _ => false,
                }
            });
            findings.extend(declaration.locate(wrong));
            let elsewhere = declaration.locate(elsewhere);
            findings.extend(elsewhere.into_iter().map(|one| Finding {
                message: format!(
                    "{} in this file: it must be registered on the server",
                    one.message
                ),
                ..one.as_warning()
            }));
        }
        Err(error) => return Err(CliError::failed(error)),
    }
    let declares = declares(&declaration);
    findings.extend(declaration.warnings);
    findings.sort_by_key(|finding| finding.line);
    Ok((findings, declares))
}

fn declares(declaration: &Declaration) -> Value {
    let declared = &declaration.declared;
    let destinations: Vec<_> = declared
        .destinations
        .iter()
        .map(|one| json!({ "name": one.name, "kind": one.kind }))
        .collect();
    let apps: Vec<_> = declared
        .apps
        .iter()
        .map(|app| {
            let sources: Vec<_> = app.sources.iter().map(|one| one.kind.as_str()).collect();
            let to: Vec<_> = app.destinations.iter().map(|one| one.destination.as_str()).collect();
            json!({
                "name": app.name,
                "enabled": app.enabled,
                "sources": sources,
                "destinations": to,
                "schedule": app.schedule.as_ref().map(|one| one.spec.as_str()),
                "time_zone": app.schedule.as_ref().map(|one| one.time_zone.as_str()),
                "retention": app.retention,
                "compression": app.compression,
            })
        })
        .collect();
    let channels = declared.channels.iter();
    let channels: Vec<_> =
        channels.map(|one| json!({ "name": one.name, "kind": one.kind })).collect();
    let routes = declared.routes.iter();
    let routes: Vec<_> =
        routes.map(|one| json!({ "name": one.name, "channels": one.channels })).collect();
    json!({
        "destinations": destinations, "apps": apps,
        "alert_channels": channels, "alert_routes": routes,
    })
}

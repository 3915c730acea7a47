//! The command line. `serve` runs the server, the rest talks to it.

mod accounts;
mod arguments;
mod client;
mod contract;
mod healthcheck;
mod restore;
mod show;

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::{Value, json};
use tracing_subscriber::{
    Layer as _,
    filter::{EnvFilter, FilterExt as _, LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{serve, settings};
pub(crate) use arguments::Arguments;
use arguments::{AppCommand, Command, DestinationCommand, Keep};
use client::{CliError, Client};

/// Runs a command; gives the exit code.
pub(crate) async fn run(arguments: Arguments) -> u8 {
    let environment = settings::environment();
    if matches!(arguments.command, Command::Serve | Command::Init) {
        return alone(&arguments, &environment).await;
    }
    let json = arguments.json;
    let done = async {
        if let Command::Healthcheck = arguments.command {
            return healthcheck::healthcheck(&environment).await;
        }
        if let Command::Contract(command) = arguments.command {
            return contract::perform(command, json).await;
        }
        let client = Client::new(&arguments, &environment)?;
        perform(&client, arguments.command, json).await
    };
    let outcome = tokio::select! {
        outcome = done => outcome,
        _ = tokio::signal::ctrl_c() => return 130,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}

/// What needs no server: being it, and making its data folder.
async fn alone(arguments: &Arguments, environment: &settings::Environment) -> u8 {
    log_to_stderr();
    let settings = match settings::Settings::read(environment) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return 2;
        }
    };
    let done = match arguments.command {
        Command::Serve => serve::serve(settings).await,
        _ => accounts::init(&settings, arguments.json).await,
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error:#}");
            1
        }
    }
}

/// `RUST_LOG` chooses, but of libraries only from INFO on: below it some write out credentials.
fn log_to_stderr() {
    const OURS: [&str; 7] =
        ["artifact", "backup_orchestrator", "catalog", "contract", "engine", "model", "store"];
    let chosen =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let safe = filter_fn(|event| {
        let from = event.target().split("::").next().unwrap_or_default();
        *event.level() <= tracing::Level::INFO || OURS.contains(&from)
    });
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer.with_filter(chosen.and(safe))).init();
}

async fn perform(client: &Client, command: Command, json: bool) -> Result<u8, CliError> {
    match command {
        Command::Serve | Command::Init | Command::Healthcheck | Command::Contract(_) => Ok(0),
        Command::User(command) => accounts::user(client, command, json).await,
        Command::Token(command) => accounts::token(client, command, json).await,
        Command::Audit { limit } => accounts::audit(client, limit, json).await,
        Command::Destination(command) => destination(client, command, json).await,
        Command::App(command) => app(client, *command, json).await,
        Command::Run { app, wait, kind, label, git_commit } => {
            let body = json!({ "kind": kind, "label": label, "git_commit": git_commit });
            let run = client.post(&format!("apps/{app}/run"), &body).await?;
            finish(client, run, wait, json).await
        }
        Command::Runs { app } => {
            let query = app.map_or(String::new(), |app| format!("?app={app}"));
            show::list(&client.get(&format!("runs{query}")).await?, json, show::RUN);
            Ok(0)
        }
        Command::RunShow { id } => {
            show::one(&client.get(&format!("runs/{id}")).await?);
            Ok(0)
        }
        Command::Logs { id, follow } => logs(client, &id, follow, json).await,
        Command::Cancel { id } => {
            show::one(&client.post(&format!("runs/{id}/cancel"), &json!({})).await?);
            Ok(0)
        }
        Command::Snapshots { app } => {
            let path = app.map_or("snapshots".to_owned(), |app| format!("apps/{app}/snapshots"));
            show::list(&client.get(&path).await?, json, show::SNAPSHOT);
            Ok(0)
        }
        Command::SnapshotShow { id } => {
            show::one(&client.get(&format!("snapshots/{id}")).await?);
            Ok(0)
        }
        Command::Pin { id } => {
            client.post(&format!("snapshots/{id}/pin"), &json!({})).await.map(|_| 0)
        }
        Command::Unpin { id } => client.delete(&format!("snapshots/{id}/pin")).await.map(|()| 0),
        Command::Verify { id, destination, wait } => {
            let body = json!({ "destination": destination });
            let run = client.post(&format!("snapshots/{id}/verify"), &body).await?;
            finish(client, run, wait, json).await
        }
        Command::Copy { id, to, wait } => {
            let body = json!({ "destination": to });
            let run = client.post(&format!("snapshots/{id}/copy"), &body).await?;
            finish(client, run, wait, json).await
        }
        Command::Restore { id, to, force } => restore::restore(client, &id, &to, force, json).await,
        Command::Retention { app } => {
            show::one(&client.get(&format!("apps/{app}/retention")).await?);
            Ok(0)
        }
        Command::Doctor { app } => {
            Ok(report(&client.post(&format!("apps/{app}/doctor"), &json!({})).await?, json))
        }
        Command::Overview => {
            show::one(&client.get("overview").await?);
            Ok(0)
        }
    }
}

async fn destination(
    client: &Client,
    command: DestinationCommand,
    json: bool,
) -> Result<u8, CliError> {
    match command {
        DestinationCommand::Add { name, kind, set, set_file, append_only } => {
            let mut secrets = BTreeMap::new();
            for (key, path) in set_file {
                secrets.insert(key, read_secret(Path::new(&path))?);
            }
            let settings: BTreeMap<_, _> = set.into_iter().collect();
            let body = json!({
                "name": name, "kind": kind, "settings": settings, "secrets": secrets,
                "append_only": append_only,
            });
            let added = client.post("destinations", &body).await?;
            show::one(&added);
            if added.get("generated_identity").is_some() {
                eprintln!(
                    "Store `generated_identity` away from this machine now: it is not shown \
                     again, and without it (or the catalog) nothing at `{name}` can be decrypted."
                );
            }
            Ok(0)
        }
        DestinationCommand::List => {
            show::list(&client.get("destinations").await?, json, show::DESTINATION);
            Ok(0)
        }
        DestinationCommand::Show { name } => {
            show::one(&client.get(&format!("destinations/{name}")).await?);
            Ok(0)
        }
        DestinationCommand::Remove { name } => {
            client.delete(&format!("destinations/{name}")).await.map(|()| 0)
        }
        DestinationCommand::Test { name } => {
            Ok(report(&client.post(&format!("destinations/{name}/test"), &json!({})).await?, json))
        }
    }
}

async fn app(client: &Client, command: AppCommand, json: bool) -> Result<u8, CliError> {
    match command {
        AppCommand::Add {
            name,
            url,
            token_file,
            destination,
            schedule,
            time_zone,
            compression,
            keep,
        } => {
            let destinations: Vec<_> = destination
                .iter()
                .map(|text| {
                    let (name, folder) = text.split_once(':').unwrap_or((text, ""));
                    json!({ "destination": name, "folder": folder })
                })
                .collect();
            let schedule = schedule
                .map(|spec| json!({ "spec": spec, "time_zone": time_zone.unwrap_or_default() }));
            let body = json!({
                "name": name,
                "url": url,
                "token": read_secret(&token_file)?,
                "destinations": destinations,
                "schedule": schedule,
                "retention": retention(&keep),
                "compression": compression,
            });
            show::one(&client.post("apps", &body).await?);
            Ok(0)
        }
        AppCommand::List => {
            show::list(&client.get("apps").await?, json, show::APP);
            Ok(0)
        }
        AppCommand::Show { name } => {
            show::one(&client.get(&format!("apps/{name}")).await?);
            Ok(0)
        }
        AppCommand::Enable { name } => enable(client, &name, true).await,
        AppCommand::Disable { name } => enable(client, &name, false).await,
        AppCommand::Remove { name } => client.delete(&format!("apps/{name}")).await.map(|()| 0),
    }
}

async fn enable(client: &Client, name: &str, enabled: bool) -> Result<u8, CliError> {
    client.post(&format!("apps/{name}/enabled"), &json!({ "enabled": enabled })).await.map(|_| 0)
}

fn retention(keep: &Keep) -> Value {
    let rules = [
        ("keep_last", keep.last.map(Value::from)),
        ("keep_hourly", keep.hourly.map(Value::from)),
        ("keep_daily", keep.daily.map(Value::from)),
        ("keep_weekly", keep.weekly.map(Value::from)),
        ("keep_monthly", keep.monthly.map(Value::from)),
        ("keep_yearly", keep.yearly.map(Value::from)),
        ("keep_within", keep.within.clone().map(Value::from)),
    ];
    rules.into_iter().filter_map(|(rule, value)| Some((rule.to_owned(), value?))).collect()
}

/// A secret comes from a file: an argument would be seen by everybody on the machine.
fn read_secret(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

fn report(report: &Value, json: bool) -> u8 {
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    if json {
        show::one(report);
    } else {
        for check in &checks {
            let mark = match check["state"].as_str() {
                Some("ok") => "✓",
                Some("warning") => "!",
                _ => "✕",
            };
            println!("{mark} {}: {}", show::text(&check["id"]), show::text(&check["detail"]));
            if let Some(advice) = check["advice"].as_str() {
                println!("  → {advice}");
            }
        }
    }
    u8::from(checks.iter().any(|check| check["state"] == "failed"))
}

/// Shows a run at once, or waits for its end and tells it by the exit code.
async fn finish(client: &Client, run: Value, wait: bool, json: bool) -> Result<u8, CliError> {
    if !wait {
        show::one(&run);
        return Ok(0);
    }
    let id = show::text(&run["id"]).to_owned();
    let mut seen = 0;
    loop {
        let shown = client.get(&format!("runs/{id}")).await?;
        if !json {
            seen = print_log(client, &id, seen).await?;
        }
        let run = &shown["run"];
        let state = show::text(&run["state"]);
        if !matches!(state, "queued" | "running") {
            if json {
                show::one(run);
            } else {
                print_log(client, &id, seen).await?;
                println!("{state}");
            }
            return Ok(match state {
                "succeeded" => 0,
                "partially_failed" => 3,
                _ => 1,
            });
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn print_log(client: &Client, id: &str, mut seen: i64) -> Result<i64, CliError> {
    let lines = client.get(&format!("runs/{id}/log?after={seen}")).await?;
    for line in lines.as_array().into_iter().flatten() {
        seen = line["seq"].as_i64().unwrap_or(seen);
        println!(
            "{} {:5} {}",
            show::text(&line["at"]),
            show::text(&line["level"]),
            show::text(&line["message"])
        );
    }
    Ok(seen)
}

async fn logs(client: &Client, id: &str, follow: bool, json: bool) -> Result<u8, CliError> {
    if json {
        show::one(&client.get(&format!("runs/{id}/log")).await?);
        return Ok(0);
    }
    let mut seen = 0;
    loop {
        let run = client.get(&format!("runs/{id}")).await?;
        seen = print_log(client, id, seen).await?;
        if !follow || !run["run"]["finished_at"].is_null() {
            return Ok(0);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

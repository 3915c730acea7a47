//! The command line. `serve` runs the server, the rest talks to it.

mod accounts;
mod alerts;
mod app_settings;
mod apps;
mod arguments;
mod audit;
mod bootstrap;
mod browse;
mod client;
mod clock;
mod completions;
mod config;
mod contract;
mod coverage;
mod destinations;
mod diff;
mod doctor;
mod drill_settings;
mod drills;
mod extract;
mod healthcheck;
mod moments;
mod overview;
mod quantity;
mod recovery;
mod recovery_settings;
mod repositories;
mod restore;
mod retention;
mod runs;
mod schedule;
mod sessions;
mod show;
mod snapshots;
mod sources;
mod storage;
mod wait;
mod whole;

use std::path::Path;

use crate::{
    demo, serve, settings,
    telemetry::{
        log::{self, Format},
        traces::Traces,
    },
};
pub(crate) use arguments::Arguments;
use arguments::Command;
use client::{CliError, Client};
use show::Out;

/// Runs a command; gives the exit code.
pub(crate) async fn run(arguments: Arguments) -> u8 {
    let environment = settings::environment();
    if matches!(arguments.command, Command::Serve | Command::Init | Command::Demo(_)) {
        return alone(&arguments, &environment).await;
    }
    let out = Out::new(arguments.json, &environment);
    let outcome = tokio::select! {
        outcome = perform(arguments, &environment, &out) => outcome,
        _ = tokio::signal::ctrl_c() => {
            if let Some(note) = out.note() {
                show::aside(&note);
            }
            return 130;
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            // A server's words are in it.
            for line in error.to_string().lines() {
                show::aside(&show::safe(line));
            }
            error.exit_code()
        }
    }
}

/// What needs no server: being it, and making its data folder.
async fn alone(arguments: &Arguments, environment: &settings::Environment) -> u8 {
    let read = || {
        let (format, traces) = (Format::read(environment)?, Traces::read(environment)?);
        log::begin(format, traces.as_ref());
        Ok::<_, settings::SettingError>((settings::Settings::read(environment)?, traces))
    };
    let (settings, traces) = match read() {
        Ok(read) => read,
        Err(error) => {
            show::aside(&error.to_string());
            return 2;
        }
    };
    let done = match &arguments.command {
        Command::Serve => serve::serve(settings, environment).await,
        Command::Demo(options) => demo::serve(options, environment).await,
        _ => accounts::init(&settings, arguments.json).await,
    };
    if let Some(traces) = traces {
        traces.end().await;
    }
    match done {
        Ok(()) => 0,
        Err(error) => {
            show::aside(&format!("{error:#}"));
            1
        }
    }
}

async fn perform(
    mut arguments: Arguments,
    environment: &settings::Environment,
    out: &Out,
) -> Result<u8, CliError> {
    let command = std::mem::replace(&mut arguments.command, Command::Overview);
    let server = || Client::new(&arguments, environment);
    match command {
        Command::Serve | Command::Init | Command::Demo(_) => Ok(0),
        Command::Healthcheck => {
            let code = healthcheck::healthcheck(environment).await?;
            out.answer(&serde_json::json!({ "done": true }), || ());
            Ok(code)
        }
        Command::Contract(command) => contract::perform(command, out.json).await,
        Command::Config(command) => match config::alone(&command, environment, out).await {
            Some(done) => done,
            None => config::config(&server()?, command, out).await,
        },
        Command::Schedule(command) => schedule::schedule(command, jiff::Timestamp::now(), out),
        Command::Completions(given) => completions::completions(&given, out),
        Command::User(command) => accounts::user(&server()?, command, out).await,
        Command::Session(command) => sessions::session(&server()?, command, out).await,
        Command::Token(command) => accounts::token(&server()?, command, out).await,
        Command::Audit(given) => audit::audit(&server()?, given, out).await,
        Command::Alert(command) => alerts::alert(&server()?, command, out).await,
        Command::Destination(command) => destinations::destination(&server()?, command, out).await,
        Command::Repository(command) => repositories::repository(&server()?, command, out).await,
        Command::App(command) => apps::app(&server()?, *command, environment, out).await,
        Command::Run(given) => runs::run(&server()?, given, out).await,
        Command::Runs(given) => runs::list(&server()?, given, out).await,
        Command::RunShow { id } => runs::show(&server()?, &id, out).await,
        Command::Logs(given) => runs::logs(&server()?, given, out).await,
        Command::Cancel { id } => runs::cancel(&server()?, &id, out).await,
        Command::Snapshots { app } => snapshots::list(&server()?, app, out).await,
        Command::SnapshotShow { id } => snapshots::show(&server()?, &id, out).await,
        Command::SnapshotBrowse(given) => browse::browse(&server()?, given, out).await,
        Command::SnapshotDiff(given) => diff::diff(&server()?, given, out).await,
        Command::Pin { id } => snapshots::pin(&server()?, &id, out).await,
        Command::Unpin { id } => snapshots::unpin(&server()?, &id, out).await,
        Command::AcceptClock => clock::accept(&server()?, out).await,
        Command::Accept { id } => snapshots::accept(&server()?, &id, out).await,
        Command::Verify(given) => snapshots::verify(&server()?, given, out).await,
        Command::Copy(given) => snapshots::copy(&server()?, given, out).await,
        Command::Restore(given) => restore::restore(&server()?, given, out).await,
        Command::Drill(given) => drills::drill(&server()?, given, out).await,
        Command::Drills => drills::list(&server()?, out).await,
        Command::Report { run } => drills::report(&server()?, &run, out).await,
        Command::Retention(command) => retention::retention(&server()?, command, out).await,
        Command::Coverage(command) => coverage::coverage(&server()?, command, out).await,
        Command::Bootstrap(given) => bootstrap::bootstrap(*given, environment, out).await,
        Command::Reindex { destination } => recovery::reindex(&server()?, &destination, out).await,
        Command::Recovery(command) => recovery::recovery(&server()?, command, out).await,
        Command::RecoveryKit(given) => recovery::kit(&server()?, given, out).await,
        Command::Doctor(given) => doctor::doctor(&server()?, given, out).await,
        Command::Storage(given) => storage::storage(&server()?, given, out).await,
        Command::Overview => overview::overview(&server()?, out).await,
    }
}

/// A secret comes from a file: an argument would be seen by everybody on the machine.
fn read_secret(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

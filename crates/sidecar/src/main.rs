//! Serves backup contract v1 beside an application.

mod archive;
mod check;
mod command;
mod config;
mod export;
mod health;
mod jobs;
mod redact;
mod restore;
mod server;
mod spool;
mod strategy;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use config::{Config, Environment};

/// What the exit codes mean.
const EXIT_CODES: &str = "Exit codes:
  0  everything is right
  1  the server failed, or does not answer `healthcheck`
  2  the configuration file or the command line cannot be used
  3  `check`: the file is right, but a folder, file, program or port is not";

/// Serves backup contract v1 beside an application.
#[derive(Parser)]
#[command(name = "backup-sidecar", version, after_help = EXIT_CODES)]
struct Arguments {
    /// The configuration file.
    #[arg(long, env = "SIDECAR_CONFIG", default_value = "config/config.yaml", global = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the contract (the default).
    Serve,
    /// Says what is wrong with the configuration, by line, or with the folders, programs and port
    /// that it names.
    #[command(after_help = EXIT_CODES)]
    Check {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Asks the server of this configuration whether it lives, for Docker's HEALTHCHECK.
    Healthcheck,
    /// Prints the JSON schema of the configuration.
    Schema,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new().context("no runtime") {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let environment: Environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let file = &arguments.config;
    match &arguments.command {
        Some(Command::Schema) => {
            print!("{}", Config::schema());
            return 0.into();
        }
        Some(Command::Check { json }) => {
            return runtime.block_on(check::run(file, &environment, *json)).into();
        }
        Some(Command::Healthcheck | Command::Serve) | None => {}
    }
    let is_serving = !matches!(arguments.command, Some(Command::Healthcheck));
    let config = match Config::load(file, &environment) {
        Ok(config) => config,
        Err(error) => {
            for line in error.to_string().lines() {
                eprintln!("{}: {line}", file.display());
            }
            return check::WRONG_FILE.into();
        }
    };
    let done = if is_serving {
        runtime.block_on(server::serve(config))
    } else {
        runtime.block_on(health::ask(&config))
    };
    done.map_or_else(|error| failed(&error), |()| 0.into())
}

fn failed(error: &anyhow::Error) -> std::process::ExitCode {
    eprintln!("{error:#}");
    1.into()
}

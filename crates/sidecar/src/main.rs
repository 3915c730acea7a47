//! Serves backup contract v1 beside an application.

mod archive;
mod command;
mod config;
mod export;
mod jobs;
mod redact;
mod server;
mod spool;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use config::Config;

/// Serves backup contract v1 beside an application.
#[derive(Parser)]
#[command(name = "backup-sidecar", version)]
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
    /// Says whether the configuration is right, and what is wrong with it, by line. Exit code 2
    /// where something is.
    Check,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let environment = std::env::vars().collect();
    let config = match Config::load(&arguments.config, &environment) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{}: {error}", arguments.config.display());
            return 2.into();
        }
    };
    if matches!(arguments.command, Some(Command::Check)) {
        println!("{}: right", arguments.config.display());
        return 0.into();
    }
    let served = tokio::runtime::Runtime::new()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(server::serve(config)));
    match served {
        Ok(()) => 0.into(),
        Err(error) => {
            eprintln!("{error:#}");
            1.into()
        }
    }
}

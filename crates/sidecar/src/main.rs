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
mod wal;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use config::{Config, Environment};

/// What the exit codes mean.
const EXIT_CODES: &str = "Exit codes:
  0  everything is right
  1  the server failed, or does not answer `healthcheck`
  2  the configuration file or the command line cannot be used
  3  `check`: the file is right, but a folder, file, program or port is not

`wal-push`, `wal-fetch` and `wal-receive` have their own: see their help";

/// What the exit codes of `wal-push` mean.
const PUSH_CODES: &str = "Exit codes:
  0  the file is durable at the destination
  1  it is not, or nobody knows: PostgreSQL keeps it and tries again
  2  the command line cannot be used";

/// What the exit codes of `wal-receive` mean.
const RECEIVE_CODES: &str = "Exit codes:
  0  it was told to end (SIGTERM, SIGINT); the slot keeps what is not stored
  1  what it was given cannot work: a file that cannot be read, a server before version 15
  2  the command line cannot be used

What may pass (the server, the orchestrator or the destination is away) is tried again without an end.";

/// What the exit codes of `wal-fetch` mean.
const FETCH_CODES: &str = "Exit codes:
  0    the file is at PATH
  1    it is proven not to be in the archive: PostgreSQL takes that for the end of WAL
  200  nobody knows, or the command line cannot be used: PostgreSQL stops the recovery";

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
    /// PostgreSQL's `archive_command`: hands a file of WAL to the orchestrator. Needs no
    /// configuration file.
    ///
    ///   archive_command = 'backup-sidecar wal-push %p'
    #[command(verbatim_doc_comment, after_help = PUSH_CODES)]
    #[expect(clippy::doc_markdown, reason = "the help shows the words as they are typed")]
    WalPush(wal::PushArgs),
    /// Receives WAL from the server beside it, as that writes it, and hands it to the orchestrator:
    /// instead of an `archive_command`. Needs no configuration file.
    #[command(after_help = RECEIVE_CODES)]
    WalReceive(wal::ReceiveArgs),
    /// PostgreSQL's `restore_command`: gets a file of WAL from the orchestrator. Needs no
    /// configuration file.
    ///
    ///   restore_command = 'backup-sidecar wal-fetch %f %p'
    #[command(verbatim_doc_comment, after_help = FETCH_CODES)]
    #[expect(clippy::doc_markdown, reason = "the help shows the words as they are typed")]
    WalFetch(wal::FetchArgs),
}

/// The command line; ends the process where that is wrong.
fn arguments() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|error| {
        // To PostgreSQL the usual code for wrong usage is that of the end of WAL.
        if error.use_stderr() && std::env::args_os().any(|word| word == "wal-fetch") {
            let _ = error.print();
            std::process::exit(wal::UNKNOWN.into());
        }
        error.exit()
    })
}

fn main() -> std::process::ExitCode {
    let mut arguments = arguments();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new().context("no runtime") {
        Ok(runtime) => runtime,
        Err(error) if matches!(arguments.command, Some(Command::WalFetch(_))) => {
            eprintln!("{error:#}");
            return wal::UNKNOWN.into();
        }
        Err(error) => return failed(&error),
    };
    match arguments.command {
        Some(Command::WalPush(given)) => return runtime.block_on(wal::push(given)).into(),
        Some(Command::WalFetch(given)) => return runtime.block_on(wal::fetch(given)).into(),
        Some(Command::WalReceive(given)) => return runtime.block_on(wal::receive(given)).into(),
        other => arguments.command = other,
    }
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
        _ => {}
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

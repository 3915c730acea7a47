//! Development tasks.

mod bench;
mod cache;
mod cargo;
mod deny;
mod docker;
mod links;
mod postgres;
mod prerequisites;
mod quickstart;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

/// Development tasks of Backup Orchestrator.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds, starts, backs up, verifies, restores and compares, for real.
    Quickstart(quickstart::Options),
    /// Installs what is missing where it can, and runs every check and test; or tries one thing
    /// that few machines have, on this one.
    Test {
        /// Makes a pool or a volume group in a file, and snapshots of it.
        what: Option<test::Rare>,
        /// Only archives of WAL and moments, on this version of PostgreSQL (13 to 18).
        #[arg(long, value_name = "MAJOR", conflicts_with = "what")]
        postgres: Option<u32>,
    },
    /// Judges licences, banned libraries and sources of every dependency.
    Deny,
    /// Builds the images and runs both compose files on a Docker engine, after the engine's own
    /// tests on it.
    Docker {
        /// Only the tests of the crate `engine`; a word chooses those that have it in their names, and
        /// `compose` the compose files alone.
        #[arg(long, value_name = "WORD", num_args = 0..=1, default_missing_value = "")]
        engine: Option<String>,
    },
    /// Checks the rooms (who may know whom, how large files may be) and the links in the documents.
    Tidy,
    /// Measures speed and memory against public tools in the same run.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Quickstart(options) => quickstart::run(&options),
        Task::Test { postgres: Some(major), .. } => postgres::run(major),
        Task::Test { what: None, .. } => test::run(),
        Task::Test { what: Some(rare), .. } => test::try_rare(rare),
        Task::Deny => deny::run(),
        Task::Docker { engine } => docker::run(engine.as_deref()),
        Task::Tidy => tidy::run(),
        Task::Bench(bench) => bench::run(&bench),
    }
}

//! Speed and memory, measured as ratios against public tools in the same run.

mod base;
mod cases;
mod data;
mod database;
mod dump;
mod lag;
mod measure;
mod memory;
mod paint;
mod peers;
mod pgbackrest;
mod positions;
mod reindex;
mod repository;
mod restore;
mod table;
mod ui;
mod wal;
mod world;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use cases::Case;
use world::World;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Sidecar → orchestrator → local disk and S3, beside curl, zstd, rclone, cp and dd.
    Stream(Options),
    /// A database and a volume, beside `pg_dump`, `gzip` and `tar`.
    Dump(DumpOptions),
    /// What was stored, brought back, beside `zstd -d`, `tar x`, `pg_restore` and `psql`.
    Restore(DumpOptions),
    /// The repository layout, beside restic 0.18, borg and rustic.
    Repository(repository::RepositoryOptions),
    /// An archive of WAL, beside pgBackRest and `pg_receivewal`.
    Wal(wal::WalOptions),
    /// Base backups and restores of a PostgreSQL server, beside pgBackRest and restic.
    Base(base::BaseOptions),
    /// A catalog from the manifests at a local destination.
    Reindex(ReindexOptions),
    /// The pages, with a long made-up history behind them.
    Ui(UiOptions),
}

#[derive(Args)]
pub(crate) struct UiOptions {
    /// How many apps.
    #[arg(long, default_value_t = 1_000)]
    apps: u32,
    /// How many days of history; each app runs once a day.
    #[arg(long, default_value_t = 100)]
    days: u32,
    /// How often each page is asked for.
    #[arg(long, default_value_t = 100)]
    times: u32,
    /// Write every figure into this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ReindexOptions {
    /// How many manifests.
    #[arg(long, default_value_t = 100_000)]
    manifests: usize,
    /// Write every figure into this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct DumpOptions {
    /// Size of the database, and of streams, in MiB, roughly.
    #[arg(long, default_value_t = 1100)]
    size_mib: u64,
    /// How often each thing is measured; medians are told.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Write every figure into this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Options {
    /// Size of one export, in MiB.
    #[arg(long, default_value_t = 1024)]
    size_mib: u64,
    /// How often each thing is measured; medians are told.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Only cases whose name contains this, such as `text/zstd` or `local`.
    #[arg(long)]
    only: Option<String>,
    /// Also one stream of ten times the size, and 32 streams at once of an eighth of it.
    #[arg(long)]
    memory: bool,
    /// Write every figure into this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let options = match bench {
        Bench::Repository(options) => return repository::run(options),
        Bench::Base(options) => return base::run(options),
        Bench::Wal(options) => return wal::run(options),
        Bench::Stream(options) => options,
        Bench::Reindex(options) => {
            return written(options.json.as_ref(), &reindex::run(options.manifests)?);
        }
        Bench::Ui(options) => {
            let figures = ui::run(options.apps, options.days, options.times)?;
            return written(options.json.as_ref(), &figures);
        }
        Bench::Dump(options) => {
            return written(options.json.as_ref(), &dump::run(options.size_mib, options.repeat)?);
        }
        Bench::Restore(options) => {
            return written(
                options.json.as_ref(),
                &restore::run(options.size_mib, options.repeat)?,
            );
        }
    };
    ensure!(options.repeat > 0 && options.size_mib >= 8, "at least one repetition and 8 MiB");
    let only = options.only.as_deref().unwrap_or_default();
    let cases: Vec<Case> =
        cases::all().into_iter().filter(|case| case.name().contains(only)).collect();
    world::need(&["curl", "zstd", "rclone", "sha256sum", "openssl", "dd", "cp", "bash"])?;
    let binaries = world::build()?;
    let started = memory::start_and_idle(&binaries)?;
    let mut all = json!({ "size_mib": options.size_mib, "start": started.to_json() });
    if !cases.is_empty() {
        let world = World::new(&binaries, options.size_mib)?;
        let results = cases::measure(&world, &cases, options.repeat)?;
        table::print(&cases, &results);
        all["stream"] = results.to_json();
    }
    let mut peaks = Vec::new();
    if options.memory {
        peaks = memory::peaks(&binaries, options.size_mib)?;
        all["memory"] = peaks.iter().map(memory::Peak::to_json).collect::<Value>();
    }
    table::print_memory(&started, &peaks);
    written(options.json.as_ref(), &all)
}

fn written(file: Option<&PathBuf>, all: &Value) -> Result<()> {
    if let Some(file) = file {
        std::fs::write(file, serde_json::to_string_pretty(all)?)?;
    }
    Ok(())
}

//! A demonstration: a server with a made-up history, in a folder that goes with it. Nothing runs.

mod archive;
mod company;
mod history;
mod people;
mod stored;
mod told;

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use crate::{
    serve,
    settings::{Environment, Settings},
};

/// Runs that are written in one transaction.
const AT_ONCE: usize = 5_000;

#[derive(Args)]
pub(crate) struct DemoOptions {
    /// Where the pages are.
    #[arg(long, default_value_t = 5550)]
    port: u16,
    /// How many apps.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    apps: u32,
    /// How many days of history.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    days: u32,
}

/// Serves a made-up history until SIGTERM or Ctrl-C. What the environment says of data, catalog
/// and Docker does not count: nothing of this machine is touched.
pub(crate) async fn serve(options: &DemoOptions, environment: &Environment) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("backup-orchestrator-demo-").tempdir()?;
    let mut own: Environment = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "APP_ADMIN_PASS"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), environment.get(*name)?.clone())))
        .collect();
    for (name, value) in [
        ("BACKUP_DATA_DIR", folder.path().display().to_string()),
        ("BACKUP_BIND_ADDRESS", "127.0.0.1".to_owned()),
        ("APP_PORT", options.port.to_string()),
        ("APP_ADMIN_USER", "demo".to_owned()),
    ] {
        own.insert(name.to_owned(), value);
    }
    let settings = Settings { demo: true, ..Settings::read(&own)? };
    let opened = serve::open(&settings).await?;
    let mut history = history::History::new(&opened.engine, options.apps, options.days).await?;
    let mut count = 0;
    while let Some(past) = history.next(AT_ONCE) {
        count += past.runs.len();
        opened.engine.catalog().write_past(&past).await.context("the history cannot be written")?;
    }
    let shown = format!("http://localhost:{}", options.port);
    if let Some(login) = opened.accounts.add_first_user(&settings.first_user, &shown).await? {
        eprintln!("{}", login.told(&shown));
    }
    archive::add(&opened.engine, &mut history).await.context("WAL cannot be made up")?;
    people::add(&opened.engine, &history).await.context("people cannot be made up")?;
    opened.engine.note_kit_stored("demo").await?;
    tracing::info!("made up {count} runs of {} apps", options.apps);
    serve::serve_opened(opened, Arc::new(settings), &own).await
}

//! One export: from a strategy to a stream of bytes with an outcome.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    archive,
    command::Commands,
    config::{Config, StrategyType},
    strategy,
};

/// Why an export did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("{0}")]
    Failed(String),
    #[error("the export is empty: check the command, or set `allow_empty: true`")]
    Empty,
    #[error("nobody reads the export any more")]
    Gone,
}

/// Runs the export; its bytes go to `sink`. Success is the return value, never the end of the
/// bytes.
pub(crate) async fn run(
    config: &Arc<Config>,
    drive_folder_id: Option<&str>,
    sink: mpsc::Sender<Bytes>,
) -> Result<(), ExportError> {
    let commands = Commands::new(config, drive_folder_id);
    strategy::around(&commands, make(config, &commands, sink)).await
}

async fn make(
    config: &Arc<Config>,
    commands: &Commands,
    sink: mpsc::Sender<Bytes>,
) -> Result<(), ExportError> {
    if config.strategy.r#type == StrategyType::FileArchive {
        let config = Arc::clone(config);
        let written = tokio::task::spawn_blocking(move || archive::write(&config, sink)).await;
        let warnings = written.map_err(|panic| ExportError::Failed(panic.to_string()))??;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        return Ok(());
    }
    strategy::make(commands, sink).await
}

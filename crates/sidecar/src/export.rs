//! One export: from a strategy to a stream of bytes with an outcome.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    archive,
    command::Commands,
    config::{Config, StrategyType},
    strategy,
};

/// How much of a file is read at once, in bytes.
pub(crate) const READ_CHUNK: usize = 256 << 10;
/// How long `post` may take after an export that was cancelled.
const POST_AFTER_CANCEL: Duration = Duration::from_secs(60);

/// Why an export did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("{0}")]
    Failed(String),
    #[error("the export is empty: check the command, or set `allow_empty: true`")]
    Empty,
    #[error("nobody reads the export any more")]
    Gone,
    #[error("the export was cancelled")]
    Cancelled,
}

/// Runs the export; its bytes go to `sink`. Success is the return value, never the end of the
/// bytes. To cancel it kills its commands.
pub(crate) async fn run(
    config: &Arc<Config>,
    drive_folder_id: Option<&str>,
    sink: mpsc::Sender<Bytes>,
    cancel: &CancellationToken,
) -> Result<(), ExportError> {
    let commands = Commands::new(config, drive_folder_id);
    let strategy = &config.strategy.config;
    let making = async {
        for command in strategy.pre.all() {
            commands.run(commands.shell(command), None).await?;
        }
        make(config, &commands, sink).await
    };
    let made = cancel.run_until_cancelled(making).await.unwrap_or(Err(ExportError::Cancelled));
    // What `pre` has begun, `post` ends, also after a failure.
    let ending = async {
        let mut ended = Ok(());
        for command in strategy.post.all() {
            ended = ended.and(commands.run(commands.shell(command), None).await);
        }
        ended
    };
    if cancel.is_cancelled() {
        let _ = tokio::time::timeout(POST_AFTER_CANCEL, ending).await;
        return Err(ExportError::Cancelled);
    }
    made.and(ending.await)
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

/// Removes a file that may be there.
pub(crate) async fn remove(file: &Path) -> Result<(), ExportError> {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ExportError::Failed(format!("{}: {error}", file.display())))
        }
        _ => Ok(()),
    }
}

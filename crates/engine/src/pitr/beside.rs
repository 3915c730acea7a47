//! Whether WAL is handed over by a receiver beside the server: unlike an `archive_command` it hands
//! over what there is every few seconds, so that its silence means something.

use model::AppId;

use super::push::Handed;
use crate::{Engine, EngineError};

fn setting(app: AppId) -> String {
    format!("wal_beside/{app}")
}

/// Writes down who handed a segment over last.
pub(super) async fn note(engine: &Engine, app: AppId, handed: Handed) -> Result<(), EngineError> {
    let (name, catalog) = (setting(app), &engine.0.catalog);
    let by_receiver = handed != Handed::ByCommand;
    if by_receiver == is_there(engine, app).await? {
        return Ok(());
    }
    if by_receiver {
        catalog.set_setting(&name, "receiver").await?;
    } else {
        catalog.forget_setting(&name).await?;
    }
    Ok(())
}

/// Whether a receiver did.
pub(super) async fn is_there(engine: &Engine, app: AppId) -> Result<bool, EngineError> {
    Ok(engine.0.catalog.setting(&setting(app)).await?.is_some())
}

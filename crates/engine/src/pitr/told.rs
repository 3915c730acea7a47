//! Events of archives, each told once until it is over.

use model::{AppId, EventKind, Sentence, Severity};

use crate::{Engine, EngineError};

fn setting(app: AppId, kind: EventKind) -> String {
    format!("wal_told/{app}/{kind}")
}

/// Tells of something, unless the very same was the last that was told of its kind.
pub(super) async fn tell_once(
    engine: &Engine,
    app: AppId,
    kind: EventKind,
    severity: Severity,
    sentence: impl Into<Sentence>,
) -> Result<(), EngineError> {
    let sentence = sentence.into();
    let (name, catalog) = (setting(app, kind), &engine.0.catalog);
    if catalog.setting(&name).await?.as_deref() == Some(&sentence.message) {
        return Ok(());
    }
    let message = sentence.message.clone();
    engine.tell_of_wal(app, kind, severity, sentence).await?;
    Ok(catalog.set_setting(&name, &message).await?)
}

/// Tells of a state when it begins: whatever it says, not again before [`over`].
pub(super) async fn begins(
    engine: &Engine,
    app: AppId,
    kind: EventKind,
    severity: Severity,
    sentence: impl Into<Sentence>,
) -> Result<(), EngineError> {
    if engine.0.catalog.setting(&setting(app, kind)).await?.is_some() {
        return Ok(());
    }
    tell_once(engine, app, kind, severity, sentence).await
}

/// Whether something was told that is now over.
pub(super) async fn over(
    engine: &Engine,
    app: AppId,
    kind: EventKind,
) -> Result<bool, EngineError> {
    let (name, catalog) = (setting(app, kind), &engine.0.catalog);
    let was = catalog.setting(&name).await?.is_some();
    if was {
        catalog.forget_setting(&name).await?;
    }
    Ok(was)
}

//! Point-in-time recovery of PostgreSQL: an archive of WAL beside base backups, by which a server
//! goes back to any moment of its windows.

mod address;
pub(crate) mod archive;
mod archiver;
mod base;
mod beside;
mod content;
pub(crate) mod doctor;
mod follow;
mod heartbeat;
mod hole;
pub(crate) mod index;
pub(crate) mod keep;
mod keys;
pub(crate) mod names;
mod ops;
mod pace;
mod push;
mod receive;
pub(crate) mod restore;
mod retention;
mod room;
mod scan;
mod seal;
mod slot;
mod stream;
pub(crate) mod taken;
mod told;
mod unseal;
pub(crate) mod window;

pub use archive::WalStream;
pub(crate) use base::{is_base, open as open_base, part as base_part};
pub(crate) use follow::follow;
pub use push::{Handed, Pushed, WalBody};

use model::{App, Fact, RecoveryPlan, Source, SourceKind};

use crate::{Engine, EngineError, source::direct::Asked};

/// `app` as a base backup sees it: one server, and the one destination of its archive.
pub(crate) fn alone(engine: &Engine, app: &App) -> Result<App, model::Failure> {
    let changed = |why: String| model::Failure::new(model::FailureCode::ConfigurationChanged, why);
    let source = asked(engine, app).map_err(|error| changed(error.to_string()))?.source.clone();
    let mut alone = app.clone();
    let at = app.recovery.as_ref().map(|plan| plan.destination);
    alone.destinations.retain(|binding| Some(binding.destination_id) == at);
    // The names of its objects tell the source where the app has several.
    alone.sources.sort_by_key(|one| one.name != source.name);
    Ok(alone)
}

/// The server that `app` archives the WAL of.
pub(crate) fn asked<'a>(engine: &'a Engine, app: &'a App) -> Result<Asked<'a>, EngineError> {
    let plan = app
        .recovery
        .as_ref()
        .ok_or_else(|| EngineError::refused(Fact::NoWalArchive { app: app.name.to_string() }))?;
    let found = app.sources.iter().find(|source: &&Source| source.name == plan.source);
    match found.map(|source| (source, &source.kind)) {
        Some((source, SourceKind::Direct(direct))) => Ok(Asked { engine, app, source, direct }),
        _ => Err(EngineError::refused(not_postgres(app, plan))),
    }
}

fn not_postgres(app: &App, plan: &RecoveryPlan) -> Fact {
    Fact::NotPostgres { source: plan.source.to_string(), app: app.name.to_string() }
}

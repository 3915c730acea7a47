//! Copies of the catalog, the recovery kit, and what follows a recovery.

use axum::{Extension, extract::State, http::StatusCode};
use engine::{Reindexed, recovery::Hold};
use jiff::Timestamp;
use model::Name;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::{Json, Path, Query},
};
use crate::accounts::{AuditTarget, Caller};

/// How a recovery would stand, or stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Recovery {
    /// What waits for a person after the catalog was rebuilt.
    hold: Option<Hold>,
    /// Whether the recovery kit, as it is now, is still to be stored.
    kit_due: bool,
    /// When the catalog was copied last.
    made_at: Option<Timestamp>,
    /// Why it could not be copied.
    problem: Option<String>,
    /// How it stands at each destination.
    places: Vec<CopyShown>,
}

/// The newest copy of the catalog at one destination.
#[derive(Serialize, ToSchema)]
pub(super) struct CopyShown {
    /// The destination.
    destination: Name,
    /// Whether copies go there.
    wanted: bool,
    /// When the newest good one was made.
    at: Option<Timestamp>,
    /// Its name there.
    object: Option<String>,
    /// Its size in bytes.
    size_bytes: Option<u64>,
    /// Why the last one is not there.
    problem: Option<String>,
}

async fn state(engine: &engine::Engine) -> Result<Recovery, Problem> {
    let copies = engine.catalog_copies().await?;
    let all = engine.catalog().all_destinations().await?;
    let places = all
        .into_iter()
        .map(|one| {
            let place = copies.places.get(&one.id).cloned();
            CopyShown {
                wanted: engine::recovery::is_wanted(&one),
                destination: one.name,
                size_bytes: place.as_ref().filter(|one| one.at.is_some()).map(|one| one.size_bytes),
                at: place.as_ref().and_then(|one| one.at),
                object: place.as_ref().and_then(|one| one.object.clone()),
                problem: place.and_then(|one| one.problem),
            }
        })
        .collect();
    Ok(Recovery {
        hold: engine.recovery_hold().await?,
        kit_due: engine.kit_is_due().await?,
        made_at: copies.made_at,
        problem: copies.problem,
        places,
    })
}

pub(super) async fn show(State(api): Api) -> Result<Json<Recovery>, Problem> {
    Ok(Json(state(&api.engine).await?))
}

pub(super) async fn copy(State(api): Api) -> Result<Json<Recovery>, Problem> {
    api.engine.copy_catalog().await?;
    Ok(Json(state(&api.engine).await?))
}

pub(super) async fn confirm(State(api): Api) -> Result<StatusCode, Problem> {
    api.engine.confirm_recovery().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How much of the kit.
#[derive(Deserialize)]
pub(super) struct Kit {
    #[serde(default)]
    secrets: bool,
}

pub(super) async fn kit(
    State(api): Api,
    Query(asked): Query<Kit>,
) -> Result<(Extension<AuditTarget>, Json<serde_json::Value>), Problem> {
    let kit = api.engine.recovery_kit(asked.secrets).await?;
    let target = if asked.secrets { "with credentials" } else { "without credentials" };
    Ok((Extension(AuditTarget(target.to_owned())), Json(kit.exposed())))
}

pub(super) async fn stored(
    State(api): Api,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, Problem> {
    api.engine.note_kit_stored(&caller.who()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn reindex(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<Reindexed>, Problem> {
    let one = api.engine.catalog().destination_by_name(&name).await?;
    Ok(Json(api.engine.reindex(&one).await?))
}

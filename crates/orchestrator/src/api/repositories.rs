//! Destinations that are repositories: how they stand, and what keeps them sound.

use axum::{extract::State, http::StatusCode};
use engine::{RepositoryKey, RepositoryState};
use model::{Destination, Run};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::{Json, Path, Query},
};

#[derive(Deserialize, Default, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StateQuery {
    /// Count anew, which reads every folder.
    now: bool,
}

/// How much a check reads.
#[derive(Deserialize, Default, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct CheckRequest {
    /// Every byte, and not the structure alone.
    read_data: bool,
}

/// A password to add.
#[derive(Deserialize, Default, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct KeyRequest {
    /// The password; without one, one is made and shown once.
    #[schema(value_type = Option<String>, write_only, default = json!(null))]
    password: Option<SecretString>,
}

/// A password that was added. The one reply that holds one that was made.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct KeyMade {
    /// Its id.
    id: String,
    /// The password, shown now and never again; left out where it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    generated_password: Option<String>,
}

/// Which locks go.
#[derive(Deserialize, Default, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct UnlockRequest {
    /// All of them, and not only those whose owners are gone: then nobody may be at work.
    all: bool,
}

/// What became of the locks.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Unlocked {
    /// How many were removed.
    removed: usize,
}

/// Where to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct CopyAllRequest {
    /// The destination that gets what it lacks.
    to: String,
}

async fn named(api: &super::Shared, name: &str) -> Result<Destination, Problem> {
    Ok(api.engine.catalog().destination_by_name(name).await?)
}

pub(super) async fn show(
    State(api): Api,
    Path(name): Path<String>,
    Query(asked): Query<StateQuery>,
) -> Result<Json<RepositoryState>, Problem> {
    let one = named(&api, &name).await?;
    Ok(Json(if asked.now {
        api.engine.count_repository(&one).await?
    } else {
        api.engine.repository_state(&one).await?
    }))
}

pub(super) async fn check(
    State(api): Api,
    Path(name): Path<String>,
    Json(asked): Json<CheckRequest>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let one = named(&api, &name).await?;
    let run = api.engine.check_repository(&one, asked.read_data).await?;
    Ok((StatusCode::ACCEPTED, Json(run)))
}

pub(super) async fn free(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let one = named(&api, &name).await?;
    Ok((StatusCode::ACCEPTED, Json(api.engine.free_repository(&one).await?)))
}

pub(super) async fn copy(
    State(api): Api,
    Path(name): Path<String>,
    Json(asked): Json<CopyAllRequest>,
) -> Result<(StatusCode, Json<Vec<Run>>), Problem> {
    let (one, to) = (named(&api, &name).await?, named(&api, &asked.to).await?);
    Ok((StatusCode::ACCEPTED, Json(api.engine.copy_all(&one, &to).await?)))
}

pub(super) async fn keys(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<Vec<RepositoryKey>>, Problem> {
    let one = named(&api, &name).await?;
    Ok(Json(api.engine.repository_keys(&one).await?))
}

pub(super) async fn add_key(
    State(api): Api,
    Path(name): Path<String>,
    Json(asked): Json<KeyRequest>,
) -> Result<(StatusCode, Json<KeyMade>), Problem> {
    let one = named(&api, &name).await?;
    let (id, made) = api.engine.add_repository_key(&one, asked.password).await?;
    let generated_password = made.map(|password| password.expose_secret().to_owned());
    Ok((StatusCode::CREATED, Json(KeyMade { id, generated_password })))
}

pub(super) async fn rotate(
    State(api): Api,
    Path(name): Path<String>,
    Json(asked): Json<KeyRequest>,
) -> Result<Json<KeyMade>, Problem> {
    let one = named(&api, &name).await?;
    let (id, made) = api.engine.rotate_repository_key(&one, asked.password).await?;
    let generated_password = made.map(|password| password.expose_secret().to_owned());
    Ok(Json(KeyMade { id, generated_password }))
}

pub(super) async fn remove_key(
    State(api): Api,
    Path((name, key)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let one = named(&api, &name).await?;
    api.engine.remove_repository_key(&one, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unlock(
    State(api): Api,
    Path(name): Path<String>,
    Json(asked): Json<UnlockRequest>,
) -> Result<Json<Unlocked>, Problem> {
    let one = named(&api, &name).await?;
    let removed = api.engine.unlock_repository(&one, asked.all).await?;
    Ok(Json(Unlocked { removed }))
}

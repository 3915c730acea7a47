//! Alerts: what is and was wrong, what was sent, through which channels and routes.

use std::collections::HashMap;

use axum::{Extension, extract::State, http::StatusCode};
use catalog::{AlertQuery, DeliveryQuery};
use engine::{ChannelDraft, DeliveryShown, Engine, EngineError, RouteDraft, Usual};
use model::{Alert, AlertRoute, ChannelKind, ChannelTry, DeliveryState};
use serde::Deserialize;
use strum::IntoEnumIterator as _;

use super::{
    Api, Problem,
    extract::{Json, Path, Query},
    shapes::{ChannelEdit, ChannelKindShown, ChannelShown, RouteEdit, RouteShown},
};
use crate::accounts::AuditTarget;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    app: Option<String>,
    open: bool,
    offset: u64,
    limit: Option<u64>,
}

pub(super) async fn list(
    State(api): Api,
    Query(which): Query<Which>,
) -> Result<Json<Vec<Alert>>, Problem> {
    let app_id = match &which.app {
        Some(name) => Some(api.engine.catalog().app_by_name(name).await?.id),
        None => None,
    };
    let query = AlertQuery {
        app_id,
        open: which.open,
        offset: which.offset,
        limit: which.limit.unwrap_or(50),
        ..AlertQuery::default()
    };
    Ok(Json(api.engine.alerts(query).await?))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WhichSent {
    channel: Option<String>,
    state: Option<DeliveryState>,
    offset: u64,
    limit: Option<u64>,
}

pub(super) async fn sent(
    State(api): Api,
    Query(which): Query<WhichSent>,
) -> Result<Json<Vec<DeliveryShown>>, Problem> {
    let channel_id = match &which.channel {
        Some(name) => Some(api.engine.alert_channel(name).await?.id),
        None => None,
    };
    let query = DeliveryQuery {
        channel_id,
        state: which.state,
        offset: which.offset,
        limit: which.limit.unwrap_or(50),
    };
    Ok(Json(api.engine.deliveries(query).await?))
}

pub(super) async fn usual(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<Usual>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.usual(&app).await?))
}

pub(super) async fn kinds() -> Json<Vec<ChannelKindShown>> {
    Json(ChannelKind::iter().map(ChannelKindShown::new).collect())
}

pub(super) async fn channels(State(api): Api) -> Result<Json<Vec<ChannelShown>>, Problem> {
    let all = api.engine.alert_channels().await?;
    Ok(Json(all.into_iter().map(Into::into).collect()))
}

pub(super) async fn channel(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<ChannelShown>, Problem> {
    Ok(Json(api.engine.alert_channel(&name).await?.into()))
}

pub(super) async fn add_channel(
    State(api): Api,
    Json(draft): Json<ChannelDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<ChannelShown>), Problem> {
    let one = api.engine.add_alert_channel(draft).await?;
    let target = AuditTarget(one.name.to_string());
    Ok((StatusCode::CREATED, Extension(target), Json(one.into())))
}

pub(super) async fn edit_channel(
    State(api): Api,
    Path(name): Path<String>,
    Json(edit): Json<ChannelEdit>,
) -> Result<Json<ChannelShown>, Problem> {
    let one = api.engine.alert_channel(&name).await?;
    Ok(Json(api.engine.edit_alert_channel(one.id, edit.version, edit.draft).await?.into()))
}

pub(super) async fn remove_channel(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let one = api.engine.alert_channel(&name).await?;
    api.engine.remove_alert_channel(one.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn test_channel(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<ChannelTry>, Problem> {
    let one = api.engine.alert_channel(&name).await?;
    Ok(Json(api.engine.test_alert_channel(one.id).await?))
}

/// Routes with the names of what they are for and lead to; what is not there any more has its id.
async fn named(engine: &Engine, routes: &[AlertRoute]) -> Result<Vec<RouteShown>, EngineError> {
    let apps = engine.catalog().all_apps().await?;
    let apps: HashMap<_, _> = apps.into_iter().map(|app| (app.id, app.name)).collect();
    let channels = engine.alert_channels().await?;
    let channels: HashMap<_, _> = channels.into_iter().map(|one| (one.id, one.name)).collect();
    let shown = |route: &AlertRoute| {
        RouteShown::new(
            route,
            |id| apps.get(&id).map_or_else(|| id.to_string(), ToString::to_string),
            |id| channels.get(&id).map_or_else(|| id.to_string(), ToString::to_string),
        )
    };
    Ok(routes.iter().map(shown).collect())
}

async fn one_named(engine: &Engine, route: AlertRoute) -> Result<Json<RouteShown>, Problem> {
    match named(engine, &[route]).await?.pop() {
        Some(shown) => Ok(Json(shown)),
        None => Err(Problem::not_found("route")),
    }
}

pub(super) async fn routes(State(api): Api) -> Result<Json<Vec<RouteShown>>, Problem> {
    let all = api.engine.alert_routes().await?;
    Ok(Json(named(&api.engine, &all).await?))
}

pub(super) async fn route(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<RouteShown>, Problem> {
    one_named(&api.engine, api.engine.alert_route(&name).await?).await
}

pub(super) async fn add_route(
    State(api): Api,
    Json(draft): Json<RouteDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<RouteShown>), Problem> {
    let one = api.engine.add_alert_route(draft).await?;
    let target = AuditTarget(one.name.to_string());
    Ok((StatusCode::CREATED, Extension(target), one_named(&api.engine, one).await?))
}

pub(super) async fn edit_route(
    State(api): Api,
    Path(name): Path<String>,
    Json(edit): Json<RouteEdit>,
) -> Result<Json<RouteShown>, Problem> {
    let one = api.engine.alert_route(&name).await?;
    let changed = api.engine.edit_alert_route(one.id, edit.version, edit.draft).await?;
    one_named(&api.engine, changed).await
}

pub(super) async fn remove_route(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let one = api.engine.alert_route(&name).await?;
    api.engine.remove_alert_route(one.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

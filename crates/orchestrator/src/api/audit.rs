//! The audit log.

use axum::extract::State;
use catalog::AuditQuery;
use model::AuditEntry;
use serde::Deserialize;

use super::{
    Api, Problem,
    extract::{Json, Query},
};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    who: Option<String>,
    offset: u64,
    limit: Option<u64>,
}

pub(super) async fn list(
    State(api): Api,
    Query(which): Query<Which>,
) -> Result<Json<Vec<AuditEntry>>, Problem> {
    let query = AuditQuery {
        who: which.who,
        offset: which.offset.min(1 << 40),
        limit: which.limit.unwrap_or(50),
    };
    Ok(Json(api.engine.catalog().audit(&query).await?))
}

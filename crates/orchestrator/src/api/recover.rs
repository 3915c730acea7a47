//! Everything back from a backup, on a server where nothing is yet: what the page of that name does.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use engine::{EngineError, recovery::address};
use jiff::Timestamp;
use model::{DestinationKind, Fact};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::{Json, Path},
};
use crate::{
    accounts::AuditTarget,
    recover::{BootstrapError, Done, NAME, Request, Told, WayBack},
};

/// Where to recover from: a destination, by its address or by its kind and settings, and the
/// recovery key.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(super) struct RecoverRequest {
    /// The destination as the recovery kit prints it: `file:///mnt/copies`.
    address: String,
    /// Its kind, where there is no address.
    kind: String,
    /// Its settings; they count more than those of the address.
    settings: BTreeMap<String, String>,
    /// Its secrets.
    #[schema(value_type = BTreeMap<String, String>, write_only, default = json!({}))]
    secrets: BTreeMap<String, SecretString>,
    /// The recovery key, as the kit prints it.
    #[schema(value_type = String, write_only, default = json!(""))]
    identity: SecretString,
}

/// What there is to come back to.
#[derive(Serialize, ToSchema)]
pub(super) struct RecoverFound {
    /// What it begins with, and what tells how far it is; whoever has it may do both.
    word: String,
    /// When the newest good copy of the catalog was made.
    at: Timestamp,
    /// Its rows by table.
    rows: BTreeMap<String, u64>,
    /// Newer copies that cannot be used, and why.
    passed_over: Vec<String>,
}

/// Which recovery is to begin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecoverBegin {
    /// What was told when it was looked for.
    word: String,
}

/// How far a recovery is.
#[derive(Serialize, ToSchema)]
pub(super) struct RecoverProgress {
    /// `running`, `done` or `failed`.
    state: &'static str,
    /// What is under way: `fetch`, `write` or `manifests`.
    step: Option<String>,
    /// Why it failed.
    problem: Option<String>,
    /// What came of it.
    #[schema(value_type = Option<Done>)]
    done: Option<Box<Done>>,
}

impl From<Told> for RecoverProgress {
    fn from(told: Told) -> Self {
        let none = Self { state: "running", step: None, problem: None, done: None };
        match told {
            Told::Running(step) => Self { step: Some(step.to_string()), ..none },
            Told::Done(done) => Self { state: "done", done: Some(done), ..none },
            Told::Failed(why) => Self { state: "failed", problem: Some(why.to_string()), ..none },
        }
    }
}

/// Nothing that is there is replaced.
async fn must_be_empty(api: &super::Shared) -> Result<(), Problem> {
    let catalog = api.engine.catalog();
    if catalog.all_destinations().await?.is_empty() && catalog.all_apps().await?.is_empty() {
        return Ok(());
    }
    Err(EngineError::conflict(Fact::NeverRecoveredOver {}).into())
}

fn read(asked: RecoverRequest) -> Result<Request, EngineError> {
    let (kind, mut settings) = if asked.address.is_empty() {
        let kind = asked.kind.parse::<DestinationKind>();
        let kind = kind.map_err(|_| EngineError::invalid("kind", Fact::AddressOrKind {}))?;
        (kind, BTreeMap::new())
    } else {
        address::parse(asked.address.trim())?
    };
    settings.extend(asked.settings);
    if asked.identity.expose_secret().trim().is_empty() {
        return Err(EngineError::invalid("identity", Fact::KitKey {}));
    }
    Ok(Request {
        kind,
        settings,
        secrets: asked.secrets,
        identity: Some(asked.identity),
        name: NAME.to_owned(),
        known_as: None,
        // What this server made of itself when it was started first is kept aside.
        force: true,
    })
}

pub(super) async fn look(
    State(api): Api,
    Json(asked): Json<RecoverRequest>,
) -> Result<(Extension<AuditTarget>, Json<RecoverFound>), Problem> {
    must_be_empty(&api).await?;
    let request = read(asked)?;
    let target = AuditTarget(request.kind.to_string());
    match api.way_back.look(&api.settings, request).await {
        Ok((word, found)) => {
            let (at, rows, passed_over) = (found.at, found.rows, found.passed_over);
            Ok((Extension(target), Json(RecoverFound { word, at, rows, passed_over })))
        }
        Err(BootstrapError::Failed(why)) => Err(Problem::new(StatusCode::BAD_GATEWAY, why)),
        Err(BootstrapError::Refused(why)) => Err(EngineError::conflict(why).into()),
        Err(wrong) => Err(EngineError::invalid("address", wrong).into()),
    }
}

pub(super) async fn begin(
    State(api): Api,
    Json(asked): Json<RecoverBegin>,
) -> Result<StatusCode, Problem> {
    must_be_empty(&api).await?;
    if api.way_back.begin(&asked.word) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(EngineError::conflict(Fact::NotLookedAt {}).into())
}

fn told(way_back: &WayBack, word: &str) -> Response {
    match way_back.told(word) {
        Some(told) => Json(RecoverProgress::from(told)).into_response(),
        None => Problem::not_found("recovery").into_response(),
    }
}

/// How far it is, for whoever began it: no login of before is known in the catalog that comes back.
pub(super) async fn progress(State(api): Api, Path(word): Path<String>) -> Response {
    told(&api.way_back, &word)
}

/// What the API answers while the catalog is rebuilt.
pub(crate) fn while_recovering(way_back: Arc<WayBack>) -> Router {
    async fn of(State(way_back): State<Arc<WayBack>>, Path(word): Path<String>) -> Response {
        told(&way_back, &word)
    }
    async fn wait() -> Problem {
        let why = "the catalog is rebuilt from a destination: ask again when that is done";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.to_owned())
    }
    Router::new()
        .route("/api/v1/recovery/progress/{word}", get(of))
        .route("/api/v1/{*rest}", axum::routing::any(wait))
        .with_state(way_back)
}

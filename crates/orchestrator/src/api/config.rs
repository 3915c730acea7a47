//! `backups.yml`, as far as the server follows one.

use axum::extract::State;

use super::{Api, Problem, extract::Json};
use crate::backups_file::ConfigShown;

pub(super) async fn show(State(api): Api) -> Result<Json<ConfigShown>, Problem> {
    Ok(Json(api.backups_file.shown()))
}

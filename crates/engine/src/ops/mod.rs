//! What the API, the web pages and the command line ask of the engine.

pub(crate) mod apps;
pub(crate) mod browse;
pub(crate) mod channels;
pub(crate) mod destinations;
pub(crate) mod diff;
pub(crate) mod drill;
mod encryption;
pub(crate) mod google;
pub(crate) mod indexing;
pub(crate) mod managed;
mod managed_alerts;
pub(crate) mod moments;
pub(crate) mod overview;
pub(crate) mod projection;
pub(crate) mod recovery_plan;
pub(crate) mod repositories;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod routes;
pub(crate) mod runs;
pub(crate) mod snapshots;
pub(crate) mod sources;
pub(crate) mod standing;
pub(crate) mod storage;
pub(crate) mod storage_kept;
mod validate;
pub(crate) mod whole;

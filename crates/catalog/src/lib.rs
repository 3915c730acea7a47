//! The SQL index of everything the orchestrator knows, on SQLite or PostgreSQL.
//!
//! It decides nothing. It guards: names are unique, a run changes state only as it may, and
//! whoever lost a run's lease can write nothing more for it. Each noun is a row whose `doc`
//! column holds it as JSON, beside the columns that are searched.

mod adopt;
mod alerts;
mod apps;
mod audit;
mod connection;
mod destinations;
mod duties;
mod error;
mod events;
mod import;
mod known;
mod marks;
mod named;
mod objects;
mod past;
mod plans;
mod portable;
mod reports;
mod runs;
mod schedules;
mod schema;
mod sessions;
mod settings;
mod snapshots;
mod sql;
mod standings;
mod storage;
mod tables;
mod tokens;
mod totals;
mod upkeep;
mod users;
mod wal;

pub use adopt::Adoption;
pub use alerts::{AlertChanges, AlertQuery, Claimed, DamagedCopies, DeliveryQuery, PlaceEvidence};
pub use audit::AuditQuery;
pub use connection::{Backend, Catalog};
pub use error::CatalogError;
pub use events::EventQuery;
pub use objects::Leftover;
pub use past::Past;
pub use plans::PlanRecord;
pub use portable::{COPY_FORMAT, COPY_VERSION};
pub use runs::{CancelOutcome, Ending, Enqueued, Heartbeat, LogQuery, Progress, RunQuery};
pub use snapshots::CopyUpdate;
pub use standings::{AppStanding, NewestGood};
pub use storage::{CopyCount, StorageChange};
pub use totals::{Queue, RunTotal};
pub use upkeep::StaleCopy;

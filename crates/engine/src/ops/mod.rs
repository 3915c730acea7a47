//! What the API, the web pages and the command line ask of the engine.

pub mod apps;
pub mod destinations;
pub mod overview;
pub mod retention;
pub mod runs;
pub mod snapshots;
mod validate;

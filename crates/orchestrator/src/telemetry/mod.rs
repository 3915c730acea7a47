//! What the server tells of itself to those who watch it: metrics, health, its log, traces.

pub(crate) mod health;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod traces;

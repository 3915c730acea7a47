//! The real binary, driven by the contract's own client.

mod archives;
mod changes;
mod check;
mod commands;
mod contract;
#[path = "../../../engine/tests/it/daemon.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine's own databases")]
mod daemon;
mod exports;
mod imports;
mod jobs;
mod life;
mod mariadb;
mod postgres;
mod presets;
mod raw;
mod redis;
mod sidecar;
mod sqlite;
mod tree;
mod wal;

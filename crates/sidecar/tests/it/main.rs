//! The real binary, driven by the contract's own client.

mod check;
mod commands;
mod exports;
mod mariadb;
mod postgres;
mod presets;
mod redis;
mod sidecar;
mod sqlite;

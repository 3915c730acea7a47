//! The real program, on a data folder of its own.

mod canary;
mod command_line;
mod first_start;
mod logins;
#[path = "../../src/accounts/permissions.rs"]
#[allow(dead_code)]
mod permissions;
mod roles;
mod server;

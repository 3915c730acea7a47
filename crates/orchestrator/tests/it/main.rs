//! The real program, on a data folder of its own.

mod app;
mod backups_file;
mod bad_input;
mod being_read;
mod browser;
mod browsing;
mod canary;
mod chromium;
mod command_line;
mod commands;
mod disaster;
mod extraction;
mod first_start;
mod fuzz;
mod google;
mod help;
mod kill;
mod kill_restore;
mod logins;
mod openapi;
mod page_roles;
mod pages;
#[path = "../../src/accounts/permissions.rs"]
#[allow(dead_code)]
mod permissions;
mod postgres;
mod program;
mod recover_page;
mod recovery;
mod repositories;
mod restore_pages;
mod road;
mod roles;
mod s3_server;
mod scarce;
mod server;
mod sources;
#[path = "../../../sidecar/tests/it/tree.rs"]
mod tree;
mod trees;

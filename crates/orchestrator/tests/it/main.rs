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
mod deployments;
mod disaster;
mod disk;
mod extraction;
mod first_start;
mod fuzz;
#[path = "../../../engine/tests/it/git.rs"]
mod git;
mod google;
mod help;
mod kill;
mod kill_drill;
mod kill_restore;
mod kill_rotation;
mod logins;
mod moments;
mod openapi;
mod page_roles;
mod pages;
#[path = "../../src/accounts/permissions.rs"]
#[allow(dead_code)]
mod permissions;
mod postgres;
mod power_loss;
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
mod strace;
#[path = "../../../sidecar/tests/it/tree.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod tree;
mod trees;

//! The real program, on a data folder of its own.

mod alerts;
mod app;
mod audit_log;
mod axe;
mod backups_file;
mod bad_input;
mod being_read;
mod browser;
mod browsing;
mod canary;
mod chromium;
mod command_line;
mod commands;
mod cut_stream;
mod dashboards;
mod demo;
mod deployments;
mod disaster;
mod disk;
mod docker_stand_in;
mod every_page;
mod extraction;
mod first_start;
mod fuzz;
#[path = "../../../engine/tests/it/git.rs"]
mod git;
mod google;
mod guide;
mod guide_commands;
mod guide_pages;
mod help;
mod kill;
mod kill_drill;
mod kill_restore;
mod kill_rotation;
mod login_browser;
mod logins;
mod logs;
mod metrics;
mod moments;
mod oidc;
mod oidc_server;
mod openapi;
mod page_roles;
mod pages;
#[path = "../../src/accounts/permissions.rs"]
#[allow(dead_code)]
mod permissions;
mod postgres;
mod power_loss;
mod program;
mod promtool;
mod proxy;
mod readiness;
mod recover_page;
mod recovery;
mod repositories;
mod restore_pages;
mod road;
mod roles;
mod s3_server;
mod scarce;
mod second_factor;
mod server;
mod session_list;
mod sources;
mod strace;
mod token_limits;
mod totp;
mod traces;
#[path = "../../../sidecar/tests/it/tree.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod tree;
mod trees;
mod unread;

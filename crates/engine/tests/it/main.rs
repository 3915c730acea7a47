//! The engine against a real catalog, real stores and an app that behaves as it is told.

mod alert_changes;
mod alerts;
mod app_server;
mod beats;
mod browse;
mod clock;
mod copies;
mod daemon;
mod damage;
mod drill_formats;
mod drill_postgres;
mod drill_redis;
mod edits;
mod encryption;
mod faults;
mod flow;
mod git;
mod hook;
mod hung;
mod kills;
mod logs;
mod managed;
#[path = "../../../archive/tests/it/member.rs"]
mod member;
mod moments;
mod moments_fork;
#[path = "../../../catalog/tests/it/postgres.rs"]
mod postgres;
mod recovery;
mod reindex;
mod replicas;
mod repository;
#[path = "../../../repository/tests/it/restics.rs"]
mod restics;
mod restore_contract;
mod restore_contract_cut;
mod restore_cut;
mod restore_files;
mod restore_mysql;
mod restore_postgres;
mod restore_redis;
mod restore_sqlite;
mod retention;
mod source_files;
mod source_files_basis;
mod source_mysql;
mod source_postgres;
mod source_redis;
mod source_sqlite;
mod source_tree;
#[path = "../../../store/tests/it/sshd.rs"]
mod sshd;
#[path = "../../../sidecar/tests/it/tree.rs"]
mod tree;
mod upkeep;
mod wal;
mod wal_faults;
mod wal_outage;
mod wal_scan;
mod wal_spool;
mod whole;
mod world;

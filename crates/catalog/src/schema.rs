//! The tables, version by version.
//!
//! One text for both databases. Moments are microseconds since 1970, identifiers and words are
//! text, documents are JSON text.

/// Versions in order; a catalog remembers how many of them it has.
pub(crate) const VERSIONS: &[&[&str]] =
    &[FIRST, ACCOUNTS, DUTIES, REPORTS, UPKEEP, ALERTS, TOTALS, WAL, LONG, WIDE];

const FIRST: &[&str] = &[
    "CREATE TABLE app (id TEXT PRIMARY KEY, name_key TEXT NOT NULL, removed_at BIGINT, version BIGINT NOT NULL, doc TEXT NOT NULL)",
    "CREATE UNIQUE INDEX app_name ON app (name_key) WHERE removed_at IS NULL",
    "CREATE TABLE destination (id TEXT PRIMARY KEY, name_key TEXT NOT NULL, removed_at BIGINT, version BIGINT NOT NULL, doc TEXT NOT NULL)",
    "CREATE UNIQUE INDEX destination_name ON destination (name_key) WHERE removed_at IS NULL",
    "CREATE TABLE last_fire (app_id TEXT PRIMARY KEY, at BIGINT NOT NULL)",
    "CREATE TABLE run (id TEXT PRIMARY KEY, app_id TEXT, kind TEXT NOT NULL, state TEXT NOT NULL, attempt BIGINT NOT NULL, fire_at BIGINT, snapshot_id TEXT, not_before BIGINT NOT NULL, queued_at BIGINT NOT NULL, finished_at BIGINT, cancel_requested BIGINT NOT NULL, lease_owner TEXT, lease_token BIGINT NOT NULL, lease_expires_at BIGINT, stage TEXT NOT NULL, bytes_read BIGINT NOT NULL, bytes_expected BIGINT, doc TEXT NOT NULL)",
    "CREATE UNIQUE INDEX run_fire ON run (app_id, fire_at) WHERE fire_at IS NOT NULL AND attempt = 1",
    "CREATE UNIQUE INDEX run_one_at_a_time ON run (app_id) WHERE state = 'running'",
    "CREATE INDEX run_queue ON run (not_before) WHERE state = 'queued'",
    "CREATE INDEX run_of_app ON run (app_id, kind, queued_at)",
    "CREATE INDEX run_recent ON run (queued_at)",
    "CREATE TABLE run_outcome (run_id TEXT NOT NULL, destination_id TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (run_id, destination_id))",
    "CREATE TABLE run_stage (run_id TEXT NOT NULL, stage TEXT NOT NULL, started_at BIGINT NOT NULL, finished_at BIGINT, PRIMARY KEY (run_id, stage, started_at))",
    "CREATE TABLE run_log (run_id TEXT NOT NULL, seq BIGINT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (run_id, seq))",
    "CREATE TABLE begun_object (run_id TEXT NOT NULL, destination_id TEXT NOT NULL, object_key TEXT NOT NULL, PRIMARY KEY (run_id, destination_id, object_key))",
    "CREATE TABLE snapshot (id TEXT PRIMARY KEY, app_id TEXT NOT NULL, taken_at BIGINT NOT NULL, pinned BIGINT NOT NULL, doc TEXT NOT NULL)",
    "CREATE INDEX snapshot_of_app ON snapshot (app_id, taken_at)",
    "CREATE TABLE snapshot_copy (snapshot_id TEXT NOT NULL, destination_id TEXT NOT NULL, app_id TEXT NOT NULL, state TEXT NOT NULL, stored_bytes BIGINT NOT NULL, expiring_since BIGINT, doc TEXT NOT NULL, PRIMARY KEY (snapshot_id, destination_id))",
    "CREATE INDEX snapshot_copy_at ON snapshot_copy (destination_id, state)",
    "CREATE INDEX snapshot_copy_of_app ON snapshot_copy (app_id, state)",
    "CREATE TABLE retention_plan (id TEXT PRIMARY KEY, app_id TEXT NOT NULL, destination_id TEXT NOT NULL, run_id TEXT, at BIGINT NOT NULL, plan TEXT NOT NULL, finished_at BIGINT, outcome TEXT)",
    "CREATE INDEX retention_plan_of_app ON retention_plan (app_id, at)",
    "CREATE TABLE event (id TEXT PRIMARY KEY, at BIGINT NOT NULL, app_id TEXT, kind TEXT NOT NULL, doc TEXT NOT NULL)",
    "CREATE INDEX event_at ON event (at)",
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
];

/// Users, their logins, tokens, and who did what.
const ACCOUNTS: &[&str] = &[
    "CREATE TABLE user_account (id TEXT PRIMARY KEY, name_key TEXT NOT NULL, version BIGINT NOT NULL, doc TEXT NOT NULL)",
    "CREATE UNIQUE INDEX user_account_name ON user_account (name_key)",
    "CREATE TABLE login_session (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, secret_sha256 TEXT NOT NULL, created_at BIGINT NOT NULL, seen_at BIGINT NOT NULL, doc TEXT NOT NULL)",
    "CREATE UNIQUE INDEX login_session_secret ON login_session (secret_sha256)",
    "CREATE INDEX login_session_of_user ON login_session (user_id)",
    "CREATE TABLE api_token (id TEXT PRIMARY KEY, name_key TEXT NOT NULL, secret_sha256 TEXT NOT NULL, doc TEXT NOT NULL)",
    "CREATE UNIQUE INDEX api_token_name ON api_token (name_key)",
    "CREATE UNIQUE INDEX api_token_secret ON api_token (secret_sha256)",
    "CREATE TABLE audit (id TEXT PRIMARY KEY, at BIGINT NOT NULL, who TEXT NOT NULL, doc TEXT NOT NULL)",
    "CREATE INDEX audit_at ON audit (at)",
    "CREATE INDEX audit_who ON audit (who, at)",
];

/// What runs owe.
const DUTIES: &[&str] = &[
    "CREATE TABLE run_duty (run_id TEXT NOT NULL, seq BIGINT NOT NULL, host TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (run_id, seq))",
    "CREATE INDEX run_duty_host ON run_duty (host)",
];

/// What restores and drills tell of themselves.
const REPORTS: &[&str] = &["CREATE TABLE run_report (run_id TEXT PRIMARY KEY, doc TEXT NOT NULL)"];

/// When copies were last re-read, and fires of an app's drills beside those of its backups.
const UPKEEP: &[&str] = &[
    "ALTER TABLE snapshot_copy ADD COLUMN checked_at BIGINT",
    "DROP INDEX run_fire",
    "CREATE UNIQUE INDEX run_fire ON run (app_id, kind, fire_at) WHERE fire_at IS NOT NULL AND attempt = 1",
];

/// Who is told what is wrong, and what was told.
const ALERTS: &[&str] = &[
    "CREATE TABLE alert_channel (id TEXT PRIMARY KEY, name_key TEXT NOT NULL, removed_at BIGINT, version BIGINT NOT NULL, beat_at BIGINT, doc TEXT NOT NULL)",
    "CREATE UNIQUE INDEX alert_channel_name ON alert_channel (name_key) WHERE removed_at IS NULL",
    "CREATE TABLE alert_route (id TEXT PRIMARY KEY, name_key TEXT NOT NULL, removed_at BIGINT, version BIGINT NOT NULL, doc TEXT NOT NULL)",
    "CREATE UNIQUE INDEX alert_route_name ON alert_route (name_key) WHERE removed_at IS NULL",
    "CREATE TABLE alert (id TEXT PRIMARY KEY, alert_key TEXT NOT NULL, app_id TEXT, run_id TEXT, opened_at BIGINT NOT NULL, closed_at BIGINT, doc TEXT NOT NULL)",
    "CREATE UNIQUE INDEX alert_open ON alert (alert_key) WHERE closed_at IS NULL",
    "CREATE INDEX alert_opened ON alert (opened_at)",
    "CREATE INDEX alert_of_app ON alert (app_id, opened_at)",
    "CREATE INDEX alert_of_run ON alert (run_id)",
    "CREATE TABLE alert_inbox (event_id TEXT PRIMARY KEY)",
    "CREATE TABLE delivery (id TEXT PRIMARY KEY, channel_id TEXT NOT NULL, route_id TEXT NOT NULL, state TEXT NOT NULL, not_before BIGINT NOT NULL, created_at BIGINT NOT NULL, lease_token BIGINT NOT NULL, lease_expires_at BIGINT, doc TEXT NOT NULL)",
    "CREATE INDEX delivery_queued ON delivery (channel_id, created_at) WHERE state = 'queued'",
    "CREATE INDEX delivery_held ON delivery (not_before) WHERE state = 'held'",
    "CREATE INDEX delivery_made ON delivery (created_at)",
    "CREATE TABLE turn (name TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_at BIGINT NOT NULL)",
];

/// What ended runs come to; of those before, when they began is in their first stage.
const TOTALS: &[&str] = &[
    "CREATE TABLE run_total (app_id TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL, runs BIGINT NOT NULL, micros BIGINT NOT NULL, bytes_read BIGINT NOT NULL, bytes_written BIGINT NOT NULL, PRIMARY KEY (app_id, kind, state))",
    "INSERT INTO run_total (app_id, kind, state, runs, micros, bytes_read, bytes_written) SELECT COALESCE(app_id, ''), kind, state, COUNT(*), \
     CAST(COALESCE(SUM(finished_at - COALESCE((SELECT MIN(began.started_at) FROM run_stage began WHERE began.run_id = run.id), finished_at)), 0) AS BIGINT), \
     CAST(SUM(bytes_read) AS BIGINT), 0 FROM run WHERE finished_at IS NOT NULL GROUP BY COALESCE(app_id, ''), kind, state",
];

/// Archives of WAL: what is stored, named moments, who receives, and how it stands.
const WAL: &[&str] = &[
    "CREATE TABLE wal_piece (app_id TEXT NOT NULL, object_key TEXT NOT NULL, name TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (app_id, object_key))",
    "CREATE INDEX wal_piece_name ON wal_piece (app_id, name)",
    "CREATE TABLE restore_point (app_id TEXT NOT NULL, name TEXT NOT NULL, made_at BIGINT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (app_id, name))",
    "CREATE TABLE wal_receiver (app_id TEXT PRIMARY KEY, owner TEXT NOT NULL, token BIGINT NOT NULL, expires_at BIGINT NOT NULL)",
    "ALTER TABLE snapshot_copy ADD COLUMN kind TEXT",
    "CREATE INDEX snapshot_copy_kind ON snapshot_copy (kind, snapshot_id)",
    "CREATE TABLE wal_standing (app_id TEXT PRIMARY KEY, doc TEXT NOT NULL)",
];

/// Ways to what pages ask for that do not become longer with the history.
const LONG: &[&str] = &[
    "CREATE INDEX run_open ON run (queued_at) WHERE state IN ('queued', 'running')",
    "CREATE INDEX run_ended ON run (app_id, kind, finished_at, state)",
    "CREATE INDEX run_last ON run (kind, state, finished_at)",
    "CREATE INDEX snapshot_recent ON snapshot (taken_at)",
    "DROP INDEX snapshot_copy_of_app",
    "CREATE INDEX snapshot_copy_of_app ON snapshot_copy (app_id, state, snapshot_id, kind, stored_bytes)",
    "DROP INDEX snapshot_copy_at",
    "CREATE INDEX snapshot_copy_at ON snapshot_copy (destination_id, state, stored_bytes)",
];

/// Ways that hold what is asked for themselves: of a thousand apps each saves a thousand looks into
/// the table.
const WIDE: &[&str] = &[
    "DROP INDEX run_of_app",
    "CREATE INDEX run_of_app ON run (app_id, kind, queued_at, id, state)",
    "DROP INDEX snapshot_of_app",
    "CREATE INDEX snapshot_of_app ON snapshot (app_id, taken_at, id)",
];

//! What would keep WAL from coming, with the statement that changes it.

use model::{App, RecoveryPlan, WalWay};
use replication::Connection;

use super::{address, asked, beside, slot};
use crate::{CheckState, Engine, Report, source::direct::Asked};

/// Looks at the server of an app with an archive.
pub(crate) async fn look(engine: &Engine, app: &App, report: &mut Report) {
    let Some(plan) = &app.recovery else { return };
    let asked = match asked(engine, app) {
        Ok(asked) => asked,
        Err(error) => {
            report.failed("wal_source", error.to_string(), "choose another source");
            return;
        }
    };
    let settings = match address::of(&asked).await {
        Ok(settings) => settings,
        Err(failure) => {
            let advice = "give the server's host in the source's settings";
            report.failed("wal_reachable", failure.message, advice);
            return;
        }
    };
    let mut connection = match Connection::open(&settings).await {
        Ok(connection) => connection,
        Err(error) => {
            let advice = error.server().and_then(|told| told.advice.clone());
            let advice = advice.unwrap_or_else(|| "check host, port, user and password".to_owned());
            report.failed("wal_login", error.to_string(), advice);
            return;
        }
    };
    report.ok("wal_login", "the replication protocol is open to us");
    if connection.major() < 13 {
        let found = format!("PostgreSQL {}", connection.version());
        report.failed("wal_version", found, "PostgreSQL 13 or later is needed");
    }
    let is_received = beside::is_there(engine, app.id).await.unwrap_or(false);
    for check in CHECKS.iter().filter(|check| !(check.of_command && is_received)) {
        match connection.show(check.setting).await {
            Ok(value) if (check.is_well)(&value, plan.way) => {
                report.ok(check.id, format!("{} = {value}", check.setting));
            }
            Ok(value) => {
                let detail = format!("{} = {value}", check.setting);
                report.push(check.id, check.state, detail, Some(check.advice.to_owned()));
            }
            Err(error) => {
                report.push(check.id, CheckState::Warning, error.to_string(), None);
            }
        }
    }
    connection.close().await;
    if plan.way == WalWay::Stream {
        look_at_slot(&asked, report, plan).await;
    }
}

struct Wanted {
    id: &'static str,
    setting: &'static str,
    is_well: fn(&str, WalWay) -> bool,
    state: CheckState,
    /// Whether it is about `archive_command`, which a receiver beside the server does without.
    of_command: bool,
    advice: &'static str,
}

const CHECKS: &[Wanted] = &[
    Wanted {
        id: "wal_level",
        setting: "wal_level",
        is_well: |value, _| matches!(value, "replica" | "logical"),
        state: CheckState::Failed,
        of_command: false,
        advice: "ALTER SYSTEM SET wal_level = 'replica'; then restart the server",
    },
    Wanted {
        id: "wal_senders",
        setting: "max_wal_senders",
        // One receives while another takes a base backup.
        is_well: |value, _| value.parse::<u32>().is_ok_and(|number| number >= 2),
        state: CheckState::Failed,
        of_command: false,
        advice: "ALTER SYSTEM SET max_wal_senders = 10; then restart the server",
    },
    Wanted {
        id: "wal_slots",
        setting: "max_replication_slots",
        is_well: |value, way| {
            way == WalWay::Push || value.parse::<u32>().is_ok_and(|number| number >= 1)
        },
        state: CheckState::Failed,
        of_command: false,
        advice: "ALTER SYSTEM SET max_replication_slots = 10; then restart the server",
    },
    Wanted {
        id: "wal_archive",
        setting: "archive_mode",
        is_well: |value, way| way == WalWay::Stream || matches!(value, "on" | "always"),
        state: CheckState::Failed,
        of_command: true,
        advice: "ALTER SYSTEM SET archive_mode = 'on'; ALTER SYSTEM SET archive_command = \
                 'backup-sidecar wal-push %p'; then restart the server",
    },
    Wanted {
        id: "wal_timeout",
        setting: "archive_timeout",
        is_well: |value, way| way == WalWay::Stream || value != "0",
        state: CheckState::Warning,
        of_command: true,
        advice: "ALTER SYSTEM SET archive_timeout = '60s'; SELECT pg_reload_conf(): a segment is \
                 handed over when it is full, which on a quiet server takes days",
    },
    Wanted {
        id: "wal_bound",
        setting: "max_slot_wal_keep_size",
        is_well: |value, way| way == WalWay::Push || value != "-1",
        state: CheckState::Warning,
        of_command: false,
        advice: "ALTER SYSTEM SET max_slot_wal_keep_size = '…', at most half of the room that \
                 pg_wal has; SELECT pg_reload_conf(): a second guard beside ours against a full disk",
    },
];

async fn look_at_slot(asked: &Asked<'_>, report: &mut Report, plan: &RecoveryPlan) {
    let found = match slot::look(asked).await {
        Ok(found) => found,
        Err(failure) => {
            report.push("wal_slot", CheckState::Warning, failure.message, None);
            return;
        }
    };
    let most = found.most(plan);
    match &found.kept {
        Some(kept) if kept.bytes > most / 4 * 3 => report.push(
            "wal_slot",
            CheckState::Warning,
            format!("the server keeps {} bytes for us; {most} are allowed", kept.bytes),
            Some("see why WAL is not stored: `recovery status`".to_owned()),
        ),
        Some(kept) => {
            let (bytes, status) = (kept.bytes, &kept.status);
            report.ok("wal_slot", format!("the slot is {status}; {bytes} bytes are kept"));
        }
        None => report.ok("wal_slot", "the slot is made when receiving begins"),
    }
    match found.room {
        Ok(room) => report.ok(
            "wal_room",
            format!(
                "{} bytes are free at {}, where the server keeps WAL; at most {most} are kept \
                 for us",
                room.free,
                room.at.display()
            ),
        ),
        // The server has a bound of its own.
        Err(why) if found.bound.is_some() => report.ok(
            "wal_room",
            format!(
                "what is free where the server keeps WAL is not known ({why}); at most {most} \
                 bytes are kept for us"
            ),
        ),
        Err(why) => report.push(
            "wal_room",
            CheckState::Warning,
            format!(
                "what is free where the server keeps WAL is not known ({why}); up to {most} bytes \
                 are kept for us while the destination is away"
            ),
            Some(
                "say how much in the app's settings (most kept for us), or on the server: ALTER \
                 SYSTEM SET max_slot_wal_keep_size = '…'; SELECT pg_reload_conf()"
                    .to_owned(),
            ),
        ),
    }
}

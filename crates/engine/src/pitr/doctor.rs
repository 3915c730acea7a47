//! What would keep WAL from coming, with the statement that changes it.

use model::{App, Fact, RecoveryPlan, Size, WalWay};
use replication::Connection;

use super::{address, asked, beside, not_postgres, slot};
use crate::{CheckState, Engine, Report, source::direct::Asked};

/// Looks at the server of an app with an archive.
pub(crate) async fn look(engine: &Engine, app: &App, report: &mut Report) {
    let Some(plan) = &app.recovery else { return };
    let Ok(asked) = asked(engine, app) else {
        return report.failed("wal_source", not_postgres(app, plan), Fact::DoOtherSource {});
    };
    let settings = match address::of(&asked).await {
        Ok(settings) => settings,
        Err(failure) => return report.failed("wal_reachable", failure, Fact::DoGiveHost {}),
    };
    let mut connection = match Connection::open(&settings).await {
        Ok(connection) => connection,
        Err(error) => {
            let advice = error.server().and_then(address::advice).unwrap_or(Fact::DoLogin {});
            return report.failed("wal_login", address::failure(&error), advice);
        }
    };
    report.ok("wal_login", Fact::WalOpen {});
    if connection.major() < 13 {
        let found = Fact::PostgresIs { version: connection.version().to_string() };
        report.failed("wal_version", found, Fact::DoNewerPostgres {});
    }
    let is_received = beside::is_there(engine, app.id).await.unwrap_or(false);
    for check in CHECKS.iter().filter(|check| !(check.of_command && is_received)) {
        match connection.show(check.setting).await {
            Ok(value) => {
                let is_well = (check.is_well)(&value, plan.way);
                let found = Fact::SettingIs { setting: check.setting.to_owned(), value };
                if is_well {
                    report.ok(check.id, found);
                } else {
                    report.push(check.id, check.state, found, Some((check.advice)()));
                }
            }
            Err(error) => {
                report.push(check.id, CheckState::Warning, address::failure(&error), None);
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
    advice: fn() -> Fact,
}

fn and_restart(statement: &str) -> Fact {
    Fact::DoAndRestart { statement: statement.to_owned() }
}

const RELOAD: &str = "SELECT pg_reload_conf()";
const BOUND: &str = "ALTER SYSTEM SET max_slot_wal_keep_size = '…'";

const CHECKS: &[Wanted] = &[
    Wanted {
        id: "wal_level",
        setting: "wal_level",
        is_well: |value, _| matches!(value, "replica" | "logical"),
        state: CheckState::Failed,
        of_command: false,
        advice: || and_restart("ALTER SYSTEM SET wal_level = 'replica'"),
    },
    Wanted {
        id: "wal_senders",
        setting: "max_wal_senders",
        // One receives while another takes a base backup.
        is_well: |value, _| value.parse::<u32>().is_ok_and(|number| number >= 2),
        state: CheckState::Failed,
        of_command: false,
        advice: || and_restart("ALTER SYSTEM SET max_wal_senders = 10"),
    },
    Wanted {
        id: "wal_slots",
        setting: "max_replication_slots",
        is_well: |value, way| {
            way == WalWay::Push || value.parse::<u32>().is_ok_and(|number| number >= 1)
        },
        state: CheckState::Failed,
        of_command: false,
        advice: || and_restart("ALTER SYSTEM SET max_replication_slots = 10"),
    },
    Wanted {
        id: "wal_archive",
        setting: "archive_mode",
        is_well: |value, way| way == WalWay::Stream || matches!(value, "on" | "always"),
        state: CheckState::Failed,
        of_command: true,
        advice: || {
            and_restart(
                "ALTER SYSTEM SET archive_mode = 'on'; ALTER SYSTEM SET archive_command = \
                 'backup-sidecar wal-push %p'",
            )
        },
    },
    Wanted {
        id: "wal_timeout",
        setting: "archive_timeout",
        is_well: |value, way| way == WalWay::Stream || value != "0",
        state: CheckState::Warning,
        of_command: true,
        advice: || Fact::DoArchiveTimeout {
            statement: format!("ALTER SYSTEM SET archive_timeout = '60s'; {RELOAD}"),
        },
    },
    Wanted {
        id: "wal_bound",
        setting: "max_slot_wal_keep_size",
        is_well: |value, way| way == WalWay::Push || value != "-1",
        state: CheckState::Warning,
        of_command: false,
        advice: || Fact::DoSlotBound { statement: BOUND.to_owned(), reload: RELOAD.to_owned() },
    },
];

async fn look_at_slot(asked: &Asked<'_>, report: &mut Report, plan: &RecoveryPlan) {
    let found = match slot::look(asked).await {
        Ok(found) => found,
        Err(failure) => return report.push("wal_slot", CheckState::Warning, failure, None),
    };
    let most = found.most(plan);
    let limit = Size(most);
    match &found.kept {
        Some(kept) if kept.bytes > most / 4 * 3 => report.push(
            "wal_slot",
            CheckState::Warning,
            Fact::SlotKeepsMuch { size: Size(kept.bytes), limit },
            Some(Fact::DoSeeWal {}),
        ),
        Some(kept) => {
            let (size, status) = (Size(kept.bytes), kept.status.clone());
            report.ok("wal_slot", Fact::SlotIs { status, size });
        }
        None => report.ok("wal_slot", Fact::SlotLater {}),
    }
    match found.room {
        Ok(room) => {
            let (size, path) = (Size(room.free), room.at.display().to_string());
            report.ok("wal_room", Fact::WalRoom { size, path, limit });
        }
        // The server has a bound of its own.
        Err(why) if found.bound.is_some() => {
            report.ok("wal_room", Fact::WalRoomBounded { why, limit });
        }
        Err(why) => report.push(
            "wal_room",
            CheckState::Warning,
            Fact::WalRoomUnknown { why, limit },
            Some(Fact::DoSayMost { statement: format!("{BOUND}; {RELOAD}") }),
        ),
    }
}

//! What the server refuses, and the exact statement that changes it.

use std::fmt;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

/// What stands between us and the server, as far as somebody can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Problem {
    /// The password is wrong, or the role has none.
    Password,
    /// No line of `pg_hba.conf` lets us in, or there is no such role.
    NotAdmitted,
    /// The role may not replicate.
    NoReplicationRight,
    /// All connections or senders are in use.
    TooManyConnections,
    /// All replication slots are in use.
    NoFreeSlot,
    /// The server does not write enough into its WAL.
    WalLevel,
    /// There is no such slot.
    NoSlot,
    /// The slot is there already.
    SlotExists,
    /// Somebody else streams from the slot.
    SlotBusy,
    /// The server gave the slot up: it held back too much WAL.
    SlotLost,
    /// The WAL is no longer on the server. It will not come back.
    WalRemoved,
    /// The position is not in the server's history, or after its end.
    NotInHistory,
    /// The server starts, stops or is in recovery.
    Unavailable,
    /// Anything else.
    Other,
}

/// What was asked when the server said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Connect,
    CreateSlot,
    Slot,
    Wal,
    Other,
}

/// The server said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    doing: String,
    /// Our role, as SQL has its name.
    pub role: String,
    /// SQLSTATE, five characters.
    pub code: String,
    /// In the server's language.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What the server advises.
    pub hint: Option<String>,
    /// What it means for us.
    pub problem: Problem,
    /// What to do, with the exact statement where there is one.
    pub advice: Option<String>,
    /// Whether the server ends the connection with it.
    pub fatal: bool,
}

impl std::error::Error for ServerError {}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said())?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

/// Longest text of the server that is kept.
const MAX_TEXT: usize = 1_000;

impl ServerError {
    /// What was tried and what the server said of it, without our advice.
    pub fn said(&self) -> String {
        let mut said = format!("{}: {} ({})", self.doing, self.message, self.code);
        for more in [&self.detail, &self.hint].into_iter().flatten() {
            said.push_str("; ");
            said.push_str(more);
        }
        said
    }

    /// Reads the fields of an error that came when `asked`. `role` and `slot` are for advice.
    pub(crate) fn read(
        asked: Asked,
        doing: String,
        role: &str,
        slot: Option<&str>,
        mut fields: ErrorFields<'_>,
    ) -> Self {
        let mut error = Self {
            doing,
            role: identifier(role),
            code: "XX000".into(),
            message: "the server gives no reason".into(),
            detail: None,
            hint: None,
            problem: Problem::Other,
            advice: None,
            fatal: false,
        };
        let mut routine = String::new();
        // What cannot be read of an error leaves an error.
        while let Ok(Some(field)) = fields.next() {
            let text = String::from_utf8_lossy(field.value_bytes());
            let text: String = text.chars().take(MAX_TEXT).collect();
            match field.type_() {
                b'V' => error.fatal = text != "ERROR",
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                b'R' => routine = text,
                _ => {}
            }
        }
        error.problem = problem(asked, &error.code, &error.message, &routine);
        error.advice = advice(error.problem, role, slot);
        error
    }

    /// Whether the same may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        match self.problem {
            Problem::TooManyConnections | Problem::SlotBusy | Problem::Unavailable => true,
            // Connection, resources, operator, system.
            Problem::Other => ["08", "53", "57", "58"].iter().any(|c| self.code.starts_with(c)),
            _ => false,
        }
    }
}

/// By SQLSTATE and the routine that says no: messages are in the server's language.
fn problem(asked: Asked, code: &str, message: &str, routine: &str) -> Problem {
    match (code, asked) {
        ("28P01", _) => Problem::Password,
        ("28000", _) => Problem::NotAdmitted,
        ("42501", _) => Problem::NoReplicationRight,
        ("53300", _) => Problem::TooManyConnections,
        ("53400", Asked::CreateSlot) => Problem::NoFreeSlot,
        ("55000", Asked::CreateSlot) => Problem::WalLevel,
        ("55000", Asked::Wal | Asked::Slot) => Problem::SlotLost,
        ("42704", Asked::Wal | Asked::Slot) => Problem::NoSlot,
        ("42710", Asked::CreateSlot) => Problem::SlotExists,
        ("55006", _) => Problem::SlotBusy,
        ("58P01", Asked::Wal) => Problem::WalRemoved,
        ("57P01" | "57P02" | "57P03", _) => Problem::Unavailable,
        ("XX000", Asked::Wal) if routine == "StartReplication" => {
            // Both "not in this server's history" and "ahead of the WAL flush position".
            Problem::NotInHistory
        }
        _ if asked == Asked::Wal && message.contains("has already been removed") => {
            Problem::WalRemoved
        }
        _ => Problem::Other,
    }
}

/// A name as it stands in a statement.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn advice(problem: Problem, role: &str, slot: Option<&str>) -> Option<String> {
    let role = identifier(role);
    let slot = slot.unwrap_or("the slot").replace('\'', "''");
    Some(match problem {
        Problem::Password => {
            format!("set the password again: ALTER ROLE {role} PASSWORD '...'; and enter the same here")
        }
        Problem::NotAdmitted => format!(
            "see that the role exists (CREATE ROLE {role} LOGIN REPLICATION PASSWORD '...';), add \
             the line `host replication {role} ADDRESS/32 scram-sha-256` to pg_hba.conf with the \
             address this connection comes from (`local replication {role} scram-sha-256` for a \
             socket; `all` does not stand for `replication`), then SELECT pg_reload_conf();"
        ),
        Problem::NoReplicationRight => format!("as a superuser: ALTER ROLE {role} REPLICATION;"),
        Problem::TooManyConnections => {
            "wait, or raise max_wal_senders: ALTER SYSTEM SET max_wal_senders = 20; and restart"
                .into()
        }
        Problem::NoFreeSlot => {
            "drop a slot nobody uses (SELECT slot_name FROM pg_replication_slots WHERE NOT active;), \
             or ALTER SYSTEM SET max_replication_slots = 20; and restart"
                .into()
        }
        Problem::WalLevel => "ALTER SYSTEM SET wal_level = replica; and restart the server".into(),
        Problem::NoSlot => {
            format!("make it: SELECT pg_create_physical_replication_slot('{slot}', true);")
        }
        Problem::SlotExists => {
            format!("use it, or drop it first: SELECT pg_drop_replication_slot('{slot}');")
        }
        Problem::SlotBusy => format!(
            "somebody else streams from it: SELECT active_pid FROM pg_replication_slots WHERE \
             slot_name = '{slot}';"
        ),
        Problem::SlotLost => format!(
            "the slot held back more WAL than max_slot_wal_keep_size: SELECT \
             pg_drop_replication_slot('{slot}'); make it again, and take a new base backup"
        ),
        Problem::WalRemoved => {
            "this WAL is gone and leaves a gap: take a new base backup, and use a slot so that \
             the server keeps what was not received yet"
                .into()
        }
        Problem::NotInHistory => {
            "the server went back or took another way: take a new base backup".into()
        }
        Problem::Unavailable | Problem::Other => return None,
    })
}

//! Tools that are newer than the server: from PostgreSQL 17 on they set `transaction_timeout`, which
//! an older server does not know. Nothing depends on it: it is set to none.

use bytes::{Bytes, BytesMut};
use model::Failure;

use crate::source::postgres::{session::Session, tools::Tools};

/// The first version that knows the setting.
const KNOWN_SINCE: u32 = 17;
/// The statement, as the tools write it.
const STATEMENT: &str = "SET transaction_timeout = 0;";
/// How `pg_restore` ends when it went on after errors.
const IGNORED: &str = "errors ignored on restore: ";

/// Whether the tools set what the server does not know.
pub(super) async fn is_older(session: &Session<'_>, tools: &Tools) -> Result<bool, Failure> {
    if tools.major < KNOWN_SINCE {
        return Ok(false);
    }
    Ok(session.maintenance().await?.2 < KNOWN_SINCE)
}

/// Whether `pg_restore`, which went on to its end, complained of that statement and of nothing else.
pub(super) fn is_all_that_failed(message: &str) -> bool {
    let count = message.rsplit_once(IGNORED).map(|(_, rest)| rest);
    let count = count.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    count == Some(Some("1")) && message.contains(&format!("Command was: {STATEMENT}"))
}

/// The beginning of a plain dump with that statement as a comment.
pub(super) fn without(chunk: Bytes) -> Bytes {
    let line = format!("\n{STATEMENT}\n");
    let Some(at) = memchr::memmem::find(&chunk, line.as_bytes()) else { return chunk };
    let mut changed = BytesMut::from(&chunk[..]);
    changed[at + 1..at + 4].copy_from_slice(b"-- ");
    changed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_complaint_of_the_setting_is_no_failure() {
        let told = |count: &str, command: &str| {
            format!(
                "pg_restore: error: could not execute query: ERROR:  unrecognized configuration \
                 parameter \"transaction_timeout\"\nCommand was: {command}\n\
                 pg_restore: warning: errors ignored on restore: {count}\n"
            )
        };
        assert!(is_all_that_failed(&told("1", STATEMENT)));
        assert!(!is_all_that_failed(&told("2", STATEMENT)));
        assert!(!is_all_that_failed(&told("12", STATEMENT)));
        assert!(!is_all_that_failed(&told("1", "CREATE TABLE t (a int);")));
        // It broke off.
        assert!(!is_all_that_failed(&format!("Command was: {STATEMENT}\npg_restore: error: x")));
    }

    #[test]
    fn the_statement_becomes_a_comment() {
        let dump = "--\nSET lock_timeout = 0;\nSET transaction_timeout = 0;\nSELECT 1;\n";
        let changed = without(Bytes::from(dump));
        assert_eq!(changed, dump.replace("SET tran", "--  tran"));
    }
}

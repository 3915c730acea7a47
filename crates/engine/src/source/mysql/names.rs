//! Names of databases that are not dumped, or not accepted.

use model::{Failure, FailureCode};

/// The server's own databases.
const OWN: &[&str] = &["information_schema", "performance_schema", "sys", "mysql"];

/// Whether a database is the server's own.
pub(super) fn is_own(database: &str) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(database))
}

/// Refuses a name that could end a comment of the dump and begin a statement.
pub(super) fn check(database: &str) -> Result<(), Failure> {
    if !database.is_empty() && !database.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!(
        "the database `{}` has control characters in its name: rename it, or name the databases \
         to dump one by one",
        database.escape_debug()
    );
    Err(Failure::new(FailureCode::SourceConfig, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_refused() {
        assert!(check("a;b --x $(id) ñ").is_ok());
        for bad in ["", "a\nb", "a\rb", "a\u{85}b", "\0"] {
            assert_eq!(check(bad).unwrap_err().code, FailureCode::SourceConfig);
        }
    }
}

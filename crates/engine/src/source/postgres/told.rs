//! What the tools' complaints mean.
//!
//! The tools speak English; a server may tell its own part in another language. What is not known
//! here stays a failure that is worth another try.

use model::{Fact, Failure, FailureCode};

const NO_HOST: &str = "could not translate host name";
const UNAUTHORIZED: &[&str] = &[
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "authentication failed for user",
    "role \"",
    "permission denied for database",
];
const UNREACHABLE: &[&str] = &[
    NO_HOST,
    "Connection refused",
    "No route to host",
    "Network is unreachable",
    "timeout expired",
    "No such file or directory\n\tIs the server",
    "Is the server running",
    "too many clients",
    "remaining connection slots",
    "the database system is",
    "server closed the connection unexpectedly",
];
const CONFIG: &[&str] = &[
    "server version mismatch",
    "permission denied for",
    "row-level security",
    "root certificate file",
    "server does not support SSL",
    "certificate verify failed",
    "does not match host name",
    "invalid sslmode",
];

/// The same failure, by the code that says what to do about it.
pub(crate) fn explained(failure: Failure) -> Failure {
    if failure.code != FailureCode::SourceFailed {
        return failure;
    }
    let message = &failure.message;
    let is = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if is_no_such_database(&failure) {
        return with(FailureCode::SourceConfig, failure, Fact::DoDatabaseName {});
    }
    // Both need the connection to have failed: in the middle of a dump the same words would mean
    // something that has changed since.
    if message.contains("connection to server") || message.contains(NO_HOST) {
        if is(UNAUTHORIZED) && (!message.contains("role \"") || message.contains("does not exist"))
        {
            return with(FailureCode::SourceUnauthorized, failure, Fact::DoUserHba {});
        }
        if is(CONFIG) {
            return with(FailureCode::SourceConfig, failure, Fact::DoSslmode {});
        }
        if is(UNREACHABLE) {
            return with(FailureCode::SourceUnreachable, failure, Fact::DoHostPort {});
        }
    }
    if message.contains("No space left on device") {
        return with(FailureCode::SourceFailed, failure, Fact::DoSpoolRoom {});
    }
    if is(CONFIG) {
        return with(FailureCode::SourceConfig, failure, Fact::DoReadAll {});
    }
    failure
}

/// Whether a database is not there.
pub(crate) fn is_no_such_database(failure: &Failure) -> bool {
    let message = &failure.message;
    message.contains("FATAL:  database \"") && message.contains("does not exist")
}

fn with(code: FailureCode, failure: Failure, advice: Fact) -> Failure {
    Failure::new(code, Fact::also(failure, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_has_a_meaning() {
        let at = "psql ended with exit code 2: psql: error: connection to server at \"db\", port 1 failed: ";
        for (said, code) in [
            (
                "FATAL:  password authentication failed for user \"x\"",
                FailureCode::SourceUnauthorized,
            ),
            ("FATAL:  role \"x\" does not exist", FailureCode::SourceUnauthorized),
            ("FATAL:  database \"x\" does not exist", FailureCode::SourceConfig),
            ("Connection refused", FailureCode::SourceUnreachable),
            ("FATAL:  the database system is starting up", FailureCode::SourceUnreachable),
            ("server does not support SSL, but SSL was required", FailureCode::SourceConfig),
            ("FATAL:  something new", FailureCode::SourceFailed),
        ] {
            let failure = Failure::new(FailureCode::SourceFailed, format!("{at}{said}"));
            assert_eq!(explained(failure).code, code, "{said}");
        }
        let denied = "pg_dump ended with exit code 1: pg_dump: error: query failed: ERROR:  permission denied for table x";
        let denied = explained(Failure::new(FailureCode::SourceFailed, denied));
        assert_eq!(denied.code, FailureCode::SourceConfig);
        let late = explained(Failure::new(FailureCode::Timeout, "Connection refused"));
        assert_eq!(late.code, FailureCode::Timeout);
    }
}

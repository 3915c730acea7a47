//! What a data directory says of itself (`pg_controldata`): what a server needs to replay on it.

use std::collections::BTreeMap;

use model::{Failure, FailureCode};

/// Settings that replay needs as large as they were, by their names in `pg_controldata`; the last is
/// a setting's name.
const AS_LARGE: [(&str, &str); 5] = [
    ("max_connections setting", "max_connections"),
    ("max_worker_processes setting", "max_worker_processes"),
    ("max_wal_senders setting", "max_wal_senders"),
    ("max_prepared_xacts setting", "max_prepared_transactions"),
    ("max_locks_per_xact setting", "max_locks_per_transaction"),
];
/// Settings that it needs as they were: without them a new server gives up what they kept.
const AS_WAS: [(&str, &str); 3] = [
    ("wal_level setting", "wal_level"),
    ("wal_log_hints setting", "wal_log_hints"),
    ("track_commit_timestamp setting", "track_commit_timestamp"),
];

/// What `pg_controldata` prints, in English.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Control(BTreeMap<String, String>);

impl Control {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        let all: BTreeMap<_, _> =
            pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect();
        if all.contains_key("Database system identifier") {
            return Ok(Self(all));
        }
        let message = "pg_controldata does not tell what the data directory is";
        Err(Failure::new(FailureCode::RestoreRefused, message))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The cluster.
    pub(crate) fn system(&self) -> Option<&str> {
        self.get("Database system identifier")
    }

    /// Whether its server has ended in order.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.get("Database cluster state").is_some_and(|state| state.starts_with("shut down"))
    }

    /// Settings that a server needs to replay, as `NAME=VALUE`.
    pub(crate) fn settings(&self) -> Vec<String> {
        let all = AS_LARGE.iter().chain(&AS_WAS);
        all.filter_map(|(key, name)| Some(format!("{name}={}", self.get(key)?))).collect()
    }

    /// Whether it needs more than a server that was started by `before` has.
    pub(crate) fn needs_more_than(&self, before: &Self) -> bool {
        let number = |of: &Self, key| of.get(key).and_then(|value| value.parse::<u64>().ok());
        AS_LARGE.iter().any(|(key, _)| number(self, key) > number(before, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(connections: u32) -> Control {
        Control::parse(&format!(
            "pg_control version number:            1300\n\
             Database system identifier:           7312345678901234567\n\
             Database cluster state:               in production\n\
             wal_level setting:                    logical\n\
             max_connections setting:              {connections}\n\
             max_prepared_xacts setting:           3\n\
             track_commit_timestamp setting:       on\n"
        ))
        .unwrap()
    }

    #[test]
    fn a_server_gets_what_it_needs() {
        let control = told(120);
        assert_eq!(control.system(), Some("7312345678901234567"));
        assert!(!control.is_shut_down());
        let wanted = [
            "max_connections=120",
            "max_prepared_transactions=3",
            "wal_level=logical",
            "track_commit_timestamp=on",
        ];
        assert_eq!(control.settings(), wanted);
        assert!(told(121).needs_more_than(&control) && !control.needs_more_than(&told(121)));
        assert!(Control::parse("pg_controldata: error").is_err());
    }
}

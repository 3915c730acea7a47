//! PostgreSQL, by `pg_dump`.

use secrecy::ExposeSecret as _;
use tokio::process::Command;

use crate::config::Target;

/// Writes the custom format to standard output. The password is in the child's environment alone.
pub(super) fn dump(command: Command, target: &Target, options: &[String]) -> Command {
    let database = target.database.as_deref().unwrap_or_default();
    let mut command = connected(command, target, database);
    command.args(["--format=custom", "--no-password"]).args(options);
    command
}

/// Connects a program of PostgreSQL's to `database`.
pub(crate) fn connected(mut command: Command, target: &Target, database: &str) -> Command {
    let port = target.port.map(|port| port.to_string());
    let known = [
        ("host", target.host.as_deref()),
        ("port", port.as_deref()),
        ("user", target.user.as_deref()),
        ("dbname", Some(database)),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let further = target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let place: Vec<_> =
        further.chain(known).map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    command.arg(format!("--dbname={}", place.join(" ")));
    if let Some(password) = &target.password {
        command.env("PGPASSWORD", password.expose_secret());
    }
    command
}

/// As libpq's connection strings have it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

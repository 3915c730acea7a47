//! MySQL and MariaDB, by `mysqldump` or `mariadb-dump`.

use std::{fmt::Write as _, io::Write as _, path::Path};

use secrecy::{ExposeSecret as _, SecretString};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::{config::Target, export::ExportError};

/// Who connects where, in a file that only we can read: `--password` would be an argument.
pub(crate) fn options_file(
    target: &Target,
    otherwise: &Path,
) -> Result<NamedTempFile, ExportError> {
    let mut text = "[client]\n".to_owned();
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}=\"{}\"", escaped(value));
    };
    if let Some(socket) = &target.socket {
        set("socket", &socket.to_string_lossy());
    } else if let Some(host) = &target.host {
        set("host", host);
        // `localhost` would mean a socket.
        set("protocol", "tcp");
    }
    if let Some(port) = target.port {
        set("port", &port.to_string());
    }
    if let Some(user) = &target.user {
        set("user", user);
    }
    if let Some(password) = &target.password {
        set("password", password.expose_secret());
    }
    let text = SecretString::from(text);
    let told = |error| ExportError::Failed(format!("the client's options file: {error}"));
    // The container's own temporary folder is gone with it; a volume stays.
    let mut file =
        NamedTempFile::new().or_else(|_| NamedTempFile::new_in(otherwise)).map_err(told)?;
    file.write_all(text.expose_secret().as_bytes()).map_err(told)?;
    Ok(file)
}

fn escaped(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out
}

/// Has a program read who connects where.
pub(crate) fn connected(mut command: Command, options_file: &Path) -> Command {
    let mut first = std::ffi::OsString::from("--defaults-extra-file=");
    first.push(options_file);
    command.arg(first);
    command
}

/// One moment of every table, with all that belongs to it, as SQL on standard output.
pub(crate) fn dump(
    command: Command,
    options_file: &Path,
    target: &Target,
    options: &[String],
) -> Command {
    let mut command = connected(command, options_file);
    command.args([
        "--single-transaction",
        "--quick",
        "--routines",
        "--events",
        "--triggers",
        "--hex-blob",
        "--no-tablespaces",
        "--default-character-set=utf8mb4",
    ]);
    command.args(options);
    match &target.database {
        Some(database) => command.arg("--").arg(database),
        None => command.arg("--all-databases"),
    };
    command
}

//! Redis and Valkey, by `redis-cli --rdb`.

use std::path::Path;

use secrecy::ExposeSecret as _;
use tokio::{io::AsyncReadExt as _, process::Command};

use crate::{config::Target, export::ExportError};

/// Takes a snapshot as a replica does. To a file: on standard output a diskless server's end mark
/// would stay behind the snapshot.
pub(super) fn dump(command: Command, target: &Target, options: &[String], file: &Path) -> Command {
    let mut command = connected(command, target, options);
    command.arg("--rdb").arg(file);
    command
}

/// Tells a client who connects where.
pub(crate) fn connected(mut command: Command, target: &Target, options: &[String]) -> Command {
    if let Some(socket) = &target.socket {
        command.arg("-s").arg(socket);
    } else {
        if let Some(host) = &target.host {
            command.args(["-h", host]);
        }
        if let Some(port) = target.port {
            command.args(["-p", &port.to_string()]);
        }
    }
    if target.is_tls {
        command.arg("--tls");
    }
    if let Some(user) = &target.user {
        command.args(["--user", user]);
    }
    if let Some(password) = &target.password {
        command.env("REDISCLI_AUTH", password.expose_secret());
    }
    command.args(options);
    command
}

/// Some versions end with exit code 0 after a refused login.
pub(super) async fn check(file: &Path) -> Result<(), ExportError> {
    let mut magic = [0; 5];
    let whole = async {
        tokio::fs::File::open(file).await?.read_exact(&mut magic).await?;
        std::io::Result::Ok(())
    };
    let is_there = whole.await.is_ok();
    if is_there && matches!(&magic, b"REDIS" | b"VALKE") {
        return Ok(());
    }
    Err(ExportError::Failed("the server gave no snapshot: check user and password".to_owned()))
}

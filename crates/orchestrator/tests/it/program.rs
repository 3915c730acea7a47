//! The program as a child process.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// With the data folder `folder/data`, and nothing of this process's environment but the path.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("BACKUP_DATA_DIR", folder.join("data"))
        .env("BACKUP_BIND_ADDRESS", "127.0.0.1")
        .env("APP_PORT", "0")
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

//! pgBackRest, as it is set up to be measured: a repository in a folder, zstd at our level.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{database::Postgres, measure};

pub(super) const PROGRAM: &str = "pgbackrest";

/// Writes its configuration beside the server's data, with so many processes; gives the file.
pub(super) fn config(root: &Path, server: &Postgres, processes: u32) -> Result<PathBuf> {
    let user = nix::unistd::User::from_name("postgres")?.context("no user postgres")?;
    let owned = |name: &str| {
        let folder = root.join(name);
        fs::create_dir_all(&folder)?;
        chown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        Ok::<_, anyhow::Error>(folder.display().to_string())
    };
    let (repository, spool, log) = (owned("backrest")?, owned("spool")?, owned("log")?);
    let file = root.join(format!("pgbackrest-{processes}.conf"));
    let data = server.data.display();
    // As soon as there is anything, as much as ours: segments are not held back to be sent together.
    let told = format!(
        "[global]\nrepo1-path={repository}\nspool-path={spool}\nlog-path={log}\nlock-path={log}\n\
         log-level-file=off\nlog-level-console=warn\nprocess-max={processes}\n\
         compress-type=zst\ncompress-level=2\narchive-async=y\nstart-fast=y\n\
         repo1-retention-full=2\n\n\
         [bench]\npg1-path={data}\npg1-port={}\npg1-socket-path={data}\npg1-user=postgres\n",
        server.port
    );
    fs::write(&file, told)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    Ok(file)
}

/// Its command line.
pub(super) fn line(config: &Path, command: &str) -> String {
    format!("{PROGRAM} --config={} --stanza=bench {command}", config.display())
}

/// The same as the server's user, for the shell.
pub(super) fn as_user(line: &str) -> String {
    format!("cd / && setpriv --reuid=postgres --regid=postgres --clear-groups -- {line}")
}

/// Runs a command; wall and processor seconds.
pub(super) fn shell(config: &Path, command: &str) -> Result<(f64, f64)> {
    measure::shell(&as_user(&line(config, command)))
}

/// Has the server push its WAL from now on.
pub(super) fn archive(config: &Path, server: &Postgres) -> Result<()> {
    let push = line(config, "archive-push %p");
    server.sql("postgres", &format!("ALTER SYSTEM SET archive_command = '{push}'"))?;
    server.sql("postgres", "SELECT pg_reload_conf()")?;
    Ok(())
}

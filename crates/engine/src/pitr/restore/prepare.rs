//! A base backup's files, made ready to be replayed on where they lie now.

use std::{
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
};

use model::{Fact, Failure, FailureCode, Sentence};

/// Where WAL waits for the server, within its data directory.
pub(crate) const WAL: &str = "pg_wal_archive";
/// As the server is told to fetch it: all that there is lies here, so whatever is not is proven not
/// to be.
pub(crate) const FETCH: &str = "cp \"pg_wal_archive/%f\" \"%p\"";
/// What tablespaces hold, within the data directory: where they were may be another server's.
const TABLESPACES: &str = "pg_tblspc_files";
const AUTO: &str = "postgresql.auto.conf";
/// Settings of the old server that would make the new one wait for, or write to, what is the old
/// one's.
const NOT_OURS: [&str; 8] = [
    "archive_cleanup_command",
    "archive_command",
    "archive_library",
    "archive_mode",
    "primary_conninfo",
    "primary_slot_name",
    "recovery_",
    "restore_command",
];
const MARK: &str = "# Written by Backup Orchestrator for a restore to a moment.\n";

/// Makes `data` ready; gives what is not as it was.
pub(crate) fn prepare(data: &Path) -> Result<Vec<Sentence>, Failure> {
    ready(data).map_err(|error| {
        let (what, why) = (data.display().to_string(), error.to_string());
        Failure::new(FailureCode::RestoreRefused, Fact::NotMade { what, why })
    })
}

fn ready(data: &Path) -> io::Result<Vec<Sentence>> {
    let mut notes = Vec::new();
    if !data.join("PG_VERSION").is_file() {
        return Err(io::Error::other("it is no data directory of PostgreSQL"));
    }
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))?;
    for gone in ["postmaster.pid", "postmaster.opts", "standby.signal", "recovery.signal"] {
        remove(&data.join(gone))?;
    }
    for folder in ["pg_wal", "pg_wal/archive_status", "pg_tblspc", WAL] {
        let made = std::fs::DirBuilder::new().mode(0o700).create(data.join(folder));
        made.or_else(
            |error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) },
        )?;
    }
    let moved = tablespaces(data)?;
    if moved > 0 {
        notes.push(Fact::TablespacesMoved { count: moved }.into());
    }
    let config = data.join("postgresql.conf");
    if !config.exists() {
        std::fs::write(&config, MARK)?;
        notes.push(Fact::ConfigElsewhere { file: "postgresql.conf".to_owned() }.into());
    }
    let clients = data.join("pg_hba.conf");
    if !clients.exists() {
        std::fs::write(&clients, format!("{MARK}local all all peer\n"))?;
        notes.push(Fact::ConfigElsewhere { file: "pg_hba.conf".to_owned() }.into());
    }
    set(data, &["archive_mode = 'off'".to_owned()])?;
    notes.push(Fact::ArchiveModeOff {}.into());
    Ok(notes)
}

/// Writes `lines` at the end of the settings that count most, without what is the old server's.
pub(crate) fn set(data: &Path, lines: &[String]) -> io::Result<()> {
    let file = data.join(AUTO);
    let before = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read?,
    };
    std::fs::write(&file, settings(&before, lines))
}

fn settings(before: &str, lines: &[String]) -> String {
    let is_ours = |line: &&str| {
        let name = line.trim_start().to_ascii_lowercase();
        !NOT_OURS.iter().any(|one| name.starts_with(one)) && **line != *MARK.trim_end()
    };
    let mut text: String = before.lines().filter(is_ours).flat_map(|line| [line, "\n"]).collect();
    text.push_str(MARK);
    text.extend(lines.iter().flat_map(|line| [line.as_str(), "\n"]));
    text
}

/// A value, as a file of settings has it.
pub(crate) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// Moves what tablespaces hold out of the way of the links to them, and has the links lead there.
fn tablespaces(data: &Path) -> io::Result<u64> {
    let map = data.join("tablespace_map");
    let mut moved = 0;
    let mut lines = String::new();
    for entry in std::fs::read_dir(data.join("pg_tblspc"))? {
        let entry = entry?;
        let oid = entry.file_name().to_string_lossy().into_owned();
        if !oid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A link leads to where it was: nothing of it came, or it is another's.
        if entry.file_type()?.is_symlink() {
            std::fs::remove_file(entry.path())?;
            continue;
        }
        let to = data.join(TABLESPACES);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&to);
        made.or_else(
            |error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) },
        )?;
        std::fs::rename(entry.path(), to.join(&oid))?;
        // As seen from the link's own folder, so that the whole may be moved.
        let seen = PathBuf::from("..").join(TABLESPACES).join(&oid);
        symlink(&seen, entry.path())?;
        lines.extend([oid.as_str(), " ", &seen.display().to_string(), "\n"]);
        moved += 1;
    }
    if map.exists() {
        std::fs::write(&map, lines)?;
    }
    Ok(moved)
}

/// Gives all of `folder` to `user`; links are not followed.
pub(crate) fn give_all(folder: &Path, user: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = user else { return Ok(()) };
    let mut folders = vec![folder.to_owned()];
    lchown(folder, Some(uid), Some(gid))?;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            lchown(entry.path(), Some(uid), Some(gid))?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// Removes a file, where it is there.
pub(crate) fn remove(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_old_server_are_left_out() {
        let before = "# Do not edit\nwork_mem = '8MB'\nrestore_command = 'x'\n\
                      Recovery_target_time = 'y'\narchive_mode = on\n";
        let once = settings(before, &["archive_mode = 'off'".to_owned()]);
        let wanted = format!("# Do not edit\nwork_mem = '8MB'\n{MARK}archive_mode = 'off'\n");
        assert_eq!(once, wanted);
        assert_eq!(settings(&once, &["archive_mode = 'off'".to_owned()]), wanted);
        assert_eq!(quoted("a'b\\c"), "'a''b\\\\c'");
    }

    #[test]
    fn tablespaces_come_along() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        std::fs::create_dir_all(data.join("pg_tblspc/16400/PG_15/5")).unwrap();
        std::fs::write(data.join("pg_tblspc/16400/PG_15/5/1"), "rows").unwrap();
        symlink("/somewhere/else", data.join("pg_tblspc/16401")).unwrap();
        std::fs::write(data.join("tablespace_map"), "16400 /old\n16401 /else\n").unwrap();
        std::fs::write(data.join("PG_VERSION"), "15\n").unwrap();
        let notes = prepare(data).unwrap();
        assert_eq!(notes.len(), 4, "{notes:?}");
        let through = data.join("pg_tblspc/16400/PG_15/5/1");
        assert_eq!(std::fs::read_to_string(through).unwrap(), "rows");
        assert!(data.join("pg_tblspc/16401").symlink_metadata().is_err());
        let map = std::fs::read_to_string(data.join("tablespace_map")).unwrap();
        assert_eq!(map, "16400 ../pg_tblspc_files/16400\n");
        assert!(prepare(folder.path().join("pg_tblspc").as_path()).is_err());
    }
}

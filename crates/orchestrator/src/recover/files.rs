//! Files that are kept aside, never overwritten.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};

/// What SQLite keeps beside its file.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// `NAME.WHY-TIME`, where nothing is called that yet.
fn aside(path: &Path, why: &str, now: Timestamp) -> PathBuf {
    let time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{why}-{time}"));
    let mut to = PathBuf::from(&name);
    let mut number = 2;
    while to.exists() {
        let mut next = name.clone();
        next.push(format!("_{number}"));
        to = PathBuf::from(next);
        number += 1;
    }
    to
}

/// Moves a database's files aside; gives where the first of them is now, if any was there.
pub(super) fn keep_aside(
    path: &Path,
    why: &str,
    now: Timestamp,
) -> std::io::Result<Option<PathBuf>> {
    let to = aside(path, why, now);
    let mut moved = None;
    for end in BESIDE {
        let with = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        match std::fs::rename(with(path), with(&to)) {
            Ok(()) => moved = moved.or_else(|| Some(to.clone())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}

/// Removes what an earlier try may have left of a database's files.
pub(super) fn remove_all(path: &Path) -> std::io::Result<()> {
    for end in BESIDE {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::remove_file(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Puts a whole database's file under its name, durably.
pub(super) fn put_in_place(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::File::open(from)?.sync_all()?;
    std::fs::rename(from, to)?;
    match to.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// A new file that only its owner may read.
pub(super) fn write_private(path: &Path, content: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

/// The address of a database's file.
pub(super) fn sqlite_url(path: &Path) -> secrecy::SecretString {
    format!("sqlite://{}?mode=rwc", path.display()).into()
}

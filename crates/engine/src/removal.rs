//! Folders of ours, removed with all that is in them.

use std::{
    fs::Permissions,
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How often it is looked whether killed processes are gone, and the wait in between.
const GONE: (u32, Duration) = (50, Duration::from_millis(20));

/// Removes `folder`, where it is there, after the end of all that was started to work in it: an
/// orchestrator that is killed leaves behind what its own children have started.
pub(crate) async fn remove_with_workers(folder: &Path) -> io::Result<()> {
    let folder = folder.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        end_workers(&folder);
        remove_now(&folder)
    });
    done.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

fn end_workers(folder: &Path) {
    for _ in 0..GONE.0 {
        let found = workers(folder);
        if found.is_empty() {
            return;
        }
        for one in found {
            let _ = kill(one, Signal::SIGKILL);
        }
        std::thread::sleep(GONE.1);
    }
}

/// Processes that were told to keep their temporary files in `folder`, as all are that a drill
/// starts, and what they start. Nobody else's are among them, wherever they work.
fn workers(folder: &Path) -> Vec<Pid> {
    let told = [b"TMPDIR=", folder.as_os_str().as_bytes()].concat();
    let is_told = |variable: &[u8]| {
        let rest = variable.strip_prefix(told.as_slice());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
        // One that is gone, or is not ours to look at, has none.
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(is_told) {
            found.push(Pid::from_raw(id));
        }
    }
    found
}

/// Removes `folder`, where it is there. What was unpacked may have folders that let nobody write,
/// which only root may empty: they are opened first.
pub(crate) async fn remove(folder: &Path) -> io::Result<()> {
    let folder = folder.to_owned();
    let done = tokio::task::spawn_blocking(move || remove_now(&folder)).await;
    done.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

fn remove_now(folder: &Path) -> io::Result<()> {
    let removed = match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_all(folder.to_owned())?;
            std::fs::remove_dir_all(folder)
        }
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens every folder below, never through a link.
fn open_all(folder: PathBuf) -> io::Result<()> {
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let mode = folder.symlink_metadata()?.mode();
        if mode & 0o700 != 0o700 {
            std::fs::set_permissions(&folder, Permissions::from_mode(mode | 0o700))?;
        }
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_folders_are_removed_by_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let outside = folder.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::set_permissions(&outside, Permissions::from_mode(0o555)).unwrap();
        let scratch = folder.path().join("scratch");
        // Root may do everything: as somebody else, in a thread of its own.
        let removing = std::thread::spawn(move || {
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
            std::fs::create_dir_all(scratch.join("a/b")).unwrap();
            std::fs::write(scratch.join("a/b/file"), b"x").unwrap();
            std::os::unix::fs::symlink("../../outside", scratch.join("a/link")).unwrap();
            for (closed, mode) in [("a/b", 0o555), ("a", 0o000)] {
                let mode = Permissions::from_mode(mode);
                std::fs::set_permissions(scratch.join(closed), mode).unwrap();
            }
            assert!(std::fs::remove_dir_all(&scratch).is_err(), "this would prove nothing");
            remove_now(&scratch).unwrap();
            assert!(!scratch.exists());
            remove_now(&scratch).unwrap();
        });
        removing.join().unwrap();
        assert_eq!(outside.metadata().unwrap().mode() & 0o777, 0o555);
    }
}

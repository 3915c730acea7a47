//! Folders of ours, removed with all that is in them.

use std::{
    fs::Permissions,
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

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

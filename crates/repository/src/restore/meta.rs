//! What is told of an entry beside its content.

use std::{
    ffi::OsStr,
    fs::{File, FileTimes, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, fchown, lchown, symlink},
    },
    path::Path,
    time::SystemTime,
};

use nix::sys::{
    stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat},
    time::TimeSpec,
};
use xattr::FileExt as _;

use super::Warnings;
use crate::{Node, NodeKind, RepositoryError};

/// Owner, permissions, extended attributes and times of a file or folder that is open. What this
/// machine does not allow is told.
pub(super) fn apply(file: &File, path: &Path, node: &Node, warnings: &Warnings) {
    let tell = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            warnings.push(path, format_args!("{what}: {error}"));
        }
    };
    // The owner first: giving a file away clears set-user-id.
    tell("owner", fchown(file, Some(node.uid), Some(node.gid)));
    for attribute in &node.extended_attributes {
        tell(&attribute.name, file.set_xattr(&attribute.name, &attribute.value));
    }
    tell("mode", file.set_permissions(Permissions::from_mode(node.unix_mode())));
    if let Some(modified) = node.mtime {
        let accessed = node.atime.unwrap_or(modified);
        let times = FileTimes::new()
            .set_modified(SystemTime::from(modified))
            .set_accessed(SystemTime::from(accessed));
        tell("times", file.set_times(times));
    }
}

/// Makes what is neither file nor folder.
pub(super) fn special(
    path: &Path,
    node: &Node,
    warnings: &Warnings,
) -> Result<(), RepositoryError> {
    let kind = match node.kind {
        NodeKind::Symlink => None,
        NodeKind::Fifo => Some(SFlag::S_IFIFO),
        NodeKind::Dev => Some(SFlag::S_IFBLK),
        NodeKind::Chardev => Some(SFlag::S_IFCHR),
        _ => {
            warnings.push(path, format_args!("{:?}: left out", node.kind));
            return Ok(());
        }
    };
    let made = match kind {
        None => symlink(OsStr::from_bytes(node.link_target()), path),
        Some(kind) => {
            mknod(path, kind, Mode::from_bits_truncate(0o600), node.device).map_err(io::Error::from)
        }
    };
    if let Err(error) = made {
        if kind.is_none() {
            return Err(RepositoryError::io("linking", path, error));
        }
        warnings.push(path, format_args!("not made: {error}"));
        return Ok(());
    }
    let tell = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            warnings.push(path, format_args!("{what}: {error}"));
        }
    };
    tell("owner", lchown(path, Some(node.uid), Some(node.gid)));
    for attribute in &node.extended_attributes {
        tell(&attribute.name, xattr::set(path, &attribute.name, &attribute.value));
    }
    if kind.is_some() {
        let mode = Permissions::from_mode(node.unix_mode());
        tell("mode", std::fs::set_permissions(path, mode));
    }
    if let Some(modified) = node.mtime {
        let spec = |time: jiff::Timestamp| {
            let nanos = i64::from(time.subsec_nanosecond());
            let (seconds, nanos) = if nanos < 0 {
                (time.as_second() - 1, nanos + 1_000_000_000)
            } else {
                (time.as_second(), nanos)
            };
            TimeSpec::new(seconds, nanos)
        };
        let accessed = spec(node.atime.unwrap_or(modified));
        let done = utimensat(
            nix::fcntl::AT_FDCWD,
            path,
            &accessed,
            &spec(modified),
            UtimensatFlags::NoFollowSymlink,
        );
        tell("times", done.map_err(io::Error::from));
    }
    Ok(())
}

//! What the file system tells of an entry, as restic writes it down.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::Metadata,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::Path,
};

use jiff::Timestamp;
use nix::unistd::{Gid, Group, Uid, User};

use crate::{ExtendedAttribute, Node, NodeKind};

/// Names of owners, which are asked for once each.
#[derive(Default)]
pub(super) struct Owners {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Owners {
    fn user(&mut self, uid: u32) -> String {
        let ask = |uid| User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        self.users.entry(uid).or_insert_with_key(|uid| ask(*uid).unwrap_or_default()).clone()
    }

    fn group(&mut self, gid: u32) -> String {
        let ask = |gid| Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
        self.groups.entry(gid).or_insert_with_key(|gid| ask(*gid).unwrap_or_default()).clone()
    }
}

fn time(seconds: i64, nanoseconds: i64) -> Option<Timestamp> {
    Timestamp::new(seconds, i32::try_from(nanoseconds).ok()?).ok()
}

fn kind(metadata: &Metadata) -> NodeKind {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => NodeKind::File,
        () if kind.is_dir() => NodeKind::Dir,
        () if kind.is_symlink() => NodeKind::Symlink,
        () if kind.is_block_device() => NodeKind::Dev,
        () if kind.is_char_device() => NodeKind::Chardev,
        () if kind.is_fifo() => NodeKind::Fifo,
        () => NodeKind::Socket,
    }
}

/// The entry `name` without its content.
pub(super) fn node(name: &OsStr, metadata: &Metadata, owners: &mut Owners) -> Node {
    let mut node = Node::new(name.as_bytes(), kind(metadata));
    node.set_unix_mode(metadata.mode());
    node.mtime = time(metadata.mtime(), metadata.mtime_nsec());
    // As restic does: the time of reading would make another tree of what did not change.
    node.atime = node.mtime;
    node.ctime = time(metadata.ctime(), metadata.ctime_nsec());
    (node.uid, node.gid) = (metadata.uid(), metadata.gid());
    (node.user, node.group) = (owners.user(node.uid), owners.group(node.gid));
    (node.inode, node.device_id) = (metadata.ino(), metadata.dev());
    match node.kind {
        NodeKind::File => (node.size, node.links) = (metadata.size(), metadata.nlink()),
        NodeKind::Symlink => node.links = metadata.nlink(),
        NodeKind::Dev | NodeKind::Chardev => {
            (node.device, node.links) = (metadata.rdev(), metadata.nlink());
        }
        _ => {}
    }
    node
}

/// The extended attributes of an entry, in the order of their names. File systems that have none
/// have none; what the kernel hides from us it hides from everybody without its rights.
pub(super) fn attributes(path: &Path) -> std::io::Result<Vec<ExtendedAttribute>> {
    let names = match xattr::list(path) {
        Ok(names) => names,
        Err(error) if unsupported(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for name in names {
        let Some(value) = xattr::get(path, &name)? else { continue };
        all.push(ExtendedAttribute { name: name.to_string_lossy().into_owned(), value });
    }
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn unsupported(error: &std::io::Error) -> bool {
    use nix::errno::Errno;
    error.raw_os_error().is_some_and(|code| {
        matches!(Errno::from_raw(code), Errno::ENOTSUP | Errno::ENOSYS | Errno::EPERM)
    })
}

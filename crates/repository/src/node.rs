//! An entry of a folder, as restic writes it in JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Id, RepositoryError, quote, snapshot::null_is_empty};

/// Go's bits for what a file is, above the nine of its permissions.
mod go {
    pub(super) const DIR: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const FIFO: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHAR_DEVICE: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// A file with content.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Dev,
    /// A character device.
    Chardev,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// What we do not know; it is listed and not restored.
    #[serde(untagged)]
    Other(String),
}

/// An extended attribute of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendedAttribute {
    /// Its name, with the namespace.
    pub name: String,
    /// Its value.
    #[serde(with = "base64_bytes")]
    pub value: Vec<u8>,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name: any bytes but `/` and NUL.
    #[serde(with = "quoted")]
    pub name: Vec<u8>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: NodeKind,
    /// Permissions and type in Go's bits; see [`Node::unix_mode`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: u32,
    /// When its content changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Timestamp>,
    /// When it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atime: Option<Timestamp>,
    /// When anything of it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime: Option<Timestamp>,
    /// Its owner.
    #[serde(default)]
    pub uid: u32,
    /// Its group.
    #[serde(default)]
    pub gid: u32,
    /// Its owner's name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub user: String,
    /// Its group's name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub group: String,
    /// Its number in its file system.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inode: u64,
    /// The file system it lay in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub device_id: u64,
    /// Its size, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub size: u64,
    /// How many names it had.
    #[serde(default, skip_serializing_if = "is_default")]
    pub links: u64,
    /// Where a symbolic link leads; see [`Node::link_target`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub linktarget: String,
    /// The same where it is not UTF-8.
    #[serde(default, skip_serializing_if = "is_default", with = "base64_bytes")]
    pub linktarget_raw: Vec<u8>,
    /// Its extended attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub extended_attributes: Vec<ExtendedAttribute>,
    /// Which device a device is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub device: u64,
    /// The blobs of a file, in order; `null` for anything else.
    #[serde(default)]
    pub content: Option<Vec<Id>>,
    /// The tree of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtree: Option<Id>,
    /// What others wrote there.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Node {
    /// An entry that is told nothing else.
    pub fn new(name: &[u8], kind: NodeKind) -> Self {
        Self {
            name: name.to_vec(),
            kind,
            mode: 0,
            mtime: None,
            atime: None,
            ctime: None,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            inode: 0,
            device_id: 0,
            size: 0,
            links: 0,
            linktarget: String::new(),
            linktarget_raw: Vec::new(),
            extended_attributes: Vec::new(),
            device: 0,
            content: None,
            subtree: None,
            other: Map::new(),
        }
    }

    /// The permissions with set-user-id, set-group-id and sticky, as `chmod` takes them.
    pub fn unix_mode(&self) -> u32 {
        let special = [(go::SETUID, 0o4000), (go::SETGID, 0o2000), (go::STICKY, 0o1000)];
        let bits = special.iter().filter(|(bit, _)| self.mode & bit != 0).map(|(_, unix)| unix);
        (self.mode & 0o777) | bits.sum::<u32>()
    }

    /// Sets [`Node::mode`] for the entry's kind and the lower twelve bits of `unix`.
    pub fn set_unix_mode(&mut self, unix: u32) {
        let kind = match &self.kind {
            NodeKind::Dir => go::DIR,
            NodeKind::Symlink => go::SYMLINK,
            NodeKind::Dev => go::DEVICE,
            NodeKind::Chardev => go::DEVICE | go::CHAR_DEVICE,
            NodeKind::Fifo => go::FIFO,
            NodeKind::Socket => go::SOCKET,
            NodeKind::File | NodeKind::Other(_) => 0,
        };
        let special = [(go::SETUID, 0o4000), (go::SETGID, 0o2000), (go::STICKY, 0o1000)];
        let bits = special.iter().filter(|(_, bit)| unix & bit != 0).map(|(go, _)| go);
        self.mode = kind | (unix & 0o777) | bits.sum::<u32>();
    }

    /// Where a symbolic link leads.
    pub fn link_target(&self) -> &[u8] {
        if self.linktarget_raw.is_empty() {
            self.linktarget.as_bytes()
        } else {
            &self.linktarget_raw
        }
    }

    /// Sets where a symbolic link leads.
    pub fn set_link_target(&mut self, target: &[u8]) {
        self.linktarget = String::from_utf8_lossy(target).into_owned();
        if std::str::from_utf8(target).is_err() {
            self.linktarget_raw = target.to_vec();
        } else {
            self.linktarget_raw = Vec::new();
        }
    }

    /// The blobs of a file.
    pub fn blobs(&self) -> &[Id] {
        self.content.as_deref().unwrap_or_default()
    }
}

/// Refuses names that could reach out of their folder.
pub fn check_name(name: &[u8]) -> Result<(), RepositoryError> {
    let why = match name {
        b"" => "it is empty",
        b"." | b".." => "it means another folder",
        _ if name.contains(&b'/') => "it has a slash",
        _ if name.contains(&0) => "it has a NUL",
        _ => return Ok(()),
    };
    Err(RepositoryError::Name { name: String::from_utf8_lossy(name).into_owned(), why })
}

mod quoted {
    use std::borrow::Cow;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::quote;

    pub(super) fn serialize<S: Serializer>(name: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&quote::quote(name))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        quote::unquote(&Cow::<str>::deserialize(from)?).map_err(D::Error::custom)
    }
}

mod base64_bytes {
    use std::borrow::Cow;

    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    /// Go writes no bytes as `null`.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let Some(text) = Option::<Cow<'de, str>>::deserialize(from)? else { return Ok(Vec::new()) };
        BASE64_STANDARD.decode(text.as_ref()).map_err(D::Error::custom)
    }
}

//! A tree's listing as an index: what is in the tree, without looking at the tree itself.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
};

use super::listing::{FORMAT, Head, Kind, Row, VERSION};
use crate::index::{ArchiveEntry, EntryKind, Index, IndexError};

/// How an index says that it is of a tree: it has no places.
pub(crate) const PACKING: &str = "tree";

/// Makes the index of the listing that `from` gives, as a new file. Blocks.
pub(crate) fn make(from: impl Read, path: &Path) -> Result<(), IndexError> {
    let mut lines = BufReader::with_capacity(256 << 10, from).split(b'\n');
    let bad = |what: String| IndexError::Io(std::io::Error::other(what));
    let head = lines.next().transpose()?.ok_or_else(|| bad("the listing is empty".to_owned()))?;
    let head: Head = serde_json::from_slice(&head).map_err(|error| bad(error.to_string()))?;
    if head.format != FORMAT || head.version != VERSION {
        return Err(bad("the listing is of another version".to_owned()));
    }
    let index = Index::create(path)?;
    for line in lines {
        let row: Row = serde_json::from_slice(&line?).map_err(|error| bad(error.to_string()))?;
        let path = row.safe_path().map_err(|failure| bad(failure.message))?;
        let path = path.to_string_lossy().into_owned();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let entry = ArchiveEntry {
            name: name.to_owned(),
            kind: match row.kind {
                Kind::File => EntryKind::File,
                Kind::Folder => EntryKind::Folder,
                Kind::Link => EntryKind::Symlink,
                Kind::Fifo => EntryKind::Other,
            },
            size_bytes: row.size,
            mode: u32::from_str_radix(&row.mode, 8).unwrap_or_default(),
            uid: row.uid,
            gid: row.gid,
            modified_at: row.mtime,
            link: row
                .target
                .as_ref()
                .and_then(|target| Some(target.path()?.to_string_lossy().into_owned())),
            path: path.clone(),
        };
        let folder = index.folder(folder)?;
        index.add(folder, &entry, &(0..0))?;
    }
    index.folder("")?;
    index.finish(PACKING)
}

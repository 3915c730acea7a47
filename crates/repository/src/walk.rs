//! The way through a snapshot: entry by entry, depth first, folders read ahead.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{BlobKind, Id, Node, NodeKind, Reader, RepositoryError, Tree};

/// Deepest folder that is followed.
const MAX_DEPTH: usize = 2_000;
/// How many bytes of folders are read ahead.
const AHEAD_BYTES: u64 = 4 << 20;
/// How many folders are read ahead.
const AHEAD_TREES: usize = 64;

/// What is met on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum Visit {
    /// An entry; if it is a folder, what is in it follows.
    Enter {
        /// Its path from where the walk began, `/` between names.
        path: Vec<u8>,
        /// What it is.
        node: Box<Node>,
    },
    /// The end of a folder.
    Leave {
        /// Its path.
        path: Vec<u8>,
        /// What it is.
        node: Box<Node>,
    },
}

struct Frame {
    /// The folder itself; `None` for where the walk began.
    node: Option<Box<Node>>,
    entries: std::vec::IntoIter<Node>,
    path_bytes: usize,
    ahead: HashMap<Id, Bytes>,
}

/// Goes through a tree.
pub struct Walk {
    reader: Reader,
    frames: Vec<Frame>,
    path: Vec<u8>,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Walk({})", String::from_utf8_lossy(&self.path))
    }
}

impl Walk {
    /// Begins at the tree `root`.
    pub async fn begin(reader: &Reader, root: &Id) -> Result<Self, RepositoryError> {
        let mut walk = Self { reader: reader.clone(), frames: Vec::new(), path: Vec::new() };
        let tree = reader.tree(root).await?;
        walk.push(None, tree);
        Ok(walk)
    }

    fn push(&mut self, node: Option<Box<Node>>, tree: Tree) {
        let entries = tree.nodes.into_iter();
        let path_bytes = self.path.len();
        self.frames.push(Frame { node, entries, path_bytes, ahead: HashMap::new() });
    }

    /// Leaves out the rest of the folder that was entered last.
    pub fn skip(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.entries = Vec::new().into_iter();
        }
    }

    /// The next on the way; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Visit>, RepositoryError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        self.path.truncate(frame.path_bytes);
        let Some(node) = frame.entries.next() else {
            let left = self.frames.pop().and_then(|frame| frame.node);
            return Ok(left.map(|node| Visit::Leave { path: self.path.clone(), node }));
        };
        let node = Box::new(node);
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(&node.name);
        let path = self.path.clone();
        if node.kind == NodeKind::Dir {
            let tree = self.subtree(&node).await?;
            self.push(Some(node.clone()), tree);
        }
        Ok(Some(Visit::Enter { path, node }))
    }

    async fn subtree(&mut self, node: &Node) -> Result<Tree, RepositoryError> {
        let depth = self.frames.len();
        let (Some(id), true) = (node.subtree, depth < MAX_DEPTH) else {
            let how = if depth < MAX_DEPTH { "has no tree" } else { "is too deep" };
            let path = String::from_utf8_lossy(&self.path).into_owned();
            return Err(RepositoryError::malformed("a tree", format!("the folder {path} {how}")));
        };
        let Some(frame) = self.frames.last_mut() else { return self.reader.tree(&id).await };
        if !frame.ahead.contains_key(&id) {
            // Siblings lie side by side: they come in one request.
            let siblings: Vec<Id> = frame
                .entries
                .as_slice()
                .iter()
                .filter_map(|node| node.subtree)
                .take(AHEAD_TREES)
                .collect();
            let mut wanted = vec![self.reader.locate(BlobKind::Tree, &id)?];
            let mut bytes = u64::from(wanted[0].blob.plain_length());
            for sibling in siblings {
                // One that is missing is told when it is its turn.
                let Some(location) = self.reader.index().get(BlobKind::Tree, &sibling) else {
                    break;
                };
                bytes += u64::from(location.blob.plain_length());
                if bytes > AHEAD_BYTES / depth as u64 || wanted.len() >= AHEAD_TREES {
                    break;
                }
                wanted.push(location);
            }
            let mut read = self.reader.fetch(&wanted, crate::read::Want::Plain).await.into_iter();
            if let Some(first) = read.next() {
                frame.ahead.insert(id, first?.bytes);
            }
            for (location, read) in wanted[1..].iter().zip(read) {
                if let Ok(opened) = read {
                    frame.ahead.insert(location.blob.id, opened.bytes);
                }
            }
        }
        let json = frame.ahead.remove(&id).unwrap_or_default();
        if json.len() > (64 << 10) {
            return tokio::task::spawn_blocking(move || Tree::parse(&json)).await?;
        }
        Tree::parse(&json)
    }
}

//! An earlier snapshot of the same folder: files that did not change are not read again.

use std::{collections::VecDeque, sync::Arc};

use tokio::runtime::Handle;

use super::pipeline::Shared;
use crate::{BlobKind, FileKind, Id, Node, NodeKind, RepositoryError, Tree, compress};

/// Packs of trees that are held: a walk reads trees in the order in which they were packed.
const PACKS: usize = 4;
/// Larger packs are read in parts.
const WHOLE: u64 = 64 << 20;

/// Reads the parent's folders as a walk comes to them.
pub(super) struct Parent<'a> {
    shared: &'a Shared,
    runtime: Handle,
    packs: VecDeque<(Id, Arc<Vec<u8>>)>,
    /// One for each folder that the walk is in; `None` where the parent has none.
    folders: Vec<Option<Tree>>,
}

impl<'a> Parent<'a> {
    /// `root` is the tree of the parent's snapshot.
    pub(super) fn new(shared: &'a Shared, root: Option<Id>) -> Self {
        let runtime = Handle::current();
        let mut parent = Self { shared, runtime, packs: VecDeque::new(), folders: Vec::new() };
        let tree = root.and_then(|root| parent.load(&root));
        parent.folders.push(tree);
        parent
    }

    /// The walk comes to a folder.
    pub(super) fn enter(&mut self, name: &[u8]) {
        let subtree = self.find(name).and_then(|node| node.subtree);
        let tree = subtree.and_then(|id| self.load(&id));
        self.folders.push(tree);
    }

    /// The walk leaves it.
    pub(super) fn leave(&mut self) {
        self.folders.pop();
    }

    fn find(&self, name: &[u8]) -> Option<&Node> {
        let nodes = &self.folders.last()?.as_ref()?.nodes;
        // Whoever wrote it sorted it; otherwise the file is read again, no more.
        nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok().map(|at| &nodes[at])
    }

    /// The blobs of a file of the walk's folder, if it is as it was and they are all there.
    pub(super) fn unchanged(&self, now: &Node) -> Option<Vec<Id>> {
        let then = self.find(&now.name)?;
        let same = then.kind == NodeKind::File
            && now.mtime.is_some()
            && then.mtime == now.mtime
            && then.ctime == now.ctime
            && then.inode == now.inode
            && then.size == now.size;
        let there = || then.blobs().iter().all(|id| self.shared.has(BlobKind::Data, id));
        (same && then.content.is_some() && there()).then(|| then.blobs().to_vec())
    }

    /// A tree that cannot be read costs time only: then everything in it is read.
    fn load(&mut self, id: &Id) -> Option<Tree> {
        self.try_load(id).ok()
    }

    fn try_load(&mut self, id: &Id) -> Result<Tree, RepositoryError> {
        let missing = RepositoryError::MissingBlob { kind: BlobKind::Tree, id: *id };
        let found = self.shared.location(BlobKind::Tree, id).ok_or(missing)?;
        let blob = found.blob;
        let end = u64::from(blob.offset) + u64::from(blob.length);
        let sealed = match self.pack(found.pack) {
            Some(pack) => {
                let range = blob.offset as usize..(blob.offset + blob.length) as usize;
                let cut = || RepositoryError::damaged(FileKind::Pack, &found.pack, "it is short");
                pack.get(range).ok_or_else(cut)?.to_vec()
            }
            None => {
                let range = u64::from(blob.offset)..end;
                let read = self.shared.repository.load_range(FileKind::Pack, &found.pack, range);
                self.runtime.block_on(read)?
            }
        };
        let opened = self.shared.key().open(sealed);
        let plain = opened.map_err(|e| RepositoryError::damaged(FileKind::Pack, &found.pack, e))?;
        let json = match blob.uncompressed_length {
            Some(length) => compress::decompress(&plain, length)?,
            None => plain,
        };
        Tree::parse(&json)
    }

    /// The whole pack, if it may be held.
    fn pack(&mut self, id: Id) -> Option<Arc<Vec<u8>>> {
        if let Some((_, pack)) = self.packs.iter().find(|(known, _)| *known == id) {
            return Some(Arc::clone(pack));
        }
        let repository = &self.shared.repository;
        let read = async {
            let key = crate::repository::path(FileKind::Pack, &id).ok()?;
            let size = repository.store().stat(&key).await.ok()?.size_bytes;
            if size > WHOLE {
                return None;
            }
            repository.load_range(FileKind::Pack, &id, 0..size).await.ok()
        };
        let pack = Arc::new(self.runtime.block_on(read)?);
        if self.packs.len() >= PACKS {
            self.packs.pop_front();
        }
        self.packs.push_back((id, Arc::clone(&pack)));
        Some(pack)
    }
}

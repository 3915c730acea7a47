//! The simplest writer there can be: one blob after the other, a pack for each kind.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use repository::{
    BlobKind, FileKind, Id, IndexBuilder, IndexedPack, Node, NodeKind, PackBuilder, Repository,
    SealedBlob, Snapshot, Version, compress::Compressor, tree,
};

pub(crate) struct Writer {
    repository: Arc<Repository>,
    packs: BTreeMap<BlobKind, PackBuilder>,
    index: IndexBuilder,
    pub(crate) pack_bytes: usize,
}

impl Writer {
    pub(crate) fn new(repository: &Repository) -> Self {
        let repository = Arc::new(repository.clone());
        Self {
            repository,
            packs: BTreeMap::new(),
            index: IndexBuilder::default(),
            pack_bytes: 1 << 20,
        }
    }

    pub(crate) async fn blob(&mut self, kind: BlobKind, plain: &[u8]) -> Id {
        let id = Id::of(plain);
        let (uncompressed_length, bytes) = if self.repository.version() == Version::V2 {
            let compressed = Compressor::new(3).unwrap().compress(plain).unwrap();
            (u32::try_from(plain.len()).ok(), compressed)
        } else {
            (None, plain.to_vec())
        };
        let sealed = self.repository.seal(&bytes).unwrap();
        let pack = self.packs.entry(kind).or_default();
        pack.add(&SealedBlob { kind, id, uncompressed_length, sealed }).unwrap();
        if pack.len() >= self.pack_bytes {
            self.flush(kind).await;
        }
        id
    }

    async fn flush(&mut self, kind: BlobKind) {
        let Some(pack) = self.packs.remove(&kind) else { return };
        let nonce = self.repository.surroundings().random().unwrap();
        let (bytes, blobs) = pack.finish(self.repository.key(), nonce).unwrap();
        let id = Id::of(&bytes);
        self.repository.save(FileKind::Pack, id, bytes.into()).await.unwrap();
        assert!(self.index.add(IndexedPack::new(id, blobs)).is_none(), "tests write little");
    }

    /// A file of `pieces`.
    pub(crate) async fn file(&mut self, name: &[u8], pieces: &[&[u8]]) -> Node {
        let mut content = Vec::new();
        for piece in pieces {
            content.push(self.blob(BlobKind::Data, piece).await);
        }
        let mut node = Node::new(name, NodeKind::File);
        node.set_unix_mode(0o640);
        node.mtime = Some("2024-05-06T07:08:09.123456789Z".parse().unwrap());
        node.size = pieces.iter().map(|piece| piece.len() as u64).sum();
        node.content = Some(content);
        node
    }

    pub(crate) async fn dir(&mut self, name: &[u8], nodes: Vec<Node>) -> Node {
        let subtree = self.blob(BlobKind::Tree, &tree::to_bytes(nodes).unwrap()).await;
        let mut node = Node::new(name, NodeKind::Dir);
        node.set_unix_mode(0o750);
        node.mtime = Some("2024-01-01T00:00:00Z".parse().unwrap());
        node.subtree = Some(subtree);
        node
    }

    /// Packs, index, snapshot.
    pub(crate) async fn finish(mut self, root: Vec<Node>) -> Id {
        let tree = self.blob(BlobKind::Tree, &tree::to_bytes(root).unwrap()).await;
        self.flush(BlobKind::Data).await;
        self.flush(BlobKind::Tree).await;
        if let Some(file) = self.index.finish() {
            self.repository.save_index(&file).await.unwrap();
        }
        let mut snapshot = Snapshot::new(Timestamp::now(), tree);
        snapshot.paths = vec!["/of/tests".to_owned()];
        snapshot.hostname = "tests".into();
        snapshot.program_version = "tests 1".into();
        snapshot.set_manifest("01TESTS");
        self.repository.save_snapshot(&snapshot).await.unwrap()
    }
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u8, length: usize) -> Vec<u8> {
    (0..length.div_ceil(32))
        .flat_map(|n| *Id::of(&[&[seed], n.to_le_bytes().as_slice()].concat()).as_bytes())
        .take(length)
        .collect()
}

/// A snapshot with odd names and files of every size.
pub(crate) async fn sample(repository: &Repository) -> Id {
    let mut writer = Writer::new(repository);
    let big: Vec<_> = (0..5).map(|n| noise(n, 500_000)).collect();
    let pieces: Vec<_> = big.iter().map(Vec::as_slice).collect();
    let big = writer.file(b"big", &pieces).await;
    let odd = writer.file(b"odd \xff \"name\" <\\>\n", &[b"odd content"]).await;
    let empty = writer.file(b"empty", &[]).await;
    let deep = writer.file("ñandú 日本".as_bytes(), &[&[b'x'; 10_000], b"tail"]).await;
    let mut link = Node::new(b"link", NodeKind::Symlink);
    link.set_unix_mode(0o777);
    link.set_link_target(b"sub/../nowhere \xfe");
    let sub = writer.dir(b"sub", vec![deep, empty]).await;
    writer.finish(vec![big, odd, link, sub]).await
}

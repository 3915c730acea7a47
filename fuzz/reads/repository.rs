//! What reads bytes that somebody else wrote: each of these ends with an error or with a value,
//! whatever it is given. The tests of `repository` feed them too.

use repository::{
    Config, IndexFile, KeyFile, LockFile, MasterKey, Snapshot, Tree, compress, pack, quote, tree,
};

/// One reader.
pub(crate) type Reads = fn(&[u8]);

/// Each reader, with its name.
pub(crate) const ALL: [(&str, Reads); 13] = [
    ("config", config),
    ("key_file", key_file),
    ("snapshot", snapshot),
    ("index_file", index_file),
    ("tree", tree),
    ("tree_references", tree_references),
    ("lock_file", lock_file),
    ("pack_header", pack_header),
    ("pack_header_sealed", pack_header_sealed),
    ("json", json),
    ("blob", blob),
    ("quoted", quoted),
    ("sealed", sealed),
];

fn key() -> MasterKey {
    MasterKey::from_bytes(&[7; 64])
}

pub(crate) fn config(bytes: &[u8]) {
    let _ = Config::parse(bytes).map(|config| config.version());
}

pub(crate) fn key_file(bytes: &[u8]) {
    let _ = KeyFile::parse(bytes);
}

pub(crate) fn snapshot(bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::parse(bytes) {
        snapshot.to_json().unwrap();
    }
}

pub(crate) fn index_file(bytes: &[u8]) {
    if let Ok(file) = IndexFile::parse(bytes) {
        let mut index = repository::Index::new();
        index.load(&file.packs);
        index.settle();
        // What it tells is found again, however its ids were chosen.
        for blob in file.packs.iter().flat_map(|pack| &pack.blobs) {
            assert!(index.contains(blob.kind, &blob.id));
        }
    }
}

/// A tree that is read has no name that leads out of a folder, and is written as it was read.
pub(crate) fn tree(bytes: &[u8]) {
    let Ok(tree) = Tree::parse(bytes) else { return };
    for node in &tree.nodes {
        let name = &node.name;
        assert!(!name.is_empty() && name != b"." && name != b"..");
        assert!(!name.contains(&b'/') && !name.contains(&0));
    }
    let written = tree::to_bytes(tree.nodes.clone()).unwrap();
    assert_eq!(Tree::parse(&written).unwrap().nodes, tree.nodes);
}

pub(crate) fn tree_references(bytes: &[u8]) {
    let _ = tree::references(bytes);
}

pub(crate) fn lock_file(bytes: &[u8]) {
    let _ = LockFile::parse(bytes);
}

pub(crate) fn pack_header(bytes: &[u8]) {
    if let Ok(blobs) = pack::parse_plain_header(bytes) {
        let _ = pack::size_of(&blobs);
    }
}

/// The header as it lies, sealed with a key that is known here.
pub(crate) fn pack_header_sealed(bytes: &[u8]) {
    let _ = pack::parse_header(bytes.to_vec(), bytes.len() as u64, &key());
    let sealed = key().seal([3; 16], bytes);
    let _ = pack::parse_header(sealed, 1 << 20, &key());
    if let Some(tail) = bytes.last_chunk() {
        let _ = pack::header_length(*tail, bytes.len() as u64);
    }
}

pub(crate) fn json(bytes: &[u8]) {
    let _ = compress::decode_json(bytes.to_vec());
}

pub(crate) fn blob(bytes: &[u8]) {
    let _ = compress::decompress(bytes, u32::MAX >> 4);
    let _ = compress::decompress(bytes, 1000);
}

pub(crate) fn quoted(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(name) = quote::unquote(text)
    {
        assert_eq!(quote::unquote(&quote::quote(&name)).unwrap(), name);
    }
}

pub(crate) fn sealed(bytes: &[u8]) {
    let _ = key().open(bytes.to_vec());
}

//! Hostile bytes: every parser answers with an error, never with a panic, and takes no more memory
//! than what it was given deserves.

use proptest::{collection::vec, prelude::*};
use repository::{
    BlobKind, FileKind, Id, Kdf, KeyFile, LockFile, MasterKey, Node, NodeKind, PackBuilder,
    SealedBlob, Surroundings, Tree, compress, pack, quote, tree,
};

use crate::reads;

fn key() -> MasterKey {
    MasterKey::from_bytes(&[7; 64])
}

/// JSON with what ours has, and what it should not have, in it.
fn json() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "true",
        "-1",
        "0",
        "1e99",
        "4294967296",
        "\"\"",
        "\"packs\"",
        "\"packs_to_delete\"",
        "\"supersedes\"",
        "\"blobs\"",
        "\"id\"",
        "\"type\"",
        "\"data\"",
        "\"tree\"",
        "\"offset\"",
        "\"length\"",
        "\"uncompressed_length\"",
        "\"nodes\"",
        "\"name\"",
        "\"dir\"",
        "\"file\"",
        "\"content\"",
        "\"subtree\"",
        "\"mtime\"",
        "\"time\"",
        "\"2024-01-02T03:04:05Z\"",
        "\"9999999-01-01T00:00:00Z\"",
        "\"\\u0000\"",
        "\"../x\"",
        "\"\\\\xff\"",
        "\"version\"",
        "\"chunker_polynomial\"",
        "\"N\"",
        "\"kdf\"",
        "\"scrypt\"",
        "\"00000000000000000000000000000000000000000000000000000000000000aa\"",
    ]);
    vec(words, 0..60).prop_map(|words| words.concat().into_bytes())
}

fn read_everything(bytes: &[u8]) {
    for (_, read) in reads::ALL {
        read(bytes);
    }
}

fn node(name: Vec<u8>, target: Vec<u8>, mode: u32, blobs: u8) -> Node {
    let mut node = Node::new(&name, NodeKind::File);
    node.set_unix_mode(mode & 0o7777);
    node.set_link_target(&target);
    node.content = Some((0..blobs).map(|n| Id::new([n; 32])).collect());
    node
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }

    #[test]
    fn any_json_is_survived(bytes in json()) {
        read_everything(&bytes);
    }

    #[test]
    fn honest_json_with_a_change_is_survived(at in 0..10_000_usize, byte in any::<u8>()) {
        for json in honest() {
            let mut json = json;
            let at = at % json.len();
            json[at] = byte;
            read_everything(&json);
            read_everything(&json[..at]);
        }
    }

    #[test]
    fn a_header_is_read_as_written(lengths in vec((any::<bool>(), 0..200_usize), 1..20)) {
        let mut builder = PackBuilder::default();
        for (n, (compressed, length)) in lengths.iter().enumerate() {
            builder.add(&SealedBlob {
                kind: BlobKind::Data,
                id: Id::new([u8::try_from(n).unwrap(); 32]),
                uncompressed_length: compressed.then_some(77),
                sealed: vec![1; *length],
            }).unwrap();
        }
        let told = builder.finished_len();
        let (bytes, blobs) = builder.finish(&key(), [3; 16]).unwrap();
        prop_assert_eq!(told, bytes.len());
        prop_assert_eq!(pack::size_of(&blobs), bytes.len() as u64);
        let tail = *bytes.last_chunk().unwrap();
        let size = bytes.len() as u64;
        let length = pack::header_length(tail, size).unwrap() as usize;
        let header = bytes[bytes.len() - 4 - length..bytes.len() - 4].to_vec();
        prop_assert_eq!(pack::parse_header(header.clone(), size, &key()).unwrap(), blobs);
        prop_assert!(pack::parse_header(header, size + 1, &key()).is_err());
    }

    #[test]
    fn a_plain_header_is_survived(bytes in vec(0..5_u8, 0..500)) {
        let _ = pack::parse_plain_header(&bytes);
    }

    #[test]
    fn header_lengths_fit_the_pack(tail in any::<[u8; 4]>(), size in any::<u64>()) {
        if let Ok(length) = pack::header_length(tail, size) {
            prop_assert!(u64::from(length) + 4 <= size && length <= pack::MAX_HEADER_BYTES);
        }
    }

    #[test]
    fn any_name_goes_through_quotes(name in vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(quote::unquote(&quote::quote(&name)).unwrap(), name);
    }

    #[test]
    fn any_text_between_quotes_is_survived(text in "\\PC{0,20}(\\\\.{0,9}){0,4}") {
        let _ = quote::unquote(&text);
    }

    #[test]
    fn a_node_is_read_as_written(
        name in vec(any::<u8>().prop_filter("a name", |b| *b != 0 && *b != b'/'), 3..20),
        target in vec(any::<u8>(), 0..20),
        mode in any::<u32>(),
        blobs in any::<u8>(),
    ) {
        let node = node(name, target.clone(), mode, blobs % 5);
        let bytes = tree::to_bytes(vec![node.clone()]).unwrap();
        let again = Tree::parse(&bytes).unwrap().nodes.remove(0);
        prop_assert_eq!(&again, &node);
        prop_assert_eq!(again.link_target(), target);
        prop_assert_eq!(again.unix_mode(), mode & 0o7777);
    }
}

fn honest() -> Vec<Vec<u8>> {
    let id = Id::of(b"x");
    vec![
        format!(r#"{{"version":2,"id":"{id}","chunker_polynomial":"25b468838dcb75"}}"#).into(),
        format!(r#"{{"packs":[{{"id":"{id}","blobs":[{{"id":"{id}","type":"data","offset":0,"length":38}}]}}]}}"#).into(),
        format!(r#"{{"time":"2024-01-02T03:04:05Z","tree":"{id}","paths":["/x"],"tags":["t"]}}"#).into(),
        tree::to_bytes(vec![node(b"name\\\xff".to_vec(), b"to\xff".to_vec(), 0o4755, 2)]).unwrap(),
        compress::encode_json(b"{\"packs\":[]}").unwrap(),
        key_file(),
        lock_file(),
        quote::quote(b"name\\\xff\n\x01").into_bytes(),
        key().seal([1; 16], b"sealed"),
        // Two entries of a pack's header: kind, lengths, id.
        [&[0][..], &38_u32.to_le_bytes(), id.as_bytes()].concat().repeat(2),
    ]
}

fn key_file() -> Vec<u8> {
    let light = Kdf { log_n: 4, r: 8, p: 1 };
    let here = Surroundings::of_this_process();
    KeyFile::new(&key(), &"word".to_owned().into(), light, &here).unwrap().to_json().unwrap()
}

fn lock_file() -> Vec<u8> {
    let lock = LockFile {
        time: "2024-01-02T03:04:05Z".parse().unwrap(),
        exclusive: true,
        hostname: "host".to_owned(),
        username: "name".to_owned(),
        pid: 1,
        uid: 2,
        gid: 3,
    };
    serde_json::to_vec(&lock).unwrap()
}

/// All of it again by a process that may take no more than this much memory of its own: a length
/// that is only claimed ends it.
#[test]
fn hostile_bytes_take_little_memory() {
    const MOST: u64 = 256 << 20;
    let done = std::process::Command::new("prlimit")
        .arg(format!("--data={MOST}"))
        .arg(std::env::current_exe().unwrap())
        .args(["parsers::", "--skip", "memory", "--skip", "bomb", "--test-threads", "1"])
        .env("PROPTEST_CASES", "500")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && !told.contains(" 0 passed"), "{told}");
}

/// 400 bytes that would become 1 GiB: refused at the length that was promised.
#[test]
fn a_bomb_is_defused() {
    let zeros = std::io::repeat(0);
    let bomb = zstd::encode_all(std::io::Read::take(zeros, 1 << 30), 1).unwrap();
    assert!(bomb.len() < 200_000);
    assert!(compress::decompress(&bomb, 1000).is_err());
    let mut json = vec![2];
    json.extend(
        zstd::encode_all(std::io::Read::take(std::io::repeat(b' '), (1 << 30) + 1), 1).unwrap(),
    );
    assert!(compress::decode_json(json).is_err());
}

#[test]
fn every_file_has_its_place() {
    let id = Id::of(b"abc");
    for kind in FileKind::ALL {
        assert!(kind.path(&id).starts_with(kind.folder()));
        assert!(kind.path(&id).ends_with(&id.to_hex()));
    }
}

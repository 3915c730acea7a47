//! Archives that want what no archive may have. Whatever they try, they are refused, and what lies
//! beside the target is as it was.

use std::{
    io::{Cursor, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use archive::{Excess, Limits, Options, Refusal, Report, TarError, UnpackError};
use tar::{EntryType as E, Header};

use crate::{member::member, unpack::unpacked};

fn file(name: &str) -> Vec<u8> {
    member(name.as_bytes(), E::Regular, b"", b"EVIL")
}

pub(crate) fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..9).find(|digits| (rest + digits).to_string().len() == *digits).unwrap();
        write!(text, "{} {key}=", rest + length).unwrap();
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    member(b"x", E::XHeader, b"", &text)
}

pub(crate) fn ended(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

/// Unpacks into a folder beside others, and looks whether those are as they were.
fn tried(tar: &[u8], options: Options) -> Result<Report, UnpackError> {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("victim"), "safe").unwrap();
    let tried = unpacked(tar, &folder.path().join("target"), options);
    let beside = |path: &Path| {
        let mut names: Vec<_> =
            path.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(beside(folder.path()), ["outside", "target"]);
    assert_eq!(beside(&outside), ["victim"]);
    assert_eq!(std::fs::read_to_string(outside.join("victim")).unwrap(), "safe");
    assert_eq!(outside.join("victim").metadata().unwrap().nlink(), 1);
    tried
}

#[track_caller]
fn refused(parts: &[Vec<u8>], expected: Refusal) {
    match tried(&ended(parts), Options::default()) {
        Err(UnpackError::Refused { why, .. }) => assert_eq!(why, expected),
        other => panic!("{other:?} instead of {expected:?}"),
    }
}

#[test]
fn names_do_not_lead_out() {
    refused(&[file("../outside/new")], Refusal::Parent);
    refused(&[file("a/../../outside/victim")], Refusal::Parent);
    refused(&[file("..")], Refusal::Parent);
    refused(&[file("/tmp/evil")], Refusal::Absolute);
    refused(&[file("//evil")], Refusal::Absolute);
    refused(&[file("./")], Refusal::Empty);
    refused(&[pax(&[("path", b"../outside/new")]), file("harmless")], Refusal::Parent);
    refused(&[pax(&[("path", b"/etc/evil")]), file("harmless")], Refusal::Absolute);
    refused(&[pax(&[("path", b"a\0b")]), file("harmless")], Refusal::Nul);
    refused(&[pax(&[("GNU.sparse.name", b"../x")]), file("harmless")], Refusal::Parent);
    let long = member(b"././@LongLink", E::GNULongName, b"", b"../../outside/victim\0");
    refused(&[long, file("harmless")], Refusal::Parent);
    let folder = member(b"../outside/folder/", E::Directory, b"", b"");
    refused(&[folder], Refusal::Parent);
}

#[test]
fn links_do_not_lead_out() {
    let link = |name: &[u8], to: &[u8]| member(name, E::Symlink, to, b"");
    let hard = |name: &[u8], to: &[u8]| member(name, E::Link, to, b"");
    refused(&[link(b"a", b"../outside"), file("a/new")], Refusal::Through);
    refused(&[link(b"a", b"../outside/victim"), file("a")], Refusal::Twice);
    refused(&[link(b"a", b"."), link(b"a/b", b"../outside"), file("a/b/new")], Refusal::Through);
    refused(&[link(b"a", b"../outside"), member(b"a/", E::Directory, b"", b"")], Refusal::Twice);
    // A folder that turns into a link halfway.
    let turned = [file("a/x"), link(b"a", b"../outside"), file("a/new")];
    refused(&turned, Refusal::Twice);
    refused(&[hard(b"a", b"../outside/victim")], Refusal::Parent);
    refused(&[hard(b"a", b"/etc/passwd")], Refusal::Absolute);
    refused(&[hard(b"a", b"never")], Refusal::LinkTarget);
    refused(&[link(b"a", b"../outside"), hard(b"b", b"a/victim")], Refusal::Through);
    refused(&[file("d/x"), hard(b"b", b"d")], Refusal::LinkTarget);
    let again = [link(b"a", b"../outside/victim"), hard(b"b", b"a"), file("b")];
    refused(&again, Refusal::Twice);
    refused(&[link(b"a", b"")], Refusal::LinkTarget);
    // A link may lead anywhere as long as nobody goes there.
    tried(&ended(&[link(b"a", b"../outside/victim")]), Options::default()).unwrap();
    // Its owner and times are its own: those of what it leads to stay.
    let before = Path::new("/etc/passwd").metadata().unwrap().modified().unwrap();
    tried(&ended(&[link(b"a", b"/etc/passwd")]), Options::default()).unwrap();
    assert_eq!(Path::new("/etc/passwd").metadata().unwrap().modified().unwrap(), before);
}

#[test]
fn nothing_comes_twice() {
    refused(&[file("a"), file("a")], Refusal::Twice);
    refused(&[file("a"), file("./a")], Refusal::Twice);
    refused(&[file("a"), file("a/b")], Refusal::Through);
    refused(&[file("a/b"), file("a")], Refusal::Twice);
    let fifo = member(b"a", E::Fifo, b"", b"");
    refused(&[fifo, file("a")], Refusal::Twice);
    let folder = || member(b"a/", E::Directory, b"", b"");
    tried(&ended(&[folder(), file("a/x"), folder()]), Options::default()).unwrap();
}

#[test]
fn devices_are_made_only_where_they_are_asked_for() {
    for kind in [E::Char, E::Block] {
        refused(&[member(b"null", kind, b"", b"")], Refusal::Device);
    }
    let options = Options { devices: true, ..Options::default() };
    match tried(&ended(&[member(b"null", E::Char, b"", b"")]), options) {
        Ok(report) => assert_eq!(report.others, 1),
        // In a container without the right to.
        Err(error) => assert!(matches!(error, UnpackError::Write { .. }), "{error:?}"),
    }
}

#[track_caller]
fn too_much(tar: &[u8], limits: Limits, expected: Excess) {
    match tried(tar, Options { limits, ..Options::default() }) {
        Err(UnpackError::TooMuch(excess)) => assert_eq!(excess, expected),
        other => panic!("{other:?} instead of {expected:?}"),
    }
}

#[test]
fn there_is_an_end_to_everything() {
    let limits = Limits {
        bytes: 10,
        file_bytes: 8,
        members: 4,
        depth: 3,
        name_bytes: 20,
        folder_memory_bytes: 150,
        ratio: Some(1_100),
    };
    let sized = |name: &str, bytes| member(name.as_bytes(), E::Regular, b"", &vec![1; bytes]);
    too_much(&ended(&[sized("a", 9)]), limits, Excess::FileBytes(8));
    too_much(&ended(&[sized("a", 8), sized("b", 3)]), limits, Excess::Bytes(10));
    let many: Vec<_> = (0..5).map(|at| sized(&at.to_string(), 0)).collect();
    too_much(&ended(&many), limits, Excess::Members(4));
    too_much(&ended(&[sized("a/b/c/d", 0)]), limits, Excess::Depth(3));
    too_much(&ended(&[sized(&"n".repeat(21), 0)]), limits, Excess::NameBytes(20));
    let folder = |name: &str| member(name.as_bytes(), E::Directory, b"", b"");
    too_much(&ended(&[folder("a/"), folder("b/")]), limits, Excess::FolderMemory(150));
}

#[test]
fn folders_do_not_fill_the_memory_with_their_attributes() {
    let value = vec![b'x'; 60 << 10];
    let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for at in 0..5_000 {
        packer.write_all(&pax(&[("SCHILY.xattr.user.much", &value)])).unwrap();
        packer.write_all(&member(at.to_string().as_bytes(), E::Directory, b"", b"")).unwrap();
    }
    packer.write_all(&[0; 1024]).unwrap();
    let tar = packer.finish().unwrap();
    assert!(tar.len() < 3 << 20, "{}", tar.len());
    too_much(&tar, Limits { ratio: None, ..Limits::default() }, Excess::FolderMemory(256 << 20));
}

#[test]
fn bombs_do_not_go_off() {
    // 1 GiB of zeros in a file that says so, as 32 KiB.
    let head = {
        let mut header = Header::new_ustar();
        header.set_path("zeros").unwrap();
        header.set_mode(0o644);
        header.set_size(1 << 30);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    packer.write_all(&head).unwrap();
    let block = vec![0; 1 << 20];
    for _ in 0..1024 {
        packer.write_all(&block).unwrap();
    }
    packer.write_all(&[0; 1024]).unwrap();
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 200 << 10);
    too_much(&bomb, Limits::default(), Excess::Ratio(1_100));
}

#[test]
fn giants_are_measured_with_their_holes() {
    let giant = pax(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"giant"),
        ("GNU.sparse.realsize", b"9000000000000000000"),
    ]);
    let map = [b"0\n".to_vec(), vec![0; 510]].concat();
    let tar = ended(&[giant, member(b"x", E::Regular, b"", &map)]);
    too_much(&tar, Limits::default(), Excess::FileBytes(16 << 40));
}

#[track_caller]
fn malformed(parts: &[Vec<u8>]) {
    match tried(&ended(parts), Options::default()) {
        Err(
            UnpackError::Tar(TarError::Malformed { .. } | TarError::Truncated { .. })
            | UnpackError::TooMuch(Excess::FileBytes(_)),
        ) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn lengths_are_never_believed() {
    let with_size = |size: &[u8; 12], kind: E| {
        let mut bytes = member(b"a", kind, b"", b"");
        bytes[124..136].copy_from_slice(size);
        let mut header = Header::from_byte_slice(&bytes).clone();
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let negative = [0xff; 12];
    let mut huge = [0xff; 12];
    huge[0] = 0x80;
    let mut most = [0xff; 12];
    (most[..4]).copy_from_slice(&[0x80, 0, 0, 0]);
    most[4] = 0x7f;
    for size in [&negative, &huge, &most] {
        for kind in [E::Regular, E::XHeader, E::GNULongName, E::XGlobalHeader] {
            malformed(&[with_size(size, kind)]);
        }
    }
    // A header of headers that fills the memory.
    malformed(&[with_size(b"77777777777\0", E::XHeader), file("a")]);
    malformed(&[with_size(b"77777777777\0", E::GNULongLink), file("a")]);
    malformed(&[pax(&[("size", b"-5")]), file("a")]);
    malformed(&[pax(&[("size", b"99999999999999999999999")]), file("a")]);
    malformed(&[pax(&[("uid", b"-1")]), file("a")]);
    malformed(&[pax(&[("mtime", b"never")]), file("a")]);
    malformed(&[member(b"x", E::XHeader, b"", b"999999 path=a\n"), file("a")]);
    malformed(&[pax(&[("path", b"a")])]);
    let mut broken = file("a");
    broken[0] = b'b';
    malformed(&[broken]);
    // Holes that lie one over the other, or beyond the end.
    for map in [&b"0,4,2,4"[..], b"8,4,0,4", b"0,4", b"0,18446744073709551615", b"1000,4", b"0"] {
        let sparse = pax(&[("GNU.sparse.size", b"8"), ("GNU.sparse.map", map)]);
        malformed(&[sparse, member(b"a", E::Regular, b"", b"12345678")]);
    }
    // Cut anywhere, it is not whole.
    let whole = ended(&[pax(&[("path", b"b")]), file("a"), file("c")]);
    for end in (0..whole.len() - 1024).step_by(256) {
        let cut = tried(&whole[..end], Options::default());
        assert!(matches!(cut, Err(UnpackError::Tar(TarError::Truncated { .. }))), "{end}: {cut:?}");
    }
}

#[test]
fn any_bytes_are_an_error_and_no_more() {
    use proptest::prelude::*;
    let whole = ended(&[
        pax(&[("path", b"b"), ("SCHILY.xattr.user.x", b"1")]),
        file("a"),
        member(b"l", E::Symlink, b"../outside", b""),
        member(b"d/", E::Directory, b"", b""),
        member(b"s", E::GNUSparse, b"", b"1234"),
    ]);
    let changes = proptest::collection::vec((0..whole.len(), any::<u8>()), 1..20);
    proptest!(ProptestConfig::with_cases(200), |(changes in changes)| {
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        // Checksums that are right again, so that the rest is reached.
        for block in bytes.chunks_mut(512).filter(|block| block.len() == 512) {
            if block.iter().any(|byte| *byte != 0) {
                let mut header = Header::from_byte_slice(block).clone();
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        let limits = Limits { file_bytes: 1 << 20, ..Limits::default() };
        drop(tried(&bytes, Options { limits, ..Options::default() }));
    });
}

#[test]
fn a_target_is_empty_and_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let used = folder.path().join("used");
    std::fs::create_dir(&used).unwrap();
    std::fs::write(used.join("mine"), "").unwrap();
    let link = folder.path().join("link");
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    std::os::unix::fs::symlink(&empty, &link).unwrap();
    for target in [&used, &link, &used.join("mine"), &folder.path().join("no/such")] {
        let tried = unpacked(&ended(&[file("a")]), target, Options::default());
        assert!(matches!(tried, Err(UnpackError::Target { .. })), "{target:?}: {tried:?}");
    }
    assert_eq!(empty.read_dir().unwrap().count(), 0);
}

#[test]
fn zips_are_held_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, mode: u32, content: &[u8]| {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().unix_permissions(mode);
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap().into_inner()
    };
    let mut count = 0;
    let mut tried = |zip: Vec<u8>, limits: Limits| {
        count += 1;
        let target = folder.path().join(format!("target-{count}"));
        let options = Options { limits, ..Options::default() };
        archive::unpack_zip(Cursor::new(zip), &target, options, &mut |_| true)
    };
    // The library that writes does not let these through: they are put in afterwards.
    let renamed = |to: &str| {
        let zip = made(&"n".repeat(to.len()), 0o644, b"EVIL");
        let name = "n".repeat(to.len()).into_bytes();
        let mut out = zip.clone();
        for at in 0..zip.len() - name.len() {
            if zip[at..at + name.len()] == name[..] {
                out[at..at + name.len()].copy_from_slice(to.as_bytes());
            }
        }
        out
    };
    let cases = [
        ("../outside", Refusal::Parent),
        ("a/../../outside", Refusal::Parent),
        ("/tmp/evil-zip", Refusal::Absolute),
        ("evil\0name", Refusal::Nul),
    ];
    for (name, expected) in cases {
        match tried(renamed(name), Limits::default()) {
            Err(UnpackError::Refused { why, .. }) => assert_eq!(why, expected, "{name:?}"),
            other => panic!("{name:?}: {other:?}"),
        }
    }
    assert!(!Path::new("/tmp/evil-zip").exists() && !folder.path().join("outside").exists());
    let limits = Limits { file_bytes: 10, ..Limits::default() };
    let large = tried(made("a", 0o644, &[1; 11]), limits);
    assert!(matches!(large, Err(UnpackError::TooMuch(Excess::FileBytes(10)))), "{large:?}");
    assert!(matches!(tried(b"PK".to_vec(), Limits::default()), Err(UnpackError::Zip(_))));
}

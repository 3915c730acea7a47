//! Archives as an attacker would write them.

use std::io::Write as _;

use tar::{Builder, EntryType, Header};

use super::*;

/// An entry whose name and link are written as they are, unlike `tar` would.
fn raw(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, link: &str, data: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let fields = header.as_gnu_mut().unwrap();
    fields.name[..name.len()].copy_from_slice(name.as_bytes());
    fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    tar.append(&header, data).unwrap();
}

fn unpacked(entries: &[(EntryType, &str, &str)]) -> (tempfile::TempDir, Result<u64, ExtractError>) {
    let mut tar = Builder::new(Vec::new());
    for (kind, name, link) in entries {
        let data: &[u8] = if *kind == EntryType::Regular { b"data" } else { b"" };
        raw(&mut tar, *kind, name, link, data);
    }
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("archive");
    std::fs::write(&file, tar.into_inner().unwrap()).unwrap();
    std::fs::create_dir(place.path().join("outside")).unwrap();
    let done = extract(&file, &place.path().join("to"), &Stop::default());
    (place, done.map(|report| report.expect("no archive").members))
}

use EntryType as Kind;

#[test]
fn hostile_archives_are_refused_and_write_nothing() {
    let cases: &[&[(Kind, &str, &str)]] = &[
        &[(Kind::Regular, "/tmp/absolute", "")],
        &[(Kind::Regular, "../outside/up", "")],
        &[(Kind::Regular, "a/../../outside/up", "")],
        &[(Kind::Symlink, "l", "/etc")],
        &[(Kind::Symlink, "l", "../outside")],
        &[(Kind::Symlink, "a/l", "../../outside")],
        &[(Kind::Symlink, "l", "")],
        &[(Kind::Symlink, "l", "d"), (Kind::Regular, "l/f", "")],
        &[(Kind::Regular, "l/f", ""), (Kind::Symlink, "l", "d")],
        // Each link alone stays inside; through one another they do not.
        &[(Kind::Symlink, "c", "a/b/.."), (Kind::Symlink, "a/b", "..")],
        &[(Kind::Link, "h", "/etc/passwd")],
        &[(Kind::Link, "h", "../outside/f")],
        // As a hard link it would be read from elsewhere.
        &[(Kind::Symlink, "a/b/l", "../../f"), (Kind::Link, "h", "a/b/l")],
        &[(Kind::Symlink, "l", "d"), (Kind::Link, "h", "l/f")],
        &[(Kind::Char, "null", "")],
        &[(Kind::Block, "disk", "")],
        &[(Kind::Fifo, "pipe", "")],
        &[(Kind::Regular, "good", ""), (Kind::Regular, "../outside/late", "")],
    ];
    for entries in cases {
        let (place, done) = unpacked(entries);
        let error = done.expect_err(&format!("{entries:?} was unpacked"));
        assert!(error.is_refusal(), "{entries:?}: {error}");
        let outside = std::fs::read_dir(place.path().join("outside")).unwrap().count();
        assert_eq!(outside, 0, "{entries:?} wrote outside");
        assert!(!place.path().join("to").exists(), "{entries:?} left something");
    }
}

#[test]
fn honest_links_and_folders_are_unpacked() {
    let (place, done) = unpacked(&[
        (Kind::Directory, "./", ""),
        (Kind::Regular, "./lib/real", ""),
        (Kind::Symlink, "./bin/tool", "../lib/real"),
        (Kind::Link, "./lib/same", "./lib/real"),
    ]);
    assert_eq!(done.unwrap(), 4);
    let to = place.path().join("to");
    for name in ["lib/real", "bin/tool", "lib/same"] {
        assert_eq!(std::fs::read(to.join(name)).unwrap(), b"data", "{name}");
    }
    let mut left: Vec<_> =
        std::fs::read_dir(&to).unwrap().map(|one| one.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["bin", "lib"]);
}

#[test]
fn each_compression_is_told_by_its_bytes() {
    let mut tar = Builder::new(Vec::new());
    raw(&mut tar, Kind::Regular, "file", "", &[7; 3_000]);
    let tar = tar.into_inner().unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    gz.write_all(&tar).unwrap();
    bz.write_all(&tar).unwrap();
    xz.write_all(&tar).unwrap();
    let zst = zstd::encode_all(tar.as_slice(), 3).unwrap();
    let all = [gz.finish().unwrap(), bz.finish().unwrap(), xz.finish().unwrap(), zst, tar];
    for (at, bytes) in all.iter().enumerate() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("archive");
        std::fs::write(&file, bytes).unwrap();
        let to = place.path().join("to");
        let report = extract(&file, &to, &Stop::default()).unwrap().unwrap();
        assert_eq!(report.members, 1, "{at}");
        assert_eq!(std::fs::read(to.join("file")).unwrap(), [7; 3_000]);
        let again = extract(&file, &to, &Stop::default()).unwrap_err();
        assert!(again.is_refusal(), "{again}");
    }
}

#[test]
fn what_is_no_archive_is_left_alone_and_a_broken_one_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    let to = place.path().join("to");
    for bytes in [b"-- a dump of SQL\n".repeat(100), vec![0; 4_096], Vec::new()] {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(extract(&file, &to, &Stop::default()).unwrap(), None);
    }
    let mut tar = Builder::new(Vec::new());
    raw(&mut tar, Kind::Regular, "file", "", &vec![7; 30_000]);
    std::fs::write(&file, &tar.into_inner().unwrap()[..9_000]).unwrap();
    assert!(extract(&file, &to, &Stop::default()).is_err());
    assert!(!to.exists());
}

#[test]
fn an_unpacking_that_is_stopped_leaves_nothing() {
    let (place, done) = unpacked(&[(Kind::Regular, "file", "")]);
    assert_eq!(done.unwrap(), 1);
    let stop = Stop::default();
    drop(stop.guard());
    let to = place.path().join("other");
    assert!(extract(&place.path().join("archive"), &to, &stop).is_err());
    assert!(!to.exists());
}

#[test]
fn a_name_that_would_fill_the_memory_is_refused() {
    let mut tar = Builder::new(Vec::new());
    raw(&mut tar, Kind::GNULongName, "././@LongLink", "", &vec![b'a'; 6 << 20]);
    raw(&mut tar, Kind::Regular, "file", "", b"data");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("archive");
    std::fs::write(&file, tar.into_inner().unwrap()).unwrap();
    let error = extract(&file, &place.path().join("to"), &Stop::default()).unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
}

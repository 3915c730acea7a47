//! Several threads that read ahead, and one that writes.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::{FileExt as _, MetadataExt as _, symlink},
    path::Path,
    process::Command,
};

use archive::{ArchiveError, Root, Sink, Tar, Walk, Warnings};
use tokio::sync::mpsc;

use crate::{Meddling, entries, held, made};

/// Many files of many sizes, and what is easily lost.
fn forest() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for n in 0..900_usize {
        let inside = at(&format!("{:02}", n / 20));
        std::fs::create_dir_all(&inside).unwrap();
        let length = [0, 1, 511, 512, 4_000, 131_071, 131_072, 131_073, 300_000][n % 9];
        let content: Vec<_> = (0..length).map(|byte| (byte * 31 + n).to_le_bytes()[0]).collect();
        std::fs::write(inside.join(n.to_string()), content).unwrap();
    }
    for (name, length) in [("small-holes", 100_000), ("large-holes", 9_000_000)] {
        let file = File::create(at(name)).unwrap();
        file.write_all_at(b"middle", length / 2).unwrap();
        file.set_len(length).unwrap();
    }
    std::fs::hard_link(at("00/4"), at("44/again")).unwrap();
    symlink("00/4", at("soft")).unwrap();
    xattr::set(at("00/5"), "user.colour", b"blue").unwrap();
    xattr::set(at("00"), "user.colour", b"red").unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    folder
}

#[test]
fn the_bytes_are_the_same() {
    let folder = forest();
    let root = Root::contents_of(folder.path().to_owned());
    let (found, warnings) = held(&Walk::default(), &root).unwrap();
    assert_eq!(found.len(), 1 + 45 + 900 + 5);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(found["./44/again"].0, tar::EntryType::Link);
    assert_eq!(found["./large-holes"].0, tar::EntryType::GNUSparse);
    assert_eq!(found["./00/8"].1.len(), 300_000);
    assert_eq!(found["./00/8"].1[299_999], (299_999_u32 * 31 + 8).to_le_bytes()[0]);
    let excluding = Walk::default().excluding(["/./00", "*1", "*-holes"]).unwrap();
    let (found, _) = held(&excluding, &root).unwrap();
    assert!(found.contains_key(".") && !found.keys().any(|name| name.starts_with("./00")));
}

/// GNU tar makes of it what was there, down to the folder itself.
#[test]
fn it_comes_back_whole() {
    let (folder, back) = (forest(), tempfile::tempdir().unwrap());
    xattr::set(folder.path(), "user.colour", b"green").unwrap();
    let root = Root::contents_of(folder.path().to_owned());
    let (bytes, _) = made(&Walk::default(), &root, 2).unwrap();
    let archive = back.path().join("it.tar");
    std::fs::write(&archive, bytes).unwrap();
    let into = back.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let unpacked = Command::new("tar")
        .args(["-x", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f"])
        .arg(&archive)
        .arg("-C")
        .arg(&into)
        .status()
        .expect("tar is installed");
    assert!(unpacked.success());
    // A FIFO would be waited for.
    let same = Command::new("diff")
        .args(["-r", "--no-dereference", "--exclude", "pipe"])
        .arg(folder.path())
        .arg(&into)
        .status()
        .expect("diff is installed");
    assert!(same.success());
    for (name, colour) in [(".", "green"), ("00", "red"), ("00/5", "blue")] {
        let found = xattr::get(into.join(name), "user.colour").unwrap();
        assert_eq!(found.as_deref(), Some(colour.as_bytes()), "{name}");
    }
    let meta = |of: &Path, name: &str| of.join(name).symlink_metadata().unwrap();
    for name in [".", "00", "pipe", "soft", "44/again"] {
        let (before, after) = (meta(folder.path(), name), meta(&into, name));
        let of = |meta: &std::fs::Metadata| (meta.mode(), meta.mtime(), meta.mtime_nsec());
        assert_eq!(of(&before), of(&after), "{name}");
    }
    assert_eq!(meta(&into, "44/again").ino(), meta(&into, "00/4").ino());
    assert!(meta(&into, "large-holes").blocks() * 512 < 1 << 20);
}

/// What changes between its turn and its being read ahead is told as ever.
#[test]
fn what_changes_meanwhile_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let large = vec![7_u8; 3 << 20];
    for name in ["a", "b-grows", "c-shrinks", "d-vanishes"] {
        std::fs::write(at(name), &large).unwrap();
    }
    // More than can be ahead, so that the last one is not looked at before the first is written.
    for n in 0..400 {
        std::fs::write(at(&format!("e{n:03}")), vec![1; 100 << 10]).unwrap();
    }
    std::fs::write(at("z-vanishes"), "z").unwrap();
    let mut is_done = false;
    let before = |_: &Path| {
        if !std::mem::replace(&mut is_done, true) {
            File::options().append(true).open(at("b-grows")).unwrap().write_all(b"more").unwrap();
            File::options().write(true).open(at("c-shrinks")).unwrap().set_len(10).unwrap();
            std::fs::remove_file(at("d-vanishes")).unwrap();
            std::fs::remove_file(at("z-vanishes")).unwrap();
        }
    };
    let mut format = Meddling { tar: Tar::new(Vec::new()), before };
    let mut warnings = Warnings::default();
    let root = Root::contents_of(folder.path().to_owned());
    let walk = Walk::default();
    // The folder is the first entry; by then the next ones may be open or not.
    walk.add_reading_ahead(&root, 2, &mut format, &mut warnings).unwrap();
    let found = entries(&format.tar.finish().unwrap());
    assert_eq!(found["./a"].1, large);
    assert!(found["./b-grows"].1.len() >= large.len());
    let told = warnings.told();
    assert!(
        told.iter().any(|line| line.contains("z-vanishes") && line.contains("gone")),
        "{told:?}"
    );
    assert!(!found.contains_key("./z-vanishes") && found.contains_key("./e399"));
}

#[test]
fn all_threads_end_when_nobody_reads() {
    let folder = forest();
    let (to, chunks) = mpsc::channel(1);
    drop(chunks);
    let mut tar = Tar::new(Sink::new(to));
    let root = Root::contents_of(folder.path().to_owned());
    let walk = Walk::default();
    let ended = walk.add_reading_ahead(&root, 3, &mut tar, &mut Warnings::default());
    assert!(matches!(ended, Err(ArchiveError::Gone)), "{ended:?}");
}

#[test]
fn devices_are_kept_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("mknod").arg(folder.path().join("null")).args(["c", "1", "3"]).status();
    if !made.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "making a device needs root");
        println!("not tried: making a device needs root");
        return;
    }
    let root = Root::contents_of(folder.path().to_owned());
    let (found, warnings) = held(&Walk::default(), &root).unwrap();
    assert!(found.len() == 1 && warnings[0].contains("a device"), "{warnings:?}");
    let mut tar = Tar::new(Vec::new()).keeping_devices();
    Walk::default().add(&root, &mut tar, &mut Warnings::default()).unwrap();
    let bytes = tar.finish().unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let entry = archive.entries().unwrap().last().unwrap().unwrap();
    let header = entry.header();
    assert_eq!(header.entry_type(), tar::EntryType::Char);
    assert_eq!(header.device_major().unwrap(), Some(1));
    assert_eq!(header.device_minor().unwrap(), Some(3));
}

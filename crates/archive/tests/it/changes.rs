//! Files that grow, shrink and vanish while they are archived, and a reader who leaves.

use std::{fs::File, io::Write as _, path::Path};

use archive::{ArchiveError, Root, Sink, Tar, Walk, Warnings};
use tokio::sync::mpsc;

use crate::{Meddling, entries};

const LARGE: usize = 3 << 20;

#[test]
fn the_archive_stays_valid_and_the_changes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["a-grows", "b-shrinks", "c-vanishes", "d-becomes-a-folder", "e-stays"] {
        std::fs::write(at(name), name.repeat(LARGE / name.len())).unwrap();
    }
    std::fs::create_dir(at("f-vanishes")).unwrap();
    let (to, mut chunks) = mpsc::channel(1);
    let root = Root::read_from(Path::new("/it"), folder.path().to_owned());
    let walking = std::thread::spawn(move || {
        let mut warnings = Warnings::default();
        let mut tar = Tar::new(Sink::new(to));
        Walk::default().add(&root, &mut tar, &mut warnings)?;
        tar.finish()?.flush()?;
        Ok::<_, ArchiveError>(warnings.told())
    });
    // The first chunk is sent, a second one waits: the first file is open and not read to its end.
    let mut bytes = chunks.blocking_recv().unwrap().to_vec();
    File::options().append(true).open(at("a-grows")).unwrap().write_all(b"more").unwrap();
    std::fs::remove_file(at("c-vanishes")).unwrap();
    std::fs::remove_dir(at("f-vanishes")).unwrap();
    std::fs::remove_file(at("d-becomes-a-folder")).unwrap();
    std::fs::create_dir(at("d-becomes-a-folder")).unwrap();
    while bytes.len() < LARGE + (1 << 20) {
        bytes.extend_from_slice(&chunks.blocking_recv().unwrap());
    }
    File::options().write(true).open(at("b-shrinks")).unwrap().set_len(10).unwrap();
    while let Some(chunk) = chunks.blocking_recv() {
        bytes.extend_from_slice(&chunk);
    }
    let warnings = walking.join().unwrap().unwrap();
    let found = entries(&bytes);
    assert_eq!(found["it/a-grows"].1, "a-grows".repeat(LARGE / 7).into_bytes());
    let shrunk = &found["it/b-shrinks"].1;
    let whole = "b-shrinks".repeat(LARGE / 9).into_bytes();
    let same = shrunk.iter().zip(&whole).take_while(|(one, other)| one == other).count();
    assert_eq!(shrunk.len(), whole.len());
    assert!(same >= 1 << 19 && same < whole.len(), "{same}");
    assert!(shrunk[same..].iter().all(|byte| *byte == 0), "what was lost is zeros");
    assert_eq!(found["it/d-becomes-a-folder"].0, tar::EntryType::Directory);
    assert_eq!(found["it/e-stays"].1, "e-stays".repeat(LARGE / 7).into_bytes());
    assert!(!found.keys().any(|name| name.contains("vanishes")), "{:?}", found.keys());
    for (name, told) in [
        ("a-grows", "it grew"),
        ("b-shrinks", "it shrank"),
        ("c-vanishes", "gone"),
        ("f-vanishes", "gone"),
    ] {
        let is_told = |line: &String| line.contains(name) && line.contains(told);
        assert!(warnings.iter().any(is_told), "{name}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 4, "{warnings:?}");
}

#[test]
fn a_file_that_another_kind_replaces_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let before = |name: &Path| {
        if name.ends_with("file") {
            std::fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
        }
    };
    let mut format = Meddling { tar: Tar::new(Vec::new()), before };
    let mut warnings = Warnings::default();
    let root = Root::at(folder.path().to_owned());
    Walk::default().add(&root, &mut format, &mut warnings).unwrap();
    let told = warnings.told();
    assert!(told.len() == 1 && told[0].contains("no longer a file"), "{told:?}");
    assert_eq!(entries(&format.tar.finish().unwrap()).len(), 1);
}

#[test]
fn a_walk_ends_when_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large"), vec![7; LARGE]).unwrap();
    let (to, chunks) = mpsc::channel(1);
    drop(chunks);
    let mut tar = Tar::new(Sink::new(to));
    let root = Root::at(folder.path().to_owned());
    let ended = Walk::default().add(&root, &mut tar, &mut Warnings::default());
    assert!(matches!(ended, Err(ArchiveError::Gone)), "{ended:?}");
}

//! Walks over real trees, and what a tar of them holds.

mod ahead;
mod changes;
mod dense;
mod hostile;
mod member;
#[path = "../../../../fuzz/reads/archive.rs"]
mod reads;
mod survival;
mod unpack;
mod walks;

use std::{collections::BTreeMap, io::Read as _, path::Path};

use archive::{ArchiveError, Format, Item, Root, Tar, Walk, Warnings};

/// Names of a tar with their kind and content, and the warnings.
type Held = (BTreeMap<String, (tar::EntryType, Vec<u8>)>, Vec<String>);

/// Walks `root` into a tar and reads that; several threads come to the same, byte for byte.
fn held(walk: &Walk, root: &Root) -> Result<Held, ArchiveError> {
    let one = made(walk, root, 0);
    for readers in [1, 3] {
        let several = made(walk, root, readers);
        match (&one, &several) {
            (Ok(one), Ok(several)) => assert!(one == several, "{readers}"),
            (one, several) => assert_eq!(format!("{one:?}"), format!("{several:?}")),
        }
    }
    let (bytes, warnings) = one?;
    Ok((entries(&bytes), warnings))
}

/// A tar and its warnings.
fn made(walk: &Walk, root: &Root, readers: usize) -> Result<(Vec<u8>, Vec<String>), ArchiveError> {
    let mut warnings = Warnings::default();
    let mut tar = Tar::new(Vec::new());
    add(walk, root, readers, &mut tar, &mut warnings)?;
    Ok((tar.finish()?, warnings.told()))
}

/// By one thread where there are no readers.
fn add(
    walk: &Walk,
    root: &Root,
    readers: usize,
    format: &mut impl Format,
    warnings: &mut Warnings,
) -> Result<(), ArchiveError> {
    match readers {
        0 => walk.add(root, format, warnings),
        _ => walk.add_reading_ahead(root, readers, format, warnings),
    }
}

fn entries(bytes: &[u8]) -> BTreeMap<String, (tar::EntryType, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, (entry.header().entry_type(), content))
    });
    entries.collect()
}

/// A tar whose writer does something before each entry.
struct Meddling<F> {
    tar: Tar<Vec<u8>>,
    before: F,
}

impl<F: FnMut(&Path)> Format for Meddling<F> {
    fn add(&mut self, item: &Item, warnings: &mut Warnings) -> std::io::Result<()> {
        (self.before)(&item.name);
        self.tar.add(item, warnings)
    }
}

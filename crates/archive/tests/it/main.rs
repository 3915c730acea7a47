//! Walks over real trees, and what a tar of them holds.

mod changes;
mod hostile;
mod unpack;
mod walks;

use std::{collections::BTreeMap, io::Read as _, path::Path};

use archive::{ArchiveError, Format, Item, Root, Tar, Walk, Warnings};

/// Names of a tar with their kind and content, and the warnings.
type Held = (BTreeMap<String, (tar::EntryType, Vec<u8>)>, Vec<String>);

/// Walks `root` into a tar and reads that.
fn held(walk: &Walk, root: &Root) -> Result<Held, ArchiveError> {
    let mut warnings = Warnings::default();
    let mut tar = Tar::new(Vec::new());
    walk.add(root, &mut tar, &mut warnings)?;
    Ok((entries(&tar.finish()?), warnings.told()))
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

//! One pass over an archive.

use std::{
    io::{self, Read},
    path::Path,
};

use archive::{Members, Packing, parts_of};

use super::{ArchiveEntry, EntryKind, Index, IndexError, entries::split};

/// Makes the index of the tar that `from` gives, compressed or not, as a new file. Blocks.
pub(crate) fn make(mut from: impl Read + Send, path: &Path) -> Result<(), IndexError> {
    let mut first = Vec::new();
    from.by_ref().take(6).read_to_end(&mut first)?;
    let packing = Packing::of(&first);
    let whole = io::Cursor::new(first).chain(from);
    let mut members = Members::new(packing.open(whole, None)?);
    let index = Index::create(path)?;
    let mut last: Option<(String, i64)> = None;
    while let Some(member) = members.next_member()? {
        // What may not be unpacked is not offered either.
        let Ok(parts) = parts_of(&member.name) else { continue };
        let path = text(&parts.join(&b'/'));
        if path.is_empty() {
            continue;
        }
        let (folder, name) = split(&path);
        let folder = match &last {
            Some((known, id)) if known == folder => *id,
            _ => {
                let id = index.folder(folder)?;
                last = Some((folder.to_owned(), id));
                id
            }
        };
        let entry = ArchiveEntry {
            name: name.to_owned(),
            kind: EntryKind::of(member.kind),
            size_bytes: member.size,
            mode: member.attributes.mode,
            uid: member.attributes.uid,
            gid: member.attributes.gid,
            modified_at: member.attributes.mtime.0,
            link: (!member.link.is_empty()).then(|| text(&member.link)),
            path,
        };
        let end = member.data_at + member.stored.next_multiple_of(512);
        index.add(folder, &entry, &(member.begins..end))?;
    }
    members.drain()?;
    index.folder("")?;
    index.finish(word(packing))
}

pub(super) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// How a packing is written down; only whether there is one matters.
fn word(packing: Packing) -> &'static str {
    if packing == Packing::None { "none" } else { "packed" }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn tar(files: impl Iterator<Item = String>) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o640);
        header.set_size(3);
        for name in files {
            tar.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn index_of(tar: &[u8]) -> (tempfile::TempDir, Index) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        make(tar, &path).unwrap();
        let index = Index::open(&path).unwrap().unwrap();
        (folder, index)
    }

    #[test]
    fn folders_are_listed_in_pages() {
        let names = ["b/x", "b/y/deep", "a", "b/<i>\u{202e}\n", "b/%", "c/d/e"];
        let (_folder, index) = index_of(&tar(names.iter().map(ToString::to_string)));
        let names = |listing: &crate::index::Listing| {
            listing.entries.iter().map(|one| one.name.clone()).collect::<Vec<_>>()
        };
        let top = index.list("", None, 10).unwrap().unwrap();
        assert_eq!((names(&top), &top.next), (vec!["b".into(), "c".into(), "a".into()], &None));
        let mut all = Vec::new();
        let mut next = None;
        loop {
            let page = index.list("b", next.as_deref(), 2).unwrap().unwrap();
            all.extend(names(&page));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(all, ["y", "%", "<i>\u{202e}\n", "x"]);
        assert!(index.list("no/such", None, 10).unwrap().is_none());
        assert!(index.list("b/x", None, 10).unwrap().is_none());
    }

    #[test]
    fn names_are_found_by_a_part_or_a_pattern() {
        let names = ["b/Report.txt", "b/y/report.pdf", "a_b", "axb"];
        let (_folder, index) = index_of(&tar(names.iter().map(ToString::to_string)));
        let found = |words: &str| {
            let found = index.search(words, 10).unwrap();
            found.into_iter().map(|one| one.path).collect::<Vec<_>>()
        };
        assert_eq!(found("report"), ["b/Report.txt", "b/y/report.pdf"]);
        assert_eq!(found("*.pdf"), ["b/y/report.pdf"]);
        // What is a wildcard of LIKE is a letter like any other.
        assert_eq!(found("a_b"), ["a_b"]);
        assert_eq!(found("%"), Vec::<String>::new());
        assert_eq!(index.search("", 2).unwrap().len(), 2);
    }

    #[test]
    fn places_are_those_of_the_members() {
        let names = ["a/1", "a/2", "ab/3", "a/4"];
        let bytes = tar(names.iter().map(ToString::to_string));
        let (_folder, index) = index_of(&bytes);
        let (entry, place) = index.find("a/2").unwrap().unwrap();
        assert_eq!((entry.size_bytes, entry.mode), (3, 0o640));
        assert_eq!(place.unwrap(), 1024..2048);
        // A folder is no prefix of its namesake.
        assert_eq!(index.below("a").unwrap(), [0..2048, 3072..4096]);
        assert_eq!(index.below("").unwrap(), vec![0..4096]);
        assert!(index.find("a").unwrap().unwrap().1.is_none());
    }

    #[test]
    fn a_million_members_are_listed_at_once() {
        let bytes = tar((0..100_000).map(|at| format!("folder-{}/{at:07}.dat", at % 1000)));
        // Ten times the same names in folders of their own: a tar of a million takes a gigabyte.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let index = Index::create(&path).unwrap();
        let mut members = Members::new(&bytes[..]);
        while let Some(member) = members.next_member().unwrap() {
            let name = text(&member.name);
            for round in 0..10 {
                let (above, name) = split(&name);
                let above = format!("{round}/{above}");
                let entry = ArchiveEntry {
                    path: format!("{above}/{name}"),
                    name: name.to_owned(),
                    kind: EntryKind::File,
                    size_bytes: 3,
                    mode: 0o644,
                    uid: 0,
                    gid: 0,
                    modified_at: 0,
                    link: None,
                };
                let folder = index.folder(&above).unwrap();
                index.add(folder, &entry, &(member.begins..member.data_at + 512)).unwrap();
            }
        }
        index.finish("none").unwrap();
        let index = Index::open(&path).unwrap().unwrap();
        let began = Instant::now();
        let page = index.list("7/folder-500", None, 200).unwrap().unwrap();
        let listed = began.elapsed();
        assert_eq!(page.entries.len(), 100);
        let began = Instant::now();
        assert_eq!(index.search("0099999", 100).unwrap().len(), 10);
        let searched = began.elapsed();
        let began = Instant::now();
        assert!(index.find("9/folder-1/0000001.dat").unwrap().is_some());
        let found = began.elapsed();
        let bytes = path.metadata().unwrap().len();
        eprintln!(
            "1,000,000 members in {bytes} bytes: list {listed:?}, search {searched:?}, find {found:?}"
        );
        assert!(listed.as_millis() < 200, "{listed:?}");
    }
}

//! Bytes that are no archive, and archives with changes: an error or members, never a panic, and
//! nothing beside the target.

use std::io::{Cursor, Write as _};

use proptest::{collection::vec, prelude::*, sample::Index};
use tar::EntryType as E;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::{member::member, reads};

fn tar() -> Vec<u8> {
    let mut tar = member(b"a", E::Regular, b"", &[7; 700]);
    tar.extend(member(b"l", E::Symlink, b"../outside", b""));
    tar.extend(member(b"x", E::XHeader, b"", b"16 path=b/../../c\n"));
    tar.extend(member(b"d/", E::Directory, b"", b""));
    tar.extend([0; 1024]);
    tar
}

fn zip() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("a", "plain"), ("d/b", "below"), ("d/c", "")] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.repeat(50).as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..3000)) {
        reads::tar(&bytes);
        reads::zip(&bytes);
    }

    #[test]
    fn archives_with_changes_are_survived(
        changes in vec((any::<Index>(), any::<u8>()), 0..6), cut in any::<Index>(),
    ) {
        for (bytes, read) in [(tar(), reads::tar as fn(&[u8])), (zip(), reads::zip)] {
            let mut bytes = bytes;
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.truncate(cut.index(bytes.len() * 4).min(bytes.len()));
            read(&bytes);
        }
    }
}

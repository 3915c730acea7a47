//! What reads archives that somebody else made. The tests of `archive` feed it too.

use std::io::Cursor;

use archive::{Limits, Members, Options, dense, unpack_zip};

/// Members one after the other, every other one with its data; and all of them without holes.
pub(crate) fn tar(bytes: &[u8]) {
    const ROOM: u64 = 1 << 20;
    let mut whole = Vec::new();
    let zeros = dense(bytes, &mut whole, ROOM);
    assert!(zeros.is_err() || Members::new(&*whole).next_member().is_ok());
    assert!(whole.len() as u64 <= bytes.len() as u64 * 8 + ROOM);
    let mut members = Members::new(bytes);
    let mut buffer = [0; 4096];
    let mut count = 0_u32;
    while let Ok(Some(_)) = members.next_member() {
        count += 1;
        if count.is_multiple_of(2) {
            while members.read_data(&mut buffer).is_ok_and(|read| read > 0) {}
        }
    }
    assert!(
        members.position() <= bytes.len() as u64 && u64::from(count) * 512 <= bytes.len() as u64
    );
}

/// A zip, unpacked into a folder of its own.
pub(crate) fn zip(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { file_bytes: 1 << 20, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let _ = unpack_zip(Cursor::new(bytes), &folder.path().join("target"), options, &mut |_| true);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

//! Tars for those who know no holes.

use std::path::Path;

use archive::{DenseError, Kind, Members, Options, dense};
use tar::EntryType as E;

use crate::{
    hostile::{ended, pax},
    member::member,
    unpack::{FORMATS, by_gnu_tar, everything, packed, told, unpacked},
};

/// What there is to say of a tree, but for how a file system keeps it.
fn told_whole(folder: &Path) -> Vec<String> {
    let lines = told(folder).into_iter().skip(1);
    lines.map(|line| line.split(", sparse ").next().unwrap().to_owned()).collect()
}

fn without_holes(tar: &[u8], room: u64) -> Result<(Vec<u8>, u64), DenseError> {
    let mut to = Vec::new();
    let zeros = dense(tar, &mut to, room)?;
    Ok((to, zeros))
}

#[test]
fn files_with_holes_are_written_out_whole() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    everything(from.path());
    let tars = FORMATS.iter().map(|format| by_gnu_tar(from.path(), format));
    for (at, tar) in std::iter::once(packed(from.path())).chain(tars).enumerate() {
        let (whole, zeros) = without_holes(&tar, u64::MAX).unwrap();
        assert_eq!(zeros, (50 << 20) - 30 * 4096 + (1 << 20), "{at}");
        // No program has to know of holes.
        let plain = [0, b'0', b'1', b'2', b'5', b'6', b'L', b'K', b'x'];
        let mut members = Members::new(&*whole);
        let mut files = 0;
        while let Some(member) = members.next_member().unwrap() {
            assert_eq!(member.parts, None);
            let begins = usize::try_from(member.begins).unwrap();
            assert!(plain.contains(&whole[begins + 156]));
            files += usize::from(member.kind == Kind::File);
        }
        assert_eq!(files, 8);
        let (ours, expected) = (to.path().join(format!("{at}")), to.path().join(format!("{at}-x")));
        let options = || Options { privileges: true, ..Options::default() };
        unpacked(&whole, &ours, options()).unwrap();
        unpacked(&tar, &expected, options()).unwrap();
        assert_eq!(told_whole(&ours), told_whole(&expected));
        // And what has none is not touched.
        let (again, zeros) = without_holes(&whole, 0).unwrap();
        assert!(again == whole && zeros == 0);
        std::fs::remove_dir_all(&ours).unwrap();
        std::fs::remove_dir_all(&expected).unwrap();
    }
}

#[test]
fn what_holds_for_all_that_comes_after_is_kept() {
    let holes = pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"4,1")]);
    let global = member(b"g", E::XGlobalHeader, b"", b"12 uid=1234\n");
    let file = |name: &[u8]| member(name, E::Regular, b"", b"x");
    let tar = ended(&[global, holes, file(b"a"), file(b"b")]);
    let (whole, zeros) = without_holes(&tar, 8).unwrap();
    assert_eq!(zeros, 8);
    let mut members = Members::new(&*whole);
    for (name, content) in [(b"a", &b"\0\0\0\0x\0\0\0\0"[..]), (b"b", b"x")] {
        let member = members.next_member().unwrap().unwrap();
        assert_eq!((&*member.name, member.attributes.uid), (&name[..], 1234));
        let mut read = Vec::new();
        members.copy_content(&member, &mut read).unwrap();
        assert_eq!(read, content);
    }
    assert_eq!(members.next_member().unwrap(), None);
}

#[test]
fn holes_beyond_measure_are_refused_by_name() {
    let holes = pax(&[("GNU.sparse.size", b"9000000000000000000"), ("GNU.sparse.map", b"0,1")]);
    let tar = ended(&[holes, member(b"giant", E::Regular, b"", b"x")]);
    let refused = without_holes(&tar, 1 << 40).unwrap_err();
    assert!(matches!(&refused, DenseError::TooLong { name } if name == "giant"), "{refused}");
    // What was sent of it is never an end.
    let whole = ended(&[member(b"a", E::Regular, b"", b"x")]);
    for end in (0..whole.len() - 1024).step_by(128) {
        assert!(without_holes(&whole[..end], 0).is_err(), "{end}");
    }
}

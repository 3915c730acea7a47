//! Digests of all kinds, beside each other and beside a published one.

use repository::hash::{Hashing, single};

#[test]
fn all_kinds_give_the_same_digests() {
    assert_eq!(
        hex::encode(single(b"abc")),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let data: Vec<u8> =
        (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    // Around the ends of blocks of SHA-256, none at all, and lengths that differ a lot.
    let mut lengths: Vec<usize> = (0..130).chain([1000, 4096, 100_000, 1_200_000]).collect();
    for count in [0, 1, 2, 3, 4, 7, 16, 17, 33, lengths.len()] {
        lengths.rotate_left(count);
        let blobs: Vec<&[u8]> = lengths[..count].iter().map(|&n| &data[data.len() - n..]).collect();
        let one_by_one = Hashing::Single.digests(&blobs);
        for kind in [Hashing::Woven, Hashing::Lanes] {
            assert_eq!(kind.digests(&blobs), one_by_one, "{kind:?}, {count} blobs");
        }
        assert!(blobs.iter().zip(&one_by_one).all(|(blob, digest)| single(blob) == *digest));
    }
}

#[test]
fn this_processor_has_a_kind() {
    let kind = Hashing::of_this_processor();
    assert!(kind.batch() > 0);
    assert_eq!(kind, Hashing::of_this_processor());
}

//! Bytes that nobody sealed, and sealed ones with changes: an error or a value, never a panic, and
//! never more than was said to come.

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{RECIPES, manifest::example, reads, sample, seal};

fn changed(mut bytes: Vec<u8>, changes: &[(Index, u8)], cut: Index) -> Vec<u8> {
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes.truncate(cut.index(bytes.len() * 4).min(bytes.len()));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..600)) {
        reads::manifest(&bytes);
        reads::frames(&bytes);
    }

    #[test]
    fn a_manifest_with_changes_is_survived(
        changes in vec((any::<Index>(), any::<u8>()), 1..6), cut in any::<Index>(),
    ) {
        reads::manifest(&changed(example().to_bytes().unwrap(), &changes, cut));
    }

    #[test]
    fn frames_with_changes_are_survived(
        recipe in prop::sample::select(RECIPES), length in 0..20_000_usize,
        changes in vec((any::<Index>(), any::<u8>()), 1..6), cut in any::<Index>(),
    ) {
        let kind = match recipe.compression.method() {
            artifact::Method::None => 0,
            artifact::Method::Gzip => 1,
            artifact::Method::Zstd => 2,
        };
        let stored = seal(recipe, &sample(length), 5000).1;
        reads::frames(&[vec![kind], stored.clone()].concat());
        if !stored.is_empty() {
            reads::frames(&[vec![kind], changed(stored, &changes, cut)].concat());
        }
    }
}

/// A gigabyte of zeros in a megabyte: left at what was said to come.
#[test]
fn a_bomb_of_frames_is_left_early() {
    let recipe = RECIPES[3];
    let stored = seal(recipe, &vec![0; 256 << 20], 1 << 20).1;
    reads::frames(&[vec![2], stored].concat());
}

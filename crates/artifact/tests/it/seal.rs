use artifact::{Compression, Digest, Digester, Method, OpenError, Opener, Recipe, Sealed, Sealer};
use bytes::Bytes;
use proptest::prelude::*;

use crate::{RECIPES, open, sample, seal};

fn recipes() -> impl Strategy<Value = Recipe> {
    prop::sample::select(RECIPES)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_bytes_in_any_pieces_come_back(
        recipe in recipes(),
        plain in prop::collection::vec(any::<u8>(), 0..5000),
        (push, read) in (1_usize..3000, 1_usize..3000),
    ) {
        let (sealed, stored) = seal(recipe, &plain, push);
        prop_assert_eq!(sealed.plain, Digest::of(&plain));
        prop_assert_eq!(sealed.stored, Digest::of(&stored));
        prop_assert_eq!(open(recipe, &sealed, &stored, read).unwrap(), plain);
    }

    #[test]
    fn any_flip_is_detected(
        recipe in recipes(), at in any::<prop::sample::Index>(), bit in 0..8_u8, len in 1_usize..4000,
    ) {
        let (sealed, mut stored) = seal(recipe, &sample(len), 512);
        let at = at.index(stored.len());
        stored[at] ^= 1_u8 << bit;
        prop_assert!(open(recipe, &sealed, &stored, 100).is_err());
    }

    #[test]
    fn any_cut_and_any_addition_is_detected(
        recipe in recipes(),
        cut in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 1..50),
    ) {
        let (sealed, stored) = seal(recipe, &sample(3000), 512);
        prop_assert!(open(recipe, &sealed, &stored[..cut.index(stored.len())], 100).is_err());
        let longer = [&stored[..], &more].concat();
        prop_assert!(open(recipe, &sealed, &longer, 100).is_err());
    }
}

#[test]
fn large_streams_come_back_in_bounded_chunks() {
    let plain = sample(9 << 20);
    for recipe in RECIPES {
        let (sealed, stored) = seal(*recipe, &plain, 100_000);
        let mut opener =
            Opener::new(recipe.compression.method(), sealed.plain, [sealed.stored]).unwrap();
        let (mut digester, mut largest) = (Digester::new(), 0);
        let mut out = |bytes: Bytes| {
            largest = largest.max(bytes.len());
            digester.update(&bytes);
        };
        for piece in stored.chunks(1 << 16) {
            opener.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
        }
        opener.finish(&mut out).unwrap();
        assert_eq!(digester.finish(), Digest::of(&plain));
        assert!(largest <= 128 << 10, "a chunk of {largest} bytes");
    }
}

#[test]
fn without_compression_nothing_is_copied() {
    let chunk = Bytes::from(sample(1000));
    let mut sealer = Sealer::new(Recipe::new(Compression::None)).unwrap();
    let mut handed = Vec::new();
    sealer.push(chunk.clone(), &mut |bytes| handed.push(bytes)).unwrap();
    assert_eq!(handed.len(), 1);
    assert_eq!(handed[0].as_ptr(), chunk.as_ptr());
    let sealed = sealer.finish(&mut |_| panic!("nothing was left")).unwrap();
    assert_eq!(sealed.plain, sealed.stored);
}

#[test]
fn a_bomb_is_left_at_the_declared_size() {
    for recipe in &RECIPES[1..] {
        let (sealed, stored) = seal(*recipe, &vec![0; 64 << 20], 1 << 20);
        let declared = Digest { size_bytes: 1000, ..sealed.plain };
        let mut opener =
            Opener::new(recipe.compression.method(), declared, [sealed.stored]).unwrap();
        let mut handed = 0;
        let error =
            opener.push(Bytes::from(stored), &mut |bytes| handed += bytes.len()).unwrap_err();
        assert!(matches!(error, OpenError::TooLarge { expected_bytes: 1000 }), "{error}");
        assert!(handed <= 1000);
    }
}

#[test]
fn wrong_digests_are_refused_even_where_framing_holds() {
    for recipe in RECIPES {
        let plain = sample(5000);
        let (sealed, stored) = seal(*recipe, &plain, 512);
        let other = Digest { size_bytes: 5000, sha256: Digest::of(b"other").sha256 };
        let lie = Sealed { plain: other, ..sealed.clone() };
        assert!(matches!(open(*recipe, &lie, &stored, 512), Err(OpenError::Plain { .. })));
        let lie =
            Sealed { stored: Digest { sha256: other.sha256, ..sealed.stored }, ..sealed.clone() };
        assert!(matches!(open(*recipe, &lie, &stored, 512), Err(OpenError::Stored { part: 0 })));
    }
}

#[test]
fn framing_is_checked_by_itself() {
    // Digests that match a stream cut before it was hashed: only the compressor's end tells.
    for recipe in &RECIPES[1..] {
        let plain = sample(50_000);
        let (sealed, stored) = seal(*recipe, &plain, 512);
        for wrong in [&stored[..stored.len() - 1], &[&stored[..], b"\0"].concat()] {
            let lie = Sealed { stored: Digest::of(wrong), ..sealed.clone() };
            let error = open(*recipe, &lie, wrong, 512).unwrap_err();
            assert!(matches!(error, OpenError::Stream { .. }), "{error}");
        }
    }
}

#[test]
fn several_objects_make_one_stream_and_a_damaged_one_is_named() {
    let plain = sample(10_000);
    let (sealed, stored) = seal(RECIPES[2], &plain, 512);
    let parts = [&stored[..100], &stored[100..100], &stored[100..5000], &stored[5000..], &[]];
    let digests: Vec<_> = parts.iter().map(|part| Digest::of(part)).collect();
    let mut opened = Vec::new();
    let mut out = |bytes: Bytes| opened.extend_from_slice(&bytes);
    let mut opener = Opener::new(Method::Zstd, sealed.plain, digests.clone()).unwrap();
    opener.push(Bytes::from(stored.clone()), &mut out).unwrap();
    opener.finish(&mut out).unwrap();
    assert_eq!(opened, plain);

    let mut flipped = stored;
    flipped[6000] ^= 1;
    let mut opener = Opener::new(Method::None, Digest::of(&flipped), digests).unwrap();
    let error = opener.push(Bytes::from(flipped), &mut |_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Stored { part: 3 }), "{error}");
}

#[test]
fn levels_out_of_range_are_refused() {
    for compression in [Compression::Zstd { level: 22 }, Compression::Gzip { level: 0 }] {
        assert!(Sealer::new(Recipe::new(compression)).is_err());
    }
}

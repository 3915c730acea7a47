//! Cuts and polynomials, beside the figures that restic's chunker publishes for itself.

use repository::chunk::{Chunking, MAX_BYTES, MIN_BYTES, Polynomial};

/// What the published figures were made with.
const POLYNOMIAL: u64 = 0x003D_A335_8B4D_C173;

/// Lengths of chunks of 32 MiB from Go's `math/rand` seeded by 23.
const LENGTHS: [usize; 23] = [
    2_163_460, 643_703, 1_528_956, 1_955_808, 2_222_372, 2_538_687, 609_606, 1_205_738, 959_742,
    4_036_109, 1_525_894, 1_352_720, 811_884, 1_282_314, 1_318_021, 948_640, 645_464, 533_758,
    1_128_303, 800_374, 2_453_512, 2_651_975, 237_392,
];

const IRREDUCIBLE: [(u64, bool); 8] = [
    (0x0038_f1e5_65e2_88df, false),
    (0x003D_A335_8B4D_C173, true),
    (0x0030_a829_5b9d_5c91, false),
    (0x0024_8273_4cac_ca49, true),
    (0x0031_2daf_4b28_4899, false),
    (0x0020_0d57_aa6f_dacb, false),
    (0x0020_26a5_9efb_219b, false),
    (0x0031_43d0_464b_3299, false),
];

/// Go's additive lagged generator, from the state that seed 23 gives it.
fn go_random(bytes: usize) -> Vec<u8> {
    let seeded = include_bytes!("data/go-rand-seed-23.bin").as_chunks::<8>().0;
    let mut state: Vec<u64> = seeded.iter().map(|number| u64::from_le_bytes(*number)).collect();
    let (mut tap, mut feed) = (0, 607 - 273);
    let mut next = || {
        tap = (tap + 606) % 607;
        feed = (feed + 606) % 607;
        state[feed] = state[feed].wrapping_add(state[tap]) & (u64::MAX >> 1);
        u32::try_from(state[feed] >> 31).expect("32 bits")
    };
    (0..bytes / 4).flat_map(|_| next().to_le_bytes()).collect()
}

/// Cuts a whole stream that comes in blocks.
fn lengths(chunking: &Chunking, data: &[u8], block: usize) -> Vec<usize> {
    let (mut cutter, mut all) = (chunking.cutter(), Vec::new());
    let (mut start, mut end) = (0, 0);
    while start < data.len() {
        match cutter.cut(&data[start..end]) {
            Some(length) => {
                all.push(length);
                start += length;
            }
            None if end == data.len() => {
                all.push(end - start);
                start = end;
            }
            None => end = (end + block).min(data.len()),
        }
    }
    all
}

fn content() -> Chunking {
    Chunking::content(Polynomial::new(POLYNOMIAL).expect("irreducible"))
}

#[test]
fn cuts_are_those_that_restic_publishes_whatever_the_blocks() {
    let data = go_random(32 << 20);
    for block in [32 << 20, 1 << 20, 512 << 10, 65_537, 4096] {
        assert_eq!(lengths(&content(), &data, block), LENGTHS, "blocks of {block}");
    }
}

#[test]
fn zeros_are_cut_at_the_least_length() {
    assert_eq!(lengths(&content(), &vec![0; 4 * MIN_BYTES], 1 << 20), [MIN_BYTES; 4]);
    assert_eq!(lengths(&content(), &vec![0; MIN_BYTES + 1], 1 << 20), [MIN_BYTES, 1]);
    assert_eq!(lengths(&content(), &[], 1 << 20), [0; 0]);
}

#[test]
fn what_never_cuts_ends_at_the_greatest_length() {
    // The fingerprint of equal bytes is always the same one; that of 0xff cuts nowhere.
    assert_eq!(
        lengths(&content(), &vec![0xff; 2 * MAX_BYTES + 7], 1 << 20),
        [MAX_BYTES, MAX_BYTES, 7]
    );
}

#[test]
fn relation_files_are_cut_evenly() {
    let chunking = Chunking::Fixed(32 << 10);
    assert_eq!(lengths(&chunking, &vec![1; (96 << 10) + 1], 50_000), [32_768, 32_768, 32_768, 1]);
}

#[test]
fn only_irreducible_polynomials_are_taken() {
    for (bits, irreducible) in IRREDUCIBLE {
        assert_eq!(Polynomial::new(bits).is_ok(), irreducible, "{bits:x}");
    }
    for bits in [0, 1, 2, 0x25, u64::MAX, 1 << 54 | 1] {
        assert!(Polynomial::new(bits).is_err(), "{bits:x}");
    }
    assert_eq!("3da3358b4dc173".parse::<Polynomial>().expect("one").bits(), POLYNOMIAL);
    assert!("zz".parse::<Polynomial>().is_err());
}

#[test]
fn a_chosen_polynomial_is_one_that_is_taken() {
    let mut seed = 7_u64;
    let mut number = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed ^ seed >> 29
    };
    for _ in 0..20 {
        let chosen = Polynomial::random(&mut number);
        assert_eq!(chosen.degree(), 53);
        assert_eq!(Polynomial::new(chosen.bits()), Ok(chosen));
    }
}

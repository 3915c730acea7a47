//! Parts of an artifact, from no more than they take.

use std::ops::Range;

use artifact::{
    Compression, Digest, Identities, OpenError, Proof, RangeOpener, Recipe, Recipients, Sealed,
    Sealer,
    manifest::{Encryption, ManifestArtifact, Object},
};
use bytes::Bytes;
use proptest::prelude::*;

use crate::{crypt::encrypt, manifest::example, sample};

const SIZE: usize = 3 << 20;
const FRAME: u64 = 250 << 10;

struct Stored {
    plain: Vec<u8>,
    bytes: Vec<u8>,
    artifact: ManifestArtifact,
    identities: Identities,
}

/// Bytes that shrink by more than half, and nowhere repeat.
fn text() -> Vec<u8> {
    let lines = (0_u64..).map(|at| format!("{at} {:x} and what lines are like\n", at * at * 7919));
    let mut text: Vec<u8> = lines.take(SIZE / 30).flat_map(String::into_bytes).collect();
    text.truncate(SIZE);
    assert_eq!(text.len(), SIZE);
    text
}

fn stored(compression: Compression, workers: u32, is_encrypted: bool) -> Stored {
    let plain = text();
    let mut packed = Vec::new();
    let recipe = Recipe::new(compression).with_workers(workers);
    let mut sealer = Sealer::new(recipe).unwrap().with_frames_of(FRAME);
    let mut out = |bytes: Bytes| packed.extend_from_slice(&bytes);
    for piece in plain.chunks(30_000) {
        sealer.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    let sealed: Sealed = sealer.finish(&mut out).unwrap();
    assert_eq!(sealed.stored, Digest::of(&packed));
    let mut identities = Identities::default();
    let (bytes, encryption) = if is_encrypted {
        let (identity, recipient) = Identities::generate();
        identities.add(&identity).unwrap();
        (encrypt(&Recipients::parse(&recipient).unwrap(), &packed), Encryption::Age)
    } else {
        (packed, Encryption::None)
    };
    let (first, second) = bytes.split_at(bytes.len() / 3);
    let object =
        |key: &str, part: &[u8]| Object { key: key.into(), stored: Digest::of(part), tree: None };
    let artifact = ManifestArtifact {
        plain: sealed.plain,
        compression: compression.method(),
        encryption,
        objects: vec![object("a", first), object("b", second)],
        restarts: sealed.restarts,
        ..example().artifacts[0].clone()
    };
    Stored { plain, bytes, artifact, identities }
}

/// What was read, how much was fetched for it, and whether it is proven.
fn read(
    stored: &Stored,
    wanted: Range<u64>,
    step: usize,
) -> Result<(Vec<u8>, usize, Proof), OpenError> {
    let mut plain = Vec::new();
    let mut fetched = 0;
    let mut opener = RangeOpener::new(&stored.artifact, wanted, &stored.identities)?;
    let mut out = |bytes: Bytes| plain.extend_from_slice(&bytes);
    while let Some(needs) = opener.needs() {
        let start = usize::try_from(needs.start).unwrap();
        let end = usize::try_from(needs.end).unwrap().min(start + step);
        fetched += end - start;
        opener.push(Bytes::copy_from_slice(&stored.bytes[start..end]), &mut out)?;
    }
    let proof = opener.finish(&mut out)?;
    Ok((plain, fetched, proof))
}

fn cases() -> Vec<Stored> {
    let zstd = Compression::Zstd { level: 1 };
    let mut all = Vec::new();
    for is_encrypted in [false, true] {
        all.push(stored(zstd, 0, is_encrypted));
        all.push(stored(zstd, 2, is_encrypted));
        all.push(stored(Compression::Gzip { level: 1 }, 0, is_encrypted));
    }
    all
}

#[test]
fn any_stretch_is_what_was_sealed() {
    let cases = cases();
    let stretch = (0..cases.len(), 0..SIZE as u64, 0..1_000_000_u64, 1_000..200_000_usize);
    proptest!(ProptestConfig::with_cases(60), |((case, start, length, step) in stretch)| {
        let case = &cases[case];
        let (plain, _, proof) = read(case, start..start + length, step).unwrap();
        let end = usize::try_from(start + length).unwrap().min(SIZE);
        prop_assert!(plain == case.plain[usize::try_from(start).unwrap()..end]);
        prop_assert_eq!(proof, Proof::Proven);
    });
    for case in &cases {
        let size = SIZE as u64;
        for at in [0, FRAME - 1, FRAME, 65_536 * 3, size - 1, size, size + 5] {
            let (plain, _, _) = read(case, at..at + 2, 500_000).unwrap();
            let at = usize::try_from(at).unwrap().min(SIZE);
            assert!(plain == case.plain[at..(at + 2).min(SIZE)]);
        }
        let (plain, ..) = read(case, 0..u64::MAX, 1 << 20).unwrap();
        assert!(plain == case.plain);
    }
}

#[test]
fn little_is_read_for_little() {
    for case in cases() {
        let (_, fetched, _) = read(&case, 2_000_000..2_000_100, 1 << 20).unwrap();
        assert!(fetched < case.bytes.len() / 4, "{fetched} bytes of {}", case.bytes.len());
    }
}

#[test]
fn without_compression_only_what_is_wanted_is_read() {
    for is_encrypted in [false, true] {
        let plain = vec![7; 65 << 20];
        let mut case = stored(Compression::None, 0, is_encrypted);
        let mut bytes = plain.clone();
        if is_encrypted {
            let recipients = case.identities.recipients().unwrap();
            bytes = encrypt(&recipients, &plain);
        }
        case.artifact.plain = Digest { size_bytes: 65 << 20, ..case.artifact.plain };
        case.artifact.objects = vec![Object {
            key: "a".into(),
            stored: Digest { size_bytes: bytes.len() as u64, ..case.artifact.plain },
            tree: None,
        }];
        case.bytes = bytes;
        let (read, fetched, proof) = read(&case, 40_000_000..40_000_100, 1 << 20).unwrap();
        assert_eq!((read, proof), (vec![7; 100], Proof::Unproven));
        assert!(fetched < 200 << 10, "{fetched}");
    }
}

#[test]
fn what_does_not_shrink_is_not_hashed_twice() {
    let mut sealer = Sealer::new(Recipe::new(Compression::Zstd { level: 1 })).unwrap();
    sealer = sealer.with_frames_of(100_000);
    sealer.push(Bytes::from(sample(1_000_000)), &mut |_| ()).unwrap();
    let restarts = sealer.finish(&mut |_| ()).unwrap().restarts;
    let hashed: Vec<_> = restarts.iter().map(|one| one.sha256.is_some()).collect();
    assert_eq!(hashed, [&[true][..], &[false; 9]].concat());
}

#[test]
fn a_flip_in_what_is_read_is_seen() {
    for mut case in cases() {
        let middle = case.bytes.len() / 2;
        case.bytes[middle] ^= 4;
        let wanted = SIZE as u64 / 2..SIZE as u64 / 2 + 10;
        // Frames do not end where halves do: one around the middle is read in any case.
        let around = wanted.start - FRAME..wanted.end + FRAME;
        assert!(read(&case, around, 1 << 20).is_err());
        assert!(read(&case, 0..10, 1 << 20).is_ok());
    }
}

#[test]
fn frames_are_not_believed_without_their_sum() {
    let mut case = stored(Compression::Zstd { level: 1 }, 0, false);
    case.artifact.restarts[3].sha256 = Some(Digest::of(b"other").sha256);
    let within = 3 * FRAME + 5..3 * FRAME + 9;
    assert!(matches!(read(&case, within, 1 << 20), Err(OpenError::Stored { .. })));
    assert!(read(&case, 2 * FRAME..3 * FRAME, 1 << 20).is_ok());
    // A manifest that lies about where frames begin.
    let mut case = stored(Compression::Zstd { level: 1 }, 0, false);
    case.artifact.restarts[3].plain_offset += 1;
    assert!(read(&case, 3 * FRAME + 5..3 * FRAME + 9, 1 << 20).is_err());
}

#[test]
fn manifests_without_restarts_are_read_from_the_beginning() {
    let mut case = stored(Compression::Zstd { level: 1 }, 2, true);
    case.artifact.restarts.clear();
    let (plain, _, proof) = read(&case, 2_000_000..2_000_100, 1 << 20).unwrap();
    assert!(plain == case.plain[2_000_000..2_000_100]);
    // It is small enough to be proven as a whole.
    assert_eq!(proof, Proof::Proven);
    // As if it were not: what comes after is left alone, and so is the proof.
    case.artifact.plain.size_bytes = 65 << 20;
    let (plain, fetched, proof) = read(&case, 1_000_000..1_000_100, 10_000).unwrap();
    assert!(plain == case.plain[1_000_000..1_000_100]);
    assert!(fetched < case.bytes.len() * 2 / 3);
    assert_eq!(proof, Proof::Unproven);
}

#[test]
fn another_key_is_told() {
    let mut case = stored(Compression::Zstd { level: 1 }, 0, true);
    case.identities = Identities::default();
    assert!(matches!(read(&case, 0..10, 1 << 20), Err(OpenError::Locked { .. })));
    case.identities.add(&Identities::generate().0).unwrap();
    assert!(matches!(read(&case, 0..10, 1 << 20), Err(OpenError::Locked { .. })));
}

#[test]
fn frames_grow_when_there_are_many() {
    let mut sealer = Sealer::new(Recipe::new(Compression::Zstd { level: 1 })).unwrap();
    sealer = sealer.with_frames_of(10);
    for _ in 0..1000 {
        sealer.push(Bytes::from(vec![1; 100]), &mut |_| ()).unwrap();
    }
    let restarts = sealer.finish(&mut |_| ()).unwrap().restarts;
    let length = |at: usize| restarts[at + 1].plain_offset - restarts[at].plain_offset;
    assert_eq!((length(0), length(255), length(256), length(512)), (10, 10, 20, 40));
    assert!(restarts.len() < 256 * 14);
}

/// The tools of the system take several frames for one stream.
#[test]
fn stock_tools_open_frames() {
    for (compression, program) in
        [(Compression::Zstd { level: 1 }, "zstd"), (Compression::Gzip { level: 1 }, "gzip")]
    {
        let case = stored(compression, 0, false);
        assert!(case.artifact.restarts.len() > 10);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stored");
        std::fs::write(&path, &case.bytes).unwrap();
        let input = std::fs::File::open(&path).unwrap();
        let opened = std::process::Command::new(program).arg("-dc").stdin(input).output();
        let Ok(opened) = opened else {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing");
            eprintln!("{program} is missing: left out");
            continue;
        };
        assert!(opened.status.success() && opened.stdout == case.plain, "{program}");
    }
}

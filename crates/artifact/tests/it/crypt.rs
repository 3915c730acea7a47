//! The age layer: round trips, damage, keys, and stock `age` both ways.

use std::process::{Command, Stdio};

use artifact::{
    Digest, Encrypter, Identities, KeyError, OpenError, Opener, Recipe, Recipients, Sealed,
    manifest::Encryption,
};
use bytes::Bytes;
use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{RECIPES, sample, seal};

fn pair() -> (SecretString, Identities, Recipients) {
    let (text, recipient) = Identities::generate();
    let mut identities = Identities::default();
    identities.add(&text).unwrap();
    (text, identities, Recipients::parse(&recipient).unwrap())
}

fn passphrase(text: &str) -> (Identities, Recipients) {
    let mut identities = Identities::default();
    identities.add_passphrase(text.into());
    (identities, Recipients::passphrase(text.into()).unwrap())
}

/// Seals and encrypts, in pieces of `step` bytes.
pub(crate) fn seal_to(
    recipients: &Recipients,
    recipe: Recipe,
    plain: &[u8],
    step: usize,
) -> (Sealed, Vec<u8>) {
    let (sealed, compressed) = seal(recipe, plain, step);
    let stored = encrypt_by(recipients, &compressed, step);
    (Sealed { stored: Digest::of(&stored), ..sealed }, stored)
}

pub(crate) fn encrypt(recipients: &Recipients, bytes: &[u8]) -> Vec<u8> {
    encrypt_by(recipients, bytes, 1 << 20)
}

fn encrypt_by(recipients: &Recipients, bytes: &[u8], step: usize) -> Vec<u8> {
    let mut stored = Vec::new();
    let mut out = |bytes: Bytes| stored.extend_from_slice(&bytes);
    let mut encrypter = Encrypter::new(recipients).unwrap();
    for piece in bytes.chunks(step.max(1)) {
        encrypter.push(piece, &mut out).unwrap();
    }
    let digest = encrypter.finish(&mut out).unwrap();
    assert_eq!(digest, Digest::of(&stored));
    stored
}

fn open(
    identities: &Identities,
    recipe: Recipe,
    sealed: &Sealed,
    stored: &[u8],
    step: usize,
) -> Result<Vec<u8>, OpenError> {
    let mut plain = Vec::new();
    let mut out = |bytes: Bytes| plain.extend_from_slice(&bytes);
    let opener = Opener::new(recipe.compression.method(), sealed.plain, [sealed.stored])?;
    let mut opener = opener.encrypted(Encryption::Age, identities);
    for piece in stored.chunks(step.max(1)) {
        opener.push(Bytes::copy_from_slice(piece), &mut out)?;
    }
    opener.finish(&mut out)?;
    Ok(plain)
}

fn recipes() -> impl Strategy<Value = Recipe> {
    prop::sample::select(RECIPES)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_in_any_pieces_come_back(
        recipe in recipes(),
        plain in prop::collection::vec(any::<u8>(), 0..5000),
        (push, read) in (1_usize..3000, 1_usize..3000),
    ) {
        let (_, identities, recipients) = pair();
        let (sealed, stored) = seal_to(&recipients, recipe, &plain, push);
        prop_assert_eq!(sealed.plain, Digest::of(&plain));
        prop_assert_eq!(sealed.stored, Digest::of(&stored));
        prop_assert_eq!(open(&identities, recipe, &sealed, &stored, read).unwrap(), plain);
    }

    #[test]
    fn any_flip_any_cut_and_any_addition_is_damage_never_a_matter_of_keys(
        recipe in recipes(), at in any::<prop::sample::Index>(), bit in 0..8_u8, len in 1_usize..4000,
        more in prop::collection::vec(any::<u8>(), 1..50),
    ) {
        let (_, identities, recipients) = pair();
        let (sealed, stored) = seal_to(&recipients, recipe, &sample(len), 512);
        let at = at.index(stored.len());
        let mut flipped = stored.clone();
        flipped[at] ^= 1_u8 << bit;
        for wrong in [&flipped[..], &stored[..at], &[&stored[..], &more].concat()] {
            for keys in [&identities, &Identities::default()] {
                let error = open(keys, recipe, &sealed, wrong, 100).unwrap_err();
                prop_assert!(!matches!(error, OpenError::Locked { .. }), "{error}");
            }
            // Digests that match the wrong bytes: the layer itself must tell.
            let lie = Sealed { stored: Digest::of(wrong), ..sealed.clone() };
            prop_assert!(open(&identities, recipe, &lie, wrong, 100).is_err());
        }
    }
}

/// Plain bytes of one of age's pieces.
const PIECE: usize = 64 << 10;

#[test]
fn lengths_around_the_pieces_of_age_come_back() {
    let (_, identities, recipients) = pair();
    for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7] {
        let plain = sample(len);
        let (sealed, stored) = seal_to(&recipients, RECIPES[0], &plain, 50_000);
        assert_eq!(open(&identities, RECIPES[0], &sealed, &stored, 70_000).unwrap(), plain);
        if len > PIECE {
            // Cut between two pieces, digests that fit the cut.
            let cut = &stored[..stored.len() - len % PIECE - 16];
            let lie = Sealed { stored: Digest::of(cut), ..sealed.clone() };
            let error = open(&identities, RECIPES[0], &lie, cut, 9_999).unwrap_err();
            assert!(matches!(error, OpenError::Encrypted { .. }), "{len}: {error}");
        }
    }
}

#[test]
fn without_the_key_whole_bytes_are_locked_and_damaged_ones_damaged() {
    let (_, _, recipients) = pair();
    let (_, other, _) = pair();
    let (guess, _) = passphrase("wrong guess");
    let (sealed, stored) = seal_to(&recipients, RECIPES[2], &sample(200_000), 4096);
    let mut flipped = stored.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for keys in [&Identities::default(), &other, &guess] {
        let error = open(keys, RECIPES[2], &sealed, &stored, 4096).unwrap_err();
        assert!(matches!(error, OpenError::Locked { .. }), "{error}");
        let error = open(keys, RECIPES[2], &sealed, &flipped, 4096).unwrap_err();
        assert!(matches!(error, OpenError::Stored { part: 0 }), "{error}");
    }
}

#[test]
fn a_passphrase_opens_what_it_closed_and_nothing_else() {
    let (identities, recipients) = passphrase("correct horse");
    let (sealed, stored) = seal_to(&recipients, RECIPES[2], &sample(9_000), 512);
    assert_eq!(open(&identities, RECIPES[2], &sealed, &stored, 512).unwrap(), sample(9_000));
    let (wrong, _) = passphrase("correct house");
    let error = open(&wrong, RECIPES[2], &sealed, &stored, 512).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert_eq!(recipients.fingerprints(), ["passphrase"]);
}

#[test]
fn every_recipient_opens_and_an_identity_knows_its_recipients() {
    let (_, first, to_first) = pair();
    let (_, second, to_second) = pair();
    let both = format!("{}, {}", to_first.text().unwrap(), to_second.text().unwrap());
    let both = Recipients::parse(&both).unwrap();
    let (sealed, stored) = seal_to(&both, RECIPES[3], &sample(9_000), 512);
    for identities in [&first, &second] {
        assert_eq!(open(identities, RECIPES[3], &sealed, &stored, 512).unwrap(), sample(9_000));
        assert!(identities.opens(&both));
    }
    assert!(!first.opens(&to_second));
    assert_eq!(first.recipients().unwrap().fingerprints(), to_first.fingerprints());
}

#[test]
fn large_streams_are_held_in_bounded_pieces() {
    let (_, identities, recipients) = pair();
    let plain = sample(5 << 20);
    let mut encrypter = Encrypter::new(&recipients).unwrap();
    let (mut stored, mut largest, mut handed) = (Vec::new(), 0, 0_usize);
    for chunk in plain.chunks(1 << 20) {
        let mut out = |bytes: Bytes| {
            largest = largest.max(bytes.len());
            stored.extend_from_slice(&bytes);
        };
        encrypter.push(chunk, &mut out).unwrap();
        handed += chunk.len();
        assert!(handed <= stored.len() + (64 << 10), "held back");
    }
    let digest = encrypter.finish(&mut |bytes| stored.extend_from_slice(&bytes)).unwrap();
    let opener = Opener::new(artifact::Method::None, Digest::of(&plain), [digest]).unwrap();
    let mut opener = opener.encrypted(Encryption::Age, &identities);
    let mut opened = 0;
    for (at, chunk) in stored.chunks(1 << 20).enumerate() {
        let mut out = |bytes: Bytes| {
            largest = largest.max(bytes.len());
            opened += bytes.len();
        };
        opener.push(Bytes::copy_from_slice(chunk), &mut out).unwrap();
        assert!(((at + 1) << 20).min(stored.len()) <= opened + (66 << 10), "held back");
    }
    opener.finish(&mut |bytes| opened += bytes.len()).unwrap();
    assert_eq!(opened, plain.len());
    assert!(largest <= 128 << 10, "a chunk of {largest} bytes");
}

#[test]
fn keys_are_read_strictly_and_never_told() {
    let (text, identities, _) = pair();
    let secret = text.expose_secret();
    assert_eq!(Recipients::parse(" ,").unwrap_err(), KeyError::Count);
    for wrong in ["age1nonsense", secret, "ssh-ed25519 AAAA"] {
        let error = Recipients::parse(wrong).unwrap_err();
        assert!(!format!("{error}{error:?}").contains(secret), "{error}");
    }
    let commented = format!("# created: today\n# public key: age1…\n{secret}\n");
    Identities::default().add(&commented.into()).unwrap();
    for wrong in ["", "AGE-SECRET-KEY-1WRONG", "# nothing"] {
        assert_eq!(Identities::default().add(&wrong.into()).unwrap_err(), KeyError::Identity);
    }
    assert!(Recipients::passphrase("".into()).is_err());
    let (closed, to) = passphrase("canary passphrase");
    let told = format!("{identities:?}{closed:?}{to:?}");
    assert!(!told.contains(secret) && !told.contains("canary"), "{told}");
}

/// Whether stock `age` is there; under `CI` it must be.
pub(crate) fn age_is_there() -> bool {
    let there = ["age", "age-keygen"]
        .into_iter()
        .all(|tool| Command::new(tool).arg("--version").output().is_ok());
    assert!(there || std::env::var_os("CI").is_none(), "age is missing");
    if !there {
        eprintln!("skipped: age is missing");
    }
    there
}

fn run(command: &mut Command, input: Vec<u8>) -> Vec<u8> {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn stock_age_reads_ours_and_we_read_its() {
    if !age_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.txt");
    assert!(Command::new("age-keygen").arg("-o").arg(&key).output().unwrap().status.success());
    let mut identities = Identities::default();
    identities.add(&std::fs::read_to_string(&key).unwrap().into()).unwrap();
    let recipients = identities.recipients().unwrap();
    for len in [0, 1, 64 << 10, 300_000] {
        let plain = sample(len);
        let (_, ours) = seal_to(&recipients, RECIPES[0], &plain, 10_000);
        assert_eq!(run(Command::new("age").arg("-d").arg("-i").arg(&key), ours), plain);

        let to = recipients.text().unwrap();
        let theirs = run(Command::new("age").args(["-r", &to]), plain.clone());
        let sealed =
            Sealed { plain: Digest::of(&plain), stored: Digest::of(&theirs), restarts: Vec::new() };
        assert_eq!(open(&identities, RECIPES[0], &sealed, &theirs, 999).unwrap(), plain);
    }
}

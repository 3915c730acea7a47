//! What `FORMAT.md` tells people to type is typed.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use artifact::{
    Compression, Identities, Manifest, Recipe, Recipients, Sealed,
    manifest::{Encryption, ManifestArtifact, Object},
};
use secrecy::ExposeSecret as _;

use crate::{
    RECIPES,
    crypt::{age_is_there, seal_to},
    manifest::example,
    sample, seal,
};

const MANIFEST: &str = "shop_20261121_0300.manifest.json";

/// A folder with one snapshot in two objects, as a destination holds it.
fn destination(recipe: Recipe, plain: &[u8]) -> tempfile::TempDir {
    let (sealed, stored) = seal(recipe, plain, 4096);
    folder_with(recipe, &sealed, &stored, Encryption::None, Vec::new())
}

/// The same, encrypted, with its identity in `key.txt`.
fn encrypted(recipe: Recipe, plain: &[u8]) -> tempfile::TempDir {
    let (identity, recipient) = Identities::generate();
    let recipients = Recipients::parse(&recipient).unwrap();
    let (sealed, stored) = seal_to(&recipients, recipe, plain, 4096);
    let dir = folder_with(recipe, &sealed, &stored, Encryption::Age, recipients.fingerprints());
    std::fs::write(dir.path().join("key.txt"), identity.expose_secret()).unwrap();
    let manifest = std::fs::read_to_string(dir.path().join(MANIFEST)).unwrap();
    assert!(manifest.contains("\"encryption\": \"age\""), "{manifest}");
    assert!(!manifest.contains(identity.expose_secret()));
    dir
}

fn folder_with(
    recipe: Recipe,
    sealed: &Sealed,
    stored: &[u8],
    encryption: Encryption,
    recipients: Vec<String>,
) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = stored.split_at(stored.len() / 2);
    let mut objects = Vec::new();
    for (name, bytes) in [("a.part", first), ("with space/b.part", second)] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        objects.push(Object { key: name.into(), stored: artifact::Digest::of(bytes), tree: None });
    }
    let mut manifest = example();
    manifest.artifacts = vec![ManifestArtifact {
        plain: sealed.plain,
        compression: recipe.compression.method(),
        encryption,
        recipients,
        objects,
        ..manifest.artifacts[0].clone()
    }];
    std::fs::write(dir.path().join(MANIFEST), manifest.to_bytes().unwrap()).unwrap();
    dir
}

/// The first shell block of `FORMAT.md`.
fn documented_steps() -> String {
    documented(1)
}

fn documented(block: usize) -> String {
    let text = include_str!("../../FORMAT.md");
    let block = text.split("```sh\n").nth(block).unwrap().split("```").next().unwrap();
    format!("set -eu\n{block}")
}

fn tools_are_there() -> bool {
    let missing: Vec<_> = ["sha256sum", "jq", "zstd", "gzip"]
        .into_iter()
        .filter(|tool| Command::new(tool).arg("--version").output().is_err())
        .collect();
    assert!(missing.is_empty() || std::env::var_os("CI").is_none(), "missing: {missing:?}");
    if !missing.is_empty() {
        eprintln!("skipped: {missing:?} missing");
    }
    missing.is_empty()
}

#[test]
fn the_documented_steps_restore() {
    if !tools_are_there() {
        return;
    }
    let plain = sample(300_000);
    let both: [fn(Recipe, &[u8]) -> tempfile::TempDir; 2] = [destination, encrypted];
    let ways = if age_is_there() { &both[..] } else { &both[..1] };
    for (recipe, make) in RECIPES.iter().flat_map(|one| ways.iter().map(move |make| (one, make))) {
        let dir = make(*recipe, &plain);
        let output = Command::new("bash")
            .args(["-c", &documented_steps()])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.starts_with("manifest ok\n"), "{said}");
        assert_eq!(std::fs::read(dir.path().join("shop.dump")).unwrap(), plain);
    }
}

#[test]
fn the_documented_steps_see_damage() {
    if !tools_are_there() {
        return;
    }
    for damaged in [MANIFEST, "a.part", "with space/b.part"] {
        let dir = destination(RECIPES[0], &sample(5000));
        let path = dir.path().join(damaged);
        let mut bytes = std::fs::read(&path).unwrap();
        // A digit of a date in the manifest, so that it stays JSON.
        let at = bytes.windows(4).position(|w| w == b"2026").unwrap_or(100);
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let output = Command::new("bash")
            .args(["-c", &documented_steps()])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let is_seen = !output.status.success() || !said.starts_with("manifest ok\n");
        assert!(is_seen, "{damaged}: {said}");
    }
}

#[test]
fn the_documented_steps_restore_several_artifacts() {
    if !tools_are_there() || !age_is_there() {
        return;
    }
    let recipe = RECIPES[0];
    let (plain, other) = (sample(40_000), sample(7_000));
    let dir = encrypted(recipe, &plain);
    let path = dir.path().join(MANIFEST);
    let mut manifest = Manifest::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
    // The second is neither encrypted nor split.
    let (sealed, stored) = seal(recipe, &other, 4096);
    std::fs::write(dir.path().join("files.tar.x"), &stored).unwrap();
    manifest.artifacts.push(ManifestArtifact {
        source: "files".into(),
        file_name: "files.tar".into(),
        plain: sealed.plain,
        compression: recipe.compression.method(),
        encryption: Encryption::None,
        recipients: Vec::new(),
        objects: vec![Object {
            key: "files.tar.x".into(),
            stored: artifact::Digest::of(&stored),
            tree: None,
        }],
        ..manifest.artifacts[0].clone()
    });
    std::fs::write(&path, manifest.to_bytes().unwrap()).unwrap();
    let run = || {
        Command::new("bash").args(["-c", &documented(3)]).current_dir(dir.path()).output().unwrap()
    };
    let output = run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let first = format!("restored/{}-shop.dump", manifest.artifacts[0].source);
    assert_eq!(std::fs::read(dir.path().join(first)).unwrap(), plain);
    assert_eq!(std::fs::read(dir.path().join("restored/files-files.tar")).unwrap(), other);
    std::fs::write(dir.path().join("files.tar.x"), &stored[..stored.len() - 1]).unwrap();
    assert!(!run().status.success(), "damage is seen");
}

fn recover(manifest: &Path, target: &Path, key: Option<&Path>) -> std::process::Output {
    // Cargo builds examples before it runs tests, beside the test's own folder.
    let mut program: PathBuf = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/recover");
    Command::new(program).arg(manifest).arg(target).args(key).output().unwrap()
}

#[test]
fn the_recover_example_restores_and_refuses() {
    let plain = sample(300_000);
    let dir = destination(Recipe::new(Compression::default()), &plain);
    let manifest = dir.path().join(MANIFEST);
    let target = dir.path().join("target");
    let output = recover(&manifest, &target, None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(target.join("shop.dump")).unwrap(), plain);

    let object = dir.path().join("a.part");
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    let other = dir.path().join("other");
    assert!(!recover(&manifest, &other, None).status.success());
    assert!(!other.join("shop.dump").exists());
    assert!(Manifest::from_bytes(&std::fs::read(manifest).unwrap()).is_ok());
}

#[test]
fn the_recover_example_asks_for_the_key() {
    let plain = sample(100_000);
    let dir = encrypted(Recipe::new(Compression::default()), &plain);
    let manifest = dir.path().join(MANIFEST);
    let target = dir.path().join("target");
    let output = recover(&manifest, &target, None);
    assert!(String::from_utf8_lossy(&output.stderr).contains("age identity"), "{output:?}");
    assert!(!target.join("shop.dump").exists());
    let other = dir.path().join("other");
    let output = recover(&manifest, &other, Some(&dir.path().join("key.txt")));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(other.join("shop.dump")).unwrap(), plain);
}

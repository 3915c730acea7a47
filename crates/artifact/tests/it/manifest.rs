use artifact::{
    Digest, Manifest, ManifestError, Method, Sha256,
    manifest::{AppRef, Encryption, ManifestArtifact, Object},
};
use proptest::prelude::*;

const GOLDEN: &[u8] = include_bytes!("../golden/manifest-v1.json");

pub(crate) fn example() -> Manifest {
    Manifest {
        producer: "backup-orchestrator 0.1.0".into(),
        snapshot_id: "01jd4x0000000000000000000a".into(),
        run_id: "01jd4x0000000000000000000b".into(),
        app: AppRef { id: "01jd4x0000000000000000000c".into(), name: "shop".into() },
        taken_at: "2026-11-21T02:00:00Z".parse().unwrap(),
        committed_at: "2026-11-21T02:01:30Z".parse().unwrap(),
        kind: "pre-deploy".into(),
        label: Some("before 2.4 «ñ»".into()),
        git_commit: Some("0123abcd".into()),
        verified_by_source: true,
        anomalous: false,
        warnings: vec!["1 file vanished".into()],
        app_state: None,
        artifacts: vec![ManifestArtifact {
            source: "db".into(),
            part: None,
            began_at: None,
            ended_at: None,
            file_name: "shop.dump".into(),
            format: Some("pg_dump_Fc".into()),
            content_type: Some("application/octet-stream".into()),
            plain: Digest::of(b"plain"),
            compression: Method::Zstd,
            encryption: Encryption::None,
            recipients: Vec::new(),
            contents: serde_json::Value::Null,
            base: serde_json::Value::Null,
            image: None,
            objects: vec![Object {
                key: "shop_20261121_0300.dump.zst".into(),
                stored: Digest::of(b"stored"),
                tree: None,
            }],
            restarts: Vec::new(),
        }],
        settings: serde_json::json!({ "schedule": { "spec": "daily" } }),
    }
}

/// A manifest of other text, with a right checksum.
fn forge(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(GOLDEN.to_vec()).unwrap();
    let body = &text[..text.rfind("  \"sha256\"").unwrap()];
    assert!(body.contains(from));
    let body = body.replacen(from, to, 1);
    format!("{body}  \"sha256\": \"{}\"\n}}\n", Sha256::of(body.as_bytes())).into_bytes()
}

#[test]
fn version_1_stays_as_it_was_written() {
    let bytes = example().to_bytes().unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(GOLDEN));
    assert_eq!(Manifest::from_bytes(GOLDEN).unwrap(), example());
}

/// With what was noted of a whole app; [`GOLDEN`] is from before there was such a thing.
#[test]
fn what_was_noted_of_an_app_stays_as_it_was_written() {
    let state = serde_json::json!({
        "code": { "branch": "main", "dirty": false, "git_commit": "0123abcd", "path": "/srv/shop" },
        "containers": [{
            "image": "shop:2.3",
            "image_id": "sha256:00",
            "name": "shop-web-1",
            "running": true
        }],
        "cut_short": false,
        "database_wal_position": {
            "db": {
                "at": "2026-11-21T02:00:00Z",
                "lsn": "0/3000148",
                "system_identifier": "7300000000000000001",
                "timeline": 1
            }
        },
        "deploy": "2.4",
        "grade": "quiesced",
        "mode": "pause",
        "paused_ms": 1450,
        "skew_ms": 120,
        "volume_snapshots": {}
    });
    let manifest = Manifest { app_state: Some(state), ..example() };
    let bytes = manifest.to_bytes().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/manifest-v1-app-state.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &bytes).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&golden));
    assert_eq!(Manifest::from_bytes(&golden).unwrap(), manifest);
    // Without it the file is the older one, to the byte.
    let older = Manifest { app_state: None, ..manifest };
    assert_eq!(older.to_bytes().unwrap(), GOLDEN);
}

#[test]
fn every_flipped_bit_is_detected() {
    let mut bytes = GOLDEN.to_vec();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(Manifest::from_bytes(&bytes).is_err(), "byte {at} bit {bit}");
            bytes[at] ^= 1 << bit;
        }
    }
    assert!(Manifest::from_bytes(&bytes).is_ok());
}

#[test]
fn every_cut_is_detected() {
    for len in 0..GOLDEN.len() {
        assert!(Manifest::from_bytes(&GOLDEN[..len]).is_err(), "{len} bytes");
    }
}

proptest! {
    #[test]
    fn additions_and_deletions_are_detected(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), gone in 1_usize..200,
    ) {
        let at = at.index(GOLDEN.len() + 1);
        let mut longer = GOLDEN.to_vec();
        longer.insert(at, byte);
        // One byte put beside its like may give the same file elsewhere, never a longer one.
        prop_assert!(Manifest::from_bytes(&longer).is_err());
        let mut shorter = GOLDEN.to_vec();
        shorter.drain(at.min(GOLDEN.len() - 1)..(at + gone).min(GOLDEN.len()).max(1));
        prop_assume!(shorter.len() < GOLDEN.len());
        prop_assert!(Manifest::from_bytes(&shorter).is_err());
    }

    #[test]
    fn any_text_is_carried(label in any::<String>(), warning in any::<String>()) {
        let manifest = Manifest { label: Some(label), warnings: vec![warning], ..example() };
        prop_assert_eq!(Manifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap(), manifest);
    }
}

#[test]
fn unknown_members_are_ignored_and_unknown_versions_refused() {
    let newer = forge("\"producer\"", "\"added_later\": [1],\n  \"producer\"");
    assert_eq!(Manifest::from_bytes(&newer).unwrap(), example());
    let error = Manifest::from_bytes(&forge("\"version\": 1", "\"version\": 2")).unwrap_err();
    assert!(matches!(error, ManifestError::Version(2)), "{error}");
    // Encrypted in a way that this version does not know: not a plain file.
    let error = Manifest::from_bytes(&forge("\"none\"", "\"rot13\"")).unwrap_err();
    assert!(matches!(error, ManifestError::Invalid(_)), "{error}");
}

#[test]
fn other_files_are_told_from_damaged_manifests() {
    for other in [&b""[..], b"{}", &[0; 4096], b"PGDMP and more than a hundred bytes of it"] {
        assert!(matches!(Manifest::from_bytes(other), Err(ManifestError::Foreign)));
    }
    let error = Manifest::from_bytes(&GOLDEN[..GOLDEN.len() - 1]).unwrap_err();
    assert!(matches!(error, ManifestError::Damaged(_)), "{error}");
}

#[test]
fn names_that_reach_outside_are_refused() {
    let key = "shop_20261121_0300.dump.zst";
    for bad in ["../x", "/etc/passwd", "a/../b", "a//b", "", ".", "a\\\\b", "C:x", "a\\nb"] {
        let error = Manifest::from_bytes(&forge(key, bad)).unwrap_err();
        assert!(matches!(error, ManifestError::Invalid(_)), "{bad}: {error}");
        let error = Manifest::from_bytes(&forge("\"shop.dump\"", &format!("\"{bad}\"")));
        assert!(error.is_err(), "{bad}");
    }
    assert!(Manifest::from_bytes(&forge(key, "parts/1")).is_ok());
}

#[test]
fn manifests_without_anything_to_restore_are_refused() {
    let mut manifest = example();
    manifest.artifacts[0].objects.clear();
    assert!(manifest.to_bytes().is_err());
    manifest.artifacts.clear();
    assert!(manifest.to_bytes().is_err());
    let mut manifest = example();
    let twice = manifest.artifacts[0].objects[0].clone();
    manifest.artifacts[0].objects.push(twice);
    assert!(manifest.to_bytes().is_err());
}

#[test]
fn manifests_from_before_encryption_read_as_not_encrypted() {
    let old = forge("      \"encryption\": \"none\",\n", "");
    assert_eq!(Manifest::from_bytes(&old).unwrap(), example());
    let sealed = forge("\"none\"", "\"age\",\n      \"recipients\": [\"sha256:00\"]");
    let artifact = &Manifest::from_bytes(&sealed).unwrap().artifacts[0];
    assert_eq!((artifact.encryption, artifact.recipients.len()), (Encryption::Age, 1));
}

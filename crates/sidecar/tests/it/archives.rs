//! Archives, taken apart again by the programs that people have.

use std::{
    io::{Cursor, Read as _},
    os::unix::{
        fs::{MetadataExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
};

use contract::Prefer;
use serde_json::{Value, json};

use crate::{
    sidecar::{Sidecar, TOKEN},
    tree,
};

pub(crate) fn files(format: &str, compression: &str, paths: &[&str]) -> Value {
    json!({
        "type": "file_archive",
        "artifact": { "filename": "files", "format": format },
        "config": { "paths": paths, "format": format, "compression": compression },
    })
}

/// Where the sidecar's folder is within what was extracted.
fn inside(out: &Path, sidecar: &Sidecar) -> PathBuf {
    out.join(sidecar.path().strip_prefix("/").unwrap())
}

/// Extracts with GNU tar, which finds the compression itself.
fn untar(archive: &Path) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar");
    tar.args([
        "--warning=no-timestamp",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "-xpf",
    ])
    .arg(archive);
    let done = tar.arg("-C").arg(out.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}");
    out
}

#[tokio::test]
async fn a_tar_keeps_all_that_files_are() {
    for (compression, magic) in [
        ("store", &b""[..]),
        ("gz", b"\x1f\x8b"),
        ("bz2", b"BZh"),
        ("xz", b"\xfd7zXZ"),
        ("zst", b"\x28\xb5\x2f\xfd"),
    ] {
        let strategy = files("tar", compression, &["tree", "glob*.txt", "tree/deep"]);
        let sidecar = Sidecar::start(&strategy, &[]).await;
        let root = sidecar.path().join("tree");
        tree::make(&root);
        tree::make_more(&root);
        std::fs::write(sidecar.path().join("glob1.txt"), "1").unwrap();
        let _socket = UnixListener::bind(sidecar.path().join("tree/socket")).unwrap();
        if tree::is_root() {
            let device = root.join("device");
            let made = Command::new("mknod").arg(&device).args(["c", "1", "3"]).status().unwrap();
            assert!(made.success());
        }

        let archive = sidecar.path().join("out.tar");
        let bytes = sidecar.export(None).await.unwrap();
        assert!(bytes.starts_with(magic), "{compression}");
        std::fs::write(&archive, bytes).unwrap();
        let out = untar(&archive);
        let inside = inside(out.path(), &sidecar);
        let (mut expected, found) = (tree::facts(&root), tree::facts(&inside.join("tree")));
        expected.retain(|name, _| !matches!(name.to_str(), Some("socket" | "device")));
        // The names first: they are easier read than all of it.
        let names = |facts: &std::collections::BTreeMap<_, _>| {
            facts.keys().cloned().collect::<Vec<PathBuf>>()
        };
        assert_eq!(names(&found), names(&expected), "{compression}");
        for (name, facts) in &expected {
            assert_eq!(&found[name], facts, "{compression}: {name:?}");
        }
        for name in ["holes", "many holes", "ends with data", "only a hole"] {
            let meta = inside.join("tree").join(name).metadata().unwrap();
            assert!(meta.blocks() * 512 < meta.len() / 2, "{compression}: {name} has no holes");
        }
        assert_eq!(std::fs::read(inside.join("glob1.txt")).unwrap(), b"1");
        let log = sidecar.stop();
        assert!(log.contains("socket") && log.contains("a device; left out"), "{log}");
        assert!(!log.contains(TOKEN));
    }
}

#[tokio::test]
async fn a_zip_is_taken_apart_by_unzip() {
    if !tree::has("unzip") {
        return;
    }
    for compression in ["store", "gz", "bz2"] {
        let sidecar = Sidecar::start(&files("zip", compression, &["tree"]), &[]).await;
        let root = sidecar.path().join("tree");
        tree::make(&root);
        let archive = sidecar.path().join("out.zip");
        std::fs::write(&archive, sidecar.export(None).await.unwrap()).unwrap();
        let out = tempfile::tempdir().unwrap();
        let mut unzip = Command::new("unzip");
        // `-X`: owners, `-K`: set-user-id bits, `-^`: control characters in names.
        unzip.args(["-q", "-X", "-K", "-^"]).arg(&archive).arg("-d").arg(out.path());
        let done = unzip.env("LC_ALL", "C.UTF-8").env("TZ", "America/Bogota").output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.is_empty(), "{compression}: {said}");
        let inside = inside(out.path(), &sidecar).join("tree");
        let (expected, found) = (tree::facts(&root), tree::facts(&inside));
        for (name, facts) in &expected {
            let mut facts = facts.clone();
            // It has whole seconds, and no owners of links.
            facts.time.1 = 0;
            let mut found = found.get(name).unwrap_or_else(|| panic!("no {name:?}")).clone();
            found.time.1 = 0;
            if facts.target.is_some() {
                found.owner = facts.owner;
            }
            assert_eq!(found, facts, "{compression}: {name:?}");
        }
        assert_eq!(found.len(), expected.len());
    }
}

#[tokio::test]
async fn a_zip_may_be_compressed_as_newer_programs_do() {
    for compression in ["xz", "zst"] {
        let sidecar = Sidecar::start(&files("zip", compression, &["tree"]), &[]).await;
        let root = sidecar.path().join("tree");
        tree::make(&root);
        let bytes = sidecar.export(Some(Prefer::Spool)).await.unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let name = root.strip_prefix("/").unwrap().join("large");
        let mut content = Vec::new();
        archive.by_name(name.to_str().unwrap()).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, std::fs::read(root.join("large")).unwrap(), "{compression}");
    }
}

#[tokio::test]
async fn links_are_followed_where_that_is_asked_for() {
    let mut strategy = files("tar", "store", &["tree"]);
    strategy["config"]["follow_symlinks"] = json!(true);
    let sidecar = Sidecar::start(&strategy, &[]).await;
    let root = sidecar.path().join("tree");
    std::fs::create_dir_all(root.join("folder/within")).unwrap();
    std::fs::write(sidecar.path().join("elsewhere"), "followed").unwrap();
    symlink("../elsewhere", root.join("file")).unwrap();
    symlink("folder", root.join("to folder")).unwrap();
    symlink("nowhere", root.join("to nowhere")).unwrap();
    symlink("../..", root.join("folder/within/round")).unwrap();
    let archive = sidecar.path().join("out.tar");
    std::fs::write(&archive, sidecar.export(None).await.unwrap()).unwrap();
    let out = untar(&archive);
    let found = inside(out.path(), &sidecar).join("tree");
    assert!(!found.join("file").is_symlink());
    assert_eq!(std::fs::read(found.join("file")).unwrap(), b"followed");
    assert!(!found.join("to folder").is_symlink() && found.join("to folder/within").is_dir());
    assert_eq!(std::fs::read_link(found.join("to nowhere")).unwrap(), Path::new("nowhere"));
    assert!(sidecar.stop().contains("round"));
}

#[tokio::test]
async fn its_own_artifacts_are_not_archived() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().display().to_string();
    std::fs::create_dir_all(folder.path().join("data/artifacts")).unwrap();
    std::fs::write(folder.path().join("data/kept"), "kept").unwrap();
    std::fs::write(folder.path().join("data/artifacts/old.dump"), "old").unwrap();
    let names = |bytes: Vec<u8>| {
        let mut archive = tar::Archive::new(Cursor::new(bytes));
        let names =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
        names.collect::<Vec<_>>()
    };
    // A folder of artifacts that holds everything excludes nothing but what is spooled.
    let sidecar = Sidecar::start_in(folder, &files("tar", "store", &["."]), &[], &json!({})).await;
    let found = names(sidecar.export(Some(Prefer::Spool)).await.unwrap());
    assert!(found.iter().any(|name| name.ends_with("data/artifacts/old.dump")), "{found:?}");
    assert!(!found.iter().any(|name| name.to_string_lossy().contains(".backup-sidecar")));
    assert!(sidecar.path().join(".backup-sidecar").is_dir());
    sidecar.signal("TERM");
    let (folder, _) = sidecar.ended().await;

    let paths = json!({ "paths": {
        "workdir": work, "artifacts": format!("{work}/data/artifacts"), "temp_dump": "/proc/nowhere",
    } });
    let sidecar = Sidecar::start_in(folder, &files("tar", "store", &["data"]), &[], &paths).await;
    let found = names(sidecar.export(Some(Prefer::Spool)).await.unwrap());
    assert!(found.iter().any(|name| name.ends_with("data/kept")));
    assert!(!found.iter().any(|name| name.to_string_lossy().contains("artifacts")), "{found:?}");
}

#[tokio::test]
async fn what_is_not_there_is_no_archive() {
    for paths in [&["nothing*"][..], &["tree", "missing"]] {
        let sidecar = Sidecar::start(&files("tar", "gz", paths), &[]).await;
        std::fs::create_dir(sidecar.path().join("tree")).unwrap();
        let error = sidecar.export(Some(Prefer::Spool)).await.unwrap_err().to_string();
        assert!(error.contains("nothing is at"), "{error}");
        assert!(sidecar.export(None).await.is_err());
    }
}

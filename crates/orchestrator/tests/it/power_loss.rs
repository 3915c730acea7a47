//! What is called done is on the disk, whatever the power does next (F24): the real process is
//! looked at, and nothing of an object or a restored file may be unsynced when its run's success is
//! written to the catalog.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    disk::Disk,
    road::ended,
    server::{Place, Server},
    strace::{Call, Strace},
};

/// A file tree, a database file, and a folder where restores may go.
async fn ready(root: &Path) -> Server {
    let files = root.join("app/files");
    std::fs::create_dir_all(files.join("deep/deeper")).unwrap();
    for (name, size) in [("one", 10), ("deep/two", 200_000), ("deep/deeper/three", 3_000)] {
        std::fs::write(files.join(name), vec![b'x'; size]).unwrap();
    }
    for mode in ["wal", "delete"] {
        let path = root.join("app").join(format!("{mode}.db"));
        let fill =
            format!("PRAGMA journal_mode={mode}; CREATE TABLE t(a); INSERT INTO t VALUES (1)");
        let made = Command::new("sqlite3").arg(path).arg(fill).output();
        assert!(made.is_ok_and(|made| made.status.success()), "install sqlite3");
    }
    let roots = root.display().to_string();
    let server = Place::new(&[("BACKUP_RESTORE_ROOTS", &roots), ("BACKUP_FILE_ROOTS", &roots)])
        .serve()
        .await;
    let destination =
        json!({ "name": "disk", "kind": "local", "settings": { "path": root.join("disk") } });
    server.done("POST", "destinations", destination).await;
    let mut sources =
        vec![json!({ "name": "files", "kind": "files", "settings": { "path": files } })];
    for mode in ["wal", "delete"] {
        let path = root.join("app").join(format!("{mode}.db"));
        sources.push(json!({ "name": mode, "kind": "sqlite", "settings": { "path": path } }));
    }
    let app = json!({ "name": "shop", "sources": sources,
        "destinations": [{ "destination": "disk", "folder": "apps/of/shop" }] });
    server.done("POST", "apps", app).await;
    server
}

/// Does `path`, which begins a run, while the process is looked at; gives the ended run, what the
/// process did, and what was there before.
async fn looked_at(
    (server, root): (&Server, &Path),
    path: &str,
    body: Value,
) -> Option<(Value, Vec<Call>, Disk)> {
    let disk = Disk::with(root);
    let strace = Strace::attach(server.id(), &server.place.folder.path().join("trace"))?;
    let run = server.done("POST", path, body).await;
    let run = ended(server, run["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    Some((run, strace.calls(), disk))
}

/// Follows the process to where it writes that the run has succeeded, and holds what `folders` have
/// by then against what they must.
fn assert_safe(
    server: &Server,
    kind: &str,
    (calls, mut disk): (&[Call], Disk),
    folders: &[PathBuf],
) {
    let log = server.place.data().canonicalize().unwrap().join("catalog.sqlite-wal");
    let word = format!("{kind}succeeded");
    let is_success = |call: &Call| {
        call.name == "pwrite64"
            && call.open_file(0).as_ref() == Some(&log)
            && call.argument(1).contains(&word)
    };
    let at = calls.iter().position(is_success).expect("the catalog was not told");
    calls[..at].iter().for_each(|call| disk.apply(call));
    for folder in folders {
        assert_eq!(disk.unsure(folder), [""; 0], "when the run was called a success");
        assert_eq!(disk.early(folder), [""; 0]);
    }
    let is_synced = |call: &Call| call.name.ends_with("sync") || call.name == "fdatasync";
    let synced =
        calls[at..].iter().any(|call| is_synced(call) && call.open_file(0).as_ref() == Some(&log));
    assert!(synced, "the success itself is not on the disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_is_told_only_of_what_a_power_loss_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let server = ready(&root).await;
    let at = (&server, root.as_path());
    let Some((run, calls, disk)) = looked_at(at, "apps/shop/run", json!({})).await else {
        return;
    };
    let folder = root.join("disk/apps/of/shop");
    assert_eq!(crate::road::objects(&folder).len(), 4, "three artifacts and their manifest");
    assert_safe(&server, "backup", (&calls, disk), &[folder]);

    // Unpacked, and files as they are, into a folder that is not there.
    let snapshot = run["snapshot_id"].as_str().unwrap();
    let path = format!("snapshots/{snapshot}/restore");
    let to = root.join("restored");
    std::fs::create_dir(&to).unwrap();
    let into = to.join("here/there");
    let order = json!({ "to": "folder", "path": into });
    let Some((_, calls, disk)) = looked_at(at, &path, order).await else { return };
    assert!(into.join("files").is_dir() && into.join("wal").is_dir());
    assert_safe(&server, "restore", (&calls, disk), &[to]);

    // In the place of what is there, files, and databases taken in by SQLite.
    std::fs::remove_file(root.join("app/files/deep/two")).unwrap();
    let order = json!({ "to": "app", "confirm": "shop", "without_undo": true });
    let Some((_, calls, disk)) = looked_at(at, &path, order.clone()).await else { return };
    assert!(root.join("app/files/deep/two").is_file());
    assert_safe(&server, "restore", (&calls, disk), &[root.join("app")]);

    // Where nothing is left, and its folders have to be made.
    std::fs::remove_dir_all(root.join("app")).unwrap();
    std::fs::create_dir(root.join("app")).unwrap();
    let Some((_, calls, disk)) = looked_at(at, &path, order).await else { return };
    assert!(root.join("app/files/deep/two").is_file() && root.join("app/wal.db").is_file());
    assert_safe(&server, "restore", (&calls, disk), &[root.join("app")]);
}

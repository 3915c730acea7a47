//! `restore --extract` of what an app really sent.

use std::path::Path;

use serde_json::json;

use crate::{
    app::{App, TOKEN},
    road::ran,
    server::{Place, Server},
};

fn gzip(fill: impl FnOnce(&mut tar::Builder<&mut flate2::write::GzEncoder<Vec<u8>>>)) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut tar = tar::Builder::new(&mut gz);
    fill(&mut tar);
    tar.finish().unwrap();
    drop(tar);
    gz.finish().unwrap()
}

/// Takes a snapshot of an app that sends this archive.
async fn snapshot(server: &Server, archive: Vec<u8>) -> String {
    let app = App::serve_file("files.tar.gz", archive).await;
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    let draft = json!({
        "name": "files", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk" }],
    });
    server.done("POST", "apps", draft).await;
    let run = ran(server, "files").await;
    run["snapshot_id"].as_str().unwrap().to_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .map(|all| all.map(|one| one.unwrap().file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_is_unpacked_and_nothing_is_replaced() {
    let server = Place::new(&[]).serve().await;
    let archive = gzip(|tar| {
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o640);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, "etc/shop.conf", &b"right"[..]).unwrap();
    });
    let id = snapshot(&server, archive).await;
    let place = &server.place;
    let to = place.folder.path().join("restored");
    let into = to.display().to_string();
    let done = place.run(&["restore", &id, "--to", &into, "--extract", "--json"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(told["restored"][0]["extracted"], 1);
    assert_eq!(names(&to), ["etc"]);
    assert_eq!(std::fs::read(to.join("etc/shop.conf")).unwrap(), b"right");

    std::fs::write(to.join("etc/shop.conf"), "mine").unwrap();
    let again = place.run(&["restore", &id, "--to", &into, "--extract", "--force"]);
    assert_eq!(again.status.code(), Some(5), "{again:?}");
    assert_eq!(std::fs::read(to.join("etc/shop.conf")).unwrap(), b"mine");
    assert_eq!(names(&to), ["etc"], "something was left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_archive_is_refused_and_nothing_outside_is_touched() {
    let server = Place::new(&[]).serve().await;
    let archive = gzip(|tar| {
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        tar.append_link(&mut link, "way", "..").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        tar.append_data(&mut header, "way/escaped", &b"evil"[..]).unwrap();
    });
    let id = snapshot(&server, archive).await;
    let place = &server.place;
    let to = place.folder.path().join("restored");
    let into = to.display().to_string();
    let done = place.run(&["restore", &id, "--to", &into, "--extract"]);
    assert_eq!(done.status.code(), Some(5), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("refused"), "{done:?}");
    assert!(!place.folder.path().join("escaped").exists());
    assert!(names(&to).is_empty(), "{:?}", names(&to));
    // Not unpacked it harms nobody.
    assert_eq!(place.run(&["restore", &id, "--to", &into]).status.code(), Some(0));
    assert_eq!(names(&to), ["files.tar.gz"]);
}

//! Trees of files, declared in every way there is, made and brought back.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    road::ended,
    server::{As, PASSWORD, Place, Server},
};

/// A folder with something in it.
fn content(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    std::fs::create_dir_all(data.join("deep/er")).unwrap();
    std::fs::write(data.join("deep/er/file"), "some words").unwrap();
    std::fs::write(data.join("ñ and space"), vec![7; 70_000]).unwrap();
    std::os::unix::fs::symlink("deep/er/file", data.join("link")).unwrap();
    data
}

fn has_rsync() -> bool {
    let found = std::process::Command::new("rsync").arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "rsync is needed in CI");
    found
}

/// A place whose server may read and write below its folder.
fn place() -> (Place, PathBuf) {
    let admin = [("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)];
    let root = tempfile::tempdir().unwrap().keep();
    let roots = root.display().to_string();
    let folders = [("BACKUP_FILE_ROOTS", &*roots), ("BACKUP_RESTORE_ROOTS", &*roots)];
    (Place::new(&[&admin[..], &folders].concat()), root)
}

/// Runs the app `site` twice and brings the first snapshot back into its place.
async fn works(server: &Server, root: &Path) {
    let (data, disk) = (root.join("data"), root.join("trees"));
    let place = &server.place;
    for _ in 0..2 {
        let done = place.run(&["run", "site", "--wait"]);
        assert_eq!(done.status.code(), Some(0), "{done:?} {}", place.log());
        // Names are of seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    let trees: Vec<PathBuf> = walk(&disk).into_iter().filter(|path| is_tree(path)).collect();
    assert_eq!(trees.len(), 2, "{:?}", walk(&disk));
    let inside = |tree: &Path| tree.join(data.strip_prefix("/").unwrap()).join("deep/er/file");
    assert_eq!(std::fs::read_to_string(inside(&trees[0])).unwrap(), "some words");
    let number = |path: &Path| {
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(inside(path)).unwrap())
    };
    assert_eq!(number(&trees[0]), number(&trees[1]), "what did not change is shared");

    let snapshots = server.done_get("apps/site/snapshots").await;
    let snapshot = snapshots[1]["id"].as_str().unwrap().to_owned();
    std::fs::remove_dir_all(data.join("deep")).unwrap();
    let restore = json!({ "to": "app", "confirm": "site", "without_undo": true });
    let run = server.done("POST", &format!("snapshots/{snapshot}/restore"), restore).await;
    let run = ended(server, run["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(std::fs::read_to_string(data.join("link")).unwrap(), "some words");
    assert_eq!(std::fs::read(data.join("ñ and space")).unwrap(), vec![7; 70_000]);
    std::fs::remove_dir_all(root).unwrap();
}

fn is_tree(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "tree") && path.is_dir()
}

/// All folders and files below `folder`, but not what is in trees.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !is_tree(&path) {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_declared_in_the_file() {
    if !has_rsync() {
        return;
    }
    let (place, root) = place();
    let data = content(&root);
    let text = format!(
        "destinations:\n  - name: trees\n    kind: tree\n    settings:\n      path: {}\n\
         apps:\n  - name: site\n    sources:\n      - kind: files\n        settings:\n          \
         path: {}\n    destinations:\n      - destination: trees\n        template: \
         '{{app}}_{{YYYYMMDD_HHMMSS}}'\n    schedule: manual\n    retention:\n      keep_last: 3\n",
        root.join("trees").display(),
        data.display(),
    );
    let checked = place.file("backups.yml", &text);
    let said = place.run(&["config", "check", &checked]);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let server = place.serve().await;
    let config = server.done_get("config").await;
    assert_eq!(config["state"], "in_force", "{config}");
    works(&server, &root).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_added_on_the_command_line() {
    if !has_rsync() {
        return;
    }
    let (place, root) = place();
    let data = content(&root);
    let server = place.serve().await;
    let done = |words: &[&str]| {
        let done = server.place.run(words);
        assert_eq!(done.status.code(), Some(0), "{words:?}: {done:?}");
    };
    let path = format!("path={}", root.join("trees").display());
    done(&["destination", "add", "trees", "--kind", "tree", "--set", &path]);
    done(&["destination", "test", "trees"]);
    let source = format!("kind=files,path=\"{}\"", data.display());
    let names = ["--template", "{app}_{YYYYMMDD_HHMMSS}"];
    let add = ["app", "add", "site", "--source", &source, "--destination", "trees"];
    let done_with = server.place.run(&[&add[..], &names].concat());
    if done_with.status.code() != Some(0) {
        done(&add);
        templated(&server).await;
    }
    done(&["doctor", "app", "site"]);
    works(&server, &root).await;
}

/// Gives the app's objects names of seconds.
async fn templated(server: &Server) {
    let app = server.done_get("apps/site").await["app"].clone();
    let source = json!({ "name": app["sources"][0]["name"], "kind": "files",
        "settings": app["sources"][0]["settings"] });
    let edit = json!({ "version": app["version"], "name": "site", "sources": [source],
        "destinations": [{ "destination": "trees", "template": "{app}_{YYYYMMDD_HHMMSS}" }] });
    server.done("PUT", "apps/site", edit).await;
}

async fn sent(server: &Server, browser: &As, path: &str, fields: &[(&str, &str)]) {
    let page = server.request(reqwest::Method::GET, path, browser).send().await.unwrap();
    let page = page.text().await.unwrap();
    let (_, token) = page.split_once("name=\"csrf\" value=\"").unwrap();
    let (token, _) = token.split_once('"').unwrap();
    let fields = [fields, &[("csrf", token)]].concat();
    let request = server.request(reqwest::Method::POST, path, browser).form(&fields);
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 303, "{path}: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_added_by_the_pages() {
    if !has_rsync() {
        return;
    }
    let (place, root) = place();
    let data = content(&root).display().to_string();
    let server = place.serve().await;
    let browser = server.login("ana", PASSWORD).await;
    let page = server.request(reqwest::Method::GET, "/new/destination?kind=tree", &browser);
    let page = page.send().await.unwrap().text().await.unwrap();
    for field in ["set-path", "set-host", "set-username", "set-host_key", "set-port"] {
        assert!(page.contains(&format!("name=\"{field}\"")), "{field}: {page}");
    }
    let path = root.join("trees").display().to_string();
    let fields = [("kind", "tree"), ("name", "trees"), ("set-path", &*path)];
    sent(&server, &browser, "/new/destination", &fields).await;
    let stored: Value = server.done_get("destinations/trees").await;
    assert_eq!(stored["kind"], "tree", "{stored}");
    let id = stored["id"].as_str().unwrap();
    let template = format!("template-{id}");
    let fields = [
        ("action", "save"),
        ("name", "site"),
        ("s0-kind", "files"),
        ("s0-name", "files"),
        ("s0-path", &*data),
        ("destination", id),
        (&*template, "{app}_{YYYYMMDD_HHMMSS}"),
        ("when", "hand"),
    ];
    sent(&server, &browser, "/new/app", &fields).await;
    works(&server, &root).await;
}

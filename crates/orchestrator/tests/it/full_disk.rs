//! The catalog's disk is full, or does not keep what it is asked to (F11): what is not kept is told
//! as such, what was told stays, and nothing has to be started anew.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
};

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    road::ran,
    server::{As, PASSWORD, Place, Server},
    strace::NoSync,
};

/// A small file system, unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` where this machine lets us mount none.
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs"]).arg(&at);
        let mounted = mount.status().is_ok_and(|status| status.success());
        assert!(mounted || std::env::var_os("CI").is_none(), "mounting needs root");
        mounted.then_some(Self(at))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file =
            std::fs::File::options().append(true).create(true).open(self.filler()).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let block = vec![7_u8; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What people add, and where the lists of it are.
const ADDED: &[&str] =
    &["tokens", "alert-channels", "alert-routes", "users", "destinations", "apps"];

fn draft(kind: &str, name: &str, app: &App, folder: &Path) -> Value {
    match kind {
        "tokens" => json!({ "name": name, "scopes": ["read"] }),
        "alert-channels" => json!({ "name": name, "kind": "webhook",
            "settings": { "url": "http://127.0.0.1:9/" } }),
        "alert-routes" => json!({ "name": name, "channels": ["ops"] }),
        "users" => json!({ "name": name, "role": "viewer", "password": PASSWORD }),
        "destinations" => json!({ "name": name, "kind": "local",
            "settings": { "path": folder.join(name) } }),
        _ => json!({ "name": name, "url": app.url(), "token": TOKEN,
            "destinations": [{ "destination": "disk", "folder": name }] }),
    }
}

async fn furnished(server: &Server, app: &App) {
    let folder = server.place.folder.path().join("copies");
    for (kind, name) in [
        ("destinations", "disk"),
        ("apps", "shop"),
        ("alert-channels", "ops"),
        ("alert-routes", "all"),
    ] {
        server.done("POST", kind, draft(kind, name, app, &folder)).await;
    }
    server.add_user("ana", "admin").await;
    ran(server, "shop").await;
}

async fn names(server: &Server, kind: &str) -> BTreeSet<String> {
    let all = server.done_get(kind).await;
    let name = |one: &Value| {
        let name = one["name"].as_str().or(one["app"]["name"].as_str());
        name.unwrap_or_default().to_owned()
    };
    all.as_array().unwrap().iter().map(name).collect()
}

/// What was taken, and what was refused.
#[derive(Default)]
struct Told {
    taken: Vec<(&'static str, String)>,
    refused: Vec<(&'static str, String)>,
}

/// Adds something of each kind until that is refused, for the right reason.
async fn until_refused(server: &Server, app: &App, told: &mut Told) {
    let folder = server.place.folder.path().join("copies");
    for kind in ADDED {
        for number in 0.. {
            assert!(number < 200, "{kind} is always taken");
            let name = format!("more-{number}");
            let body = draft(kind, &name, app, &folder);
            let reply = server.send("POST", kind, &server.local(), Some(body)).await;
            if reply.status().is_success() {
                told.taken.push((kind, name));
                continue;
            }
            assert_eq!(reply.status(), 503, "{kind}: {}", server.place.log());
            assert!(reply.headers().contains_key(header::RETRY_AFTER), "{kind}");
            let problem: Value = reply.json().await.unwrap();
            assert!(problem["detail"].as_str().unwrap().contains("room on its disk"), "{problem}");
            told.refused.push((kind, name));
            break;
        }
    }
}

/// What was told as taken is there, what was told as refused is not.
async fn assert_true(server: &Server, told: &Told) {
    for kind in ADDED {
        let found = names(server, kind).await;
        let of = |list: &[(&'static str, String)]| -> Vec<String> {
            list.iter().filter(|(own, _)| own == kind).map(|(_, name)| name.clone()).collect()
        };
        for name in of(&told.taken) {
            assert!(found.contains(&name), "{kind} {name} was taken and is gone: {found:?}");
        }
        for name in of(&told.refused) {
            assert!(!found.contains(&name), "{kind} {name} was refused and is there");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_catalog_takes_nothing_and_loses_nothing() {
    let app = App::serve(20_000).await;
    let place = Place::new(&[]);
    let Some(tmpfs) = Tmpfs::mount(place.data()) else { return };
    let server = place.serve().await;
    furnished(&server, &app).await;
    let by = server.login("ana", PASSWORD).await;
    let form = server.request(Method::GET, "/new/alert-route", &by).send().await.unwrap();
    let form = form.text().await.unwrap();
    let csrf = form.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();

    // What is made when it is first looked at is there.
    let looked_at = ["/", "/apps/shop", "/alerts", "/settings/audit"];
    for path in looked_at {
        server.request(Method::GET, path, &by).send().await.unwrap();
    }
    tmpfs.fill();
    let mut told = Told::default();
    until_refused(&server, &app, &mut told).await;
    // Whatever small room was left is taken now.
    tmpfs.fill();
    until_refused(&server, &app, &mut told).await;
    // The others that write: a run, a login, a trial of a channel, a form.
    for (path, body) in [
        ("apps/shop/run", json!({})),
        ("session", json!({ "user": "ana", "password": PASSWORD })),
        ("alert-channels/ops/test", json!({})),
    ] {
        let reply = server.send("POST", path, &server.local(), Some(body)).await;
        assert_eq!(reply.status(), 503, "{path}");
        assert!(!reply.headers().contains_key(header::SET_COOKIE), "{path}");
    }
    let edit = json!({ "version": 1, "name": "renamed", "channels": ["ops"] });
    let reply = server.send("PUT", "alert-routes/all", &server.local(), Some(edit)).await;
    assert_eq!(reply.status(), 503);
    let body =
        format!("csrf={csrf}&name=by-form&channel=ops&least=warning&digest=none&digest_hour=8");
    let request = server.request(Method::POST, "/new/alert-route", &by);
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let reply = request.body(body).send().await.unwrap();
    assert_eq!(reply.status(), 503);
    assert!(reply.headers().contains_key(header::RETRY_AFTER));
    assert!(reply.text().await.unwrap().contains("</html>"));
    told.refused.push(("alert-routes", "by-form".to_owned()));
    told.refused.push(("alert-routes", "renamed".to_owned()));
    // What only looks is answered, and who is logged in stays so.
    for path in looked_at {
        let seen = server.request(Method::GET, path, &by).send().await.unwrap();
        assert_eq!(seen.status(), 200, "{path}");
    }
    let alive = server.request(Method::GET, "/healthz", &As::Nobody).send().await.unwrap();
    assert_eq!(alive.status(), 200);
    assert_true(&server, &told).await;

    // There is room again, and nobody has to start anything.
    tmpfs.free();
    server.done("POST", "tokens", json!({ "name": "after", "scopes": ["read"] })).await;
    ran(&server, "shop").await;
    server.login("ana", PASSWORD).await;
    assert_true(&server, &told).await;
    // Full once more, and then the power goes.
    tmpfs.fill();
    until_refused(&server, &app, &mut Told::default()).await;
    let place = server.kill();
    tmpfs.free();
    let server = place.serve().await;
    assert_true(&server, &told).await;
    ran(&server, "shop").await;
    assert!(!server.place.log().contains("panicked"), "{}", server.place.log());
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_keep_is_told_and_what_was_told_stays() {
    let app = App::serve(20_000).await;
    let server = Place::new(&[]).serve().await;
    furnished(&server, &app).await;
    let file = server.place.folder.path().join("trace");
    let mut told = Told::default();
    for round in 0..3 {
        let name = format!("before-{round}");
        server.done("POST", "tokens", json!({ "name": name, "scopes": ["read"] })).await;
        told.taken.push(("tokens", name));
        let Some(no_sync) = NoSync::of(server.id(), &file) else { return };
        until_refused_at_once(&server, &app, round, &mut told).await;
        drop(no_sync);
        // What was refused is not promised, and may have come to the disk all the same.
        told.refused.clear();
        assert_true(&server, &told).await;
    }
    ran(&server, "shop").await;
    let server = server.kill().serve().await;
    assert_true(&server, &told).await;
    ran(&server, "shop").await;
}

async fn until_refused_at_once(server: &Server, app: &App, round: usize, told: &mut Told) {
    let folder = server.place.folder.path().join("copies");
    for kind in ADDED {
        let name = format!("failing-{round}");
        let body = draft(kind, &name, app, &folder);
        let reply = server.send("POST", kind, &server.local(), Some(body)).await;
        assert_eq!(reply.status(), 503, "{kind}: {}", reply.text().await.unwrap());
        told.refused.push((kind, name));
    }
}

//! The pictures of the user guide, made from the pages themselves: `UPDATE_GUIDE=1` writes them.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Json, Router, http::Uri};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    chromium::{Chromium, Look, is_there},
    guide_pages::{LANGUAGES, MOST_BYTES, folder},
    server::{PASSWORD, Place, Server},
};

const WIDE: u32 = 1280;
const PHONE: u32 = 390;

/// A picture: its name, the page, the window's width, and the height at most.
/// On a phone it is one screen, with what stays at its foot.
type Picture = (&'static str, &'static str, u32, u32);

/// Of the demonstration. `SNAPSHOT`, `RUN` and `DRILL` stand for the newest of the shop's.
const OF_DEMO: &[Picture] = &[
    ("overview", "/", WIDE, 1000),
    ("overview-phone", "/", PHONE, 900),
    ("app", "/apps/shop", WIDE, 900),
    ("run", "/runs/RUN", WIDE, 900),
    ("snapshot", "/snapshots/SNAPSHOT", WIDE, 1000),
    ("restore", "/snapshots/SNAPSHOT/restore", WIDE, 1150),
    ("restore-phone", "/snapshots/SNAPSHOT/restore", PHONE, 900),
    ("drill-report", "/runs/DRILL/report", WIDE, 900),
    ("drill-plan", "/apps/shop/drills", WIDE, 1000),
    ("retention", "/apps/shop/retention", WIDE, 1000),
    ("timeline", "/apps/shop/timeline?span=month", WIDE, 800),
    ("moments", "/apps/shop/recovery", WIDE, 1000),
    ("destinations", "/destinations", WIDE, 600),
    ("alerts", "/alerts", WIDE, 1100),
    ("alerts-phone", "/alerts", PHONE, 900),
    ("alert-channel", "/new/alert-channel?kind=email", WIDE, 1000),
    ("users", "/settings/users", WIDE, 900),
    ("tokens", "/settings/tokens", WIDE, 800),
    ("audit", "/settings/audit", WIDE, 800),
    ("recovery-kit", "/recovery-kit", WIDE, 1000),
];

/// Of a server without anything.
const OF_EMPTY: &[Picture] = &[("first", "/", WIDE, 800), ("recover", "/recover", WIDE, 900)];

/// Of one with a destination, beside a Docker with a shop and a wiki.
const OF_FIRST_DAY: &[Picture] = &[
    ("coverage", "/coverage", WIDE, 1000),
    ("destination-new", "/new/destination?kind=s3", WIDE, 1000),
    ("app-new", "/new/app?kind=postgres&name=shop", WIDE, 1100),
];

/// Those that a visitor's way leads to.
const ON_THE_WAY: &[&str] = &["login", "second-factor"];

/// Every picture that is made.
pub(crate) fn names() -> Vec<&'static str> {
    let all = OF_DEMO.iter().chain(OF_EMPTY).chain(OF_FIRST_DAY).map(|picture| picture.0);
    all.chain(ON_THE_WAY.iter().copied()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_pictures_are_made() {
    if !is_there() {
        return;
    }
    let demo = Demo::serve().await;
    for language in LANGUAGES {
        for width in [WIDE, PHONE] {
            let look = Look { lang: language, dark: false, width };
            let browser = Chromium::open(&demo.base, look).await;
            browser.log_in("demo", PASSWORD).await;
            let newest = newest(&browser).await;
            for (name, path, _, height) in OF_DEMO.iter().filter(|one| one.2 == width) {
                let path = newest
                    .iter()
                    .fold((*path).to_owned(), |path, (word, id)| path.replace(word, id));
                browser.go(&path).await;
                take(&browser, language, name, *height).await;
            }
            browser.close().await;
        }
    }
    drop(demo);
    let server = first_day().await;
    let mut browsers = Vec::new();
    for language in LANGUAGES {
        let look = Look { lang: language, dark: false, width: WIDE };
        let browser = Chromium::open(&server.base, look).await;
        browser.go("/login").await;
        take(&browser, language, "login", 700).await;
        browser.log_in("ana", PASSWORD).await;
        for (name, path, _, height) in OF_EMPTY {
            browser.go(path).await;
            take(&browser, language, name, *height).await;
        }
        browsers.push((language, browser));
    }
    let path = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": path } });
    server.done("POST", "destinations", disk).await;
    for (language, browser) in browsers {
        for (name, path, _, height) in OF_FIRST_DAY {
            browser.go(path).await;
            take(&browser, language, name, *height).await;
        }
        browser.go("/account").await;
        browser.fill("#begin-password", PASSWORD).await;
        browser.click("button[value=begin]").await;
        browser.find("#second-factor .cli-box code").await;
        take(&browser, language, "second-factor", 1000).await;
        browser.close().await;
    }
}

/// Takes a picture of the page that is shown, from its top, without the word that it is made up.
async fn take(browser: &Chromium, language: &str, name: &str, most_high: u32) {
    browser
        .ask("document.querySelector('.notice')?.remove(); document.activeElement?.blur()")
        .await;
    browser.ask("scrollTo(0, 0)").await;
    let size = browser.tell("Page.getLayoutMetrics", json!({})).await;
    let size = &size["cssContentSize"];
    let height = size["height"].as_f64().unwrap().min(f64::from(most_high));
    let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1 });
    let mut bytes = Vec::new();
    // What is crowded is kept small by its quality.
    for quality in [70, 55, 40] {
        let shot = json!({
            "format": "webp", "quality": quality, "captureBeyondViewport": true, "clip": clip,
        });
        let shot = browser.tell("Page.captureScreenshot", shot).await;
        bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        if bytes.len() < MOST_BYTES {
            break;
        }
    }
    assert!(bytes.starts_with(b"RIFF"), "{name} is no WebP");
    assert!(bytes.len() < MOST_BYTES, "{language}/{name}: {} bytes", bytes.len());
    let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
    assert_eq!(browser.ask(status).await, 200, "{language}/{name}");
    if std::env::var_os("UPDATE_GUIDE").is_some() {
        let folder = folder().join("images").join(language);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.webp")), bytes).unwrap();
    }
}

/// The newest of the shop's, by the words that stand for them.
async fn newest(browser: &Chromium) -> [(&'static str, String); 3] {
    let ask = async |path: &str| {
        let script = format!(
            "const done = arguments[arguments.length - 1]; \
             fetch('/api/v1/{path}').then(one => one.json()).then(done)"
        );
        browser.ask_later(&script).await
    };
    let id = |all: &Value, key: &str, wanted: &str| {
        let found = all.as_array().unwrap().iter().find(|one| one[key] == wanted);
        found.unwrap_or_else(|| panic!("no {wanted} in {all}"))["id"].as_str().unwrap().to_owned()
    };
    let runs = ask("runs?app=shop").await;
    let snapshots = ask("apps/shop/snapshots").await;
    [
        ("RUN", id(&runs, "snapshot_kind", "automatic")),
        ("DRILL", id(&runs, "kind", "drill")),
        ("SNAPSHOT", id(&snapshots, "kind", "automatic")),
    ]
}

/// The demonstration; it ends with this.
struct Demo {
    process: Child,
    base: String,
    _folder: tempfile::TempDir,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Demo {
    async fn serve() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(env!("CARGO_BIN_EXE_backup-orchestrator"))
            .args(["demo", "--port", &port.to_string()])
            .env("TMPDIR", folder.path())
            .env("APP_ADMIN_PASS", PASSWORD)
            .env("TZ", "UTC")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let demo = Self { process, base: format!("http://127.0.0.1:{port}"), _folder: folder };
        let until = Instant::now() + Duration::from_secs(60);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < until, "no demonstration");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        demo
    }
}

/// A server without anything, beside a Docker.
async fn first_day() -> Server {
    let docker = docker().await;
    let place = Place::new(&[
        ("APP_ADMIN_USER", "ana"),
        ("APP_ADMIN_PASS", PASSWORD),
        ("DOCKER_HOST", &docker),
        ("TZ", "UTC"),
    ]);
    place.serve().await
}

/// What speaks as a Docker that has a shop and a wiki; gives its address.
async fn docker() -> String {
    let answer = async |uri: Uri| {
        let path = uri.path();
        Json(match path.rsplit('/').next().unwrap_or_default() {
            "version" => json!({ "Version": "28.0.1", "ApiVersion": "1.48" }),
            "volumes" => json!({ "Volumes": VOLUMES.map(volume), "Warnings": [] }),
            _ if path.ends_with("/containers/json") => json!(CONTAINERS.map(container)),
            _ => json!([]),
        })
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("tcp://{address}")
}

/// Projects and volumes of theirs.
const VOLUMES: [(&str, &str); 4] = [
    ("shop", "shop_pgdata"),
    ("shop", "shop_uploads"),
    ("wiki", "wiki_dbdata"),
    ("wiki", "wiki_images"),
];
/// Projects, containers of theirs, images, and the volume that is mounted.
const CONTAINERS: [(&str, &str, &str, &str); 5] = [
    ("shop", "shop-db", "postgres:17", "shop_pgdata"),
    ("shop", "shop-web", "ghcr.io/example/shop:2.40", "shop_uploads"),
    ("shop", "shop-proxy", "caddy:2", ""),
    ("wiki", "wiki-db", "mariadb:11", "wiki_dbdata"),
    ("wiki", "wiki-web", "mediawiki:1.43", "wiki_images"),
];

fn labels(project: &str) -> Value {
    json!({ "com.docker.compose.project": project })
}

fn volume((project, name): (&str, &str)) -> Value {
    json!({
        "Name": name, "Driver": "local", "Mountpoint": format!("/var/lib/docker/volumes/{name}/_data"),
        "Labels": labels(project), "Scope": "local", "Options": {},
    })
}

fn container((project, name, image, volume): (&str, &str, &str, &str)) -> Value {
    let mount = json!({ "Type": "volume", "Name": volume, "Destination": "/data" });
    let mounts: Vec<_> = (!volume.is_empty()).then_some(mount).into_iter().collect();
    json!({
        "Id": format!("{name:0>64}"), "Names": [format!("/{name}")], "Image": image,
        "State": "running", "Labels": labels(project), "Mounts": mounts, "Ports": [],
    })
}

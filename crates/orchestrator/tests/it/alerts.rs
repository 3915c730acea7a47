//! Alerts on the real program: what goes wrong reaches people once, and that it is over too.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode};
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    browser::fits,
    chromium::{Chromium, Look, is_there},
    openapi::{description, faults, schema},
    road::ended,
    server::{As, PASSWORD, Place, Server},
};

const SECRET: &str = "canary-signing-secret-77aa01";

/// Somebody's own address, which keeps what it is sent.
#[derive(Clone)]
struct Inbox {
    url: String,
    mail: Arc<Mutex<Vec<Value>>>,
    status: Arc<Mutex<u16>>,
}

impl Inbox {
    async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let one = Self { url, mail: Arc::default(), status: Arc::new(Mutex::new(200)) };
        let router = Router::new().fallback(take).with_state(one.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        one
    }

    fn answers(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    fn all(&self) -> Vec<Value> {
        self.mail.lock().unwrap().clone()
    }

    /// Waits until a message says so.
    async fn waits_for(&self, kind: &str, alert: &str, server: &Server) -> Value {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let all = self.all();
            let found =
                all.iter().find(|one| one["data"]["kind"] == kind && one["data"]["alert"] == alert);
            if let Some(found) = found {
                return found.clone();
            }
            assert!(Instant::now() < until, "no {kind} {alert} in {all:?}\n{}", server.place.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn take(State(inbox): State<Inbox>, body: Bytes) -> StatusCode {
    let status = *inbox.status.lock().unwrap();
    if status == 200 {
        inbox.mail.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    }
    StatusCode::from_u16(status).unwrap()
}

fn webhook(name: &str, inbox: &Inbox) -> Value {
    json!({
        "name": name, "kind": "webhook", "language": "es",
        "settings": { "url": inbox.url }, "secrets": { "secret": SECRET },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_and_its_end_are_told_once_each() {
    let (inbox, app) = (Inbox::open().await, App::serve(20_000).await);
    let server = Place::new(&[("APP_PUBLIC_URL", "https://backups.example")]).serve().await;
    let document = description(&server).await;
    server.done("POST", "alert-channels", webhook("ops", &inbox)).await;
    let route = json!({ "name": "all", "channels": ["ops"], "least": "warning" });
    server.done("POST", "alert-routes", route).await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    let draft = |url: &str| {
        json!({
            "name": "shop", "url": url, "token": TOKEN,
            "destinations": [{ "destination": "disk" }], "limits": { "retries": 0 },
        })
    };
    server.done("POST", "apps", draft("http://127.0.0.1:9")).await;
    let run = server.done("POST", "apps/shop/run", json!({})).await;
    let run = ended(&server, run["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "failed", "{run}");

    let told = inbox.waits_for("opened", "backup_failed", &server).await;
    assert_eq!(told["level"], "error");
    assert_eq!(told["title"], "shop: falló el respaldo");
    assert_eq!(told["data"]["app"], "shop");
    let link = format!("https://backups.example/runs/{}", run["id"].as_str().unwrap());
    assert_eq!(told["link"], link.as_str());

    // Every list is as the description tells it, and none has a secret.
    for path in [
        "alerts",
        "alerts?open=true&app=shop",
        "alert-messages",
        "alert-messages?channel=ops&state=sent",
        "alert-channels",
        "alert-routes",
        "alert-channel-kinds",
    ] {
        let found = server.done_get(path).await;
        assert!(!found.as_array().unwrap().is_empty(), "{path} is empty");
        let route = format!("/api/v1/{}", path.split('?').next().unwrap());
        let wrong = faults(&document, schema(&document, "GET", &route, "200"), &found);
        assert_eq!(wrong, [""; 0], "{path}: {found}");
        assert!(!found.to_string().contains("canary"), "{path}: {found}");
    }
    let open = server.done_get("alerts?open=true").await;
    assert_eq!(open[0]["kind"], "backup_failed", "{open}");

    let shown = server.done_get("apps/shop").await;
    let mut edit = draft(&app.url());
    edit["version"] = shown["app"]["version"].clone();
    server.done("PUT", "apps/shop", edit).await;
    let run = server.done("POST", "apps/shop/run", json!({})).await;
    let run = ended(&server, run["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    let over = inbox.waits_for("closed", "backup_failed", &server).await;
    assert_eq!(over["level"], "recovery");
    assert!(over["title"].as_str().unwrap().starts_with("Resuelto: shop"), "{over}");
    // Two looks later nothing was told again.
    tokio::time::sleep(Duration::from_secs(35)).await;
    let about: Vec<_> = inbox.all().into_iter().map(|one| one["data"].clone()).collect();
    let of_it: Vec<_> = about.iter().filter(|one| one["alert"] == "backup_failed").collect();
    assert_eq!(of_it.len(), 2, "{about:?}");
    let usual = server.done_get("apps/shop/usual").await;
    assert_eq!((&usual["learned"], &usual["needed"]), (&json!(1), &json!(10)), "{usual}");
    server.add_user("ana", "viewer").await;
    let by = server.login("ana", PASSWORD).await;
    let page = server.request(Method::GET, "/apps/shop", &by).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("Learning: 1 of 10 snapshots"));
}

fn document(place: &Place, words: &[&str], code: i32) -> Value {
    let done = place.run(&[words, &["--json"]].concat());
    assert_eq!(done.status.code(), Some(code), "{words:?}: {done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

fn shown(place: &Place, words: &[&str]) -> String {
    let done = place.run(words);
    assert_eq!(done.status.code(), Some(0), "{words:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_does_all_of_it() {
    let inbox = Inbox::open().await;
    let server = Place::new(&[]).serve().await;
    let place = &server.place;
    let (secret, url) = (place.file("secret", SECRET), format!("url={}", inbox.url));
    let secret = format!("secret={secret}");
    let add = ["alert", "channel", "add", "ops", "--kind", "webhook", "--set", &url, "--set-file"];
    let added = document(place, &[&add[..], &[&secret]].concat(), 0);
    assert_eq!(added["secrets"], json!(["secret"]));
    let tested = document(place, &["alert", "channel", "test", "ops"], 0);
    assert!(tested["problem"].is_null(), "{tested}");
    let test = inbox.all();
    assert_eq!((test.len(), &test[0]["data"]["kind"]), (1, &json!("test")));
    inbox.answers(401);
    let tested = document(place, &["alert", "channel", "test", "ops"], 1);
    assert!(tested["problem"].as_str().unwrap().contains("401"), "{tested}");
    assert!(shown(place, &["alert", "channel", "list"]).contains("401"));
    inbox.answers(200);

    let route = ["alert", "route", "add", "nights", "--channel", "ops", "--quiet", "22:00-07:00"];
    let more = ["--time-zone", "Europe/Madrid", "--for", "overdue", "--least", "error"];
    let route = document(place, &[&route[..], &more].concat(), 0);
    assert_eq!((&route["quiet_from"], &route["kinds"]), (&json!("22:00"), &json!(["overdue"])));
    let edit = ["alert", "route", "edit", "nights", "--digest", "weekly", "--for", "all"];
    let edited =
        document(place, &[&edit[..], &["--quiet", "none", "--remind-every", "12"]].concat(), 0);
    assert_eq!(edited["digest"], "weekly");
    assert_eq!((&edited["kinds"], &edited["quiet_from"]), (&json!([]), &json!("")));
    assert_eq!((&edited["least"], &edited["remind_every_hours"]), (&json!("error"), &json!(12)));
    assert_eq!(
        (&edited["channels"], &edited["time_zone"]),
        (&json!(["ops"]), &json!("Europe/Madrid"))
    );
    // A channel that a route leads to stays.
    document_fails(place, &["alert", "channel", "remove", "ops"]);
    let edit = ["alert", "channel", "edit", "ops", "--rename", "team", "--language", "es"];
    let edited = document(place, &edit, 0);
    assert_eq!((&edited["name"], &edited["language"]), (&json!("team"), &json!("es")));
    assert_eq!(edited["settings"]["url"], inbox.url.as_str());
    assert_eq!(document(place, &["alert", "route", "show", "nights"], 0)["channels"][0], "team");
    for words in [
        &["alert", "list", "--all"][..],
        &["alert", "sent"],
        &["alert", "channel", "kinds"],
        &["alert", "channel", "list"],
        &["alert", "channel", "show", "team"],
        &["alert", "route", "list"],
        &["alert", "route", "show", "nights"],
    ] {
        let text = shown(place, words);
        assert!(!text.trim().is_empty() && !text.contains("canary"), "{words:?}: {text}");
    }
    shown(place, &["alert", "route", "remove", "nights"]);
    shown(place, &["alert", "channel", "remove", "team"]);
    for wrong in [
        &["alert", "channel", "add", "x", "--kind", "pigeon"][..],
        &["alert", "channel", "add", "x", "--kind", "ntfy", "--set", "topic=a b"],
        &["alert", "channel", "add", "x", "--kind", "slack"],
        &["alert", "route", "add", "x", "--channel", "nobody"],
    ] {
        document_fails(place, wrong);
    }
}

fn document_fails(place: &Place, words: &[&str]) {
    let done = place.run(words);
    assert!(!done.status.success() && !done.stderr.is_empty(), "{words:?}: {done:?}");
}

/// A browser that follows nothing.
struct Browser<'a> {
    server: &'a Server,
    by: As,
    csrf: String,
}

impl Browser<'_> {
    async fn see(&self, path: &str) -> String {
        let reply = self.server.request(Method::GET, path, &self.by).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        reply.text().await.unwrap()
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("csrf", &self.csrf).extend_pairs(fields);
        let request = self.server.request(Method::POST, path, &self.by);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let reply = request.body(body.finish()).send().await.unwrap();
        let to = reply.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
        let status = reply.status().as_u16();
        (status, to.unwrap_or(reply.text().await.unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_do_all_of_it() {
    let inbox = Inbox::open().await;
    let server = Place::new(&[]).serve().await;
    server.add_user("ana", "admin").await;
    let by = server.login("ana", PASSWORD).await;
    let page = server.request(Method::GET, "/new/alert-channel", &by).send().await.unwrap();
    let page = page.text().await.unwrap();
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
    let csrf = csrf.split('"').next().unwrap().to_owned();
    let browser = Browser { server: &server, by, csrf };

    let nobody = browser.see("/alerts").await;
    assert!(nobody.contains("Nobody is told yet"), "{nobody}");
    for kind in
        ["email", "telegram", "webhook", "ntfy", "slack", "discord", "gotify", "healthchecks"]
    {
        let form = browser.see(&format!("/new/alert-channel?kind={kind}")).await;
        assert!(form.contains("name=\"set-") && !form.contains("Unknown localization"), "{kind}");
    }
    // A wrong field is marked, what was typed stays, and a secret does not come back.
    let wrong =
        [("kind", "ntfy"), ("name", "phone"), ("set-topic", "a b"), ("set-token", "canary")];
    let (status, page) = browser.send("/new/alert-channel", &wrong).await;
    assert_eq!(status, 422);
    assert!(page.contains("value=\"a b\"") && page.contains("letters, digits"), "{page}");
    assert!(!page.contains("canary"), "{page}");

    let fields = [
        ("kind", "webhook"),
        ("name", "ops"),
        ("set-url", inbox.url.as_str()),
        ("set-secret", SECRET),
        ("language", "en"),
        ("enabled", "on"),
        ("everything", "on"),
    ];
    let (status, to) = browser.send("/new/alert-channel", &fields).await;
    assert_eq!((status, to.as_str()), (303, "/alerts?done=saved#channel-ops"));
    let routes = server.done_get("alert-routes").await;
    assert_eq!(
        (&routes[0]["name"], &routes[0]["channels"]),
        (&json!("everything"), &json!(["ops"]))
    );
    let (status, to) = browser.send("/alerts/channels/ops/test", &[]).await;
    assert_eq!((status, to.as_str()), (303, "/alerts#channel-ops"));
    assert_eq!(inbox.all().len(), 1);
    assert!(browser.see("/alerts").await.contains("took a message"));
    inbox.answers(404);
    browser.send("/alerts/channels/ops/test", &[]).await;
    let page = browser.see("/alerts").await;
    assert!(page.contains("has a problem") && page.contains("404"), "{page}");

    let edit = browser.see("/alerts/channels/ops").await;
    assert!(edit.contains("stored; empty keeps it") && !edit.contains("canary"), "{edit}");
    let (status, page) = browser.send("/alerts/channels/ops/remove", &[]).await;
    assert_eq!(status, 409, "{page}");
    let route = [
        ("name", "nights"),
        ("channel", "ops"),
        ("least", "warning"),
        ("kind", "overdue"),
        ("quiet_from", "22:00"),
        ("quiet_to", "07:00"),
        ("digest", "none"),
        ("digest_hour", "8"),
        ("time_zone", "Europe/Madrid"),
        ("position", "2"),
        ("enabled", "on"),
    ];
    let (status, page) = browser.send("/new/alert-route", &route).await;
    assert_eq!((status, page.as_str()), (303, "/alerts?done=saved#routes"));
    let shown = browser.see("/alerts/routes/nights").await;
    assert!(shown.contains("value=\"22:00\"") && shown.contains("value=\"overdue\" checked"));
    let page = browser.see("/alerts").await;
    assert!(page.contains("quiet 22:00–07:00 Europe/Madrid"), "{page}");
    let wrong: Vec<_> = route
        .iter()
        .map(|(name, value)| (*name, if *name == "quiet_to" { "22:00" } else { *value }))
        .collect();
    let (status, page) = browser.send("/alerts/routes/nights", &wrong).await;
    assert_eq!(status, 422);
    assert!(page.contains("another time"), "{page}");
    for name in ["nights", "everything"] {
        let (status, to) = browser.send(&format!("/alerts/routes/{name}/remove"), &[]).await;
        assert_eq!((status, to.as_str()), (303, "/alerts?done=route-removed"));
    }
    let (status, _) = browser.send("/alerts/channels/ops/remove", &[]).await;
    assert_eq!(status, 303);
    assert_eq!(server.done_get("alert-channels").await, json!([]));
    let audit = server.done_get("audit").await.to_string();
    for action in
        ["alert-channel.add", "alert-channel.test", "alert-route.add", "alert-route.remove"]
    {
        assert!(audit.contains(action), "{action} is not in {audit}");
    }
    assert!(!server.place.log().contains("canary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_fit_in_both_languages_themes_and_widths() {
    if !is_there() {
        return;
    }
    let inbox = Inbox::open().await;
    let server =
        Place::new(&[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)]).serve().await;
    let long = "a-channel.with_quite_a-long-name.that-nobody.would-choose_but-64";
    server.done("POST", "alert-channels", webhook("ops", &inbox)).await;
    let nowhere = json!({
        "name": long, "kind": "ntfy",
        "settings": { "url": "http://a-server.of-quite-a-long.name.invalid", "topic": "backups" },
    });
    server.done("POST", "alert-channels", nowhere).await;
    server.done("POST", "alert-channels/ops/test", json!({})).await;
    server.done("POST", &format!("alert-channels/{long}/test"), json!({})).await;
    let route = json!({
        "name": "nights", "channels": ["ops", long], "quiet_from": "22:00", "quiet_to": "07:00",
        "kinds": ["overdue", "backup_failed", "size_anomaly"], "remind_every_hours": 12,
        "time_zone": "America/Argentina/Buenos_Aires",
    });
    server.done("POST", "alert-routes", route).await;
    // Something of each list.
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    let gone = json!({
        "name": "shop", "url": "http://127.0.0.1:9", "token": TOKEN,
        "destinations": [{ "destination": "disk" }], "limits": { "retries": 0 },
    });
    server.done("POST", "apps", gone).await;
    let run = server.done("POST", "apps/shop/run", json!({})).await;
    ended(&server, run["id"].as_str().unwrap()).await;
    inbox.waits_for("opened", "backup_failed", &server).await;
    let pages = [
        ("alerts", "/alerts".to_owned()),
        ("alerts-all", "/alerts/all".to_owned()),
        ("alert-channel-new", "/new/alert-channel?kind=email".to_owned()),
        ("alert-channel", format!("/alerts/channels/{long}")),
        ("alert-route-new", "/new/alert-route".to_owned()),
        ("alert-route", "/alerts/routes/nights".to_owned()),
        ("app-usual", "/apps/shop".to_owned()),
    ];
    let looks = [("en", false, 1280), ("es", true, 1280), ("es", false, 390), ("en", true, 390)];
    for (lang, dark, width) in looks {
        let look = Look { lang, dark, width };
        let browser = Chromium::open(&server.base, look).await;
        browser.log_in("ana", PASSWORD).await;
        browser.complaints().await;
        for (name, path) in &pages {
            fits(&browser, path, name, look).await;
        }
        assert_eq!(browser.complaints().await, [""; 0], "{lang} {width}");
        browser.close().await;
    }
}

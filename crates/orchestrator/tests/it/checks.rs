//! What the doctor finds, in the reader's language: each check has its code, and a Spanish page no
//! English but what a program, a server or the system said.

use regex::Regex;
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    docker_stand_in,
    server::{As, PASSWORD, Place, Server},
};

/// Words that no Spanish sentence has.
const ENGLISH: &str = r"(?i)\b(the|is|are|and|that|was|were|cannot|with|its|answers|free)\b";

/// Sources that do not answer, or whose settings lead nowhere, and some that are well.
fn sources(server: &Server, app: &App) -> Vec<(&'static str, Value)> {
    let folder = server.place.folder.path();
    let nobody = json!({ "host": "127.0.0.1", "port": "9", "user": "ana", "database": "shop" });
    let slot = json!({ "host": "127.0.0.1", "port": "9" });
    let link = |url: &str, token: &str| json!({ "kind": "contract", "settings": { "url": url }, "secrets": { "token": token } });
    vec![
        ("well", link(&app.url(), TOKEN)),
        ("refused", link(&app.url(), "a-wrong-token")),
        ("nobody", link("http://127.0.0.1:9", TOKEN)),
        ("unknown", link("http://a-name-that-nobody-has.invalid", TOKEN)),
        ("postgres", json!({ "kind": "postgres", "settings": nobody })),
        ("mysql", json!({ "kind": "mysql", "settings": nobody })),
        ("redis", json!({ "kind": "redis", "settings": slot })),
        ("lite", json!({ "kind": "sqlite", "settings": { "path": folder.join("shop.db") } })),
        ("none", json!({ "kind": "sqlite", "settings": { "path": folder.join("none.db") } })),
        ("text", json!({ "kind": "sqlite", "settings": { "path": folder.join("text.db") } })),
        ("files", json!({ "kind": "files", "settings": { "path": "/srv/nobody" } })),
        ("volume", json!({ "kind": "volume", "settings": { "volume": "shop_media" } })),
    ]
}

async fn world() -> (Server, App) {
    let app = App::serve(50_000).await;
    let docker = docker_stand_in::start().await;
    let server = Place::new(&[]).with("DOCKER_HOST", &docker).serve().await;
    let made = std::process::Command::new("sqlite3")
        .arg(server.place.folder.path().join("shop.db"))
        .arg("create table orders (id integer);")
        .status();
    assert!(made.is_ok_and(|status| status.success()), "install sqlite3");
    server.place.file("text.db", &"no database. ".repeat(200));
    for (name, path) in [("disk", "disk"), ("blocked", "text.db/below")] {
        let path = server.place.folder.path().join(path);
        let disk = json!({ "name": name, "kind": "local", "settings": { "path": path } });
        let made = server.send("POST", "destinations", &server.local(), Some(disk)).await;
        assert!(made.status().is_success() || name == "blocked", "{}", made.text().await.unwrap());
    }
    for (name, mut source) in sources(&server, &app) {
        source["name"] = json!("main");
        let draft = json!({ "name": name, "sources": [source],
            "destinations": [{ "destination": "disk", "folder": name }] });
        server.done("POST", "apps", draft).await;
    }
    (server, app)
}

/// That a sentence has its code, as have those within it; gives the texts that it names.
fn named(of: &str, fact: &Value, texts: &mut Vec<String>) {
    assert!(fact["code"].is_string(), "{of}: a sentence has no code: {fact}");
    for value in fact["facts"].as_object().into_iter().flat_map(|facts| facts.values()) {
        match value {
            // Pages show what stands between backticks as code.
            Value::String(text) => texts.push(text.replace('`', "")),
            Value::Object(_) => named(of, value, texts),
            _ => {}
        }
    }
}

/// A page's lines of checks, without its tags.
fn lines(page: &str) -> Vec<String> {
    let line =
        Regex::new(r#"(?s)<p class="(?:detail|advice|sentence small failed)">(.*?)</p>"#).unwrap();
    let tag = Regex::new("<[^>]*>").unwrap();
    let plain = |text: &str| {
        let text = tag.replace_all(text, "");
        let signs = [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">")];
        let more = [("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&#38;", "&"), ("&amp;", "&")];
        signs.iter().chain(&more).fold(text.into_owned(), |text, (a, b)| text.replace(a, b))
    };
    line.captures_iter(page).map(|found| plain(&found[1])).collect()
}

struct Reader<'s> {
    server: &'s Server,
    by: As,
    csrf: String,
}

impl Reader<'_> {
    /// The page that answers a form, in Spanish.
    async fn page(&self, path: &str) -> String {
        let request = self.server.request(Method::POST, path, &self.by);
        let request = request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT_LANGUAGE, "es")
            .body(format!("csrf={}", self.csrf));
        let reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        reply.text().await.unwrap()
    }

    /// Looks at one thing, by the API and on its page.
    async fn look(&self, api: &str, path: &str) -> Vec<String> {
        let report = self.server.done("POST", api, json!({})).await;
        let mut texts = Vec::new();
        let mut codes = Vec::new();
        for check in report["checks"].as_array().unwrap() {
            let of = format!("{api}: {check}");
            named(&of, &check["fact"], &mut texts);
            codes.push(check["fact"]["code"].as_str().unwrap().to_owned());
            assert_eq!(check["advice"].is_string(), check["advice_fact"].is_object(), "{of}");
            if check["advice"].is_string() {
                named(&of, &check["advice_fact"], &mut texts);
            }
        }
        let english = Regex::new(ENGLISH).unwrap();
        // The longest first: one may be a part of another.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let told = lines(&self.page(path).await);
        assert!(told.len() >= codes.len(), "{path}: {told:?}");
        for line in told {
            let ours = texts.iter().fold(line.clone(), |line, text| line.replace(&**text, ""));
            assert!(!english.is_match(&ours), "{path} is English: {line}");
        }
        codes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_are_told_in_the_readers_language() {
    let (server, app) = world().await;
    server.add_user("ana", "admin").await;
    let by = server.login("ana", PASSWORD).await;
    let session = server.send("GET", "session", &by, None).await.text().await.unwrap();
    let session: Value = serde_json::from_str(&session).unwrap();
    let reader = Reader { server: &server, by, csrf: session["csrf"].as_str().unwrap().to_owned() };
    let mut seen = Vec::new();
    for (name, _) in sources(&server, &app) {
        let (api, path) = (format!("apps/{name}/doctor"), format!("/apps/{name}/doctor"));
        seen.extend(reader.look(&api, &path).await);
    }
    for one in server.done_get("destinations").await.as_array().unwrap() {
        let name = one["name"].as_str().unwrap();
        let (api, path) =
            (format!("destinations/{name}/test"), format!("/destinations/{name}/test"));
        seen.extend(reader.look(&api, &path).await);
    }
    let host = server.done("POST", "doctor", json!({})).await;
    for check in host["checks"].as_array().unwrap() {
        named("the host", &check["fact"], &mut Vec::new());
    }
    for code in ["answers", "contract_is", "app_unauthorized", "sqlite_reads", "canary_written"] {
        assert!(seen.iter().any(|one| one == code), "{code} is not among {seen:?}");
    }
}

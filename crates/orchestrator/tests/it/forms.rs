//! Every form of the pages with hostile and with empty values, and two people at one form.
//!
//! Forms are read from the pages themselves and sent back field by field. Each answer is a page:
//! what was to be done is done, or it is told at the field what is wrong.

use std::{collections::BTreeSet, time::Duration};

use regex::Regex;
use reqwest::{Method, header};
use serde_json::json;

use crate::{
    app::{App, TOKEN},
    axe,
    chromium::{Chromium, Look, is_there},
    page_roles,
    restore_pages::fits,
    road::ran,
    server::{As, PASSWORD, Place, Server},
};

/// What shows that a value was taken for markup.
const MARKUP: &str = "\"'><script>alert(1)</script>";
/// What shows that a value came into the headers.
const HEADER: &str = "x\r\nSet-Cookie: stolen=1\r\nX-Stolen: 1";

pub(crate) fn hostile() -> Vec<String> {
    let mut all: Vec<_> = [
        "",
        MARKUP,
        HEADER,
        "\0",
        "-1",
        "99999999999999999999",
        "../../../etc/passwd",
        "' OR 1=1 --",
        "--help",
        "a\u{202e}gpj.exe\u{2066}",
        "\u{1b}[31mred\u{7}",
        "{{7*7}} ${jndi:x} %s%n $(id) `id`",
        "=cmd|' /C calc'!A0",
        "http://169.254.169.254/latest/meta-data/",
    ]
    .map(str::to_owned)
    .into();
    all.push("x".repeat(5_000));
    all
}

/// Fields that somebody may send besides those of the form as it is shown: of forms that show some
/// only later, or that no page of this test shows. A form that is neither here nor on a page fails
/// the test.
pub(crate) const UNSEEN: &[(&str, &[&str])] = &[
    ("/clock", &[]),
    ("/coverage/ignore", &["id", "reason"]),
    ("/coverage/protect", &["id", "destination"]),
    ("/new/app", &["action", "add-kind", "source", "typed", "when", "cron", "every"]),
    ("/apps/{app}/edit", &["action", "add-kind", "source", "typed", "when", "cron", "wal"]),
    ("/apps/{app}/drills", &["when", "cron", "every", "zone", "version"]),
    ("/apps/{app}/expire", &[]),
    ("/apps/{app}/recovery", MOMENT),
    ("/apps/{app}/recovery/base", &[]),
    ("/apps/{app}/recovery/points", &["point-name"]),
    ("/apps/{app}/recovery/drill", MOMENT),
    ("/runs/{run}/cancel", &[]),
    ("/runs/{run}/undo", &["confirm"]),
    ("/snapshots/{snapshot}/accept", &[]),
    ("/snapshots/{snapshot}/copy", &["destination"]),
    ("/snapshots/{snapshot}/restore", &["action", "target", "artifact", "confirm", "whole"]),
    ("/destinations/{destination}/remove", &["confirm"]),
    ("/destinations/{destination}/repository/count", &[]),
    ("/destinations/{destination}/repository/check", &["read_data"]),
    ("/destinations/{destination}/repository/prune", &[]),
    ("/destinations/{destination}/repository/rotate", &["confirm"]),
    ("/recover", &["kind", "set-path", "key"]),
    ("/recover/begin", &["word", "key", "answer"]),
    ("/settings/recovery/confirm", &[]),
    ("/recovery-kit/stored", &[]),
    ("/account/second-factor", &["action", "password", "code"]),
    ("/account/sessions", &["session", "others"]),
    ("/account/unlink", &["password"]),
    ("/settings/users/{user}", &["action", "password", "role"]),
    ("/settings/sessions/{session}", &[]),
    ("/settings/tokens/{token}", &["action"]),
    ("/login", &["user", "password", "next"]),
    ("/login/code", &["code", "next"]),
    ("/preferences", &["lang", "theme", "density", "back"]),
];

const MOMENT: &[&str] = &[
    "moment", "date", "time", "zone", "lsn", "point", "timeline", "pause", "path", "action",
    "confirm",
];

/// A form as a page shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) fields: Vec<(String, String)>,
}

pub(crate) fn plain(html: &str) -> String {
    let mut text = html.to_owned();
    for (entity, character) in
        [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")]
    {
        text = text.replace(entity, character);
    }
    text
}

fn forms(page: &str) -> Vec<Form> {
    let attribute = |name: &str| Regex::new(&format!("\\s{name}=\"([^\"]*)\"")).unwrap();
    let (action, name, value) = (attribute("action"), attribute("name"), attribute("value"));
    let formaction = attribute("formaction");
    let control = Regex::new(r"(?s)<(input|select|textarea|button)\b([^>]*)>").unwrap();
    let chosen = Regex::new("<option value=\"([^\"]*)\"[^>]* selected").unwrap();
    let get = |of: &Regex, text: &str| of.captures(text).map(|found| plain(&found[1]));
    let mut found = Vec::new();
    for part in page.split("<form ").skip(1) {
        let part = part.split("</form>").next().unwrap();
        let head = format!(" {}", part.split('>').next().unwrap());
        if !head.contains("method=\"post\"") {
            continue;
        }
        let mut fields = Vec::new();
        let mut ways: Vec<_> = get(&action, &head).into_iter().collect();
        for one in control.captures_iter(part) {
            let (kind, attributes) = (&one[1], &one[2]);
            ways.extend(get(&formaction, attributes));
            let Some(name) = get(&name, attributes) else { continue };
            let is_tick = attributes.contains("checkbox") || attributes.contains("radio");
            if name == "csrf" || kind == "button" || is_tick && !attributes.contains(" checked") {
                continue;
            }
            let after = &part[one.get(0).unwrap().end()..];
            let value = match kind {
                "select" => {
                    let options = after.split("</select>").next().unwrap();
                    get(&chosen, options).unwrap_or_default()
                }
                "textarea" => plain(after.split("</textarea>").next().unwrap()),
                _ => get(&value, attributes).unwrap_or_default(),
            };
            fields.push((name, value));
        }
        for way in ways {
            let action = way.split(['?', '#']).next().unwrap().to_owned();
            found.push(Form { action, fields: fields.clone() });
        }
    }
    found
}

/// Whether `path` is one of `route`'s.
pub(crate) fn is_of(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    let fits = |(one, other): (&&str, &&str)| one.starts_with('{') || one == other;
    route.len() == path.len() && route.iter().zip(&path).all(fits)
}

/// A server with something of everything, and who looks at it.
pub(crate) struct World {
    pub(crate) server: Server,
    _app: App,
    by: As,
    csrf: String,
    /// The language of the pages.
    pub(crate) lang: &'static str,
    /// What stands for the names in a path.
    named: Vec<(&'static str, String)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let app = App::serve(20_000).await;
        let server = Place::new(&[]).serve().await;
        let disk = server.place.folder.path().join("disk");
        for name in ["disk", "spare"] {
            let one =
                json!({ "name": name, "kind": "local", "settings": { "path": disk.join(name) } });
            server.done("POST", "destinations", one).await;
        }
        let draft = json!({
            "name": "shop", "url": app.url(), "token": TOKEN, "limits": { "retries": 0 },
            "destinations": [{ "destination": "disk", "folder": "shop", "logs": true }],
        });
        server.done("POST", "apps", draft).await;
        let run = ran(&server, "shop").await;
        let hook = json!({ "name": "ops", "kind": "webhook", "settings": { "url": "http://127.0.0.1:9/" } });
        server.done("POST", "alert-channels", hook).await;
        server.done("POST", "alert-routes", json!({ "name": "all", "channels": ["ops"] })).await;
        server.add_user("ana", "admin").await;
        server.add_user("bo", "viewer").await;
        server.done("POST", "tokens", json!({ "name": "ci", "scopes": ["read"] })).await;
        let by = server.login("ana", PASSWORD).await;
        let sessions = server.done_get("sessions").await;
        let id = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
        let named = vec![
            ("{app}", "shop".to_owned()),
            ("{destination}", "disk".to_owned()),
            ("{channel}", "ops".to_owned()),
            ("{route}", "all".to_owned()),
            ("{run}", id(&run["id"])),
            ("{snapshot}", id(&run["snapshot_id"])),
            ("{source}", "shop".to_owned()),
            ("{user}", "bo".to_owned()),
            ("{token}", "ci".to_owned()),
            ("{session}", id(&sessions[0]["id"])),
        ];
        let mut world = Self { server, _app: app, by, csrf: String::new(), lang: "en", named };
        world.log_in().await;
        world
    }

    pub(crate) async fn log_in(&mut self) {
        self.by = self.server.login("ana", PASSWORD).await;
        let (_, page, _) = self.see("/new/alert-channel").await;
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
        csrf.split('"').next().unwrap().clone_into(&mut self.csrf);
    }

    pub(crate) fn path(&self, route: &str) -> String {
        let named = |part: &str| {
            let known = self.named.iter().find(|(name, _)| *name == part);
            known.map_or_else(|| part.to_owned(), |(_, value)| value.clone())
        };
        route.split('/').map(named).collect::<Vec<_>>().join("/")
    }

    pub(crate) async fn see(&self, path: &str) -> (u16, String, header::HeaderMap) {
        let request = self.server.request(Method::GET, path, &self.by);
        let request = request.header(header::ACCEPT_LANGUAGE, self.lang);
        let reply = request.timeout(Duration::from_secs(60)).send().await.unwrap();
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
            return (status, String::new(), headers);
        }
        (status, String::from_utf8_lossy(&reply.bytes().await.unwrap()).into_owned(), headers)
    }

    pub(crate) async fn send(&self, path: &str, fields: &[(String, String)]) -> Reply {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("csrf", &self.csrf);
        for (name, value) in fields {
            body.append_pair(name, value);
        }
        let request = self.server.request(Method::POST, path, &self.by);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.header(header::ACCEPT_LANGUAGE, self.lang);
        let request = request.timeout(Duration::from_secs(60));
        let reply = request.body(body.finish()).send().await.unwrap();
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        Reply { status, headers, page: reply.text().await.unwrap_or_default() }
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: header::HeaderMap,
    pub(crate) page: String,
}

impl Reply {
    /// What is wrong with it as an answer to a form.
    fn faults(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        // An engine of Docker or a place that is not there is told as such.
        if self.status >= 500 && !matches!(self.status, 502 | 503) || self.status == 405 {
            wrong.push(format!("{} {:.300}", self.status, self.page));
        }
        if !(200..600).contains(&self.status) {
            wrong.push(self.status.to_string());
        }
        if self.headers.contains_key("x-stolen") {
            wrong.push("a header of others".to_owned());
        }
        let mut cookies = self.headers.get_all(header::SET_COOKIE).iter();
        if cookies.any(|one| one.as_bytes().starts_with(b"stolen")) {
            wrong.push("a cookie of others".to_owned());
        }
        let to = self.headers.get(header::LOCATION).map(|to| to.to_str().unwrap_or("?"));
        if to.is_some_and(|to| !to.starts_with('/') || to.starts_with("//")) {
            wrong.push(format!("it leads to {to:?}"));
        }
        if self.page.contains("<script>alert(1)") {
            wrong.push("a value is markup".to_owned());
        }
        if self.page.contains(['\0', '\u{1b}']) {
            wrong.push("a control character is shown".to_owned());
        }
        let kind = self.headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or("?"));
        let is_page = kind.is_some_and(|kind| kind.starts_with("text/html"));
        if self.status >= 400 && !(is_page && self.page.contains("</html>")) {
            wrong.push(format!("no page: {kind:?} {:.200}", self.page));
        }
        // Whoever sent a form is told what is wrong with it.
        let told = ["role=\"alert\"", "class=\"error\"", "<li><strong>", "Something is not right"];
        if self.status == 422 && !told.iter().any(|sign| self.page.contains(sign)) {
            wrong.push(format!("it is not told what is wrong: {:.2000}", self.page));
        }
        wrong
    }
}

/// Pages to read forms from.
pub(crate) async fn read_forms(world: &World) -> Vec<Form> {
    let mut all: Vec<Form> = Vec::new();
    let mut paths: BTreeSet<String> = page_roles::table()
        .iter()
        .filter(|page| page.method == "GET" && !page.path.ends_with("/events"))
        .map(|page| world.path(page.path))
        .collect();
    for kind in
        ["webhook", "email", "telegram", "ntfy", "slack", "discord", "gotify", "healthchecks"]
    {
        paths.insert(format!("/new/alert-channel?kind={kind}"));
    }
    for kind in ["local", "s3", "azblob", "gcs", "b2", "sftp", "webdav", "rclone"] {
        paths.insert(format!("/new/destination?kind={kind}"));
    }
    for path in paths {
        let (status, page, _) = world.see(&path).await;
        assert!(status < 500, "{path}: {status} {page:.500}");
        assert!(!page.contains("template: "), "{path}: {page:.500}");
        for form in forms(&page) {
            if !all.contains(&form) {
                all.push(form);
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_takes_hostile_and_empty_values() {
    let mut world = World::new().await;
    let found = read_forms(&world).await;
    assert!(found.len() > 30, "{found:#?}");
    let mut routes: Vec<_> = page_roles::table()
        .iter()
        .filter(|page| page.method == "POST")
        .map(|page| page.path)
        .collect();
    routes.extend(["/login", "/login/code", "/preferences"]);
    for form in &found {
        let known = routes.iter().any(|route| is_of(route, &form.action));
        assert!(known, "a form leads to {}, which is no route", form.action);
    }
    // Wrong passwords are counted, and end the test's own logins after some: these come last.
    routes.sort_by_key(|route| route.starts_with("/account") || route.starts_with("/login"));
    let (mut sent, mut refused, mut wrong) = (0, 0, Vec::new());
    for route in &routes {
        let guesses = route.starts_with("/account") || route.starts_with("/login");
        let here: Vec<_> = found.iter().filter(|form| is_of(route, &form.action)).collect();
        let unseen = UNSEEN.iter().find(|(path, _)| path == route).map(|(_, fields)| *fields);
        assert!(
            !here.is_empty() || unseen.is_some(),
            "no page has the form {route}: add its fields to UNSEEN"
        );
        let mut names: BTreeSet<String> =
            unseen.unwrap_or_default().iter().map(|name| (*name).to_owned()).collect();
        names.extend(here.iter().flat_map(|form| &form.fields).map(|(name, _)| name.clone()));
        let path = here.first().map_or_else(|| world.path(route), |form| form.action.clone());
        let mut attempts: Vec<Vec<(String, String)>> = vec![Vec::new()];
        let hostile = hostile();
        // All of it hostile at once, and each field by itself in a form that is right otherwise.
        for value in &hostile {
            attempts.push(names.iter().map(|name| (name.clone(), value.clone())).collect());
        }
        for (number, name) in names.iter().enumerate() {
            let base = here.iter().find(|form| form.fields.iter().any(|(own, _)| own == name));
            let base = base.or(here.first()).map(|form| form.fields.clone()).unwrap_or_default();
            for value in [MARKUP, "", HEADER, &hostile[3 + number % (hostile.len() - 3)]] {
                let mut fields = base.clone();
                fields.retain(|(own, _)| own != name);
                fields.push((name.clone(), value.to_owned()));
                attempts.push(fields);
            }
        }
        for fields in attempts {
            let reply = world.send(&path, &fields).await;
            sent += 1;
            refused += usize::from((400..500).contains(&reply.status));
            let faults = reply.faults();
            if !faults.is_empty() {
                let shown: Vec<_> = fields.iter().map(|(n, v)| format!("{n}={v:.40}")).collect();
                wrong.push(format!("{path} {shown:?}: {faults:?}"));
            }
            let went = reply.headers.get(header::LOCATION).is_some_and(|to| to == "/login");
            // It may have ended this very session, as it was asked to.
            if (went || reply.status == 403) && !guesses {
                world.log_in().await;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {sent}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(sent > 600 && refused > 200, "{sent} sent, {refused} refused");
    let log = world.server.place.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains('\0'), "a control character is in the log");
    assert_eq!(world.server.get("apps", &world.server.local()).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_name_in_an_address_is_not_found() {
    let world = World::new().await;
    let names = [
        "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "%00",
        "%0d%0aSet-Cookie:%20stolen=1",
        "..%2f..%2fetc",
        "%e2%80%ae",
        "'%20OR%201=1--",
        "%1b%5b31m",
        "%ff",
    ];
    let (mut asked, mut wrong) = (0, Vec::new());
    for page in page_roles::table().iter().filter(|page| page.path.contains('{')) {
        for name in names {
            let part =
                |part: &str| if part.starts_with('{') { name.to_owned() } else { part.to_owned() };
            let path = page.path.split('/').map(part).collect::<Vec<_>>().join("/");
            let reply = if page.method == "GET" {
                let (status, page, headers) = world.see(&path).await;
                Reply { status, headers, page }
            } else {
                world.send(&path, &[]).await
            };
            asked += 1;
            let mut faults = reply.faults();
            if !(400..500).contains(&reply.status) {
                faults.push(reply.status.to_string());
            }
            if !faults.is_empty() {
                wrong.push(format!("{} {path}: {faults:?}", page.method));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 300);
}

/// Forms that two people open at once: a page, what it edits, a field, what the API calls it, and
/// what each of the two types.
const SHARED: [(&str, &str, &str, &str, &str, &str); 5] = [
    ("/apps/shop/edit", "apps/shop", "keep_last", "keep_last", "31", "32"),
    (
        "/destinations/disk/edit",
        "destinations/disk",
        "verify_every_days",
        "verify_every_days",
        "41",
        "42",
    ),
    (
        "/alerts/channels/ops",
        "alert-channels/ops",
        "set-url",
        "url",
        "http://first.example/",
        "http://second.example/",
    ),
    (
        "/alerts/routes/all",
        "alert-routes/all",
        "remind_every_hours",
        "remind_every_hours",
        "51",
        "52",
    ),
    ("/apps/shop/drills", "apps/shop", "boot-container", "container", "first-box", "second-box"),
];

impl Form {
    /// It as a page has it now.
    pub(crate) fn on(page: &str, path: &str) -> Self {
        let found = forms(page).into_iter().find(|form| form.action == path);
        found.unwrap_or_else(|| panic!("no form {path} in {page:.5000}"))
    }

    pub(crate) fn value(&self, name: &str) -> &str {
        self.fields.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    /// It with other values, ready to be saved.
    pub(crate) fn with(&self, values: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields = self.fields.clone();
        fields.retain(|(name, _)| values.iter().all(|(other, _)| other != name));
        let more = values.iter().chain(&[("action", "save")]);
        fields.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        fields
    }
}

/// Two people open the same form; who saves last is told what is there now, sees what they typed,
/// and nothing of the first is lost until they save again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saves_second_is_told_and_may_save_again() {
    let world = World::new().await;
    for (path, what, field, key, first, second) in SHARED {
        let is_kept = async |value: &str| {
            let kept = world.server.done_get(what).await.to_string();
            [format!("\"{key}\":{value},"), format!("\"{key}\":{value}}}")]
                .iter()
                .chain(&[format!("\"{key}\":\"{value}\"")])
                .any(|one| kept.contains(one))
        };
        let (_, page, _) = world.see(path).await;
        let form = Form::on(&page, path);
        let reply = world.send(path, &form.with(&[(field, first)])).await;
        assert_eq!(reply.status, 303, "{path}: {:.3000}", reply.page);

        // A slip in between does not make it stand on what nobody has seen.
        if path.ends_with("/edit") {
            let slip = world.send(path, &form.with(&[(field, second), ("name", "../x")])).await;
            assert_eq!(slip.status, 422, "{path}");
            let shown = Form::on(&slip.page, path);
            assert_eq!(shown.value("version"), form.value("version"), "{path}");
            assert!(!slip.page.contains("id=\"conflict\""), "{path}");
        }

        let secret = ("s0-secret-token", "a-secret-that-was-typed");
        let reply = world.send(path, &form.with(&[(field, second), secret])).await;
        assert_eq!(reply.status, 409, "{path}: {:.3000}", reply.page);
        assert!(reply.page.contains("meanwhile"), "{path}: {:.3000}", reply.page);
        let told = reply.page.split("id=\"conflict\"").nth(1).unwrap();
        let told = told.split("</section>").next().unwrap();
        assert!(told.contains(first) && told.contains(second), "{path}: {told}");
        assert!(!reply.page.contains(secret.1), "{path}: a secret comes back");
        assert!(is_kept(first).await && !is_kept(second).await, "{path}");
        let again = Form::on(&reply.page, path);
        assert_eq!(again.value(field), second, "{path}: what was typed is gone");
        assert_ne!(again.value("version"), form.value("version"), "{path}");

        // With what is there in sight, saving again is meant.
        let reply = world.send(path, &again.with(&[])).await;
        assert_eq!(reply.status, 303, "{path}: {:.3000}", reply.page);
        assert!(is_kept(second).await && !is_kept(first).await, "{path}");
    }
    let shop = world.server.done_get("apps/shop").await;
    assert_eq!(shop["app"]["destinations"][0]["logs"], true, "what no form shows stays: {shop}");
}

/// What is there now beside what was typed, on a phone and on a desktop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_saved_fits_its_page() {
    if !is_there() {
        return;
    }
    let world = World::new().await;
    for (lang, dark, width) in [("en", false, 390), ("es", true, 1280)] {
        let look = Look { lang, dark, width };
        let browser = Chromium::open(&world.server.base, look).await;
        browser.log_in("ana", PASSWORD).await;
        for (path, _, field, _, first, second) in SHARED {
            browser.go(path).await;
            let (_, page, _) = world.see(path).await;
            // Each of the two looks finds another value.
            let value = if dark { second } else { first };
            let reply = world.send(path, &Form::on(&page, path).with(&[(field, value)])).await;
            assert_eq!(reply.status, 303, "{path}: {:.3000}", reply.page);
            let save = "const form = document.querySelector('main form[action$=\"PATH\"]');\
                form.requestSubmit(form.querySelector('button[value=save]'));";
            browser.ask(&save.replace("PATH", path)).await;
            browser.find("#conflict tbody tr").await;
            fits(&browser, &format!("conflict-{field}-{width}"), lang).await;
            if let Some(judge) = axe::script() {
                assert_eq!(axe::complaints(&browser, &judge).await, [""; 0], "{path} {width}");
            }
        }
        browser.close().await;
    }
}

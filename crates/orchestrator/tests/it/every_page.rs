//! Every page, in both languages, both themes and both widths. A route without an entry in the
//! table here fails a test.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    axe,
    browser::{ADMIN, assert_no_wider, fits, has_its_shape},
    browsing,
    chromium::{Chromium, Look, is_there},
    docker_stand_in,
    road::ended,
    server::{PASSWORD, Place, Server},
};

/// An app and a destination that are declared elsewhere.
const DECLARED: &str = "\
destinations:
  - name: declared-disk
    kind: local
    settings:
      path: /tmp/declared-disk
apps:
  - name: declared
    sources:
      - name: db
        kind: postgres
        settings:
          host: db
          user: app
          database: '*'
      - name: lite
        kind: sqlite
        settings:
          path: /srv/app.db
    destinations: [declared-disk]
    schedule: 30 2 * * *
";
/// The longest name that an app can have.
const LONG: &str = "an-app.with_quite_a-long-name.that-nobody.would-choose_but-some-";
/// Routes that answer with no page, or lead to another.
const NO_PAGES: &[&str] = &[
    "/account/link",
    "/destinations/gdrive/callback",
    "/destinations/gdrive/finish",
    "/destinations/{destination}/google",
    "/login/oidc",
    "/login/oidc/callback",
    "/login/oidc/finish",
    "/runs/{run}/events",
    "/runs/{run}/log",
    "/settings/audit.csv",
    "/snapshots/{snapshot}/download/{source}",
    "/snapshots/{snapshot}/file/{source}",
];
/// Routes whose pages others walk, because they take another server.
const ELSEWHERE: &[&str] = &[
    // `recover_page.rs`
    "/recover/progress/{word}",
    // `login_browser.rs`
    "/login/code",
];

/// A page: its route, what its pictures are called, and its address.
struct Page {
    route: &'static str,
    name: &'static str,
    path: String,
}

/// What the addresses of the pages name.
struct World {
    server: Server,
    /// A run that went well, one that failed, one that brought something back.
    runs: [String; 3],
    /// Snapshots of an app, of an archive, of a dump; and one to compare the first with.
    snapshots: [String; 4],
    _apps: Vec<App>,
}

impl World {
    async fn new() -> Self {
        let app = App::serve(200_000).await;
        let docker = docker_stand_in::start().await;
        let place = Place::new(ADMIN).with("DOCKER_HOST", &docker);
        place.file("backups.yml", DECLARED);
        let server = place.serve().await;
        let disk = server.place.folder.path().join("disk");
        let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
        server.done("POST", "destinations", destination).await;
        for (name, token) in [("shop", TOKEN), (LONG, TOKEN), ("broken", "a-wrong-token")] {
            let draft = json!({
                "name": name, "url": app.url(), "token": token,
                "destinations": [{ "destination": "disk", "folder": name }],
                "schedule": { "spec": "daily", "time_zone": "America/Sao_Paulo" },
                "retention": { "keep_last": 1, "keep_daily": 7 },
            });
            server.done("POST", "apps", draft).await;
        }
        while server.done_get("apps").await.as_array().unwrap().len() < 4 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server.done("POST", "apps", mixed(&app)).await;
        tell_of(&server).await;
        let mut runs = Vec::new();
        for name in ["shop", "shop", LONG, "broken"] {
            // Written from right to left, with signs of more than one unit, as long as it may be.
            let label: String = "שלום 🚀 <b>x</b> & \u{301}".chars().cycle().take(200).collect();
            let asked = json!({ "label": label, "kind": "manual" });
            let run = server.done("POST", &format!("apps/{name}/run"), asked).await;
            runs.push(ended(&server, run["id"].as_str().unwrap()).await);
        }
        let archive = browsing::archive().await;
        let dump = browsing::dump().await;
        let media = browsing::snapshot(&server, "media", &archive).await;
        let tables = browsing::snapshot(&server, "tables", &dump).await;
        let id = |at: usize, of: &str| runs[at][of].as_str().unwrap().to_owned();
        let verified = format!("snapshots/{}/verify", id(1, "snapshot_id"));
        let verified = server.done("POST", &verified, json!({})).await;
        ended(&server, verified["id"].as_str().unwrap()).await;
        let drill = format!("snapshots/{}/drill", id(1, "snapshot_id"));
        let drill = server.done("POST", &drill, json!({})).await;
        let drill = ended(&server, drill["id"].as_str().unwrap()).await;
        let drill = drill["id"].as_str().unwrap().to_owned();
        server.add_user("a-user.with-a-name.that-goes-on.and-on", "viewer").await;
        let token = json!({ "name": "pipeline", "scopes": ["read", "run"], "apps": ["shop"] });
        server.done("POST", "tokens", token).await;
        Self {
            runs: [id(0, "id"), id(3, "id"), drill],
            snapshots: [id(1, "snapshot_id"), media, tables, id(0, "snapshot_id")],
            server,
            _apps: vec![app, archive, dump],
        }
    }
}

/// Two channels and a route, one of which has words that are too long for their place.
async fn tell_of(server: &Server) {
    let long = "a-channel.with_quite_a-long-name.that-nobody.would-choose_but-64";
    for (name, url) in [
        ("ops", "http://127.0.0.1:9".to_owned()),
        (long, "http://a-server.of-quite-a-long.name.invalid".to_owned()),
    ] {
        let channel = json!({ "name": name, "kind": "ntfy",
            "settings": { "url": url, "topic": "backups" } });
        server.done("POST", "alert-channels", channel).await;
    }
    let route = json!({
        "name": "nights", "channels": ["ops", long], "quiet_from": "22:00", "quiet_to": "07:00",
        "kinds": ["overdue", "backup_failed", "size_anomaly"], "remind_every_hours": 12,
    });
    server.done("POST", "alert-routes", route).await;
}

/// An app with sources of three kinds.
fn mixed(app: &App) -> Value {
    json!({
        "name": "mixed", "destinations": [{ "destination": "disk" }],
        "sources": [
            { "name": "app", "kind": "contract", "settings": { "url": app.url() },
                "secrets": { "token": TOKEN } },
            { "name": "db", "kind": "postgres", "secrets": { "password": "p" }, "settings": {
                "host": "a-database.of-quite-a-long.name.example", "database": "shop, billing",
                "user": "backup", "format": "directory", "jobs": "2" } },
            { "name": "media", "kind": "files",
                "settings": { "path": "/srv/media\n/srv/uploads", "exclude": "*.tmp" } },
        ],
    })
}

/// The table of all pages; `runs` and `snapshots` as in [`World`].
fn pages(runs: &[String; 3], snapshots: &[String; 4]) -> Vec<Page> {
    let [good, failed, drilled] = runs;
    let [one, media, tables, other] = snapshots;
    let of = |id: &str, rest: &str| format!("/snapshots/{id}{rest}");
    let browse = of(media, "/browse/media");
    [
        ("/", "overview", "/".to_owned()),
        ("/", "overview-none", "/?q=none&sort=stored".to_owned()),
        ("/alerts", "alerts", "/alerts".to_owned()),
        ("/alerts/all", "alerts-all", "/alerts/all".to_owned()),
        ("/new/alert-channel", "channel-new", "/new/alert-channel?kind=email".to_owned()),
        ("/new/alert-channel", "channel-hook", "/new/alert-channel?kind=webhook".to_owned()),
        ("/alerts/channels/{channel}", "channel", "/alerts/channels/ops".to_owned()),
        ("/new/alert-route", "route-new", "/new/alert-route".to_owned()),
        ("/alerts/routes/{route}", "route", "/alerts/routes/nights".to_owned()),
        ("/drills", "drills", "/drills".to_owned()),
        ("/coverage", "coverage", "/coverage".to_owned()),
        ("/new/app", "app-new", "/new/app".to_owned()),
        ("/new/app", "app-new-files", "/new/app?kind=files&name=media&path=/srv".to_owned()),
        ("/apps/{app}", "app", "/apps/shop".to_owned()),
        ("/apps/{app}", "app-long", format!("/apps/{LONG}")),
        ("/apps/{app}", "app-failed", "/apps/broken".to_owned()),
        ("/apps/{app}", "app-mixed", "/apps/mixed".to_owned()),
        ("/apps/{app}", "app-declared", "/apps/declared".to_owned()),
        ("/apps/{app}/edit", "app-edit", "/apps/shop/edit".to_owned()),
        ("/apps/{app}/edit", "app-mixed-edit", "/apps/mixed/edit".to_owned()),
        ("/apps/{app}/retention", "retention", "/apps/shop/retention".to_owned()),
        ("/apps/{app}/drills", "drill-plan", "/apps/shop/drills".to_owned()),
        ("/apps/{app}/recovery", "moments-off", "/apps/shop/recovery".to_owned()),
        ("/apps/{app}/timeline", "timeline", "/apps/shop/timeline?span=day".to_owned()),
        ("/runs", "runs", "/runs".to_owned()),
        ("/runs/{run}", "run", format!("/runs/{good}")),
        ("/runs/{run}", "run-failed", format!("/runs/{failed}")),
        ("/runs/{run}", "run-drill", format!("/runs/{drilled}")),
        ("/runs/{run}/report", "report", format!("/runs/{drilled}/report")),
        ("/snapshots", "snapshots", "/snapshots".to_owned()),
        ("/snapshots", "snapshots-of", "/snapshots?app=shop".to_owned()),
        ("/snapshots/{snapshot}", "snapshot", of(one, "")),
        ("/snapshots/{snapshot}", "snapshot-files", of(media, "")),
        ("/snapshots/{snapshot}/restore", "restore", of(one, "/restore")),
        ("/snapshots/{snapshot}/diff", "diff", of(one, &format!("/diff?from={other}"))),
        ("/snapshots/{snapshot}/browse/{source}", "browse", browse.clone()),
        (
            "/snapshots/{snapshot}/browse/{source}",
            "browse-folder",
            format!("{browse}?path=srv%2Fmedia"),
        ),
        ("/snapshots/{snapshot}/browse/{source}", "browse-search", format!("{browse}?q=pdf")),
        ("/snapshots/{snapshot}/browse/{source}", "tables", of(tables, "/browse/tables")),
        ("/destinations", "destinations", "/destinations".to_owned()),
        ("/new/destination", "destination-new", "/new/destination?kind=s3".to_owned()),
        ("/destinations/{destination}", "destination", "/destinations/disk".to_owned()),
        (
            "/destinations/{destination}",
            "destination-declared",
            "/destinations/declared-disk".to_owned(),
        ),
        (
            "/destinations/{destination}/edit",
            "destination-edit",
            "/destinations/disk/edit".to_owned(),
        ),
        ("/recover", "recover-refused", "/recover".to_owned()),
        ("/settings/recovery", "recovery", "/settings/recovery".to_owned()),
        ("/recovery-kit", "kit", "/recovery-kit".to_owned()),
        ("/settings", "settings", "/settings".to_owned()),
        ("/account", "account", "/account".to_owned()),
        ("/settings/users", "users", "/settings/users".to_owned()),
        ("/settings/sessions", "sessions", "/settings/sessions".to_owned()),
        ("/settings/tokens", "tokens", "/settings/tokens".to_owned()),
        ("/settings/audit", "audit", "/settings/audit".to_owned()),
        ("/api", "api", "/api".to_owned()),
        ("/login", "login", "/login".to_owned()),
        ("", "missing", "/nothing/here".to_owned()),
    ]
    .into_iter()
    .map(|(route, name, path)| Page { route, name, path })
    .collect()
}

/// Every route that answers GET, read from its source: a program has no inside for its tests.
fn routes() -> Vec<&'static str> {
    let source = include_str!("../../src/web/mod.rs");
    let routes = source.split(".route(").skip(1).filter_map(|rest| {
        let path = rest.split('"').nth(1)?;
        rest.contains("get(").then_some(path).filter(|path| !path.starts_with("/static/"))
    });
    routes.collect()
}

#[test]
fn every_route_has_its_entry() {
    let all = pages(&Default::default(), &Default::default());
    let known: Vec<_> = routes();
    assert!(known.len() > 50, "the routes are not found in their source");
    let others = || NO_PAGES.iter().chain(ELSEWHERE);
    for route in &known {
        let there = all.iter().any(|page| page.route == *route) || others().any(|one| one == route);
        assert!(there, "{route} has no entry in the table of all pages");
    }
    for route in all.iter().map(|page| &page.route).filter(|route| !route.is_empty()) {
        assert!(known.contains(route), "{route} is no route any more");
    }
    for route in others() {
        assert!(known.contains(route), "{route} is no route any more");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_a_desktop_in_both_languages_and_themes() {
    every_page_fits(1280).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_a_phone_in_both_languages_and_themes() {
    every_page_fits(390).await;
}

async fn every_page_fits(width: u32) {
    if !is_there() {
        return;
    }
    let world = World::new().await;
    let server = &world.server;
    let pages = pages(&world.runs, &world.snapshots);
    for (lang, dark) in [("en", false), ("es", true), ("es", false), ("en", true)] {
        let look = Look { lang, dark, width };
        let browser = Chromium::open(&server.base, look).await;
        browser.log_in("ana", PASSWORD).await;
        browser.complaints().await;
        for page in &pages {
            // Words do not change what axe judges: each theme is enough.
            if (lang == "es") == dark {
                fits(&browser, &page.path, page.name, look).await;
            } else {
                has_its_shape(&browser, &page.path, page.name, look).await;
            }
            if lang == "es" && !dark && width == 1280 {
                fits_between(&browser, page).await;
            }
            has_its_commands(&browser, page).await;
        }
        if let Some(judge) = axe::script() {
            axe::assert_it_judges(&browser, &judge).await;
        }
        browser.go("/apps/declared").await;
        let forms = "return document.querySelectorAll('a[href$=\"/edit\"], form[action$=\"/remove\"], form[action$=\"/enabled\"]').length";
        assert_eq!(browser.ask(forms).await, 0, "what is declared elsewhere is changed here");
        browser.sees("backups.yml").await;
        // These two answer with an error, as they should.
        let wrong = ["/nothing/here", "/recover "];
        let told: Vec<_> = browser.complaints().await;
        let told: Vec<_> =
            told.iter().filter(|line| !wrong.iter().any(|path| line.contains(path))).collect();
        assert!(told.is_empty(), "{look:?}: {told:?}");
        browser.close().await;
    }
}

/// A page that is there already, on windows of the widths between.
async fn fits_between(browser: &Chromium, page: &Page) {
    let of =
        |width| json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
    for width in [1024, 941, 700, 360] {
        browser.tell("Emulation.setDeviceMetricsOverride", of(width)).await;
        assert_no_wider(browser, &format!("{} of {width}", page.name)).await;
    }
    browser.tell("Emulation.setDeviceMetricsOverride", of(1280)).await;
}

/// That a page on which something can be done shows how to do it from the command line.
async fn has_its_commands(browser: &Chromium, page: &Page) {
    // What one does with one's own browser has no command.
    let acts = "return [...document.querySelectorAll('main form[method=post]')]\
        .filter(form => !['/login', '/preferences'].includes(form.getAttribute('action'))).length";
    let commands = "return [...document.querySelectorAll('main .cli code')]\
        .map(one => one.textContent)";
    let acts = browser.ask(acts).await.as_u64().unwrap();
    let commands = browser.ask(commands).await;
    let commands: Vec<_> = commands.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(acts == 0 || !commands.is_empty(), "{}: no command does the same", page.name);
    for command in commands {
        assert!(command.starts_with("backup-orchestrator "), "{}: {command}", page.name);
        assert!(shlex::split(command).is_some(), "{}: {command}", page.name);
    }
}

//! A visitor's whole way, in a real browser; then every page in both languages, both themes and
//! both widths.

use std::time::Duration;

use serde_json::json;

use crate::{
    app::{App, TOKEN},
    axe, browsing,
    chromium::{Chromium, Look, is_there},
    road::{assert_stored, ended},
    server::{PASSWORD, Place},
};

const ADMIN: &[(&str, &str)] =
    &[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD), ("TZ", "America/Sao_Paulo")];
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
/// Most that a page may take over the network, with all it needs.
const FIRST_LOAD_BYTES: u64 = 80 << 10;
const DESKTOP: Look = Look { lang: "en", dark: false, width: 1280 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_added_run_and_looked_at() {
    if !is_there() {
        return;
    }
    let app = App::serve(400_000).await;
    let server = Place::new(ADMIN).serve().await;
    let disk = server.place.folder.path().join("disk");
    let browser = Chromium::open(&server.base, DESKTOP).await;

    browser.go("/").await;
    assert_eq!(browser.path().await, "/login", "a stranger saw the first page");
    browser.fill("#user", "ana").await;
    browser.fill("#password", "not the password").await;
    browser.click("form.panel button.primary").await;
    browser.sees("User or password is wrong.").await;
    browser.picture("login-wrong").await;
    browser.complaints().await;
    browser.log_in("ana", PASSWORD).await;
    browser.sees("Nothing is protected yet.").await;
    browser.picture("first").await;

    browser.click(".first-steps a.button").await;
    browser.fill("#name", "disk").await;
    browser.fill("#set-path", &disk.display().to_string()).await;
    browser.click("form.narrow button.primary").await;
    browser.sees("works").await;

    browser.go("/new/app").await;
    browser.fill("#name", "shop").await;
    browser.fill("#url", &app.url()).await;
    browser.fill("#token", "a-token-that-is-wrong").await;
    browser.click("[data-part-into='#checks']").await;
    browser.sees("the token does not match").await;
    browser.fill("#token", TOKEN).await;
    browser.click("[data-part-into='#checks']").await;
    browser.sees("the token is accepted").await;
    let fires = browser.ask("return document.querySelectorAll('#preview .fires li').length").await;
    assert_eq!(fires, 5);
    browser.click("input[name=when][value=weekly]").await;
    browser.fill("#keep_last", "3").await;
    browser.sees("the last 3").await;
    browser.sees("In the long run").await;
    let id = browser
        .find("input[name=destination]")
        .await
        .attr("value")
        .await
        .unwrap()
        .expect("a destination");
    browser.fill(&format!("#folder-{id}"), "apps/shop").await;
    browser.picture("app-form").await;

    app.pause(Duration::from_millis(250));
    browser.click("button[value=save-run]").await;
    browser.find("#run-panel .mark.running").await;
    let run = browser.after("/runs/").await;
    let bytes = "return Number(document.querySelector('[data-bytes]').dataset.bytes)";
    let before = loop {
        let bytes = browser.ask(bytes).await.as_u64().unwrap();
        if bytes > 0 {
            break bytes;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    browser.picture("run-live").await;
    browser.find("#run-panel .run-mark .mark.good").await;
    assert!(browser.ask(bytes).await.as_u64().unwrap() > before, "the page did not follow");
    let lines = browser.ask("return document.querySelectorAll('#log li').length").await;
    let log = server.done_get(&format!("runs/{run}/log")).await;
    assert_eq!(lines.as_u64(), log.as_array().map(|log| log.len() as u64), "lines were lost");
    assert_eq!(ended(&server, &run).await["state"], "succeeded");
    assert_stored(&disk.join("apps/shop"), "shop", &app);

    browser.click("#run-panel a.primary").await;
    browser.sees("What it holds").await;
    browser.click("form[action$='/pin'] button").await;
    browser.sees("Pinned: it is kept").await;
    browser.click("form[action$='/verify'] button").await;
    browser.find("#run-panel .mark.good").await;
    browser.go("/apps/shop/retention").await;
    browser.sees("1 stays").await;

    browser.go("/apps/shop").await;
    browser.click("details.confirm summary").await;
    browser.fill("#confirm", "another").await;
    browser.click("details.confirm button").await;
    browser.sees("That is not the name.").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_without_a_script() {
    if !is_there() {
        return;
    }
    let app = App::serve(50_000).await;
    let server = Place::new(ADMIN).serve().await;
    let disk = server.place.folder.path().join("disk");
    let browser = Chromium::open(&server.base, Look { lang: "es", ..DESKTOP }).await;
    browser.tell("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    browser.log_in("ana", PASSWORD).await;
    browser.sees("Todavía no hay nada protegido.").await;
    browser.go("/new/destination").await;
    browser.fill("#name", "disco").await;
    browser.fill("#set-path", &disk.display().to_string()).await;
    browser.click("form.narrow button.primary").await;
    browser.sees("funciona").await;
    browser.go("/new/app").await;
    browser.fill("#name", "tienda").await;
    browser.fill("#url", &app.url()).await;
    browser.fill("#token", TOKEN).await;
    // The only destination is chosen already.
    browser.click("aside button[value=save]").await;
    browser.sees("Guardado.").await;
    browser.click(".page-head form button.primary").await;
    let run = browser.after("/runs/").await;
    assert_eq!(ended(&server, &run).await["state"], "succeeded");
    browser.go(&format!("/runs/{run}")).await;
    browser.sees("Abrir instantánea").await;
    browser.click(".menu summary").await;
    browser.click("button[value=en]").await;
    browser.sees("Open snapshot").await;
    browser.click(".menu summary").await;
    browser.click("form[action='/logout'] button").await;
    browser.find("#password").await;
    browser.close().await;
}

/// An app with sources of three kinds.
fn mixed(app: &App) -> serde_json::Value {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_in_both_languages_themes_and_widths() {
    if !is_there() {
        return;
    }
    let app = App::serve(200_000).await;
    let place = Place::new(ADMIN);
    place.file("backups.yml", DECLARED);
    let server = place.serve().await;
    let long = "an-app.with_quite_a-long-name.that-nobody.would-choose_but-some-64";
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    for (name, token) in [("shop", TOKEN), (&long[..64], TOKEN), ("broken", "a-wrong-token")] {
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
    let mut runs = Vec::new();
    for name in ["shop", "shop", &long[..64], "broken"] {
        let run = server.done("POST", &format!("apps/{name}/run"), json!({})).await;
        runs.push(ended(&server, run["id"].as_str().unwrap()).await);
    }
    let media = browsing::snapshot(&server, "media", &browsing::archive().await).await;
    let tables = browsing::snapshot(&server, "tables", &browsing::dump().await).await;
    let id = |at: usize, of: &str| runs[at][of].as_str().unwrap().to_owned();
    let pages = [
        ("overview", "/".to_owned()),
        ("app", "/apps/shop".to_owned()),
        ("app-long", format!("/apps/{}", &long[..64])),
        ("app-edit", "/apps/shop/edit".to_owned()),
        ("app-new", "/new/app".to_owned()),
        ("app-new-files", "/new/app?kind=files&name=media&path=/srv/media".to_owned()),
        ("app-mixed", "/apps/mixed".to_owned()),
        ("app-mixed-edit", "/apps/mixed/edit".to_owned()),
        ("app-declared", "/apps/declared".to_owned()),
        ("destination-declared", "/destinations/declared-disk".to_owned()),
        ("retention", "/apps/shop/retention".to_owned()),
        ("runs", "/runs".to_owned()),
        ("run-good", format!("/runs/{}", id(0, "id"))),
        ("run-failed", format!("/runs/{}", id(3, "id"))),
        ("snapshots", "/snapshots".to_owned()),
        ("snapshot", format!("/snapshots/{}", id(1, "snapshot_id"))),
        ("snapshot-files", format!("/snapshots/{media}")),
        ("browse", format!("/snapshots/{media}/browse/media")),
        ("browse-folder", format!("/snapshots/{media}/browse/media?path=srv%2Fmedia")),
        ("browse-search", format!("/snapshots/{media}/browse/media?q=pdf")),
        ("browse-tables", format!("/snapshots/{tables}/browse/tables")),
        ("destinations", "/destinations".to_owned()),
        ("destination", "/destinations/disk".to_owned()),
        ("destination-new", "/new/destination?kind=s3".to_owned()),
        ("coverage", "/coverage".to_owned()),
        ("settings", "/settings".to_owned()),
        ("account", "/account".to_owned()),
        ("users", "/settings/users".to_owned()),
        ("sessions", "/settings/sessions".to_owned()),
        ("tokens", "/settings/tokens".to_owned()),
        ("audit", "/settings/audit".to_owned()),
        ("api", "/api".to_owned()),
        ("missing", "/nothing/here".to_owned()),
    ];
    let looks = [("en", false, 1280), ("es", true, 1280), ("es", false, 390), ("en", true, 390)];
    for (lang, dark, width) in looks {
        let browser = Chromium::open(&server.base, Look { lang, dark, width }).await;
        browser.log_in("ana", PASSWORD).await;
        browser.complaints().await;
        for (name, path) in &pages {
            fits(&browser, path, name, Look { lang, dark, width }).await;
        }
        if let Some(judge) = axe::script() {
            axe::assert_it_judges(&browser, &judge).await;
        }
        browser.go("/apps/declared").await;
        let forms = "return document.querySelectorAll('a[href$=\"/edit\"], form[action$=\"/remove\"], form[action$=\"/enabled\"]').length";
        assert_eq!(browser.ask(forms).await, 0, "what is declared elsewhere is changed here");
        browser.sees("backups.yml").await;
        let told: Vec<_> = browser.complaints().await;
        let told: Vec<_> = told.iter().filter(|line| !line.contains("/nothing/here")).collect();
        assert!(told.is_empty(), "{lang} {width}: {told:?}");
        browser.close().await;
    }
}

/// A page as everybody needs it: no wider than the window, in its language, every field and button
/// with words, no id twice; small, without others' help, nothing that moves by itself, and nothing
/// that axe-core holds against it.
pub(crate) async fn fits(browser: &Chromium, path: &str, name: &str, look: Look) {
    browser.tell("Network.enable", json!({})).await;
    browser.tell("Network.setCacheDisabled", json!({ "cacheDisabled": true })).await;
    browser.go(path).await;
    let name =
        format!("{name}-{}-{}-{}", look.lang, if look.dark { "dark" } else { "light" }, look.width);
    browser.picture(&name).await;
    let wide = "return document.documentElement.scrollWidth - innerWidth";
    assert!(browser.ask(wide).await.as_i64().unwrap() <= 0, "{name} is too wide");
    let heads = browser.ask("return document.querySelectorAll('h1').length").await;
    assert_eq!(heads, 1, "{name}");
    let spoken = browser.ask("return document.documentElement.lang").await;
    assert_eq!(spoken, look.lang, "{name}");
    let nameless = "return [...document.querySelectorAll('input:not([type=hidden]), select')]\
        .filter(e => !e.labels.length && !e.ariaLabel && !e.ariaHidden).map(e => e.name)";
    assert_eq!(browser.ask(nameless).await, json!([]), "{name}: fields without a label");
    let mute = "return [...document.querySelectorAll('a, button, summary')]\
        .filter(e => !e.textContent.trim() && !e.ariaLabel).map(e => e.outerHTML)";
    assert_eq!(browser.ask(mute).await, json!([]), "{name}: what has no words");
    let twice = "const ids = [...document.querySelectorAll('[id]')].map(e => e.id);\
        return ids.filter((id, at) => ids.indexOf(id) !== at)";
    assert_eq!(browser.ask(twice).await, json!([]), "{name}: ids twice");
    assert_eq!(browser.shifted().await, [""; 0], "{name}: what is shown moves");
    let (bytes, elsewhere) = browser.transferred().await;
    assert!(bytes < FIRST_LOAD_BYTES, "{name}: {bytes} bytes");
    assert_eq!(elsewhere, 0, "{name}: requests to others");
    if let Some(judge) = axe::script() {
        assert_eq!(axe::complaints(browser, &judge).await, [""; 0], "{name}");
    }
}

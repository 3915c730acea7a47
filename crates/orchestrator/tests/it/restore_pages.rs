//! Restoring and drilling by the pages, with a real PostgreSQL and a real browser.

use serde_json::{Value, json};

use crate::{
    chromium::{Chromium, Look, is_there},
    postgres::{self, Postgres},
    road::{ended, ran},
    server::{PASSWORD, Place, Server},
};

const DESKTOP: Look = Look { lang: "en", dark: false, width: 1280 };

/// A server with the app `shop`, whose database has three orders, and one good snapshot of it.
async fn ready(database: &Postgres) -> (Server, String) {
    database.sql("postgres", "CREATE DATABASE shop");
    database.sql("shop", "CREATE TABLE orders AS SELECT generate_series(1, 3) AS id");
    let admin = [("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)];
    // Beside the database's own files, which others may pass through.
    let folder = |name: &str| database.folder(name).display().to_string();
    let (roots, scratch) = (folder("restored"), folder("scratch"));
    let folders = [("BACKUP_RESTORE_ROOTS", &*roots), ("BACKUP_SCRATCH_DIR", &*scratch)];
    let server = Place::new(&[&admin[..], &folders].concat()).serve().await;
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk },
        "verify_every_days": 30 });
    server.done("POST", "destinations", destination).await;
    let source = json!({ "name": "db", "kind": "postgres",
        "settings": { "host": "127.0.0.1", "port": database.port.to_string(),
            "user": postgres::USER, "database": "shop" },
        "secrets": { "password": postgres::PASSWORD } });
    let app = json!({ "name": "shop", "sources": [source],
        "destinations": [{ "destination": "disk" }],
        "limits": { "restore_objective_secs": 3600 } });
    server.done("POST", "apps", app).await;
    let run = ran(&server, "shop").await;
    let snapshot = run["snapshot_id"].as_str().unwrap().to_owned();
    (server, snapshot)
}

/// The run whose page is shown, once it ended.
async fn shown(server: &Server, browser: &Chromium) -> Value {
    ended(server, &browser.after("/runs/").await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_restored_and_drilled_by_the_pages() {
    let Some(database) = Postgres::start().filter(|_| is_there()) else { return };
    let (server, snapshot) = ready(&database).await;
    let browser = Chromium::open(&server.base, DESKTOP).await;
    // All of it works without a script.
    browser.tell("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    browser.log_in("ana", PASSWORD).await;
    browser.sees("No restore has been proven yet.").await;

    // Into the app: what is lost there comes back, what was there is kept.
    database.sql("shop", "DELETE FROM orders WHERE id = 2");
    browser.go("/apps/shop").await;
    browser.click(&format!("a[href='/snapshots/{snapshot}/restore']")).await;
    browser.sees("Nothing is changed before").await;
    browser.click("button[value=look]").await;
    browser.sees("It takes the place of what is there.").await;
    assert!(browser.find("input[name=undo]").await.is_selected().await.unwrap());
    browser.fill("#confirm", "another").await;
    browser.click("button.danger[value=begin]").await;
    browser.sees("That is not the name.").await;
    assert_eq!(database.sql("shop", "SELECT count(*) FROM orders"), "2", "restored unasked");
    browser.fill("#confirm", "shop").await;
    browser.click("button.danger[value=begin]").await;
    let run = shown(&server, &browser).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(database.sql("shop", "SELECT count(*) FROM orders"), "3");
    browser.go(&browser.path().await).await;
    browser.sees("everything is in its place").await;
    browser.sees("What was there is kept as").await;
    browser.sees("What was there before is in a snapshot").await;

    // Beside it, a table only: nothing is replaced, so nothing is to be typed.
    browser.go(&format!("/snapshots/{snapshot}/restore")).await;
    browser.click("input[name=to][value=beside]").await;
    browser.fill("#name", "shop-old").await;
    browser.click(".restore-part summary").await;
    browser.fill("#tables-db", "public.orders").await;
    browser.click("button[value=look]").await;
    browser.sees("nothing is replaced").await;
    let command = browser.find(".page-head .cli code").await.inner_html().await.unwrap();
    assert!(command.contains("--only db --table public.orders --beside shop-old"), "{command}");
    browser.click("button[value=edit]").await;
    let kept = browser.find("#tables-db").await.value().await.unwrap();
    assert_eq!(kept.as_deref(), Some("public.orders"), "what was chosen is gone");
    browser.click("button[value=look]").await;
    browser.click("button.primary[value=begin]").await;
    let run = shown(&server, &browser).await;
    assert_eq!(run["state"], "succeeded", "{run}");

    // What is wrong is told at its field.
    browser.go(&format!("/snapshots/{snapshot}/restore")).await;
    browser.click("input[name=to][value=folder]").await;
    browser.fill("#path", "not/absolute").await;
    browser.click("button[value=look]").await;
    browser.sees("an absolute path").await;

    // A plan with a question, and a drill that answers it.
    browser.go("/apps/shop/drills").await;
    browser.click("input[name=when][value=weekly]").await;
    browser.fill("textarea[name=q-sql]", "SELECT max(id) FROM public.orders").await;
    browser.fill("input[name=q-expect]", "3").await;
    browser.click("#boot > summary").await;
    browser.fill("input[name=boot-container]", "shop-web").await;
    browser.fill("input[name=boot-path]", "no/path").await;
    browser.click("main form button.primary").await;
    browser.sees("a path that begins with /").await;
    browser.fill("input[name=boot-path]", "/health").await;
    browser.fill("input[name=boot-port]", "8080").await;
    browser.click("main form button.primary").await;
    browser.sees("2 checks of one's own").await;
    let plan = server.done_get("apps/shop").await["app"]["drill"].clone();
    let boot = &plan["boot"];
    assert_eq!((&boot["container"], &boot["port"]), (&json!("shop-web"), &json!(8080)), "{boot}");
    // Nothing is booted where no container is named.
    browser.go("/apps/shop/drills").await;
    browser.fill("input[name=boot-container]", "").await;
    browser.click("main form button.primary").await;
    browser.sees("1 check of one's own").await;
    let plan = server.done_get("apps/shop").await["app"]["drill"].clone();
    assert!(plan["boot"].is_null(), "{plan}");
    assert_eq!(plan["questions"][0]["artifact"], "db", "{plan}");
    assert_eq!(plan["schedule"]["spec"], "0 3 * * 0", "{plan}");
    browser.go("/apps/shop/drills").await;
    let sql = browser.find("textarea[name=q-sql]").await.value().await.unwrap();
    assert_eq!(sql.as_deref(), Some("SELECT max(id) FROM public.orders"));
    browser.go("/apps/shop").await;
    browser.click("form[action='/apps/shop/drill'] button").await;
    let run = shown(&server, &browser).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    browser.go("/").await;
    browser.sees("Last proven restore:").await;
    let card = server.done_get("apps/shop").await;
    assert!(card["rto_secs"].as_f64().unwrap() > 0.0, "{card}");
    assert_eq!(card["proven"]["passed"], true);
    assert_eq!(card["restore_objective_secs"], 3600);
    assert!(card["longest_gap_secs"].is_number());
    browser.go("/apps/shop").await;
    browser.sees("proven").await;

    every_look(&server, &snapshot, run["id"].as_str().unwrap()).await;
    browser.close().await;
}

/// The pages of restores and drills in both languages, themes and widths.
async fn every_look(server: &Server, snapshot: &str, drill: &str) {
    let runs = server.done_get("runs").await;
    let restore = runs.as_array().unwrap().iter().rfind(|run| run["kind"] == "restore").unwrap();
    let restore = restore["id"].as_str().unwrap();
    let preflight = format!("/snapshots/{snapshot}/restore");
    let pages = [
        ("restore", preflight.clone()),
        ("drill-plan", "/apps/shop/drills".to_owned()),
        ("run-restore", format!("/runs/{restore}")),
        ("run-drill", format!("/runs/{drill}")),
        ("report-restore", format!("/runs/{restore}/report")),
        ("report-drill", format!("/runs/{drill}/report")),
        ("app-drilled", "/apps/shop".to_owned()),
        ("snapshot-proven", format!("/snapshots/{snapshot}")),
        ("overview-proven", "/".to_owned()),
        ("destination-verified", "/destinations/disk/edit".to_owned()),
    ];
    let looks = [("en", false, 1280), ("es", true, 1280), ("es", false, 390), ("en", true, 390)];
    for (lang, dark, width) in looks {
        let browser = Chromium::open(&server.base, Look { lang, dark, width }).await;
        browser.log_in("ana", PASSWORD).await;
        browser.complaints().await;
        let look = format!("{lang}-{}-{width}", if dark { "dark" } else { "light" });
        for (name, path) in &pages {
            browser.go(path).await;
            fits(&browser, &format!("{name}-{look}"), lang).await;
        }
        browser.go(&preflight).await;
        browser.click("button[value=look]").await;
        browser.find("#confirm").await;
        fits(&browser, &format!("preflight-{look}"), lang).await;
        assert_eq!(browser.complaints().await, [""; 0], "{look}");
        browser.close().await;
    }
}

pub(crate) async fn fits(browser: &Chromium, name: &str, lang: &str) {
    browser.picture(name).await;
    let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert!(browser.ask(wide).await.as_i64().unwrap() <= 0, "{name} is too wide");
    let heads = browser.ask("return document.querySelectorAll('h1').length").await;
    assert_eq!(heads, 1, "{name}");
    assert_eq!(browser.ask("return document.documentElement.lang").await, lang, "{name}");
    let nameless = "return [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]\
        .filter(e => !e.labels.length && !e.ariaLabel && !e.ariaHidden).map(e => e.name)";
    assert_eq!(browser.ask(nameless).await, json!([]), "{name}: fields without a label");
    let twice = "const ids = [...document.querySelectorAll('[id]')].map(e => e.id);\
        return ids.filter((id, at) => ids.indexOf(id) !== at)";
    assert_eq!(browser.ask(twice).await, json!([]), "{name}: ids twice");
    assert!(!browser.text().await.contains("Unknown localization"), "{name}: a message is missing");
}

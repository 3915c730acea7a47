//! An app with sources of several kinds: through the form, with a script and without, and on the
//! command line.

use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    chromium::{Chromium, Look, is_there},
    road::ended,
    server::{PASSWORD, Place, Server},
};

const ADMIN: &[(&str, &str)] = &[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)];
const DESKTOP: Look = Look { lang: "en", dark: false, width: 1280 };

/// A database file with something in it.
fn database(place: &Place) -> String {
    let path = place.folder.path().join("shop.db");
    let made = std::process::Command::new("sqlite3")
        .arg(&path)
        .arg("create table orders (id integer); insert into orders values (1), (2), (3);")
        .status();
    assert!(made.is_ok_and(|status| status.success()), "install sqlite3");
    path.display().to_string()
}

async fn with_disk() -> Server {
    let server = Place::new(ADMIN).serve().await;
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    server
}

/// The sources of the app `shop`: their names, kinds and stored secrets.
async fn sources(server: &Server) -> Vec<Value> {
    let app = server.done_get("apps/shop").await["app"].clone();
    app["sources"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_are_added_through_the_form_and_make_one_snapshot() {
    if !is_there() {
        return;
    }
    let app = App::serve(50_000).await;
    let server = with_disk().await;
    let database = database(&server.place);
    let browser = Chromium::open(&server.base, DESKTOP).await;
    browser.log_in("ana", PASSWORD).await;
    browser.go("/new/app").await;
    browser.fill("#name", "shop").await;
    browser.fill("#url", &app.url()).await;
    browser.fill("#token", TOKEN).await;
    browser.choose("#add-kind", "sqlite").await;
    browser.click("#add-source").await;
    browser.find("#source-1").await;
    let typed = browser.ask("return document.querySelector('#token, #s0-token').value").await;
    assert_eq!(typed, TOKEN, "what was typed is gone");

    // A wrong path is told at its field, and everything else is still there.
    browser.fill("#s1-path", "not/absolute").await;
    browser.picture("app-form-two-sources").await;
    browser.click("aside button[value=save]").await;
    browser.find("#source-1 p.error").await;
    browser.picture("app-form-two-sources-wrong").await;
    browser.complaints().await;
    let url = browser.ask("return document.getElementById('url').value").await;
    assert!(url.as_str().unwrap().starts_with(&app.url()), "{url}");
    let token = browser.ask("return document.getElementById('token').value").await;
    assert_eq!(token, "", "a secret was sent back");
    browser.sees("Type it again").await;
    browser.fill("#token", TOKEN).await;
    browser.ask("document.getElementById('s1-path').value = ''").await;
    browser.fill("#s1-path", &database).await;
    browser.click("[data-part-into='#checks']").await;
    browser.sees("The token is accepted").await;
    browser.picture("app-form-two-sources-tested").await;
    browser.click("button[value=save-run]").await;
    browser.find("#run-panel .mark.good").await;
    let run = browser.after("/runs/").await;
    assert_eq!(ended(&server, &run).await["state"], "succeeded");

    let stored = sources(&server).await;
    assert_eq!(stored.len(), 2);
    assert_eq!((&stored[0]["name"], &stored[0]["kind"]), (&json!("shop"), &json!("contract")));
    assert_eq!((&stored[1]["name"], &stored[1]["kind"]), (&json!("sqlite"), &json!("sqlite")));
    let snapshot = server.done_get("apps/shop/snapshots").await[0].clone();
    assert_eq!(snapshot["artifacts"].as_array().unwrap().len(), 2);
    browser.go(&format!("/snapshots/{}", snapshot["id"].as_str().unwrap())).await;
    browser.sees("All parts were begun within the same second.").await;
    browser.picture("snapshot-two-sources").await;
    browser.go("/apps/shop").await;
    browser.sees("SQLite file").await;
    browser.sees(&database).await;
    browser.picture("app-two-sources").await;

    // Nothing is asked again when it is edited, and one of them goes.
    browser.go("/apps/shop/edit").await;
    browser.sees("A source keeps its name").await;
    browser.picture("app-edit-two-sources").await;
    browser.click("aside button[value=save]").await;
    browser.sees("Saved.").await;
    assert_eq!(sources(&server).await, stored);
    browser.go("/apps/shop/edit").await;
    browser.click("button[value=remove-source-0]").await;
    browser.find("#source-1.alone").await;
    browser.click("aside button[value=save]").await;
    browser.sees("Saved.").await;
    assert_eq!(sources(&server).await, stored[1..]);
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_come_and_go_without_a_script() {
    if !is_there() {
        return;
    }
    let server = with_disk().await;
    let database = database(&server.place);
    let phone = Look { lang: "es", dark: true, width: 390 };
    let browser = Chromium::open(&server.base, phone).await;
    browser.tell("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    browser.log_in("ana", PASSWORD).await;
    browser.go("/new/app").await;
    browser.fill("#name", "shop").await;
    browser.fill("#url", "http://gone:1").await;
    browser.fill("#token", "typed-and-not-sent-back").await;
    browser.choose("#add-kind", "mysql").await;
    browser.click("#add-source").await;
    browser.sees("Escribirla de nuevo").await;
    browser.picture("app-form-mysql-phone").await;
    browser.choose("#s1-kind", "sqlite").await;
    browser.click("#source-1 button[value=kind-source]").await;
    browser.fill("#s1-path", &database).await;
    browser.click("button[value=remove-source-0]").await;
    browser.find("#source-1.alone").await;
    browser.click("aside button[value=save]").await;
    browser.sees("Guardado.").await;
    let stored = sources(&server).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["name"], "sqlite", "a name of ours follows the kind");
    assert_eq!(stored[0]["settings"]["path"], database);
    // An address fills the form in.
    browser.go("/new/app?name=other&kind=sqlite&path=/srv/other.db&nonsense=1").await;
    browser.click("aside button[value=save]").await;
    browser.sees("Guardado.").await;
    let other = server.done_get("apps/other").await["app"]["sources"][0].clone();
    assert_eq!(other["name"], "other", "the only source is called as its app");
    assert_eq!(other["settings"]["path"], "/srv/other.db");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_are_added_changed_and_removed_on_the_command_line() {
    let server = with_disk().await;
    let place = &server.place;
    let database = database(place);
    let secret = place.file("pw", "a secret of the database\n");
    let done = |words: &[&str], code: i32| {
        let done = place.run(words);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{words:?}: {told}");
        assert!(!told.contains("a secret of"), "{told}");
        told
    };
    let lite = format!("kind=sqlite,path=\"{database}\"");
    let sql = format!("sql:kind=mysql,host=db,user=app,database=shop,password-file={secret}");
    let add = ["app", "add", "shop", "--destination", "disk"];
    let with = |more: &[&'static str]| [&add[..], more].concat();
    for (words, code, says) in [
        (with(&[]), 2, "--url"),
        (with(&["--url", "http://x", "--source", "kind=sqlite,path=/x"]), 2, "--source"),
        (with(&["--source", "path=/x"]), 2, "kind"),
        (with(&["--source", "kind=sqlite"]), 2, "sources[0].settings.path"),
        (with(&["--source", "kind=clay,path=/x"]), 2, "sources[0].kind"),
        (with(&["--source", "kind=mysql,password=x"]), 2, "password-file"),
        (with(&["--source", "kind=mysql,password-env=NOT_SET"]), 2, "NOT_SET"),
        (with(&["--source", "kind=mysql,password-file=/not/there"]), 2, "/not/there"),
    ] {
        let told = done(&words, code);
        assert!(told.contains(says), "{words:?}: {told}");
    }
    done(&[&add[..], &["--source", &lite, "--source", &sql]].concat(), 0);
    let stored = sources(&server).await;
    assert_eq!(stored[0]["settings"]["path"], database);
    assert_eq!(stored[1]["secrets"], json!(["password"]));
    let shown = place.run(&["app", "show", "shop"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("sql (mysql)") && shown.contains("password is stored"), "{shown}");
    assert!(!shown.contains("a secret of"), "{shown}");

    done(&["app", "edit", "shop", "--source", "sql:host=elsewhere,user="], 0);
    let stored = sources(&server).await;
    assert_eq!(stored[1]["settings"], json!({ "host": "elsewhere", "database": "shop" }));
    assert_eq!(stored[1]["secrets"], json!(["password"]), "the secret stays");
    let told = done(&["app", "edit", "shop", "--remove-source", "nobody"], 4);
    assert!(told.contains("nobody"), "{told}");
    done(&["app", "edit", "shop", "--remove-source", "SQL"], 0);
    assert_eq!(sources(&server).await.len(), 1);
    let told = done(&["app", "edit", "shop", "--remove-source", "shop"], 2);
    assert!(told.contains("at least one"), "{told}");
    // What each kind knows is told.
    let kinds = server.done_get("source-kinds").await;
    let of = |word: &str| {
        let all = kinds.as_array().unwrap();
        all.iter().find(|kind| kind["kind"] == word).cloned().unwrap()
    };
    assert_eq!(of("contract")["secrets"], json!([{ "key": "token", "required": true }]));
    let path = json!({ "key": "path", "required": true, "type": "text" });
    assert_eq!(of("sqlite")["settings"][0], path);
}

//! Everything lost but a destination and the recovery kit: and everything back by a page.

use serde_json::json;

use crate::{
    app::{App, TOKEN},
    chromium::{Chromium, Look, is_there},
    restore_pages::fits,
    road::{copied, ran},
    server::{PASSWORD, Place, Server},
};

const DESKTOP: Look = Look { lang: "en", dark: false, width: 1280 };
const ROOT: [(&str, &str); 2] = [("APP_ADMIN_USER", "root"), ("APP_ADMIN_PASS", PASSWORD)];

/// A server with the app `shop`, one snapshot of it, and a copy of its catalog; gives the recovery
/// key.
async fn lived_in(app: &App, disk: &std::path::Path) -> (Server, String) {
    let server = Place::new(&[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)]);
    let server = server.serve().await;
    let destination = json!({ "name": "safe", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    let draft = json!({ "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "safe" }] });
    server.done("POST", "apps", draft).await;
    ran(&server, "shop").await;
    let kit = copied(&server).await;
    (server, kit["identity"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_recovers_by_the_page_and_restores() {
    if !is_there() {
        return;
    }
    let app = App::serve(100_000).await;
    let disk = tempfile::tempdir().unwrap();
    let (lost, key) = lived_in(&app, disk.path()).await;
    let snapshot = lost.done_get("apps/shop/snapshots").await[0]["id"].clone();
    let snapshot = snapshot.as_str().unwrap().to_owned();
    let browser = Chromium::open(&lost.base, DESKTOP).await;
    browser.log_in("ana", PASSWORD).await;
    browser.sees("Nobody has stored the recovery kit").await;
    // Where something is there, nothing is replaced.
    browser.go("/recover").await;
    browser.sees("recovering would replace them").await;
    browser.close().await;
    let gone = lost.kill();
    std::fs::remove_dir_all(gone.data()).unwrap();

    let server = Place::new(&ROOT).serve().await;
    every_look(&server, disk.path(), &key).await;
    let browser = Chromium::open(&server.base, DESKTOP).await;
    // All of it works without a script.
    browser.tell("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    browser.log_in("root", PASSWORD).await;
    browser.click("a[href='/recover']").await;
    browser.sees("Nothing is changed before").await;
    // What is wrong is told, and no secret comes back.
    browser.fill("#set-path", disk.path().join("elsewhere").to_str().unwrap()).await;
    browser.fill("#key", &key).await;
    browser.click("main form[method=post] button.primary").await;
    browser.sees("This cannot be used.").await;
    let shown = browser.find("html").await.inner_html().await.unwrap();
    assert!(!shown.contains(&key), "the key is shown again");
    // As the kit prints it.
    browser.fill("#address", &format!("file://{}", disk.path().display())).await;
    browser.click("form[method=get] button").await;
    // Not that of the page which is being left.
    browser.find(&format!("#set-path[value='{}']", disk.path().display())).await;
    browser.fill("#key", &key).await;
    browser.click("main form[method=post] button.primary").await;
    browser.sees("A good copy of the catalog").await;
    assert_eq!(server.done_get("destinations").await, json!([]), "looking changed something");
    browser.click("form[action='/recover/begin'] button.primary").await;
    browser.sees("The catalog is back.").await;
    browser.sees("What to do next").await;
    browser.picture("recovered-en-light-1280").await;
    assert!(!server.place.log().contains(&key), "the key is in the log");

    // Those of the backup are the users now, and everything of theirs is there.
    browser.click("a[href='/login']").await;
    browser.log_in("ana", PASSWORD).await;
    browser.sees("shop").await;
    browser.sees("wait").await;
    browser.go(&format!("/snapshots/{snapshot}")).await;
    browser.find(&format!("a[href='/snapshots/{snapshot}/restore']")).await;
    browser.close().await;
    let to = server.place.folder.path().join("restored");
    let done = server.place.run(&["restore", &snapshot, "--to", to.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(std::fs::read(to.join("shop.dump")).unwrap() == app.content());
    let kept = std::fs::read_dir(server.place.data()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("catalog.sqlite.before-bootstrap")
    });
    assert!(kept.count() > 0, "what was there before is not kept");
}

/// The pages of a recovery in both languages, themes and widths.
async fn every_look(server: &Server, disk: &std::path::Path, key: &str) {
    for (lang, dark, width) in
        [("en", false, 1280), ("es", true, 1280), ("es", false, 390), ("en", true, 390)]
    {
        let browser = Chromium::open(&server.base, Look { lang, dark, width }).await;
        browser.log_in("root", PASSWORD).await;
        let look = format!("{lang}-{}-{width}", if dark { "dark" } else { "light" });
        browser.go("/").await;
        fits(&browser, &format!("first-run-{look}"), lang).await;
        browser.go("/recover").await;
        fits(&browser, &format!("recover-{look}"), lang).await;
        browser.fill("#set-path", disk.join("none").to_str().unwrap()).await;
        browser.fill("#key", key).await;
        browser.click("main form[method=post] button.primary").await;
        browser.find("p.failed, div.failed").await;
        fits(&browser, &format!("recover-wrong-{look}"), lang).await;
        browser.fill("#set-path", disk.to_str().unwrap()).await;
        browser.fill("#key", key).await;
        browser.click("main form[method=post] button.primary").await;
        browser.find("form[action='/recover/begin']").await;
        fits(&browser, &format!("recover-found-{look}"), lang).await;
        browser.close().await;
    }
}

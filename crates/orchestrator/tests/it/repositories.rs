//! Repositories by the pages: made, filled every four hours, counted, checked.

use crate::{
    app::{App, TOKEN},
    chromium::{Chromium, Look, is_there},
    restore_pages::fits,
    road::ended,
    server::{PASSWORD, Place},
};

const DESKTOP: Look = Look { lang: "en", dark: false, width: 1280 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_made_filled_counted_and_checked() {
    if !is_there() {
        return;
    }
    let app = App::serve(400_000).await;
    let server = Place::new(&[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)]);
    let server = server.serve().await;
    let disk = server.place.folder.path().join("vault");
    let browser = Chromium::open(&server.base, DESKTOP).await;
    browser.log_in("ana", PASSWORD).await;

    browser.go("/new/destination?kind=local").await;
    browser.fill("#name", "vault").await;
    browser.fill("#set-path", &disk.display().to_string()).await;
    browser.click("input[name=set-layout]").await;
    browser.click("form.narrow button.primary").await;
    browser.sees("Store this repository password away now").await;
    browser.sees("In restic's format").await;
    assert!(disk.join("config").is_file());

    browser.go("/new/app").await;
    browser.fill("#name", "shop").await;
    browser.fill("#url", &app.url()).await;
    browser.fill("#token", TOKEN).await;
    browser.fill("#keep_daily", "30").await;
    browser.fill("#keep_last", "3").await;
    browser.click("button[value=frequent]").await;
    browser.sees("7 daily").await;
    let value = |field: &str| format!("return document.querySelector('[name={field}]').value");
    for (field, expected) in [
        ("every", "4h"),
        ("keep_last", ""),
        ("keep_daily", "7"),
        ("keep_weekly", "4"),
        ("keep_monthly", "6"),
    ] {
        assert_eq!(browser.ask(&value(field)).await, expected, "{field}");
    }
    let when = "return document.querySelector('[name=when]:checked').value";
    assert_eq!(browser.ask(when).await, "every");
    browser.fill("#token", TOKEN).await;
    browser.click("button[value=save-run]").await;
    let run = browser.after("/runs/").await;
    assert_eq!(ended(&server, &run).await["state"], "succeeded");
    let stored = server.done_get("apps/shop").await["app"].clone();
    assert_eq!(stored["schedule"]["spec"], "@every 4h");
    assert_eq!(stored["retention"]["keep_monthly"], 6);

    browser.go("/destinations/vault").await;
    browser.click("form[action$='/repository/count'] button").await;
    browser.sees("Saved by deduplication").await;
    browser.click("input[name=read_data]").await;
    browser.click("form[action$='/repository/check'] button").await;
    let run = browser.after("/runs/").await;
    assert_eq!(ended(&server, &run).await["state"], "succeeded");
    browser.go("/destinations/vault").await;
    browser.sees("every byte was read").await;
    browser.click("form[action$='/repository/prune'] button").await;
    let run = browser.after("/runs/").await;
    assert_eq!(ended(&server, &run).await["state"], "succeeded");
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;

    for look in [DESKTOP, Look { lang: "es", dark: true, width: 390 }] {
        let browser = Chromium::open(&server.base, look).await;
        browser.log_in("ana", PASSWORD).await;
        browser.complaints().await;
        for (name, path) in [
            ("repository", "/destinations/vault"),
            ("destination-new-rest", "/new/destination?kind=rest"),
            ("destination-new-lock", "/new/destination?kind=s3"),
        ] {
            browser.go(path).await;
            fits(&browser, &format!("{name}-{}-{}", look.lang, look.width), look.lang).await;
        }
        assert_eq!(browser.complaints().await, [""; 0]);
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_kind_cannot_do_is_not_asked_and_what_cannot_be_meant_is_told() {
    if !is_there() {
        return;
    }
    let server = Place::new(&[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)]);
    let server = server.serve().await;
    let browser = Chromium::open(&server.base, DESKTOP).await;
    browser.log_in("ana", PASSWORD).await;
    browser.go("/new/destination?kind=rest").await;
    browser.find("#set-url").await;
    let layouts = "return document.querySelectorAll('[name=set-layout]').length";
    assert_eq!(browser.ask(layouts).await, 0);
    browser.go("/new/destination?kind=s3").await;
    browser.fill("#name", "locked").await;
    browser.fill("#set-bucket", "b").await;
    // What few need is folded away until it says something.
    let open = "return document.querySelector('details.more').open";
    assert_eq!(browser.ask(open).await, false);
    browser.click("details.more summary").await;
    browser.choose("#set-object_lock", "compliance").await;
    browser.click("form.narrow button.primary").await;
    browser.sees("for how many days").await;
    let chosen = "return document.querySelector('#set-object_lock').value";
    assert_eq!(browser.ask(chosen).await, "compliance");
    assert_eq!(browser.ask(open).await, true);
    browser.close().await;
}

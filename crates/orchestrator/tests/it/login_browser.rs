//! Logins in a real browser: the second factor without a script, and another service, whose site
//! is another.

use serde_json::json;

use crate::{
    chromium::{Chromium, Look, is_there},
    oidc_server::{CLIENT, Provider, SECRET},
    server::{PASSWORD, Place},
    totp::{calm, code},
};

const PHONE: Look = Look { lang: "en", dark: false, width: 390 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_factor_is_set_up_and_asked_for_without_a_script() {
    if !is_there() {
        return;
    }
    let place = Place::new(&[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)]);
    let server = place.serve().await;
    let browser = Chromium::open(&server.base, PHONE).await;
    browser.tell("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    browser.log_in("ana", PASSWORD).await;
    browser.go("/account").await;
    browser.fill("#begin-password", PASSWORD).await;
    browser.click("button[value=begin]").await;
    browser.sees("Scan this").await;
    browser.picture("second-factor-scan").await;
    let secret = browser.find("#second-factor .cli-box code").await.text().await.unwrap();
    calm().await;
    browser.fill("#first-code", &code(&secret, -1)).await;
    browser.click("button[value=confirm]").await;
    browser.sees("Store these recovery codes away now").await;
    browser.picture("recovery-codes").await;
    let recovery = browser.find(".recovery-codes code").await.text().await.unwrap();

    for typed in [code(&secret, 0), recovery] {
        browser.click(".menu summary").await;
        browser.click("form[action='/logout'] button").await;
        browser.fill("#user", "ana").await;
        browser.fill("#password", PASSWORD).await;
        browser.click("form.panel button.primary").await;
        browser.fill("#code", "000").await;
        browser.click("form.panel button.primary").await;
        browser.sees("The code is wrong").await;
        browser.picture("login-code").await;
        browser.fill("#code", &typed).await;
        browser.click("form.panel button.primary").await;
        browser.find(".top").await;
    }
    browser.go("/account").await;
    browser.sees("9 recovery codes are left.").await;
    browser.picture("account-on").await;
    let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert!(browser.ask(wide).await.as_i64().unwrap() <= 0, "too wide");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_comes_in_through_another_site() {
    if !is_there() {
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // To a browser this is another site than the service at 127.0.0.1.
    let public = format!("http://localhost:{port}");
    let Some(provider) = Provider::start(&public).await else { return };
    let server = Place::new(&[
        ("APP_PORT", &port.to_string()),
        ("APP_PUBLIC_URL", &public),
        ("APP_ADMIN_PASS", PASSWORD),
        ("OIDC_ISSUER", &provider.issuer),
        ("OIDC_CLIENT_ID", CLIENT),
        ("OIDC_CLIENT_SECRET", SECRET),
        ("OIDC_AUTO_CREATE", "true"),
    ]);
    let _server = server.serve().await;
    provider.be("sub-ana", "ana", "").await;
    let browser = Chromium::open(&public, PHONE).await;
    browser.go("/runs").await;
    browser.sees("Log in through 127.0.0.1").await;
    browser.picture("login-through").await;
    browser.complaints().await;
    browser.click("a.through").await;
    browser.find(".top").await;
    assert_eq!(browser.path().await, "/runs", "on to where they wanted");
    browser.go("/account").await;
    browser.sees("Linked: your login there logs you in here.").await;
    browser.picture("account-linked").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;

    // Somebody with a password links their account.
    provider.be("sub-admin", "whoever", "").await;
    let browser = Chromium::open(&public, PHONE).await;
    browser.log_in("admin", PASSWORD).await;
    browser.go("/account").await;
    browser.click("a[href='/account/link']").await;
    browser.sees("Your account is linked.").await;
    browser.click(".menu summary").await;
    browser.click("form[action='/logout'] button").await;
    browser.click("a.through").await;
    browser.find(".top").await;
    browser.go("/settings/sessions").await;
    browser.sees("admin").await;
    browser.picture("sessions").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

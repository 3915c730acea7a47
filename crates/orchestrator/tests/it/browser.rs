//! A visitor's whole way, in a real browser: by the mouse, without a script, by the keyboard alone.

use std::time::Duration;

use serde_json::json;

use crate::{
    app::{App, TOKEN},
    axe,
    chromium::{Chromium, Look, is_there},
    road::{assert_stored, ended},
    server::{PASSWORD, Place},
};

pub(crate) const ADMIN: &[(&str, &str)] =
    &[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD), ("TZ", "America/Sao_Paulo")];
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
    browser.sees("The token is accepted").await;
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

/// Goes from field to field until `selector` has the focus, which must be seen all the way.
async fn tab_to(browser: &Chromium, selector: &str) {
    let here = format!("return document.activeElement.matches({selector:?})");
    for _ in 0..80 {
        browser.press("\u{e004}").await;
        let unseen = "const one = document.activeElement; return one === document.body || \
            getComputedStyle(one).outlineStyle !== 'none' ? '' : one.outerHTML";
        assert_eq!(browser.ask(unseen).await, "", "the focus is not to be seen");
        if browser.ask(&here).await == true {
            return;
        }
    }
    panic!("no Tab leads to `{selector}` on {}", browser.path().await);
}

/// Goes to `selector` and types.
async fn type_into(browser: &Chromium, selector: &str, text: &str) {
    tab_to(browser, selector).await;
    browser.press(text).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_added_and_backed_up_by_the_keyboard_alone() {
    const ENTER: &str = "\u{e007}";
    if !is_there() {
        return;
    }
    let app = App::serve(50_000).await;
    let server = Place::new(ADMIN).serve().await;
    let disk = server.place.folder.path().join("disk").display().to_string();
    let browser = Chromium::open(&server.base, DESKTOP).await;
    browser.go("/login").await;
    // The cursor is in the first field.
    browser.press("ana").await;
    type_into(&browser, "#password", PASSWORD).await;
    browser.press(ENTER).await;
    browser.sees("Nothing is protected yet.").await;
    tab_to(&browser, ".first-steps a.button").await;
    browser.press(ENTER).await;
    browser.find("#set-path").await;
    type_into(&browser, "#name", "disk").await;
    type_into(&browser, "#set-path", &disk).await;
    tab_to(&browser, "form.narrow button.primary").await;
    browser.press(ENTER).await;
    browser.sees("works").await;

    browser.press("go").await;
    browser.sees("Three steps").await;
    tab_to(&browser, ".first-steps a.button").await;
    browser.press(ENTER).await;
    browser.find("#url").await;
    type_into(&browser, "#name", "shop").await;
    type_into(&browser, "#url", &app.url()).await;
    type_into(&browser, "#token", TOKEN).await;
    tab_to(&browser, "[data-part-into='#checks']").await;
    browser.press(" ").await;
    browser.sees("The token is accepted").await;
    tab_to(&browser, "aside button[value=save-run]").await;
    browser.press(ENTER).await;
    let run = browser.after("/runs/").await;
    assert_eq!(ended(&server, &run).await["state"], "succeeded");

    browser.press("go").await;
    browser.find(".apps").await;
    browser.press("/").await;
    assert_eq!(browser.ask("return document.activeElement.id").await, "q");
    browser.press(&format!("none{ENTER}")).await;
    browser.sees("No app matches.").await;
    browser.ask("document.activeElement.blur()").await;
    browser.press("?").await;
    assert_eq!(browser.ask("return document.getElementById('keys').open").await, true);
    browser.press("\u{e00c}").await;
    assert_eq!(browser.ask("return document.getElementById('keys').open").await, false);
    browser.press("ga").await;
    browser.after("/alerts").await;
    browser.close().await;
}

/// A page as everybody needs it, and with nothing that axe-core holds against it.
pub(crate) async fn fits(browser: &Chromium, path: &str, name: &str, look: Look) {
    has_its_shape(browser, path, name, look).await;
    if let Some(judge) = axe::script() {
        assert_eq!(axe::complaints(browser, &judge).await, [""; 0], "{name} {look:?}");
    }
}

/// No wider than the window, in its language, every field and button with words, no id twice;
/// small, without others' help, and nothing that moves by itself.
pub(crate) async fn has_its_shape(browser: &Chromium, path: &str, name: &str, look: Look) {
    browser.tell("Network.enable", json!({})).await;
    browser.tell("Network.setCacheDisabled", json!({ "cacheDisabled": true })).await;
    browser.go(path).await;
    let name =
        format!("{name}-{}-{}-{}", look.lang, if look.dark { "dark" } else { "light" }, look.width);
    browser.picture(&name).await;
    assert_no_wider(browser, &name).await;
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
    let longest = if look.lang == "es" { "hace 9 h 59 min" } else { "9 h 59 min ago" };
    let later = format!(
        "for (const one of document.querySelectorAll('.list time')) one.textContent = {longest:?};\
         for (const one of document.querySelectorAll('.goal svg')) \
             one.nextSibling.textContent = '9 h 59 min'"
    );
    browser.ask(&later).await;
    assert_no_wider(browser, &format!("{name} at another time")).await;
}

/// The page fits the window.
pub(crate) async fn assert_no_wider(browser: &Chromium, name: &str) {
    // Of what reaches out, the innermost.
    let wide = "const root = document.documentElement; \
        const right = one => one.getBoundingClientRect().right; \
        const lists = [...document.querySelectorAll('table.list')] \
            .filter(one => right(one) > right(one.parentElement) + 1); \
        if (lists.length) return lists.map(one => one.className + right(one)); \
        if (root.scrollWidth <= root.clientWidth) return []; \
        return [...document.querySelectorAll('body *')] \
            .filter(one => !one.firstElementChild && right(one) > root.clientWidth) \
            .map(one => `${one.parentElement.className} ${one.outerHTML.slice(0, 120)}`) \
            .concat(root.scrollWidth);";
    // A picture of the whole page gives it another size for a moment.
    for _ in 0..30 {
        if browser.ask(wide).await == json!([]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} is too wide: {}", browser.ask(wide).await);
}

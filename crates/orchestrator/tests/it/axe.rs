//! axe-core, the judge of accessibility, let loose on a page in a browser.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::chromium::Chromium;

/// Its script, as `cargo xtask test` installs it; without it nothing is judged, except in CI, where
/// it must be there.
pub(crate) fn script() -> Option<String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let script = cache.and_then(|cache| {
        let path = cache.join("backup-orchestrator/axe-core/node_modules/axe-core/axe.min.js");
        std::fs::read_to_string(path).ok()
    });
    assert!(script.is_some() || std::env::var_os("CI").is_none(), "axe-core is needed in CI");
    if script.is_none() {
        eprintln!("left out: axe-core is not installed (`cargo xtask test` does it)");
    }
    script
}

/// What the guidelines (WCAG 2.2, levels A and AA) and good practice hold against the page that is
/// shown, contrast among it.
pub(crate) async fn complaints(browser: &Chromium, script: &str) -> Vec<String> {
    browser.ask(script).await;
    let run = "const done = arguments[arguments.length - 1];\
        axe.run(document, { resultTypes: ['violations'] }).then(\
            found => done(found.violations.map(one => one.id + ': ' + one.nodes\
                .map(node => node.target.join(' ') + ' ' + (node.any[0] || node.all[0] || node.none[0] || {}).message)\
                .slice(0, 3).join('; '))),\
            error => done(['axe failed: ' + error]))";
    match browser.ask_later(run).await {
        Value::Array(found) => found.iter().map(ToString::to_string).collect(),
        other => vec![format!("axe answered {other}")],
    }
}

/// That it finds what is wrong: a button without words.
pub(crate) async fn assert_it_judges(browser: &Chromium, script: &str) {
    let wrong = "document.querySelector('main').append(document.createElement('button'))";
    browser.ask(wrong).await;
    let found = complaints(browser, script).await;
    assert!(found.iter().any(|one| one.contains("button-name")), "{}", json!(found));
}

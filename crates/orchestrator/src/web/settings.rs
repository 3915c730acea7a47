//! Settings: what the server was told.

use askama::Template;
use axum::{extract::State, response::Html};

use super::{
    Web,
    fault::show,
    page::{Nav, Page},
    visitor::Visitor,
};

/// One page of the settings.
pub(super) struct Tab {
    pub(super) href: &'static str,
    pub(super) word: String,
    pub(super) here: bool,
}

pub(super) fn tabs(page: &Page) -> Vec<Tab> {
    let tab = |href, word: &str| Tab { href, word: page.t(word), here: page.path == href };
    let mut tabs = vec![
        tab("/settings", "settings-server"),
        tab("/settings/recovery", "recovery"),
        tab("/account", "account"),
    ];
    if page.may_administer {
        tabs.push(tab("/settings/users", "users"));
        tabs.push(tab("/settings/sessions", "sessions"));
        tabs.push(tab("/settings/tokens", "tokens"));
        tabs.push(tab("/settings/audit", "audit"));
    }
    tabs.push(tab("/api", "api-title"));
    tabs
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    page: Page,
    tabs: Vec<Tab>,
    facts: Vec<(String, String)>,
}

pub(super) async fn server(visitor: Visitor, State(web): State<Web>) -> Html<String> {
    let (config, lang) = (web.engine.config(), visitor.lang);
    let span = |length: std::time::Duration| {
        lang.span(i64::try_from(length.as_secs()).unwrap_or(i64::MAX))
    };
    let networks: Vec<_> = config.net_policy.allowed.iter().map(ToString::to_string).collect();
    let facts = vec![
        (lang.t("setting-version"), env!("CARGO_PKG_VERSION").to_owned()),
        (
            lang.t("setting-catalog"),
            match web.engine.catalog().backend() {
                catalog::Backend::Sqlite => "SQLite".to_owned(),
                catalog::Backend::Postgres => "PostgreSQL".to_owned(),
            },
        ),
        (lang.t("time-zone"), visitor.zone.iana_name().unwrap_or("UTC").to_owned()),
        (lang.t("setting-timeout"), format!("{} · REQUEST_TIMEOUT_S", span(config.source_timeout))),
        (
            lang.t("setting-max-size"),
            format!("{} · BACKUP_MAX_SIZE_MB", lang.size(config.max_size_bytes)),
        ),
        (lang.t("setting-workers"), format!("{} · BACKUP_WORKERS", config.workers)),
        (lang.t("setting-grace"), format!("{} · RETENTION_GRACE_H", span(config.expire_grace))),
        (
            lang.t("setting-networks"),
            if networks.is_empty() { lang.t("setting-networks-any") } else { networks.join(", ") },
        ),
        (
            lang.t("setting-loopback"),
            if config.net_policy.allow_loopback { lang.t("yes") } else { lang.t("no") },
        ),
        (lang.t("setting-remote"), config.rclone_remote.clone().unwrap_or_else(|| "–".to_owned())),
    ];
    let page = visitor.page(visitor.t("nav-settings"), Nav::Settings);
    show(&SettingsPage { tabs: tabs(&page), page, facts })
}

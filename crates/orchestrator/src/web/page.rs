//! What every page has: language, look, who is there, and what they may do.

use axum::http::HeaderMap;

use super::{assets, lang::Lang, mark, visitor};

/// The part of the site a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nav {
    Overview,
    Runs,
    Snapshots,
    Destinations,
    Alerts,
    Settings,
    None,
}

/// One entry of the navigation.
pub(crate) struct Entry {
    pub(crate) href: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) word: String,
    pub(crate) here: bool,
}

/// What every page has.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) lang: Lang,
    pub(crate) theme: &'static str,
    pub(crate) density: &'static str,
    pub(crate) title: String,
    /// Who is there; nobody on the login page.
    pub(crate) user: Option<String>,
    /// For the hidden field of every form.
    pub(crate) csrf: String,
    /// What was just done.
    pub(crate) notice: Option<String>,
    pub(crate) path: String,
    pub(crate) here: Nav,
    pub(crate) may_operate: bool,
    pub(crate) may_download: bool,
    pub(crate) may_configure: bool,
    pub(crate) may_administer: bool,
    pub(crate) clock: String,
}

impl Page {
    /// A page for whoever reads it, where nobody is known.
    pub(crate) fn bare(headers: &HeaderMap, title: impl FnOnce(Lang) -> String) -> Self {
        let (lang, theme, density) = visitor::look(headers);
        Self {
            lang,
            theme,
            density,
            title: title(lang),
            user: None,
            csrf: String::new(),
            notice: None,
            path: String::new(),
            here: Nav::None,
            may_operate: false,
            may_download: false,
            may_configure: false,
            may_administer: false,
            clock: String::new(),
        }
    }

    pub(crate) fn t(&self, key: &str) -> String {
        self.lang.t(key)
    }

    pub(crate) fn w(&self, key: &str, name: &'static str, value: &str) -> String {
        self.lang.with(key, name, value)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
    pub(crate) fn count(&self, key: &str, count: &usize) -> String {
        self.lang.with(key, "count", *count)
    }

    /// Where something is changed that is declared in a file or in labels.
    pub(crate) fn managed(&self, by: &str) -> String {
        self.lang.t(&format!("managed-{by}"))
    }

    /// The same in a word.
    pub(crate) fn managed_badge(&self, by: &str) -> String {
        self.lang.t(&format!("managed-badge-{by}"))
    }

    pub(crate) fn asset(&self, name: &str) -> &'static str {
        assets::address(name)
    }

    pub(crate) fn icon(&self, name: &str) -> String {
        mark::icon(name)
    }

    pub(crate) fn clock(&self) -> &str {
        &self.clock
    }

    pub(crate) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    pub(crate) fn nav(&self) -> Vec<Entry> {
        let entry = |href, icon, word, nav| Entry { href, icon, word, here: self.here == nav };
        vec![
            entry("/", "overview", self.t("nav-overview"), Nav::Overview),
            entry("/runs", "runs", self.t("nav-runs"), Nav::Runs),
            entry("/snapshots", "snapshots", self.t("nav-snapshots"), Nav::Snapshots),
            entry("/destinations", "destinations", self.t("nav-destinations"), Nav::Destinations),
            entry("/alerts", "alerts", self.t("nav-alerts"), Nav::Alerts),
            entry("/settings", "settings", self.t("nav-settings"), Nav::Settings),
        ]
    }
}

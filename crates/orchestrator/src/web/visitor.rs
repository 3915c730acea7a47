//! Who looks at a page, and how they want it: language, theme, time.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use engine::Engine;
use jiff::{Timestamp, tz::TimeZone};
use model::Permission;

use super::{
    Web,
    format::When,
    lang::Lang,
    page::{Nav, Page},
};
use crate::accounts::Caller;

/// Who looks at a page, and how they want it.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) lang: Lang,
    pub(crate) now: Timestamp,
    pub(crate) zone: TimeZone,
    caller: Option<Caller>,
    theme: &'static str,
    density: &'static str,
    path: String,
    notice: Option<String>,
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// One of `known`, or the first of them.
pub(crate) fn one_of(known: &[&'static str], word: Option<&str>) -> &'static str {
    known.iter().copied().find(|one| Some(*one) == word).unwrap_or(known[0])
}

pub(crate) const THEMES: &[&str] = &["auto", "light", "dark"];
pub(crate) const DENSITIES: &[&str] = &["comfortable", "compact"];

/// The language, theme and density that a browser asks for.
pub(crate) fn look(headers: &HeaderMap) -> (Lang, &'static str, &'static str) {
    let lang = cookie(headers, "lang")
        .and_then(Lang::from_code)
        .unwrap_or_else(|| Lang::accepted(headers));
    let theme = one_of(THEMES, cookie(headers, "theme"));
    (lang, theme, one_of(DENSITIES, cookie(headers, "density")))
}

impl Visitor {
    pub(crate) fn of(engine: &Engine, zone: &TimeZone, parts: &Parts) -> Self {
        let headers = &parts.headers;
        let (lang, theme, density) = look(headers);
        // A word of ours only: what the address says is not repeated.
        let done = parts.uri.query().unwrap_or_default().split('&').find_map(|pair| {
            let word = pair.strip_prefix("done=")?;
            word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-').then_some(word)
        });
        Self {
            lang,
            now: engine.now(),
            zone: zone.clone(),
            caller: parts.extensions.get::<Caller>().cloned(),
            theme,
            density,
            path: parts.uri.path().to_owned(),
            notice: done.and_then(|word| lang.find(&format!("done-{word}"))),
        }
    }

    pub(crate) fn t(&self, key: &str) -> String {
        self.lang.t(key)
    }

    /// A moment on both clocks, in the server's zone.
    pub(crate) fn when(&self, at: Timestamp) -> When {
        self.lang.when(at, self.now, &self.zone)
    }

    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.may(permission))
    }

    /// The name under which they came in.
    pub(crate) fn name(&self) -> Option<&str> {
        self.caller.as_ref().map(|caller| caller.name.as_str())
    }

    /// Whether a form with `token` was made for this visitor's session. A caller by bearer token
    /// needs none: no browser sends that by itself.
    pub(crate) fn sealed(&self, token: &str) -> bool {
        self.caller.as_ref().is_some_and(|caller| match &caller.csrf {
            Some(_) => caller.sent_form(token),
            None => true,
        })
    }

    /// What every page needs.
    pub(crate) fn page(&self, title: impl Into<String>, nav: Nav) -> Page {
        Page {
            lang: self.lang,
            theme: self.theme,
            density: self.density,
            title: title.into(),
            user: self.name().map(str::to_owned),
            csrf: self.caller.as_ref().and_then(|c| c.csrf.clone()).unwrap_or_default(),
            notice: self.notice.clone(),
            path: self.path.clone(),
            here: nav,
            may_operate: self.may(Permission::Operate),
            may_download: self.may(Permission::Download),
            may_configure: self.may(Permission::Configure),
            may_administer: self.may(Permission::Administer),
            clock: self.when(self.now).absolute,
        }
    }
}

impl FromRequestParts<Web> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Infallible> {
        let mut visitor = Self::of(&web.engine, &web.zone, parts);
        if web.settings.demo && visitor.notice.is_none() {
            visitor.notice = Some(visitor.lang.t("demo-notice"));
        }
        Ok(visitor)
    }
}

//! Requests that another site made a browser send.
//!
//! Two independent checks: where the request comes from (every unsafe request), and a text that
//! only our own pages know (every form).

use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use ring::hmac;

/// Carries the session's `csrf` text where a program, not a form, uses a cookie.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// Whether a method changes something.
pub(crate) fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// What the request tells of the page that sent it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Same,
    Other,
    /// No browser, or an old one.
    Untold,
}

/// Compares `Origin` (or `Referer`, or what the browser found itself) with the host asked.
pub(super) fn origin(headers: &HeaderMap, uri: &Uri, https: bool) -> Origin {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host =
        uri.authority().map(axum::http::uri::Authority::as_str).or_else(|| text(header::HOST));
    let judge = |page: &str| match host {
        Some(host) if is_at(page, host, https) => Origin::Same,
        _ => Origin::Other,
    };
    // `Origin: null` is what a page with a strict referrer policy sends: it tells nothing.
    if let Some(page) = text(header::ORIGIN).filter(|page| *page != "null") {
        return judge(page);
    }
    match (text(HeaderName::from_static("sec-fetch-site")), text(header::REFERER)) {
        (Some("same-origin"), _) => Origin::Same,
        (Some("cross-site" | "same-site"), _) => Origin::Other,
        (_, Some(page)) => judge(page),
        _ if headers.contains_key(header::ORIGIN) => Origin::Other,
        _ => Origin::Untold,
    }
}

fn is_at(page: &str, host: &str, https: bool) -> bool {
    let rest = match page.strip_prefix("https://") {
        Some(rest) => rest,
        // Where pages are encrypted, a plain one is somebody else's.
        None if https => return false,
        None => page.strip_prefix("http://").unwrap_or_default(),
    };
    rest.split(['/', '?', '#']).next().is_some_and(|at| at.eq_ignore_ascii_case(host))
}

/// The text for the hidden field `csrf` of a session's forms.
pub(super) fn token(session_secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session_secret.as_bytes());
    hex::encode(hmac::sign(&key, b"csrf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pairs: &[(&'static str, &str)], https: bool) -> Origin {
        let mut headers = HeaderMap::new();
        headers.insert("host", "backups.lan:5550".parse().unwrap());
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        origin(&headers, &Uri::from_static("/apps"), https)
    }

    #[test]
    fn only_our_own_pages_are_the_same_origin() {
        for (pairs, https, expected) in [
            (&[("origin", "http://backups.lan:5550")][..], false, Origin::Same),
            (&[("origin", "https://BACKUPS.lan:5550")], true, Origin::Same),
            (&[("origin", "http://backups.lan:5550")], true, Origin::Other),
            (&[("origin", "http://backups.lan")], false, Origin::Other),
            (&[("origin", "http://evil.example")], false, Origin::Other),
            (&[("origin", "http://backups.lan:5550.evil.example")], false, Origin::Other),
            (
                &[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")],
                false,
                Origin::Other,
            ),
            (&[("origin", "null")], false, Origin::Other),
            (&[("origin", "null"), ("sec-fetch-site", "same-origin")], false, Origin::Same),
            (&[("origin", "null"), ("sec-fetch-site", "cross-site")], false, Origin::Other),
            (&[("referer", "http://backups.lan:5550/apps/new?x=1")], false, Origin::Same),
            (&[("referer", "http://evil.example/http://backups.lan:5550/")], false, Origin::Other),
            (&[("referer", "http://backups.lan:5550@evil.example/")], false, Origin::Other),
            (&[("sec-fetch-site", "same-site")], false, Origin::Other),
            (&[], false, Origin::Untold),
        ] {
            assert_eq!(seen(pairs, https), expected, "{pairs:?} {https}");
        }
    }

    #[test]
    fn each_session_has_its_own_token() {
        assert_eq!(token("a"), token("a"));
        assert_ne!(token("a"), token("b"));
    }
}

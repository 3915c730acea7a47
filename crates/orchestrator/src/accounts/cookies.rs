//! What browsers keep for us.

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Visitor, half_login,
    sessions::{ABSOLUTE, LoggedIn},
};

const COOKIE: &str = "session";
/// Of a login that waits for its code.
const HALF_COOKIE: &str = "login";

/// The `Set-Cookie` of a login.
pub(crate) fn session_cookie(logged_in: &LoggedIn, visitor: Visitor) -> HeaderValue {
    cookie(COOKIE, logged_in.secret.expose_secret(), ABSOLUTE.as_secs(), visitor)
}

/// The `Set-Cookie` of a logout.
pub(crate) fn cleared_cookie(visitor: Visitor) -> HeaderValue {
    cookie(COOKIE, "", 0, visitor)
}

/// The `Set-Cookie` of a login that waits for its code.
pub(crate) fn half_cookie(half: &SecretString, visitor: Visitor) -> HeaderValue {
    cookie(HALF_COOKIE, half.expose_secret(), half_login::PATIENCE.as_secs(), visitor)
}

/// The `Set-Cookie` once that login has ended.
pub(crate) fn cleared_half_cookie(visitor: Visitor) -> HeaderValue {
    cookie(HALF_COOKIE, "", 0, visitor)
}

/// Over https browsers take it from nobody but this host, over https.
fn cookie_name(name: &str, visitor: Visitor) -> String {
    if visitor.https { format!("__Host-{name}") } else { name.to_owned() }
}

pub(super) fn cookie(name: &str, value: &str, max_age: i64, visitor: Visitor) -> HeaderValue {
    let secure = if visitor.https { "; Secure" } else { "" };
    let text = format!(
        "{}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}",
        cookie_name(name, visitor)
    );
    let mut header = HeaderValue::from_str(&text).expect("digits and signs of base64");
    header.set_sensitive(true);
    header
}

/// The session's secret in a request's cookies.
pub(super) fn secret_in(headers: &HeaderMap, visitor: Visitor) -> Option<SecretString> {
    cookie_in(headers, COOKIE, visitor)
}

/// A login that waits for its code, in a request's cookies.
pub(crate) fn half_in(headers: &HeaderMap, visitor: Visitor) -> Option<SecretString> {
    cookie_in(headers, HALF_COOKIE, visitor)
}

/// The value of a cookie. Over https only the name that nobody else can set counts.
pub(super) fn cookie_in(headers: &HeaderMap, name: &str, visitor: Visitor) -> Option<SecretString> {
    let wanted = cookie_name(name, visitor);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == wanted && !value.is_empty())
        .map(|(_, value)| value.to_owned().into())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::{User, UserId};

    use super::*;
    use crate::accounts::browser::Browser;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + hours * 3_600).unwrap()
    }

    #[test]
    fn cookies_fit_their_transport() {
        let plain =
            Visitor { address: [127, 0, 0, 1].into(), https: false, browser: Browser::default() };
        let https = Visitor { https: true, ..plain };
        let logged_in = |visitor| {
            let user = User {
                id: UserId::generate(at(0), &mut rand::rng()),
                name: "ana".parse().unwrap(),
                password_hash: model::PasswordHash::from_phc(String::new()),
                role: model::Role::Viewer,
                second_factor: None,
                unconfirmed_factor: None,
                identity: None,
                created_at: at(0),
                updated_at: at(0),
                version: 1,
            };
            let logged_in = LoggedIn { user, secret: "abc".to_owned().into() };
            session_cookie(&logged_in, visitor).to_str().unwrap().to_owned()
        };
        let text = logged_in(plain);
        assert!(text.starts_with("session=abc; Path=/;") && !text.contains("Secure"), "{text}");
        assert!(text.contains("HttpOnly; SameSite=Strict"));
        let text = logged_in(https);
        assert!(text.starts_with("__Host-session=abc;") && text.contains("; Secure"), "{text}");
        assert!(cleared_cookie(plain).to_str().unwrap().contains("Max-Age=0"));

        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "lang=es; session=abc".parse().unwrap());
        assert_eq!(secret_in(&headers, plain).unwrap().expose_secret(), "abc");
        assert!(secret_in(&headers, https).is_none(), "a plain cookie may be planted");
    }
}

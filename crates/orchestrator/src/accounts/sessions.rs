//! Logins and their cookies.

use std::{net::IpAddr, time::Duration};

use axum::http::{HeaderMap, HeaderValue, header};
use catalog::CatalogError;
use engine::vault::VaultError;
use jiff::{SignedDuration, Timestamp};
use model::{Session, SessionId, User};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Accounts, Caller, CallerKind, Visitor, half_login, sha256};

/// A session unused for this long is over.
const IDLE: SignedDuration = SignedDuration::from_hours(12);
/// A session this old is over.
const ABSOLUTE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How exactly the last use is noted: not every page is a write.
const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(1);

const COOKIE: &str = "session";
/// Of a login that waits for its code.
const HALF_COOKIE: &str = "login";

/// A login that was accepted. Its secret goes into [`session_cookie`] and nowhere else.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) user: User,
    secret: SecretString,
}

/// What proved who somebody is.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    Password,
    /// The password and a recovery code; so many are left.
    RecoveryCode(usize),
    /// Another service.
    Provider,
}

/// Why a login was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginRefused {
    /// One text for an unknown user and for a wrong password.
    #[error("user or password is wrong")]
    Wrong,
    /// The password is right; for [`half_cookie`].
    #[error("a code of the second factor is needed")]
    CodeNeeded(SecretString),
    #[error("the code is wrong or was used already: wait for the next one")]
    WrongCode,
    #[error("only administrators log in by password here: log in through the other service")]
    NotByPassword,
    #[error("too much time has passed since the password: log in again")]
    Stale,
    #[error("too many failed logins: wait {} minutes", .0.as_secs().div_ceil(60))]
    TooMany(Duration),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Accounts {
    /// Checks a password, and a code where the user has a second factor, and begins a session;
    /// `earlier`, the session of the same browser, ends.
    pub(crate) async fn login(
        &self,
        name: &str,
        password: SecretString,
        code: Option<&str>,
        visitor: Visitor,
        earlier: Option<&Caller>,
    ) -> Result<LoggedIn, LoginRefused> {
        let (user, right) = self.check(name, password, visitor.address).await?;
        let user = match user {
            Some(user) if right => user,
            user => {
                // A name that nobody has may be a password in the wrong field.
                let who = user.as_ref().map_or("unknown user", |user| user.name.as_str());
                self.login_failed(who, visitor, "").await;
                return Err(LoginRefused::Wrong);
            }
        };
        if user.role != model::Role::Admin && self.rules().await?.only_admins_by_password {
            self.0.throttle.undo(name, visitor.address);
            return Err(LoginRefused::NotByPassword);
        }
        match code {
            Some(code) if user.second_factor.is_some() => {
                self.login_with_code(user, code, visitor, earlier).await
            }
            _ if user.second_factor.is_some() => {
                self.0.throttle.undo(name, visitor.address);
                Err(LoginRefused::CodeNeeded(self.half_login(&user)?))
            }
            _ => {
                self.0.throttle.succeeded(name, visitor.address);
                Ok(self.logged_in(user, By::Password, visitor, earlier).await?)
            }
        }
    }

    /// The login's second half; its attempt is counted already.
    pub(super) async fn login_with_code(
        &self,
        user: User,
        code: &str,
        visitor: Visitor,
        earlier: Option<&Caller>,
    ) -> Result<LoggedIn, LoginRefused> {
        let name = user.name.to_string();
        let accepted = match self.accept(user, code).await {
            Ok(accepted) => accepted,
            Err(error) => {
                if matches!(error, LoginRefused::WrongCode) {
                    self.login_failed(&name, visitor, "second factor").await;
                }
                return Err(error);
            }
        };
        self.0.throttle.succeeded(&name, visitor.address);
        let by = accepted.recovery_left.map_or(By::Password, By::RecoveryCode);
        Ok(self.logged_in(accepted.user, by, visitor, earlier).await?)
    }

    /// Begins the session of somebody who has proven who they are.
    pub(super) async fn logged_in(
        &self,
        user: User,
        by: By,
        visitor: Visitor,
        earlier: Option<&Caller>,
    ) -> Result<LoggedIn, CatalogError> {
        if let Some(earlier) = earlier {
            self.end_session_of(earlier).await?;
        }
        let logged_in = self.begin_session(user, by, visitor).await?;
        let (name, from) = (logged_in.user.name.as_str(), visitor.address.to_string());
        let detail = match by {
            By::Password => String::new(),
            By::RecoveryCode(left) => format!("by a recovery code, {left} left"),
            By::Provider => "by the service that logs people in".to_owned(),
        };
        self.audit_by(name, &from, "login", name, &detail).await;
        self.forget_first_login(&logged_in.user.name).await;
        Ok(logged_in)
    }

    async fn login_failed(&self, who: &str, visitor: Visitor, detail: &str) {
        let from = visitor.address.to_string();
        self.audit_by(who, &from, "login.failed", who, detail).await;
    }

    /// Ends the caller's session.
    pub(crate) async fn logout(&self, caller: &Caller) -> Result<(), CatalogError> {
        self.end_session_of(caller).await?;
        self.audit(caller, "logout", &caller.name, "").await;
        Ok(())
    }

    /// Changes the caller's own password. All their sessions end; the new one is for the browser
    /// that asked.
    pub(crate) async fn change_own_password(
        &self,
        caller: &Caller,
        present: SecretString,
        new: SecretString,
    ) -> Result<LoggedIn, ChangeRefused> {
        let (user, right) = self.check(&caller.name, present, caller.visitor.address).await?;
        let Some(user) = user.filter(|_| right) else { return Err(LoginRefused::Wrong.into()) };
        self.password_was_right(&user, caller.visitor.address);
        if let Some(weakness) = super::weakness(new.expose_secret(), user.name.as_str()) {
            return Err(ChangeRefused::Weak(weakness));
        }
        let user = self.set_password(user, new).await?;
        self.audit(caller, "user.password", user.name.as_str(), "").await;
        Ok(self.begin_session(user, By::Password, caller.visitor).await?)
    }

    /// Checks a password. The attempt stays counted as a failure until somebody says otherwise.
    pub(super) async fn check(
        &self,
        name: &str,
        password: SecretString,
        from: IpAddr,
    ) -> Result<(Option<User>, bool), LoginRefused> {
        let throttle = &self.0.throttle;
        throttle.attempt(self.0.engine.now(), name, from).map_err(LoginRefused::TooMany)?;
        let user = match self.catalog().user_by_name(name).await {
            Ok(user) => Some(user),
            Err(CatalogError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let right = self.0.passwords.verify(password, hash).await;
        Ok((user, right))
    }

    /// Takes an attempt back that only a password was asked for. Where there is a second factor,
    /// wrong codes stay counted: a known password must not buy more guesses.
    pub(super) fn password_was_right(&self, user: &User, from: IpAddr) {
        if user.second_factor.is_some() {
            self.0.throttle.undo(user.name.as_str(), from);
        } else {
            self.0.throttle.succeeded(user.name.as_str(), from);
        }
    }

    async fn begin_session(
        &self,
        user: User,
        by: By,
        visitor: Visitor,
    ) -> Result<LoggedIn, CatalogError> {
        let secret = self.new_secret();
        let now = self.0.engine.now();
        let session = Session {
            id: self.0.engine.with_rng(|rng| SessionId::generate(now, rng)),
            user_id: user.id,
            secret_sha256: sha256(&secret),
            from: visitor.address.to_string(),
            browser: visitor.browser.to_string(),
            by_provider: matches!(by, By::Provider),
            created_at: now,
            seen_at: now,
        };
        self.catalog().insert_session(&session, now - IDLE, now - ABSOLUTE).await?;
        // Somebody may have changed the password since it was checked.
        if self.catalog().user(user.id).await?.password_hash != user.password_hash {
            self.catalog().end_session(session.id).await?;
        }
        Ok(LoggedIn { user, secret: secret.into() })
    }

    async fn end_session_of(&self, caller: &Caller) -> Result<(), CatalogError> {
        match caller.kind {
            CallerKind::Session { session, .. } => self.catalog().end_session(session).await,
            CallerKind::Token(_) | CallerKind::Local => Ok(()),
        }
    }

    /// The living session of a cookie's secret, and its user.
    pub(super) async fn session(
        &self,
        secret: &str,
    ) -> Result<Option<(Session, User)>, CatalogError> {
        let Some(session) = self.catalog().session_by_digest(&sha256(secret)).await? else {
            return Ok(None);
        };
        let now = self.0.engine.now();
        if !is_alive(&session, now) {
            self.catalog().end_session(session.id).await?;
            return Ok(None);
        }
        let user = match self.catalog().user(session.user_id).await {
            Ok(user) => user,
            Err(CatalogError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if now.duration_since(session.seen_at) >= SEEN_EVERY {
            self.catalog().touch_session(&session, now).await?;
        }
        Ok(Some((session, user)))
    }
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeRefused {
    #[error(transparent)]
    Login(#[from] LoginRefused),
    #[error("{0}")]
    Weak(&'static str),
}

impl From<CatalogError> for ChangeRefused {
    fn from(error: CatalogError) -> Self {
        Self::Login(error.into())
    }
}

pub(super) fn is_alive(session: &Session, now: Timestamp) -> bool {
    now.duration_since(session.seen_at) < IDLE && now.duration_since(session.created_at) < ABSOLUTE
}

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
    use model::UserId;

    use super::*;
    use crate::accounts::browser::Browser;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + hours * 3_600).unwrap()
    }

    #[test]
    fn a_session_ends_unused_or_old() {
        let session = |created_at, seen_at| Session {
            id: SessionId::generate(at(0), &mut rand::rng()),
            user_id: UserId::generate(at(0), &mut rand::rng()),
            secret_sha256: String::new(),
            from: String::new(),
            browser: String::new(),
            by_provider: false,
            created_at,
            seen_at,
        };
        assert!(is_alive(&session(at(0), at(0)), at(11)));
        assert!(!is_alive(&session(at(0), at(0)), at(12)), "unused");
        assert!(is_alive(&session(at(0), at(160)), at(167)));
        assert!(!is_alive(&session(at(0), at(167)), at(168)), "old");
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

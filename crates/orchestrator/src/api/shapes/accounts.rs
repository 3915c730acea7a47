//! Users, tokens and the caller as the API shows them: without hashes and digests.

use std::collections::HashMap;

use jiff::Timestamp;
use model::{ApiToken, AppId, Name, Role, Scope, Session, SessionId, TokenId, User, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::{CallerKind, Enrolment};

/// A person who can log in.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(in crate::api) struct UserShown {
    /// Identity.
    id: UserId,
    /// Unique among users, compared without case.
    name: Name,
    /// What the user may do.
    role: Role,
    /// Whether a login asks for a code beside the password.
    second_factor: bool,
    /// Whether another service logs them in (`OpenID` Connect).
    linked: bool,
    /// When the user was added.
    created_at: Timestamp,
    /// When role or password last changed.
    updated_at: Timestamp,
}

/// A login.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(in crate::api) struct SessionShown {
    /// Identity.
    id: SessionId,
    /// Whose it is.
    user: String,
    /// Address the login came from.
    from: String,
    /// The browser in short words; empty where it is not known.
    browser: String,
    /// Whether another service has logged the user in, not a password.
    by_provider: bool,
    /// When it began.
    created_at: Timestamp,
    /// When it was last used, to the minute.
    seen_at: Timestamp,
    /// Whether it is the one that asks.
    own: bool,
}

impl SessionShown {
    pub(in crate::api) fn new(session: Session, user: String, by: CallerKind) -> Self {
        let own = matches!(by, CallerKind::Session { session: own, .. } if own == session.id);
        Self {
            id: session.id,
            user,
            from: session.from,
            browser: session.browser,
            by_provider: session.by_provider,
            created_at: session.created_at,
            seen_at: session.seen_at,
            own,
        }
    }
}

/// A program's credential, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(in crate::api) struct TokenShown {
    /// Identity.
    id: TokenId,
    /// Unique among tokens, compared without case.
    name: Name,
    /// What it may do.
    scopes: Vec<Scope>,
    /// The apps it is for, of a removed one its id; none: it is for everything.
    apps: Vec<String>,
    /// Who made it.
    created_by: String,
    /// When it was made.
    created_at: Timestamp,
    /// When it ends; `null` never.
    expires_at: Option<Timestamp>,
    /// When it was last used, to the minute; `null` never.
    last_used_at: Option<Timestamp>,
}

/// A token just made. The one reply that holds the secret.
#[derive(Serialize, ToSchema)]
#[schema(as = NewToken)]
pub(in crate::api) struct NewTokenShown {
    #[serde(flatten)]
    token: TokenShown,
    /// The secret, shown now and never again.
    secret: String,
}

/// Who the caller is.
#[derive(Serialize, ToSchema)]
#[schema(as = Caller)]
pub(in crate::api) struct CallerShown {
    /// Name of the user or the token.
    pub(in crate::api) name: String,
    /// How the caller proved who they are.
    pub(in crate::api) kind: CallerWord,
    /// What the caller may do.
    pub(in crate::api) permissions: Vec<String>,
    /// For the header `X-CSRF-Token` of requests with the session's cookie.
    pub(in crate::api) csrf: Option<String>,
    /// Whether the caller may do nothing before they have a second factor.
    pub(in crate::api) needs_second_factor: bool,
}

/// A second factor that waits for its first code.
#[derive(Serialize, ToSchema)]
#[schema(as = Enrolment)]
pub(in crate::api) struct EnrolmentShown {
    /// What is typed into an app; shown now and never again.
    secret: String,
    /// The same as an address for apps (`otpauth:`).
    uri: String,
}

impl From<Enrolment> for EnrolmentShown {
    fn from(enrolment: Enrolment) -> Self {
        Self {
            secret: enrolment.secret.expose_secret().to_owned(),
            uri: enrolment.uri.expose_secret().to_owned(),
        }
    }
}

/// What gets in where the device is lost. Shown now and never again.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct RecoveryCodes {
    /// Each is good once.
    recovery_codes: Vec<String>,
}

impl From<Vec<SecretString>> for RecoveryCodes {
    fn from(codes: Vec<SecretString>) -> Self {
        let told = |code: SecretString| code.expose_secret().to_owned();
        Self { recovery_codes: codes.into_iter().map(told).collect() }
    }
}

/// How a caller proved who they are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CallerKind)]
pub(in crate::api) enum CallerWord {
    /// A login's cookie.
    Session,
    /// An API token.
    Token,
    /// The command line on the server's own machine.
    Local,
}

impl From<User> for UserShown {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            name: user.name,
            role: user.role,
            second_factor: user.second_factor.is_some(),
            linked: user.identity.is_some(),
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

impl TokenShown {
    pub(in crate::api) fn new(token: ApiToken, names: &HashMap<AppId, String>) -> Self {
        let name = |id: &AppId| names.get(id).cloned().unwrap_or_else(|| id.to_string());
        Self {
            id: token.id,
            name: token.name,
            scopes: token.scopes,
            apps: token.apps.iter().map(name).collect(),
            created_by: token.created_by,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        }
    }
}

impl NewTokenShown {
    pub(in crate::api) fn new(token: TokenShown, secret: &SecretString) -> Self {
        Self { token, secret: secret.expose_secret().to_owned() }
    }
}

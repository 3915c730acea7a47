//! Users, tokens and the caller as the API shows them: without hashes and digests.

use jiff::Timestamp;
use model::{ApiToken, Name, Role, Scope, TokenId, User, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

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
    /// When the user was added.
    created_at: Timestamp,
    /// When role or password last changed.
    updated_at: Timestamp,
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
    /// Who made it.
    created_by: String,
    /// When it was made.
    created_at: Timestamp,
    /// When it ends; `null` never.
    expires_at: Option<Timestamp>,
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
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

impl From<ApiToken> for TokenShown {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scopes: token.scopes,
            created_by: token.created_by,
            created_at: token.created_at,
            expires_at: token.expires_at,
        }
    }
}

impl NewTokenShown {
    pub(in crate::api) fn new(token: ApiToken, secret: &SecretString) -> Self {
        Self { token: token.into(), secret: secret.expose_secret().to_owned() }
    }
}

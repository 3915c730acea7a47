//! Who is calling, and what they may do: users, sessions, tokens, permissions, the audit log.

mod audit;
mod browser;
pub(crate) mod caller;
mod cookies;
pub(crate) mod csrf;
pub(crate) mod first;
mod half_login;
mod limits;
mod logins;
mod password;
pub(crate) mod permissions;
mod provider;
mod rules;
mod second_factor;
mod session_list;
mod sessions;
mod throttle;
mod tokens;
mod totp;
mod users;
pub(crate) mod visitor;

use std::{path::PathBuf, sync::Arc};

use engine::Engine;
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use audit::AuditTarget;
pub(crate) use caller::{Caller, CallerKind};
pub(crate) use cookies::{
    cleared_cookie, cleared_half_cookie, half_cookie, half_in, session_cookie,
};
pub(crate) use first::FirstUser;
pub(crate) use logins::{ChangeRefused, LoginRefused};
pub(crate) use password::weakness;
pub(crate) use provider::{Answer, Answered, ProviderRefused, cleared_question_cookie};
pub(crate) use rules::{LoginRules, RulesEdit};
pub(crate) use second_factor::{Enrolment, FactorRefused};
pub(crate) use tokens::TokenDraft;
pub(crate) use users::{UserDraft, UserEdit};
pub(crate) use visitor::Visitor;

use crate::settings::OidcSettings;

/// Everybody who may call. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Accounts(Arc<Inner>);

struct Inner {
    engine: Engine,
    passwords: password::Passwords,
    throttle: throttle::Throttle,
    /// Digest of the token that the command line on this machine uses.
    local_sha256: String,
    first_login: PathBuf,
    trust_proxy: bool,
    /// Another service that logs people in.
    oidc: Option<OidcSettings>,
    provider_turns: tokio::sync::Semaphore,
}

/// What accounts are made of.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    /// Token of the command line on this machine.
    pub(crate) local_token: SecretString,
    /// The data folder.
    pub(crate) data_dir: PathBuf,
    /// Believe a proxy's `X-Forwarded-Proto` and `X-Forwarded-For`.
    pub(crate) trust_proxy: bool,
    /// Another service that logs people in.
    pub(crate) oidc: Option<OidcSettings>,
}

impl Accounts {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            engine: parts.engine,
            passwords: password::Passwords::default(),
            throttle: throttle::Throttle::default(),
            local_sha256: sha256(parts.local_token.expose_secret()),
            first_login: first::file(&parts.data_dir),
            trust_proxy: parts.trust_proxy,
            oidc: parts.oidc,
            provider_turns: tokio::sync::Semaphore::new(provider::AT_ONCE),
        }))
    }

    fn catalog(&self) -> &catalog::Catalog {
        self.0.engine.catalog()
    }

    /// 256 random bits as text.
    fn new_secret(&self) -> String {
        self.0.engine.with_rng(|rng| hex::encode(rand::RngExt::random::<[u8; 32]>(rng)))
    }

    async fn hash(&self, password: SecretString) -> model::PasswordHash {
        let salt = self.0.engine.with_rng(rand::RngExt::random);
        self.0.passwords.hash(password, salt).await
    }
}

/// A secret that people read and type: without letters and digits that look alike, five bits a
/// character.
fn readable(rng: &mut impl rand::Rng, len: usize) -> String {
    const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    (0..len)
        .map(|_| char::from(ALPHABET[rand::RngExt::random_range(rng, 0..ALPHABET.len())]))
        .collect()
}

/// A digest under which a random secret is found again. It needs no salt: what has 256 random
/// bits is in no table.
pub(crate) fn sha256(secret: &str) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()))
}

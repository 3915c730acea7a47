//! Who is calling, and what they may do: users, sessions, tokens, permissions, the audit log.

mod audit;
pub(crate) mod caller;
pub(crate) mod csrf;
pub(crate) mod first;
mod password;
pub(crate) mod permissions;
mod sessions;
mod throttle;
mod tokens;
mod users;
pub(crate) mod visitor;

use std::{path::PathBuf, sync::Arc};

use engine::Engine;
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use audit::AuditTarget;
pub(crate) use caller::{Caller, CallerKind};
pub(crate) use first::FirstUser;
pub(crate) use password::weakness;
pub(crate) use sessions::{ChangeRefused, LoginRefused, cleared_cookie, session_cookie};
pub(crate) use tokens::TokenDraft;
pub(crate) use users::{UserDraft, UserEdit};
pub(crate) use visitor::Visitor;

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

/// A digest under which a random secret is found again. It needs no salt: what has 256 random
/// bits is in no table.
pub(crate) fn sha256(secret: &str) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()))
}

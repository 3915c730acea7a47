//! API tokens: `bo_` and 256 random bits.

use engine::EngineError;
use jiff::Timestamp;
use model::{ApiToken, Name, Scope, TokenId};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Accounts, Caller, sha256};

const PREFIX: &str = "bo_";

/// A token as somebody asks for it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenDraft {
    /// Unique name.
    pub(crate) name: String,
    /// What it may do; at least one.
    pub(crate) scopes: Vec<Scope>,
    /// When it ends; left out: never.
    #[serde(default)]
    pub(crate) expires_at: Option<Timestamp>,
}

impl Accounts {
    /// Makes a token. Its secret is told now and never again.
    pub(crate) async fn create_token(
        &self,
        caller: &Caller,
        draft: TokenDraft,
    ) -> Result<(ApiToken, SecretString), EngineError> {
        let now = self.0.engine.now();
        let name: Name = draft.name.parse().map_err(|error| EngineError::invalid("name", error))?;
        let mut scopes = draft.scopes;
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            let known = "choose at least one of read, run, restore, admin, append";
            return Err(EngineError::invalid("scopes", known));
        }
        if draft.expires_at.is_some_and(|at| at <= now) {
            return Err(EngineError::invalid("expires_at", "the moment has passed already"));
        }
        let secret = format!("{PREFIX}{}", self.new_secret());
        let token = ApiToken {
            id: self.0.engine.with_rng(|rng| TokenId::generate(now, rng)),
            name,
            secret_sha256: sha256(&secret),
            scopes,
            created_by: caller.who(),
            created_at: now,
            expires_at: draft.expires_at,
        };
        self.catalog().insert_token(&token).await?;
        Ok((token, secret.into()))
    }

    /// The token of a secret, unless it has expired.
    pub(super) async fn token(&self, secret: &str) -> Result<Option<ApiToken>, EngineError> {
        if !secret.starts_with(PREFIX) {
            return Ok(None);
        }
        let now = self.0.engine.now();
        let found = self.catalog().token_by_digest(&sha256(secret)).await?;
        Ok(found.filter(|token| token.expires_at.is_none_or(|at| now < at)))
    }
}

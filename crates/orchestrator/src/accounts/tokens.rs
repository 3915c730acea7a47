//! API tokens: `bo_` and 256 random bits.

use std::collections::HashMap;

use catalog::CatalogError;
use engine::EngineError;
use jiff::{SignedDuration, Timestamp};
use model::{ApiToken, AppId, Fact, Name, Scope, TokenId};
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
    /// Names of the apps it is for; left out: everything.
    #[serde(default)]
    pub(crate) apps: Vec<String>,
    /// When it ends; left out: never.
    #[serde(default)]
    pub(crate) expires_at: Option<Timestamp>,
    /// Instead: how long it is good for, for example `90d`, by the server's clock.
    #[serde(default)]
    pub(crate) expires_in: Option<String>,
}

/// How exactly the last use is noted: not every request is a write.
const USED_EVERY: SignedDuration = SignedDuration::from_mins(1);

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
            return Err(EngineError::invalid("scopes", Fact::ChooseScopes {}));
        }
        let expires_at = expiry(draft.expires_at, draft.expires_in.as_deref(), now)?;
        let apps = self.apps_of(&draft.apps, &scopes).await?;
        let secret = format!("{PREFIX}{}", self.new_secret());
        let token = ApiToken {
            id: self.0.engine.with_rng(|rng| TokenId::generate(now, rng)),
            name,
            secret_sha256: sha256(&secret),
            scopes,
            apps,
            created_by: caller.who(),
            created_at: now,
            expires_at,
            last_used_at: None,
        };
        self.catalog().insert_token(&token).await?;
        Ok((token, secret.into()))
    }

    async fn apps_of(&self, names: &[String], scopes: &[Scope]) -> Result<Vec<AppId>, EngineError> {
        if !names.is_empty() && scopes.contains(&Scope::Admin) {
            // Whoever may edit an app may have it read what is another's.
            return Err(EngineError::invalid("apps", Fact::AdminForAll {}));
        }
        let mut apps = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match self.catalog().app_by_name(name).await {
                Ok(app) => apps.push(app.id),
                Err(CatalogError::NotFound { name, .. }) => {
                    return Err(EngineError::invalid(
                        format!("apps[{at}]"),
                        Fact::NoSuchApp { name },
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
        apps.sort_unstable();
        apps.dedup();
        Ok(apps)
    }

    /// The names of the apps that tokens are for; of one that was removed its id.
    pub(crate) async fn app_names(&self) -> Result<HashMap<AppId, String>, CatalogError> {
        let all = self.catalog().all_apps().await?;
        Ok(all.into_iter().map(|app| (app.id, app.name.to_string())).collect())
    }

    /// The token of a secret, unless it has expired.
    pub(super) async fn token(&self, secret: &str) -> Result<Option<ApiToken>, EngineError> {
        if !secret.starts_with(PREFIX) {
            return Ok(None);
        }
        let now = self.0.engine.now();
        let found = self.catalog().token_by_digest(&sha256(secret)).await?;
        let Some(token) = found.filter(|token| token.expires_at.is_none_or(|at| now < at)) else {
            return Ok(None);
        };
        let is_noted = |at| now.duration_since(at) < USED_EVERY;
        if !token.last_used_at.is_some_and(is_noted) {
            // Where nothing can be written now, it is looked all the same.
            match self.catalog().touch_token(&token, now).await {
                Err(error) if !error.is_retryable() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Some(token))
    }
}

/// When a token ends, however that was said.
fn expiry(
    at: Option<Timestamp>,
    length: Option<&str>,
    now: Timestamp,
) -> Result<Option<Timestamp>, EngineError> {
    let Some(length) = length else {
        return match at {
            Some(at) if at <= now => Err(EngineError::invalid("expires_at", Fact::MomentPassed {})),
            at => Ok(at),
        };
    };
    let wrong = |why: Fact| Err(EngineError::invalid("expires_in", why));
    if at.is_some() {
        return wrong(Fact::LengthOrMoment {});
    }
    let secs = model::duration::parse_secs(length).and_then(|secs| i64::try_from(secs).ok());
    let end = secs.filter(|secs| *secs > 0).map(SignedDuration::from_secs);
    match end.and_then(|length| now.checked_add(length).ok()) {
        Some(end) => Ok(Some(end)),
        None => wrong(Fact::TokenLength {}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_by_the_clock_it_is_given() {
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let then: Timestamp = "2027-01-30T00:00:00Z".parse().unwrap();
        assert_eq!(expiry(None, Some("90d"), now).unwrap(), Some(then));
        assert_eq!(expiry(Some(then), None, now).unwrap(), Some(then));
        assert_eq!(expiry(None, None, now).unwrap(), None);
        assert!(expiry(Some(now), None, now).is_err());
        assert!(expiry(Some(then), Some("1d"), now).is_err());
        for wrong in ["", "0d", "soon", "-1d", "99999y", "99999999999999999d"] {
            assert!(expiry(None, Some(wrong), now).is_err(), "{wrong}");
        }
    }
}

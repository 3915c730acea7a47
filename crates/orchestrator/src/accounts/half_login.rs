//! A login between its password and its code.
//!
//! Nothing of it is kept here: what the browser holds is sealed and says whose it is, for which
//! password, and when it began.

use catalog::CatalogError;
use engine::vault::{Purpose, VaultError};
use jiff::{SignedDuration, Timestamp};
use model::{User, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Accounts, Caller, LoginRefused, Visitor, sessions::LoggedIn, sha256};

/// How long somebody may take to find the code.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

#[derive(Serialize, Deserialize)]
struct Half {
    user: UserId,
    /// Digest of the hash of the password that was right: a changed one ends it.
    password: String,
    at: Timestamp,
}

impl Accounts {
    pub(super) fn half_login(&self, user: &User) -> Result<SecretString, LoginRefused> {
        let half = Half {
            user: user.id,
            password: sha256(user.password_hash.phc()),
            at: self.0.engine.now(),
        };
        let text = serde_json::to_string(&half).map_err(CatalogError::from)?;
        let vault = self.0.engine.vault();
        let sealed =
            self.0.engine.with_rng(|rng| vault.seal(Purpose::HalfLogin, &text.into(), rng));
        Ok(sealed.ciphertext().to_owned().into())
    }

    /// Brings a login to its end by a code.
    pub(crate) async fn finish_login(
        &self,
        half: &SecretString,
        code: &str,
        visitor: Visitor,
        earlier: Option<&Caller>,
    ) -> Result<LoggedIn, LoginRefused> {
        let Some(half) = self.open_half(half) else { return Err(LoginRefused::Stale) };
        let now = self.0.engine.now();
        if !in_time(half.at, now, PATIENCE) {
            return Err(LoginRefused::Stale);
        }
        let user = match self.catalog().user(half.user).await {
            Err(CatalogError::NotFound { .. }) => return Err(LoginRefused::Stale),
            user => user?,
        };
        if sha256(user.password_hash.phc()) != half.password {
            return Err(LoginRefused::Stale);
        }
        let throttle = &self.0.throttle;
        throttle
            .attempt(now, user.name.as_str(), visitor.address)
            .map_err(LoginRefused::TooMany)?;
        if user.second_factor.is_none() {
            // It was ended meanwhile: the password alone was enough.
            throttle.succeeded(user.name.as_str(), visitor.address);
            return Ok(self.logged_in(user, super::logins::By::Password, visitor, earlier).await?);
        }
        self.login_with_code(user, code, visitor, earlier).await
    }

    fn open_half(&self, half: &SecretString) -> Option<Half> {
        let sealed = model::SealedSecret::from_ciphertext(half.expose_secret().to_owned());
        let text: Result<_, VaultError> = self.0.engine.vault().open(Purpose::HalfLogin, &sealed);
        serde_json::from_str(text.ok()?.expose_secret()).ok()
    }
}

/// Whether what began at `at` is not over yet; nor from a time to come, as after a clock set back.
pub(super) fn in_time(at: Timestamp, now: Timestamp, patience: SignedDuration) -> bool {
    now.duration_since(at).abs() < patience
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_login_is_over_after_five_minutes() {
        let at: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        for (secs, good) in [(0, true), (299, true), (300, false), (-1, true), (-300, false)] {
            assert_eq!(in_time(at, at + SignedDuration::from_secs(secs), PATIENCE), good, "{secs}");
        }
    }
}

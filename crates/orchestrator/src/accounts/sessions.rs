//! Sessions: begun, found again, ended.

use catalog::CatalogError;
use jiff::{SignedDuration, Timestamp};
use model::{Session, SessionId, User};
use secrecy::SecretString;

use super::{Accounts, Caller, CallerKind, Visitor, logins::By, sha256};

/// A session unused for this long is over.
const IDLE: SignedDuration = SignedDuration::from_hours(12);
/// A session this old is over.
pub(super) const ABSOLUTE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How exactly the last use is noted: not every page is a write.
const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A login that was accepted. Its secret goes into [`session_cookie`] and nowhere else.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) user: User,
    pub(super) secret: SecretString,
}

impl Accounts {
    pub(super) async fn begin_session(
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

    /// Ends the caller's session.
    pub(crate) async fn logout(&self, caller: &Caller) -> Result<(), CatalogError> {
        self.end_session_of(caller).await?;
        self.audit(caller, "logout", &caller.name, "").await;
        Ok(())
    }

    pub(super) async fn end_session_of(&self, caller: &Caller) -> Result<(), CatalogError> {
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
            // Where nothing can be written now, people still look.
            match self.catalog().touch_session(&session, now).await {
                Err(error) if !error.is_retryable() => return Err(error),
                _ => {}
            }
        }
        Ok(Some((session, user)))
    }
}

pub(super) fn is_alive(session: &Session, now: Timestamp) -> bool {
    now.duration_since(session.seen_at) < IDLE && now.duration_since(session.created_at) < ABSOLUTE
}

#[cfg(test)]
mod tests {
    use model::UserId;

    use super::*;

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
}

//! Logins that last: listed, and ended from elsewhere.

use std::collections::HashMap;

use catalog::CatalogError;
use engine::EngineError;
use model::{Session, SessionId, User, UserId};

use super::{Accounts, Caller, CallerKind, sessions::is_alive};

impl Accounts {
    /// The caller's own sessions, the one last used first; none where the caller is no user.
    pub(crate) async fn own_sessions(&self, caller: &Caller) -> Result<Vec<Session>, CatalogError> {
        let CallerKind::Session { user, .. } = caller.kind else { return Ok(Vec::new()) };
        let mut all = self.catalog().sessions_of(user).await?;
        let now = self.0.engine.now();
        all.retain(|session| is_alive(session, now));
        Ok(all)
    }

    /// Everybody's sessions, or those of one user, with whose they are.
    pub(crate) async fn all_sessions(
        &self,
        user: Option<&str>,
    ) -> Result<Vec<(Session, User)>, CatalogError> {
        let only = match user {
            Some(name) => Some(self.catalog().user_by_name(name).await?.id),
            None => None,
        };
        let users: HashMap<UserId, User> =
            self.catalog().all_users().await?.into_iter().map(|user| (user.id, user)).collect();
        let now = self.0.engine.now();
        let all = self.catalog().all_sessions().await?.into_iter();
        let wanted = |session: &Session| {
            is_alive(session, now) && only.is_none_or(|only| session.user_id == only)
        };
        Ok(all
            .filter(wanted)
            .filter_map(|session| {
                let user = users.get(&session.user_id)?.clone();
                Some((session, user))
            })
            .collect())
    }

    /// Ends one of the caller's own sessions.
    pub(crate) async fn end_own_session(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(), EngineError> {
        let own = self.own_sessions(caller).await?;
        let wanted = id.parse::<SessionId>().ok();
        if !own.iter().any(|session| Some(session.id) == wanted) {
            return Err(EngineError::not_found("session", id));
        }
        self.end_any_session(id).await
    }

    /// Ends a session, whose ever it is.
    pub(crate) async fn end_any_session(&self, id: &str) -> Result<(), EngineError> {
        let unknown = || EngineError::not_found("session", id);
        let session = self.catalog().session(id.parse().map_err(|_| unknown())?).await?;
        Ok(self.catalog().end_session(session.id).await?)
    }

    /// Ends the caller's sessions but the one at hand.
    pub(crate) async fn end_other_sessions(&self, caller: &Caller) -> Result<(), CatalogError> {
        match caller.kind {
            CallerKind::Session { session, user } => {
                self.catalog().end_other_sessions(user, session).await
            }
            CallerKind::Token(_) | CallerKind::Local => Ok(()),
        }
    }

    /// Ends every session of a user.
    pub(crate) async fn end_sessions_of(&self, name: &str) -> Result<(), CatalogError> {
        let user = self.catalog().user_by_name(name).await?;
        self.catalog().end_sessions_of(user.id).await
    }
}

//! Login sessions, found by the digest of their secret.

use jiff::Timestamp;
use model::{Session, SessionId, UserId};

use crate::{
    Catalog, CatalogError,
    sql::{doc, execute, json, micros, row, rows},
};

impl Catalog {
    /// Adds a session, and forgets the ones last used before `idle_before` or begun before
    /// `begun_before`.
    pub async fn insert_session(
        &self,
        session: &Session,
        idle_before: Timestamp,
        begun_before: Timestamp,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let delete = "DELETE FROM login_session WHERE seen_at < $1 OR created_at < $2";
        execute(&write.tx, delete, vec![micros(idle_before).into(), micros(begun_before).into()])
            .await?;
        let insert = "INSERT INTO login_session (id, user_id, secret_sha256, created_at, seen_at, doc) VALUES ($1, $2, $3, $4, $5, $6)";
        let values = vec![
            session.id.to_string().into(),
            session.user_id.to_string().into(),
            session.secret_sha256.clone().into(),
            micros(session.created_at).into(),
            micros(session.seen_at).into(),
            json(session)?.into(),
        ];
        execute(&write.tx, insert, values).await?;
        write.commit().await
    }

    /// The session whose secret has this digest.
    pub async fn session_by_digest(&self, sha256: &str) -> Result<Option<Session>, CatalogError> {
        let select = "SELECT doc FROM login_session WHERE secret_sha256 = $1";
        row(&self.db, select, vec![sha256.into()]).await?.as_ref().map(doc).transpose()
    }

    /// A session by its id.
    pub async fn session(&self, id: SessionId) -> Result<Session, CatalogError> {
        let select = "SELECT doc FROM login_session WHERE id = $1";
        let found = row(&self.db, select, vec![id.to_string().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("session", id))?)
    }

    /// Every session, the one last used first.
    pub async fn all_sessions(&self) -> Result<Vec<Session>, CatalogError> {
        let select = "SELECT doc FROM login_session ORDER BY seen_at DESC, id DESC";
        rows(&self.db, select, vec![]).await?.iter().map(doc).collect()
    }

    /// The sessions of a user, the one last used first.
    pub async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>, CatalogError> {
        let select =
            "SELECT doc FROM login_session WHERE user_id = $1 ORDER BY seen_at DESC, id DESC";
        let values = vec![user.to_string().into()];
        rows(&self.db, select, values).await?.iter().map(doc).collect()
    }

    /// Notes that a session was used.
    pub async fn touch_session(
        &self,
        session: &Session,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let next = Session { seen_at: now, ..session.clone() };
        let write = self.write().await?;
        let update = "UPDATE login_session SET seen_at = $1, doc = $2 WHERE id = $3";
        let values = vec![micros(now).into(), json(&next)?.into(), session.id.to_string().into()];
        execute(&write.tx, update, values).await?;
        write.commit().await
    }

    /// Ends a session; one that is gone already is no error.
    pub async fn end_session(&self, id: SessionId) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let delete = "DELETE FROM login_session WHERE id = $1";
        execute(&write.tx, delete, vec![id.to_string().into()]).await?;
        write.commit().await
    }

    /// Ends every session of a user.
    pub async fn end_sessions_of(&self, user: UserId) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let delete = "DELETE FROM login_session WHERE user_id = $1";
        execute(&write.tx, delete, vec![user.to_string().into()]).await?;
        write.commit().await
    }

    /// Ends every session of a user but one.
    pub async fn end_other_sessions(
        &self,
        user: UserId,
        kept: SessionId,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let delete = "DELETE FROM login_session WHERE user_id = $1 AND id <> $2";
        let values = vec![user.to_string().into(), kept.to_string().into()];
        execute(&write.tx, delete, values).await?;
        write.commit().await
    }
}

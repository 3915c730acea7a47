//! Archives of WAL: their pieces, named moments, and who receives.

use jiff::{SignedDuration, Timestamp};
use model::{AppId, ArchiveStanding, RestorePoint, WalPiece};
use sea_orm::ConnectionTrait;

use crate::{
    Catalog, CatalogError,
    sql::{doc, execute, json, list, micros, row, rows},
};

/// Keys in one statement.
const AT_ONCE: usize = 200;
/// Pieces that are read at once.
const READ_AT_ONCE: usize = 500;

impl Catalog {
    /// Writes down a piece, in place of what was known of the same object.
    pub async fn put_wal(&self, piece: &WalPiece) -> Result<(), CatalogError> {
        let write = self.write().await?;
        put(&write.tx, piece).await?;
        write.commit().await
    }

    /// Writes down many pieces, some hundred at once.
    pub async fn put_wals(&self, pieces: &[WalPiece]) -> Result<(), CatalogError> {
        for some in pieces.chunks(AT_ONCE) {
            let write = self.write().await?;
            for piece in some {
                put(&write.tx, piece).await?;
            }
            write.commit().await?;
        }
        Ok(())
    }

    /// Forgets objects that are no more.
    pub async fn forget_wal(&self, app: AppId, keys: &[String]) -> Result<(), CatalogError> {
        for some in keys.chunks(AT_ONCE) {
            let write = self.write().await?;
            let sql = format!(
                "DELETE FROM wal_piece WHERE app_id = $1 AND object_key IN ({})",
                list(2, some.len())
            );
            let mut values = vec![app.to_string().into()];
            values.extend(some.iter().map(|key| key.clone().into()));
            execute(&write.tx, &sql, values).await?;
            write.commit().await?;
        }
        Ok(())
    }

    /// Every piece of an app, however it stands.
    pub async fn wal_of_app(&self, app: AppId) -> Result<Vec<WalPiece>, CatalogError> {
        let mut all = Vec::new();
        self.each_wal(app, |piece| all.push(piece)).await?;
        Ok(all)
    }

    /// Hands every piece of an app to `take`, as they are at one moment, by key; some hundred are in
    /// memory at once.
    pub async fn each_wal(
        &self,
        app: AppId,
        mut take: impl FnMut(WalPiece),
    ) -> Result<(), CatalogError> {
        let select = format!(
            "SELECT doc FROM wal_piece WHERE app_id = $1 AND object_key > $2 ORDER BY object_key LIMIT {READ_AT_ONCE}"
        );
        let tx = self.still().await?;
        let mut after = String::new();
        loop {
            let found = rows(&tx, &select, vec![app.to_string().into(), after.as_str().into()]);
            let found = found.await?;
            for row in &found {
                let piece: WalPiece = doc(row)?;
                after.clone_from(&piece.key);
                take(piece);
            }
            if found.len() < READ_AT_ONCE {
                tx.commit().await?;
                return Ok(());
            }
        }
    }

    /// The pieces of an app that are of one file, however they stand.
    pub async fn wal_named(&self, app: AppId, name: &str) -> Result<Vec<WalPiece>, CatalogError> {
        let select =
            "SELECT doc FROM wal_piece WHERE app_id = $1 AND name = $2 ORDER BY object_key";
        let values = vec![app.to_string().into(), name.into()];
        rows(&self.db, select, values).await?.iter().map(doc).collect()
    }

    /// Takes or renews the right to receive an app's WAL for `lease`; the token that fences it, or
    /// `None` while another holds it.
    pub async fn take_receiver(
        &self,
        app: AppId,
        owner: &str,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Option<i64>, CatalogError> {
        let write = self.write().await?;
        let expires = micros(now.saturating_add(lease).unwrap_or(Timestamp::MAX));
        let sql = "INSERT INTO wal_receiver (app_id, owner, token, expires_at) VALUES ($1, $2, 1, $3) ON CONFLICT (app_id) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at, token = wal_receiver.token + CASE WHEN wal_receiver.owner = excluded.owner THEN 0 ELSE 1 END WHERE wal_receiver.owner = excluded.owner OR wal_receiver.expires_at <= $4";
        let values = vec![app.to_string().into(), owner.into(), expires.into(), micros(now).into()];
        let taken = execute(&write.tx, sql, values).await?.rows_affected() == 1;
        let select = "SELECT token FROM wal_receiver WHERE app_id = $1";
        let found = row(&write.tx, select, vec![app.to_string().into()]).await?;
        write.commit().await?;
        let token = found.map(|found| found.try_get::<i64>("", "token")).transpose()?;
        Ok(token.filter(|_| taken))
    }

    /// Whether `token` still holds the right to receive.
    pub async fn holds_receiver(
        &self,
        app: AppId,
        token: i64,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        let select =
            "SELECT 1 FROM wal_receiver WHERE app_id = $1 AND token = $2 AND expires_at > $3";
        let values = vec![app.to_string().into(), token.into(), micros(now).into()];
        Ok(row(&self.db, select, values).await?.is_some())
    }

    /// Lets go of the right to receive, where `token` holds it.
    pub async fn leave_receiver(&self, app: AppId, token: i64) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let sql = "UPDATE wal_receiver SET expires_at = 0 WHERE app_id = $1 AND token = $2";
        execute(&write.tx, sql, vec![app.to_string().into(), token.into()]).await?;
        write.commit().await
    }

    /// Says how an archive stands.
    pub async fn set_wal_standing(
        &self,
        app: AppId,
        standing: &ArchiveStanding,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let sql = "INSERT INTO wal_standing (app_id, doc) VALUES ($1, $2) ON CONFLICT (app_id) DO UPDATE SET doc = excluded.doc";
        execute(&write.tx, sql, vec![app.to_string().into(), json(standing)?.into()]).await?;
        write.commit().await
    }

    /// How an archive stood when it was last looked at.
    pub async fn wal_standing(&self, app: AppId) -> Result<Option<ArchiveStanding>, CatalogError> {
        let select = "SELECT doc FROM wal_standing WHERE app_id = $1";
        row(&self.db, select, vec![app.to_string().into()]).await?.as_ref().map(doc).transpose()
    }

    /// Writes down a named moment; [`CatalogError::NameTaken`] where there is one of that name.
    pub async fn add_restore_point(
        &self,
        app: AppId,
        point: &RestorePoint,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let sql = "INSERT INTO restore_point (app_id, name, made_at, doc) VALUES ($1, $2, $3, $4) ON CONFLICT (app_id, name) DO NOTHING";
        let values = vec![
            app.to_string().into(),
            point.name.clone().into(),
            micros(point.made_at).into(),
            json(point)?.into(),
        ];
        let added = execute(&write.tx, sql, values).await?.rows_affected() == 1;
        write.commit().await?;
        if added {
            return Ok(());
        }
        Err(CatalogError::NameTaken { what: "restore point", name: point.name.clone() })
    }

    /// The named moments of an app, oldest first.
    pub async fn restore_points(&self, app: AppId) -> Result<Vec<RestorePoint>, CatalogError> {
        let select = "SELECT doc FROM restore_point WHERE app_id = $1 ORDER BY made_at, name";
        rows(&self.db, select, vec![app.to_string().into()]).await?.iter().map(doc).collect()
    }

    /// Forgets named moments that nothing leads to any more.
    pub async fn forget_restore_point(&self, app: AppId, name: &str) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let sql = "DELETE FROM restore_point WHERE app_id = $1 AND name = $2";
        execute(&write.tx, sql, vec![app.to_string().into(), name.into()]).await?;
        write.commit().await
    }
}

async fn put(to: &impl ConnectionTrait, piece: &WalPiece) -> Result<(), CatalogError> {
    let sql = "INSERT INTO wal_piece (app_id, object_key, name, doc) VALUES ($1, $2, $3, $4) ON CONFLICT (app_id, object_key) DO UPDATE SET name = excluded.name, doc = excluded.doc";
    let values = vec![
        piece.app_id.to_string().into(),
        piece.key.clone().into(),
        piece.name.clone().into(),
        json(piece)?.into(),
    ];
    execute(to, sql, values).await.map(drop)
}

//! Users.

use jiff::Timestamp;
use model::{Identity, Role, User, UserId};
use sea_orm::ConnectionTrait;

use crate::{
    Backend, Catalog, CatalogError,
    connection::Write,
    sql::{doc, execute, json, row, rows},
};

impl Catalog {
    /// Adds a user.
    pub async fn insert_user(&self, user: &User) -> Result<(), CatalogError> {
        let write = self.write().await?;
        self.lock_users(&write).await?;
        user_name_is_free(&write.tx, user).await?;
        identity_is_free(&write.tx, user).await?;
        let insert =
            "INSERT INTO user_account (id, name_key, version, doc) VALUES ($1, $2, $3, $4)";
        let values = vec![
            user.id.to_string().into(),
            user.name.as_str().to_lowercase().into(),
            user.version.into(),
            json(user)?.into(),
        ];
        execute(&write.tx, insert, values).await?;
        write.commit().await
    }

    /// Replaces a user that was read at `user.version`; gives it with its new version. Refused
    /// where no admin would be left.
    pub async fn update_user(&self, user: &User, now: Timestamp) -> Result<User, CatalogError> {
        let next = User { version: user.version + 1, updated_at: now, ..user.clone() };
        let write = self.write().await?;
        self.lock_users(&write).await?;
        user_name_is_free(&write.tx, user).await?;
        identity_is_free(&write.tx, user).await?;
        if user.role != Role::Admin {
            another_admin_is_left(&write.tx, user).await?;
        }
        let update = "UPDATE user_account SET name_key = $1, version = $2, doc = $3 WHERE id = $4 AND version = $5";
        let values = vec![
            next.name.as_str().to_lowercase().into(),
            next.version.into(),
            json(&next)?.into(),
            user.id.to_string().into(),
            user.version.into(),
        ];
        if execute(&write.tx, update, values).await?.rows_affected() == 0 {
            return Err(CatalogError::Stale { name: user.name.to_string() });
        }
        write.commit().await?;
        Ok(next)
    }

    /// Removes a user with their sessions. Refused for the last admin.
    pub async fn remove_user(&self, user: &User) -> Result<(), CatalogError> {
        let write = self.write().await?;
        self.lock_users(&write).await?;
        another_admin_is_left(&write.tx, user).await?;
        let id = user.id.to_string();
        execute(&write.tx, "DELETE FROM login_session WHERE user_id = $1", vec![id.clone().into()])
            .await?;
        let delete = "DELETE FROM user_account WHERE id = $1";
        if execute(&write.tx, delete, vec![id.into()]).await?.rows_affected() == 0 {
            return Err(CatalogError::not_found("user", &user.name));
        }
        write.commit().await
    }

    /// A user by id.
    pub async fn user(&self, id: UserId) -> Result<User, CatalogError> {
        let select = "SELECT doc FROM user_account WHERE id = $1";
        let found = row(&self.db, select, vec![id.to_string().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("user", id))?)
    }

    /// A user by name (without regard to case) or id.
    pub async fn user_by_name(&self, name: &str) -> Result<User, CatalogError> {
        let select = "SELECT doc FROM user_account WHERE name_key = $1 OR id = $1";
        let found = row(&self.db, select, vec![name.to_lowercase().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("user", name))?)
    }

    /// Who is linked with a login of another service.
    pub async fn user_by_identity(
        &self,
        identity: &Identity,
    ) -> Result<Option<User>, CatalogError> {
        let all = self.all_users().await?;
        Ok(all.into_iter().find(|user| user.identity.as_ref() == Some(identity)))
    }

    /// Every user, by name.
    pub async fn all_users(&self) -> Result<Vec<User>, CatalogError> {
        let select = "SELECT doc FROM user_account ORDER BY name_key";
        rows(&self.db, select, vec![]).await?.iter().map(doc).collect()
    }

    /// Two admins that demote each other at once must not both succeed.
    async fn lock_users(&self, write: &Write<'_>) -> Result<(), CatalogError> {
        if self.backend() == Backend::Postgres {
            let lock = "LOCK TABLE user_account IN SHARE ROW EXCLUSIVE MODE";
            execute(&write.tx, lock, vec![]).await?;
        }
        Ok(())
    }
}

async fn user_name_is_free<C: ConnectionTrait>(on: &C, user: &User) -> Result<(), CatalogError> {
    let select = "SELECT id FROM user_account WHERE name_key = $1 AND id <> $2";
    let values = vec![user.name.as_str().to_lowercase().into(), user.id.to_string().into()];
    match row(on, select, values).await? {
        Some(_) => Err(CatalogError::NameTaken { what: "user", name: user.name.to_string() }),
        None => Ok(()),
    }
}

/// Users are few, so that their documents are looked through.
async fn identity_is_free<C: ConnectionTrait>(on: &C, user: &User) -> Result<(), CatalogError> {
    if user.identity.is_none() {
        return Ok(());
    }
    for found in &rows(on, "SELECT doc FROM user_account", vec![]).await? {
        let other: User = doc(found)?;
        if other.id != user.id && other.identity == user.identity {
            return Err(CatalogError::IdentityTaken { by: other.name.to_string() });
        }
    }
    Ok(())
}

async fn another_admin_is_left<C: ConnectionTrait>(
    on: &C,
    user: &User,
) -> Result<(), CatalogError> {
    let all: Vec<User> = rows(on, "SELECT doc FROM user_account", vec![])
        .await?
        .iter()
        .map(doc)
        .collect::<Result<_, _>>()?;
    if all.iter().any(|one| one.role == Role::Admin && one.id != user.id) {
        return Ok(());
    }
    Err(CatalogError::LastAdmin { name: user.name.to_string() })
}

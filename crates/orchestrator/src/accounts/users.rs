//! Users: adding, changing, removing.

use catalog::CatalogError;
use engine::EngineError;
use model::{Name, Role, User, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Accounts, weakness};

/// A user as somebody describes them.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserDraft {
    /// Unique name.
    pub(crate) name: String,
    /// The first password.
    #[schema(value_type = String, write_only)]
    pub(crate) password: SecretString,
    /// What they may do.
    pub(crate) role: Role,
}

/// A change of a user; what is left out stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserEdit {
    /// What they may do.
    pub(crate) role: Option<Role>,
    /// A new password; it ends their sessions.
    #[schema(value_type = Option<String>, write_only)]
    pub(crate) password: Option<SecretString>,
}

impl Accounts {
    pub(crate) async fn add_user(&self, draft: UserDraft) -> Result<User, EngineError> {
        let name: Name = draft.name.parse().map_err(|error| EngineError::invalid("name", error))?;
        strong(&draft.password, &name)?;
        let password_hash = self.hash(draft.password).await;
        let now = self.0.engine.now();
        let user = User {
            id: self.0.engine.with_rng(|rng| UserId::generate(now, rng)),
            name,
            password_hash,
            role: draft.role,
            second_factor: None,
            unconfirmed_factor: None,
            identity: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        self.catalog().insert_user(&user).await?;
        Ok(user)
    }

    /// Changes role or password. A new password ends the user's sessions; a new role holds from
    /// their next request on.
    pub(crate) async fn edit_user(&self, name: &str, edit: UserEdit) -> Result<User, EngineError> {
        let mut user = self.catalog().user_by_name(name).await?;
        if let Some(password) = &edit.password {
            strong(password, &user.name)?;
        }
        if let Some(role) = edit.role {
            user = self.catalog().update_user(&User { role, ..user }, self.0.engine.now()).await?;
        }
        if let Some(password) = edit.password {
            user = self.set_password(user, password).await?;
        }
        Ok(user)
    }

    /// Removes a user; their sessions end, the tokens they made stay.
    pub(crate) async fn remove_user(&self, name: &str) -> Result<(), EngineError> {
        let user = self.catalog().user_by_name(name).await?;
        self.catalog().remove_user(&user).await?;
        self.forget_first_login(&user.name).await;
        Ok(())
    }

    pub(super) async fn set_password(
        &self,
        user: User,
        password: SecretString,
    ) -> Result<User, CatalogError> {
        let password_hash = self.hash(password).await;
        let next = User { password_hash, ..user };
        let user = self.catalog().update_user(&next, self.0.engine.now()).await?;
        self.catalog().end_sessions_of(user.id).await?;
        self.forget_first_login(&user.name).await;
        Ok(user)
    }
}

fn strong(password: &SecretString, user: &Name) -> Result<(), EngineError> {
    match weakness(password.expose_secret(), user.as_str()) {
        Some(weakness) => Err(EngineError::invalid("password", weakness)),
        None => Ok(()),
    }
}

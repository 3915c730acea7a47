//! The first user: from `.env`, or made at the first start and shown once.

use std::{
    io,
    path::{Path, PathBuf},
};

use model::{Name, Role};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Accounts, UserDraft, caller::THIS_MACHINE, readable};
use crate::settings::private_file;

const FILE: &str = "first-login.txt";
/// Twenty of them are 99 bits.
const LEN: usize = 20;

/// The first admin as `.env` describes them. It is read at the first start only: from then on
/// the catalog decides, and a changed password stays changed.
#[derive(Debug)]
pub(crate) struct FirstUser {
    pub(crate) name: Name,
    pub(crate) password: Option<SecretString>,
}

/// A login that was made here, to be shown once.
#[derive(Debug)]
pub(crate) struct FirstLogin {
    pub(crate) user: Name,
    pub(crate) password: SecretString,
    pub(crate) file: PathBuf,
}

pub(super) fn file(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

impl Accounts {
    /// Adds the first user where there is none. Gives the login where its password was made here.
    pub(crate) async fn add_first_user(
        &self,
        first: &FirstUser,
        address: &str,
    ) -> anyhow::Result<Option<FirstLogin>> {
        if !self.catalog().all_users().await?.is_empty() {
            return Ok(None);
        }
        let made = match &first.password {
            Some(_) => None,
            None => Some(self.make_login(&first.name, address)?),
        };
        let password = made.as_ref().map(|made| made.password.clone()).or(first.password.clone());
        let draft = UserDraft {
            name: first.name.to_string(),
            password: password.unwrap_or_default(),
            role: Role::Admin,
        };
        if let Err(error) = self.add_user(draft).await {
            // Another orchestrator on the same catalog may have been faster.
            if self.catalog().all_users().await?.is_empty() {
                return Err(error.into());
            }
            if let Some(made) = made {
                std::fs::remove_file(made.file)?;
            }
            return Ok(None);
        }
        self.audit_by(THIS_MACHINE, "", "user.add", first.name.as_str(), "the first start").await;
        Ok(made)
    }

    /// In the file first: a password that only a hash knows opens nothing.
    fn make_login(&self, user: &Name, address: &str) -> anyhow::Result<FirstLogin> {
        let password = self.0.engine.with_rng(|rng| readable(rng, LEN));
        let file = self.0.first_login.clone();
        // A start that ended before it had added the user.
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        private_file(&file, || {
            format!(
                "address:  {address}\nuser:     {user}\npassword: {password}\n\
                 This file goes away with the first login.\n"
            )
        })?;
        Ok(FirstLogin { user: user.clone(), password: password.into(), file })
    }

    /// Removes the file with the first login once `user`, whose it is, needs it no more.
    /// Whether the login that was made at the first start has not been used yet.
    pub(crate) fn waits_for_first_login(&self) -> bool {
        self.0.first_login.exists()
    }

    pub(super) async fn forget_first_login(&self, user: &Name) {
        let file = &self.0.first_login;
        let Ok(text) = tokio::fs::read_to_string(file).await else { return };
        let is_theirs = text
            .lines()
            .filter_map(|line| line.strip_prefix("user:"))
            .any(|name| name.trim().eq_ignore_ascii_case(user.as_str()));
        if is_theirs && let Err(error) = tokio::fs::remove_file(file).await {
            tracing::warn!("{}: {error}: remove it, it holds a password", file.display());
        }
    }
}

impl FirstLogin {
    /// What a person needs, for the terminal and nowhere else.
    pub(crate) fn told(&self, address: &str) -> String {
        format!(
            "\n  first login: {address}\n  user:        {}\n  password:    {}\n  \
             (also in {}, until the first login)\n",
            self.user,
            self.password.expose_secret(),
            self.file.display()
        )
    }
}

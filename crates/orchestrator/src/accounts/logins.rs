//! Logins: passwords, codes, and why they are refused.

use std::{net::IpAddr, time::Duration};

use catalog::CatalogError;
use engine::vault::VaultError;
use model::{Fact, Role, User};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Accounts, Caller, Visitor, sessions::LoggedIn};

/// What proved who somebody is.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    Password,
    /// The password and a recovery code; so many are left.
    RecoveryCode(usize),
    /// Another service.
    Provider,
}

/// Why a login was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginRefused {
    /// One text for an unknown user and for a wrong password.
    #[error("user or password is wrong")]
    Wrong,
    /// The password is right; for [`super::half_cookie`].
    #[error("a code of the second factor is needed")]
    CodeNeeded(SecretString),
    #[error("the code is wrong or was used already: wait for the next one")]
    WrongCode,
    #[error("only administrators log in by password here: log in through the other service")]
    NotByPassword,
    #[error("too much time has passed since the password: log in again")]
    Stale,
    #[error("too many failed logins: wait {} minutes", .0.as_secs().div_ceil(60))]
    TooMany(Duration),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Accounts {
    /// Checks a password, and a code where the user has a second factor, and begins a session;
    /// `earlier`, the session of the same browser, ends.
    pub(crate) async fn login(
        &self,
        name: &str,
        password: SecretString,
        code: Option<&str>,
        visitor: Visitor,
        earlier: Option<&Caller>,
    ) -> Result<LoggedIn, LoginRefused> {
        let (user, right) = self.check(name, password, visitor.address).await?;
        let user = match user {
            Some(user) if right => user,
            user => {
                // A name that nobody has may be a password in the wrong field.
                let who = user.as_ref().map_or("unknown user", |user| user.name.as_str());
                self.login_failed(who, visitor, "").await;
                return Err(LoginRefused::Wrong);
            }
        };
        if user.role != Role::Admin && self.rules().await?.only_admins_by_password {
            self.0.throttle.undo(name, visitor.address);
            return Err(LoginRefused::NotByPassword);
        }
        match code {
            Some(code) if user.second_factor.is_some() => {
                self.login_with_code(user, code, visitor, earlier).await
            }
            _ if user.second_factor.is_some() => {
                self.0.throttle.undo(name, visitor.address);
                Err(LoginRefused::CodeNeeded(self.half_login(&user)?))
            }
            _ => {
                self.0.throttle.succeeded(name, visitor.address);
                Ok(self.logged_in(user, By::Password, visitor, earlier).await?)
            }
        }
    }

    /// The login's second half; its attempt is counted already.
    pub(super) async fn login_with_code(
        &self,
        user: User,
        code: &str,
        visitor: Visitor,
        earlier: Option<&Caller>,
    ) -> Result<LoggedIn, LoginRefused> {
        let name = user.name.to_string();
        let accepted = match self.accept(user, code).await {
            Ok(accepted) => accepted,
            Err(error) => {
                if matches!(error, LoginRefused::WrongCode) {
                    self.login_failed(&name, visitor, "second factor").await;
                }
                return Err(error);
            }
        };
        self.0.throttle.succeeded(&name, visitor.address);
        let by = accepted.recovery_left.map_or(By::Password, By::RecoveryCode);
        Ok(self.logged_in(accepted.user, by, visitor, earlier).await?)
    }

    /// Begins the session of somebody who has proven who they are.
    pub(super) async fn logged_in(
        &self,
        user: User,
        by: By,
        visitor: Visitor,
        earlier: Option<&Caller>,
    ) -> Result<LoggedIn, CatalogError> {
        if let Some(earlier) = earlier {
            self.end_session_of(earlier).await?;
        }
        let logged_in = self.begin_session(user, by, visitor).await?;
        let (name, from) = (logged_in.user.name.as_str(), visitor.address.to_string());
        let detail = match by {
            By::Password => String::new(),
            By::RecoveryCode(left) => format!("by a recovery code, {left} left"),
            By::Provider => "by the service that logs people in".to_owned(),
        };
        self.audit_by(name, &from, "login", name, &detail).await;
        self.forget_first_login(&logged_in.user.name).await;
        Ok(logged_in)
    }

    async fn login_failed(&self, who: &str, visitor: Visitor, detail: &str) {
        let from = visitor.address.to_string();
        self.audit_by(who, &from, "login.failed", who, detail).await;
    }

    /// Changes the caller's own password. All their sessions end; the new one is for the browser
    /// that asked.
    pub(crate) async fn change_own_password(
        &self,
        caller: &Caller,
        present: SecretString,
        new: SecretString,
    ) -> Result<LoggedIn, ChangeRefused> {
        let (user, right) = self.check(&caller.name, present, caller.visitor.address).await?;
        let Some(user) = user.filter(|_| right) else { return Err(LoginRefused::Wrong.into()) };
        self.password_was_right(&user, caller.visitor.address);
        if let Some(weakness) = super::weakness(new.expose_secret(), user.name.as_str()) {
            return Err(ChangeRefused::Weak(Box::new(weakness)));
        }
        let user = self.set_password(user, new).await?;
        self.audit(caller, "user.password", user.name.as_str(), "").await;
        Ok(self.begin_session(user, By::Password, caller.visitor).await?)
    }

    /// Checks a password. The attempt stays counted as a failure until somebody says otherwise.
    pub(super) async fn check(
        &self,
        name: &str,
        password: SecretString,
        from: IpAddr,
    ) -> Result<(Option<User>, bool), LoginRefused> {
        let throttle = &self.0.throttle;
        throttle.attempt(self.0.engine.now(), name, from).map_err(LoginRefused::TooMany)?;
        let user = match self.catalog().user_by_name(name).await {
            Ok(user) => Some(user),
            Err(CatalogError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let right = self.0.passwords.verify(password, hash).await;
        Ok((user, right))
    }

    /// Takes an attempt back that only a password was asked for. Where there is a second factor,
    /// wrong codes stay counted: a known password must not buy more guesses.
    pub(super) fn password_was_right(&self, user: &User, from: IpAddr) {
        if user.second_factor.is_some() {
            self.0.throttle.undo(user.name.as_str(), from);
        } else {
            self.0.throttle.succeeded(user.name.as_str(), from);
        }
    }
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeRefused {
    #[error(transparent)]
    Login(#[from] LoginRefused),
    #[error("{0}")]
    Weak(Box<Fact>),
}

impl From<CatalogError> for ChangeRefused {
    fn from(error: CatalogError) -> Self {
        Self::Login(error.into())
    }
}

//! Second factors: set up, confirmed, asked for, ended.

use catalog::CatalogError;
use engine::vault::{Purpose, VaultError};
use model::{SecondFactor, User};
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Accounts, Caller, CallerKind, LoginRefused, readable, sha256, totp};

/// How many recovery codes somebody gets.
const RECOVERY_CODES: usize = 10;
/// Four groups of four characters are 79 bits: enough for a digest without a salt.
const GROUPS: usize = 4;

/// A second factor that waits for its first code.
pub(crate) struct Enrolment {
    /// What is typed into an app, where no picture can be read.
    pub(crate) secret: SecretString,
    /// What the picture holds.
    pub(crate) uri: SecretString,
}

/// Why a second factor was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FactorRefused {
    #[error(transparent)]
    Login(#[from] LoginRefused),
    #[error("only a user who is logged in has a second factor")]
    NoUser,
    #[error("there is a second factor already: end it first")]
    There,
    #[error("there is no second factor")]
    None,
    #[error("begin first: there is no secret that waits for its first code")]
    NotBegun,
}

impl From<CatalogError> for FactorRefused {
    fn from(error: CatalogError) -> Self {
        Self::Login(error.into())
    }
}

impl From<VaultError> for FactorRefused {
    fn from(error: VaultError) -> Self {
        Self::Login(error.into())
    }
}

/// What a code was, once it was accepted.
pub(super) struct Accepted {
    pub(super) user: User,
    /// How many recovery codes are left, where this was one.
    pub(super) recovery_left: Option<usize>,
}

impl Accounts {
    /// Makes a secret for the caller's second factor. Nothing asks for it before
    /// [`Self::confirm_factor`]; one that waited already is forgotten.
    pub(crate) async fn begin_factor(
        &self,
        caller: &Caller,
        password: SecretString,
    ) -> Result<Enrolment, FactorRefused> {
        let user = self.proven(caller, password).await?;
        self.password_was_right(&user, caller.visitor.address);
        if user.second_factor.is_some() {
            return Err(FactorRefused::There);
        }
        let sealed = self.0.engine.with_rng(|rng| {
            let secret = hex::encode(rng.random::<[u8; totp::SECRET_LEN]>());
            self.0.engine.vault().seal(Purpose::Totp, &secret.into(), rng)
        });
        let user = self.keep(User { unconfirmed_factor: Some(sealed), ..user }).await?;
        self.enrolment(&user)?.ok_or(FactorRefused::NotBegun)
    }

    /// The secret that waits for the caller's first code, to be shown again.
    pub(crate) async fn waiting_factor(
        &self,
        caller: &Caller,
    ) -> Result<Option<Enrolment>, FactorRefused> {
        self.enrolment(&self.user_of(caller).await?)
    }

    fn enrolment(&self, user: &User) -> Result<Option<Enrolment>, FactorRefused> {
        let Some(sealed) = &user.unconfirmed_factor else { return Ok(None) };
        let secret = self.opened(sealed)?;
        Ok(Some(Enrolment {
            secret: totp::base32(&secret).into(),
            uri: totp::uri(&secret, user.name.as_str()).into(),
        }))
    }

    /// Turns the caller's second factor on by its first code. The recovery codes are told now and
    /// never again.
    pub(crate) async fn confirm_factor(
        &self,
        caller: &Caller,
        code: &str,
    ) -> Result<Vec<SecretString>, FactorRefused> {
        let user = self.user_of(caller).await?;
        if user.second_factor.is_some() {
            return Err(FactorRefused::There);
        }
        let sealed = user.unconfirmed_factor.clone().ok_or(FactorRefused::NotBegun)?;
        let now = self.0.engine.now();
        let last_step = totp::accepted(&self.opened(&sealed)?, &plain(code), now, None)
            .ok_or(LoginRefused::WrongCode)?;
        let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| self.recovery_code()).collect();
        let factor = SecondFactor {
            secret: sealed,
            since: now,
            last_step,
            recovery_sha256: codes.iter().map(|code| sha256(&plain(code))).collect(),
        };
        self.keep(User { second_factor: Some(factor), unconfirmed_factor: None, ..user }).await?;
        self.audit(caller, "user.second-factor.on", &caller.name, "").await;
        Ok(codes.into_iter().map(SecretString::from).collect())
    }

    /// Ends the caller's own second factor.
    pub(crate) async fn end_factor(
        &self,
        caller: &Caller,
        password: SecretString,
        code: &str,
    ) -> Result<(), FactorRefused> {
        let user = self.proven(caller, password).await?;
        if user.second_factor.is_none() {
            self.password_was_right(&user, caller.visitor.address);
            return Err(FactorRefused::None);
        }
        let Accepted { user, .. } = self.accept(user, code).await?;
        self.0.throttle.succeeded(&caller.name, caller.visitor.address);
        self.keep(User { second_factor: None, ..user }).await?;
        self.audit(caller, "user.second-factor.off", &caller.name, "").await;
        Ok(())
    }

    /// Ends the second factor of somebody who has lost it; their sessions end.
    pub(crate) async fn reset_factor(&self, name: &str) -> Result<User, CatalogError> {
        let user = self.catalog().user_by_name(name).await?;
        let next = User { second_factor: None, unconfirmed_factor: None, ..user };
        let user = self.catalog().update_user(&next, self.0.engine.now()).await?;
        self.catalog().end_sessions_of(user.id).await?;
        Ok(user)
    }

    /// Uses a code up: one by time, or a recovery code. The caller counts the attempt.
    pub(super) async fn accept(&self, user: User, code: &str) -> Result<Accepted, LoginRefused> {
        let Some(mut factor) = user.second_factor.clone() else {
            return Err(LoginRefused::WrongCode);
        };
        let typed = plain(code);
        let mut recovery_left = None;
        if totp::is_code(&typed) {
            let (secret, last) = (self.opened(&factor.secret)?, Some(factor.last_step));
            factor.last_step = totp::accepted(&secret, &typed, self.0.engine.now(), last)
                .ok_or(LoginRefused::WrongCode)?;
        } else {
            let digest = sha256(&typed);
            let at = factor.recovery_sha256.iter().position(|one| *one == digest);
            factor.recovery_sha256.remove(at.ok_or(LoginRefused::WrongCode)?);
            recovery_left = Some(factor.recovery_sha256.len());
        }
        match self.keep(User { second_factor: Some(factor), ..user }).await {
            Ok(user) => Ok(Accepted { user, recovery_left }),
            // Somebody else has used this very code meanwhile, or the user was changed.
            Err(CatalogError::Stale { .. }) => Err(LoginRefused::WrongCode),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a user whose factors changed: neither role nor password did.
    async fn keep(&self, user: User) -> Result<User, CatalogError> {
        let changed_at = user.updated_at;
        self.catalog().update_user(&user, changed_at).await
    }

    async fn user_of(&self, caller: &Caller) -> Result<User, FactorRefused> {
        match caller.kind {
            CallerKind::Session { user, .. } => Ok(self.catalog().user(user).await?),
            CallerKind::Token(_) | CallerKind::Local => Err(FactorRefused::NoUser),
        }
    }

    /// The caller's user, once the password was right. The attempt stays counted.
    async fn proven(&self, caller: &Caller, password: SecretString) -> Result<User, FactorRefused> {
        self.user_of(caller).await?;
        let (user, right) = self.check(&caller.name, password, caller.visitor.address).await?;
        Ok(user.filter(|_| right).ok_or(LoginRefused::Wrong)?)
    }

    fn opened(&self, sealed: &model::SealedSecret) -> Result<Vec<u8>, VaultError> {
        let text = self.0.engine.vault().open(Purpose::Totp, sealed)?;
        hex::decode(text.expose_secret()).map_err(|_| VaultError)
    }

    fn recovery_code(&self) -> String {
        let text = self.0.engine.with_rng(|rng| readable(rng, GROUPS * 4));
        let groups: Vec<_> = (0..GROUPS).map(|at| &text[at * 4..at * 4 + 4]).collect();
        groups.join("-")
    }
}

/// A code without what people put between its signs.
fn plain(code: &str) -> String {
    let signs = code.chars().filter(|c| !c.is_whitespace() && *c != '-').take(64);
    signs.flat_map(char::to_lowercase).collect()
}

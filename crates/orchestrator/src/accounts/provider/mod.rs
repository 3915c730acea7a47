//! Logging in through another service (`OpenID` Connect): who comes, and who they are here.

mod exchange;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use catalog::CatalogError;
use engine::{
    EngineError,
    vault::{Purpose, VaultError},
};
use jiff::{SignedDuration, Timestamp};
use model::{Identity, Name, Role, SealedSecret, SessionId, User, UserId};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use super::{
    Accounts, Caller, CallerKind, Visitor,
    cookies::{cookie, cookie_in},
    half_login::in_time,
    logins::By,
    sessions::LoggedIn,
    sha256,
};
use exchange::{Proven, Secrets, Service};

/// How long somebody may take at the service.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
const COOKIE: &str = "oidc";
/// Most talks with the service at once: anybody can begin one.
pub(super) const AT_ONCE: usize = 8;
/// Most names that are tried for a new user.
const MAX_NAMES: usize = 50;

/// Why a login through the service came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderRefused {
    #[error("no service that logs people in is set up (OIDC_ISSUER)")]
    Off,
    #[error("this answer belongs to no question of this browser, or is too late: begin again")]
    Stale,
    #[error("the service says: {0}")]
    Said(String),
    #[error("the service cannot be asked: {0}")]
    Unreachable(String),
    #[error("what the service says of you cannot be trusted: its ID token is refused: {0}")]
    Wrong(String),
    #[error("the service gives you no role here")]
    NoRole,
    #[error("nobody here is linked with this login of the service")]
    Unknown,
    #[error("too many failed logins: wait {} minutes", .0.as_secs().div_ceil(60))]
    TooMany(Duration),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<CatalogError> for ProviderRefused {
    fn from(error: CatalogError) -> Self {
        Self::Engine(error.into())
    }
}

/// What a browser keeps while its user is at the service, sealed.
#[derive(Serialize, Deserialize)]
struct Question {
    state: String,
    nonce: String,
    verifier: String,
    at: Timestamp,
    /// Where to go afterwards.
    next: String,
    /// Whose account is to be linked; `None` is a login.
    link: Option<SessionId>,
}

/// Where to send a browser, and what it is to keep meanwhile.
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) cookie: HeaderValue,
}

/// What the service has answered.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) state: String,
    pub(crate) code: String,
    pub(crate) error: String,
    /// Who answers (RFC 9207).
    pub(crate) iss: String,
}

/// How it ended.
pub(crate) enum Answered {
    LoggedIn(Box<LoggedIn>, String),
    Linked,
}

impl Accounts {
    /// Whether there is a service that logs people in.
    pub(crate) fn has_provider(&self) -> bool {
        self.0.oidc.is_some()
    }

    /// The host of that service, for people.
    pub(crate) fn provider_host(&self) -> Option<String> {
        let issuer = url::Url::parse(&self.0.oidc.as_ref()?.issuer).ok()?;
        issuer.host_str().map(str::to_owned)
    }

    /// Begins a login, or with `link` the linking of the caller's own account.
    pub(crate) async fn ask_provider(
        &self,
        visitor: Visitor,
        next: &str,
        link: Option<&Caller>,
    ) -> Result<Asked, ProviderRefused> {
        let settings = self.0.oidc.as_ref().ok_or(ProviderRefused::Off)?;
        let link = match link.map(|caller| caller.kind) {
            Some(CallerKind::Session { session, .. }) => Some(session),
            Some(_) => return Err(ProviderRefused::Stale),
            None => None,
        };
        let question = Question {
            state: self.new_secret(),
            nonce: self.new_secret(),
            verifier: self.new_secret(),
            at: self.0.engine.now(),
            next: next.to_owned(),
            link,
        };
        let turn = self.0.provider_turns.acquire().await;
        let url = Service::find(settings).await?.question(&question.secrets());
        drop(turn);
        let text = serde_json::to_string(&question).map_err(CatalogError::from)?;
        let vault = self.0.engine.vault();
        let sealed =
            self.0.engine.with_rng(|rng| vault.seal(Purpose::ProviderLogin, &text.into(), rng));
        let cookie = cookie(COOKIE, sealed.ciphertext(), PATIENCE.as_secs(), visitor);
        Ok(Asked { url, cookie })
    }

    /// Makes an answer a login, or a link. What failed counts against the address.
    pub(crate) async fn provider_answered(
        &self,
        headers: &HeaderMap,
        answer: Answer,
        visitor: Visitor,
        caller: Option<&Caller>,
    ) -> Result<Answered, ProviderRefused> {
        let now = self.0.engine.now();
        let question = self.question(headers, visitor, now).ok_or(ProviderRefused::Stale)?;
        if sha256(&question.state) != sha256(&answer.state) {
            return Err(ProviderRefused::Stale);
        }
        let linking = Self::linking(&question, caller)?;
        let settings = self.0.oidc.as_ref().ok_or(ProviderRefused::Off)?;
        if !answer.iss.is_empty() && answer.iss != settings.issuer {
            return Err(ProviderRefused::Wrong("another service answers".to_owned()));
        }
        if !answer.error.is_empty() || answer.code.is_empty() {
            let said = answer.error.chars().filter(|c| !c.is_control()).take(100).collect();
            return Err(ProviderRefused::Said(said));
        }
        self.0.throttle.attempt(now, "", visitor.address).map_err(ProviderRefused::TooMany)?;
        let _turn = self.0.provider_turns.acquire().await;
        let service = Service::find(settings).await?;
        let person = service.person(answer.code.into(), &question.secrets(), now).await;
        let outcome = match person {
            Ok(person) => self.person_came(person, question, visitor, caller, linking).await,
            Err(refused) => Err(refused),
        };
        match &outcome {
            Ok(_) => self.0.throttle.succeeded("", visitor.address),
            Err(refused) => {
                let from = visitor.address.to_string();
                let detail = refused.to_string();
                self.audit_by("unknown user", &from, "login.failed", "", &detail).await;
            }
        }
        outcome
    }

    fn question(&self, headers: &HeaderMap, visitor: Visitor, now: Timestamp) -> Option<Question> {
        let sealed = cookie_in(headers, COOKIE, visitor)?;
        let sealed = SealedSecret::from_ciphertext(sealed.expose_secret().to_owned());
        let text = self.0.engine.vault().open(Purpose::ProviderLogin, &sealed).ok()?;
        let question: Question = serde_json::from_str(text.expose_secret()).ok()?;
        in_time(question.at, now, PATIENCE).then_some(question)
    }

    /// The caller whose account a question is to link: only whoever began it, still logged in.
    fn linking<'a>(
        question: &Question,
        caller: Option<&'a Caller>,
    ) -> Result<Option<&'a Caller>, ProviderRefused> {
        let Some(session) = question.link else { return Ok(None) };
        let began = |caller: &&Caller| matches!(caller.kind, CallerKind::Session { session: own, .. } if own == session);
        caller.filter(began).map(Some).ok_or(ProviderRefused::Stale)
    }

    async fn person_came(
        &self,
        person: Proven,
        question: Question,
        visitor: Visitor,
        caller: Option<&Caller>,
        linking: Option<&Caller>,
    ) -> Result<Answered, ProviderRefused> {
        let settings = self.0.oidc.as_ref().ok_or(ProviderRefused::Off)?;
        let subject = person.subject.clone();
        let identity = Identity { issuer: settings.issuer.clone(), subject };
        if let Some(caller) = linking {
            if let CallerKind::Session { user, .. } = caller.kind {
                self.link(user, Some(identity)).await?;
                self.audit(caller, "user.link", &caller.name, "").await;
            }
            return Ok(Answered::Linked);
        }
        let role = match &settings.role_claim {
            Some(_) => Some(self.role(&person.roles).ok_or(ProviderRefused::NoRole)?),
            None => None,
        };
        let user = match self.catalog().user_by_identity(&identity).await? {
            Some(user) => self.follow_role(user, role).await?,
            None if settings.auto_create => self.newcomer(&person, identity, role).await?,
            None => return Err(ProviderRefused::Unknown),
        };
        let logged_in = self.logged_in(user, By::Provider, visitor, caller).await?;
        Ok(Answered::LoggedIn(Box::new(logged_in), question.next))
    }

    /// The highest role that somebody's groups mean.
    fn role(&self, groups: &[String]) -> Option<Role> {
        let known = self.0.oidc.iter().flat_map(|settings| &settings.roles);
        known.filter(|(group, _)| groups.contains(group)).map(|(_, role)| *role).max()
    }

    async fn follow_role(&self, user: User, role: Option<Role>) -> Result<User, CatalogError> {
        match role {
            Some(role) if role != user.role => {
                let (name, now) = (user.name.to_string(), self.0.engine.now());
                let user = self.catalog().update_user(&User { role, ..user }, now).await?;
                self.audit_by(&name, "", "user.edit", &name, &format!("the service says {role}"))
                    .await;
                Ok(user)
            }
            _ => Ok(user),
        }
    }

    /// Adds somebody who comes for the first time. A name that somebody has is theirs: it gets a
    /// number, never that account.
    async fn newcomer(
        &self,
        person: &Proven,
        identity: Identity,
        role: Option<Role>,
    ) -> Result<User, ProviderRefused> {
        // No password fits it.
        let password_hash = self.hash(self.new_secret().into()).await;
        let now = self.0.engine.now();
        let base = name_for(&person.names);
        for number in 1..=MAX_NAMES {
            let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            let Ok(name) = name.parse::<Name>() else { continue };
            let user = User {
                id: self.0.engine.with_rng(|rng| UserId::generate(now, rng)),
                name: name.clone(),
                password_hash: password_hash.clone(),
                role: role.unwrap_or(Role::Viewer),
                second_factor: None,
                unconfirmed_factor: None,
                identity: Some(identity.clone()),
                created_at: now,
                updated_at: now,
                version: 1,
            };
            match self.catalog().insert_user(&user).await {
                Ok(()) => {
                    let detail = format!("comes from {}", identity.issuer);
                    self.audit_by(name.as_str(), "", "user.add", name.as_str(), &detail).await;
                    return Ok(user);
                }
                Err(CatalogError::NameTaken { .. }) => {}
                // They came twice at once.
                Err(CatalogError::IdentityTaken { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.catalog().user_by_identity(&identity).await?.ok_or(ProviderRefused::Unknown)
    }

    /// Links a user with their login at the service, or with `None` unlinks them.
    async fn link(&self, user: UserId, identity: Option<Identity>) -> Result<User, CatalogError> {
        let user = self.catalog().user(user).await?;
        let now = self.0.engine.now();
        self.catalog().update_user(&User { identity, ..user }, now).await
    }

    /// Unlinks the caller's own account.
    pub(crate) async fn unlink_own(&self, caller: &Caller) -> Result<(), CatalogError> {
        if let CallerKind::Session { user, .. } = caller.kind {
            self.link(user, None).await?;
            self.audit(caller, "user.unlink", &caller.name, "").await;
        }
        Ok(())
    }

    /// Unlinks somebody; their sessions end.
    pub(crate) async fn unlink(&self, name: &str) -> Result<(), CatalogError> {
        let user = self.catalog().user_by_name(name).await?;
        self.link(user.id, None).await?;
        self.catalog().end_sessions_of(user.id).await
    }
}

impl Question {
    fn secrets(&self) -> Secrets<'_> {
        Secrets { state: &self.state, nonce: &self.nonce, verifier: &self.verifier }
    }
}

/// The `Set-Cookie` once a question has its answer.
pub(crate) fn cleared_question_cookie(visitor: Visitor) -> HeaderValue {
    cookie(COOKIE, "", 0, visitor)
}

/// A name for a newcomer, of what they are called at the service.
fn name_for(names: &[String]) -> String {
    names
        .iter()
        .map(|name| {
            // Of an address its first part.
            let name = name.split('@').next().unwrap_or_default();
            let signs = name
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') { c } else { '-' });
            let text: String = signs.take(model::name::MAX_LEN - 4).collect();
            let text = text.replace("..", ".");
            text.trim_matches(['-', '_', '.']).to_owned()
        })
        .find(|name| name.parse::<Name>().is_ok())
        .unwrap_or_else(|| "user".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_get_a_name_that_is_allowed() {
        let named = |names: &[&str]| {
            name_for(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(named(&["ana"]), "ana");
        assert_eq!(named(&["Ana María", "x@y"]), "Ana-Mar-a");
        assert_eq!(named(&["", "ana.b@example.com"]), "ana.b");
        assert_eq!(named(&["...", "¿?", "--"]), "user");
        assert!(named(&["a...b"]).parse::<Name>().is_ok());
        assert_eq!(named(&[&"x".repeat(300)]).len(), 60);
    }
}

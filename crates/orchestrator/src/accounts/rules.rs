//! What logins must fulfil, as administrators decide.

use catalog::CatalogError;
use engine::EngineError;
use model::{Fact, Role, Session, User};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Accounts, Caller, CallerKind};

const SETTING: &str = "login_rules";

/// What logins must fulfil.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct LoginRules {
    /// Administrators who log in by password must have a second factor; without one they may do
    /// nothing but set it up.
    pub(crate) admins_need_second_factor: bool,
    /// Only administrators log in by password, everybody else through the other service.
    pub(crate) only_admins_by_password: bool,
}

/// A change of these rules; what is left out stays.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulesEdit {
    /// Whether administrators must have a second factor.
    pub(crate) admins_need_second_factor: Option<bool>,
    /// Whether only administrators log in by password.
    pub(crate) only_admins_by_password: Option<bool>,
}

impl Accounts {
    pub(crate) async fn rules(&self) -> Result<LoginRules, CatalogError> {
        match self.catalog().setting(SETTING).await? {
            Some(text) => Ok(serde_json::from_str(&text)?),
            None => Ok(LoginRules::default()),
        }
    }

    /// Changes the rules. They hold from the next request on, for those who are logged in too.
    pub(crate) async fn edit_rules(
        &self,
        caller: &Caller,
        edit: RulesEdit,
    ) -> Result<LoginRules, EngineError> {
        let before = self.rules().await?;
        let mut rules = before;
        if let Some(need) = edit.admins_need_second_factor {
            rules.admins_need_second_factor = need;
        }
        if rules.admins_need_second_factor && !before.admins_need_second_factor {
            self.would_stay_in(caller, rules).await?;
        }
        if let Some(only) = edit.only_admins_by_password {
            if only && !rules.only_admins_by_password && !self.has_provider() {
                let advice = Fact::NoOtherLogin {};
                return Err(EngineError::invalid("only_admins_by_password", advice));
            }
            rules.only_admins_by_password = only;
        }
        let text = serde_json::to_string(&rules).map_err(CatalogError::from)?;
        self.catalog().set_setting(SETTING, &text).await?;
        Ok(rules)
    }

    /// Nobody shuts themselves out.
    async fn would_stay_in(&self, caller: &Caller, rules: LoginRules) -> Result<(), EngineError> {
        let CallerKind::Session { session, user } = caller.kind else { return Ok(()) };
        let user = self.catalog().user(user).await?;
        let session = self.catalog().session(session).await?;
        if rules.shut_out(&user, &session) {
            let advice = Fact::OwnFactorFirst {};
            return Err(EngineError::invalid("admins_need_second_factor", advice));
        }
        Ok(())
    }

    /// Whether a session may do nothing before its user has a second factor.
    pub(super) async fn needs_factor(
        &self,
        session: &Session,
        user: &User,
    ) -> Result<bool, CatalogError> {
        let strictest = LoginRules { admins_need_second_factor: true, ..LoginRules::default() };
        // Most callers are settled without a look at the rules.
        Ok(strictest.shut_out(user, session) && self.rules().await?.shut_out(user, session))
    }
}

impl LoginRules {
    /// Another service that logs people in asks for what it wants itself.
    fn shut_out(self, user: &User, session: &Session) -> bool {
        self.admins_need_second_factor
            && user.role == Role::Admin
            && user.second_factor.is_none()
            && !session.by_provider
    }
}

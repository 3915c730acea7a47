//! Who may do what: users with a role, programs with a token's scopes, and the audit log.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter};

use crate::{AppId, AuditId, Name, SealedSecret, SessionId, TokenId, UserId};

words! {
    /// What a user may do.
    #[derive(PartialOrd, Ord)]
    pub enum Role {
        /// Looks at everything; changes nothing, downloads nothing.
        Viewer,
        /// Also runs, verifies, cancels, pins, restores and downloads.
        Operator,
        /// Everything, users and tokens included.
        Admin,
    }
}

words! {
    /// What an API token may do.
    #[derive(PartialOrd, Ord)]
    pub enum Scope {
        /// Look at everything.
        Read,
        /// Look, run, verify, cancel and pin.
        Run,
        /// Look, restore and download.
        Restore,
        /// Everything.
        Admin,
        /// For an app's own deployment: start runs and follow them by their id. It lists,
        /// downloads, changes and deletes nothing.
        Append,
    }
}

/// What a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, Display)]
#[strum(serialize_all = "snake_case")]
pub enum Permission {
    /// Look at a run whose id one knows.
    Follow,
    /// Look at everything that is no secret.
    See,
    /// Back an app up now.
    Run,
    /// Verify, copy, cancel, pin, test.
    Operate,
    /// Restore and download artifacts.
    Download,
    /// Add, edit and remove apps and destinations; expire snapshots.
    Configure,
    /// Users, tokens and the audit log.
    Administer,
}

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u8);

impl Permissions {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// These and no others.
    pub fn of(all: &[Permission]) -> Self {
        Self(all.iter().fold(0, |set, one| set | 1 << (*one as u8)))
    }

    /// What a role allows.
    pub fn of_role(role: Role) -> Self {
        use Permission::{Administer, Configure, Download, Follow, Operate, Run, See};
        match role {
            Role::Viewer => Self::of(&[Follow, See]),
            Role::Operator => Self::of(&[Follow, See, Run, Operate, Download]),
            Role::Admin => Self::of(&[Follow, See, Run, Operate, Download, Configure, Administer]),
        }
    }

    /// What a token's scopes allow together.
    pub fn of_scopes(scopes: &[Scope]) -> Self {
        use Permission::{Download, Follow, Operate, Run, See};
        let each = scopes.iter().map(|scope| match scope {
            Scope::Read => Self::of(&[Follow, See]),
            Scope::Run => Self::of(&[Follow, See, Run, Operate]),
            Scope::Restore => Self::of(&[Follow, See, Download]),
            Scope::Admin => Self::of_role(Role::Admin),
            Scope::Append => Self::of(&[Follow, Run]),
        });
        each.fold(Self::NONE, |set, one| Self(set.0 | one.0))
    }

    /// Whether `one` is among them.
    pub fn allows(self, one: Permission) -> bool {
        self.0 & (1 << (one as u8)) != 0
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use strum::IntoEnumIterator as _;
        f.debug_set().entries(Permission::iter().filter(|one| self.allows(*one))).finish()
    }
}

/// A password's Argon2id hash in PHC text form. Not for replies, not for logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a PHC text.
    pub fn from_phc(text: String) -> Self {
        Self(text)
    }

    /// The PHC text, for the check and the catalog.
    pub fn phc(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// A user's second factor: codes by time (RFC 6238), and codes for the day the device is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactor {
    /// What codes are made from.
    pub secret: SealedSecret,
    /// Since when it is asked for.
    pub since: Timestamp,
    /// Time step of the last code that was accepted: neither it nor an earlier one is again.
    pub last_step: u64,
    /// SHA-256 of the recovery codes that are left, lower-case hex.
    pub recovery_sha256: Vec<String>,
}

/// Who a user is at another service (`OpenID` Connect). A name or an address there may change
/// hands; these two together do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The service.
    pub issuer: String,
    /// The person there.
    pub subject: String,
}

/// A person who can log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Identity; stays when the user is renamed.
    pub id: UserId,
    /// Unique among users, compared without case.
    pub name: Name,
    /// Checks the password.
    pub password_hash: PasswordHash,
    /// What the user may do.
    pub role: Role,
    /// What a login asks for beside the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_factor: Option<SecondFactor>,
    /// The secret of a second factor that no code has confirmed yet: no login asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed_factor: Option<SealedSecret>,
    /// Who the user is at the service that logs people in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// When the user was added.
    pub created_at: Timestamp,
    /// When role, name or password last changed.
    pub updated_at: Timestamp,
    /// Counts edits.
    pub version: i64,
}

/// A login. Its secret is in the browser's cookie alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Identity.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// SHA-256 of the cookie's secret, lower-case hex.
    pub secret_sha256: String,
    /// Address the login came from.
    pub from: String,
    /// The browser in short words, such as `Firefox, Linux`; empty where it is not known.
    #[serde(default)]
    pub browser: String,
    /// Whether another service has logged the user in, not a password.
    #[serde(default)]
    pub by_provider: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
}

/// A program's credential. Its secret is shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Identity.
    pub id: TokenId,
    /// Unique among tokens, compared without case.
    pub name: Name,
    /// SHA-256 of the secret, lower-case hex.
    pub secret_sha256: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The apps it is limited to, whatever becomes of them; none: it is for everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<AppId>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None` never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute; `None` never.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Identity.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// The user, `token NAME`, or `this machine`.
    pub who: String,
    /// Address it came from; empty for the program itself.
    pub from: String,
    /// What was done, for example `login`, `app.remove`.
    pub action: String,
    /// To what: a name or an identifier.
    pub target: String,
    /// More, without secrets.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn roles_grow_and_only_admins_administer() {
        for one in Permission::iter() {
            let allowed = |role| Permissions::of_role(role).allows(one);
            assert!(!allowed(Role::Viewer) || allowed(Role::Operator), "{one}");
            assert!(!allowed(Role::Operator) || allowed(Role::Admin), "{one}");
            assert!(allowed(Role::Admin), "{one}");
            assert!(!Permissions::NONE.allows(one));
        }
        assert!(!Permissions::of_role(Role::Operator).allows(Permission::Configure));
        assert!(!Permissions::of_role(Role::Viewer).allows(Permission::Download));
    }

    #[test]
    fn an_append_token_starts_runs_and_nothing_else() {
        let append = Permissions::of_scopes(&[Scope::Append]);
        let allowed: Vec<_> = Permission::iter().filter(|one| append.allows(*one)).collect();
        assert_eq!(allowed, [Permission::Follow, Permission::Run]);
        let both = Permissions::of_scopes(&[Scope::Append, Scope::Restore]);
        assert!(both.allows(Permission::Download) && !both.allows(Permission::Operate));
        assert_eq!(Permissions::of_scopes(&[]), Permissions::NONE);
    }

    #[test]
    fn documents_of_before_are_read() {
        let id = "01jd5k3m9x0000000000000000";
        let at = "2026-11-01T00:00:00Z";
        let user = serde_json::json!({
            "id": id, "name": "ana", "password_hash": "$argon2id$x", "role": "admin",
            "created_at": at, "updated_at": at, "version": 1,
        });
        let user: User = serde_json::from_value(user).unwrap();
        assert_eq!((user.second_factor, user.identity), (None, None));
        let token = serde_json::json!({
            "id": id, "name": "ci", "secret_sha256": "x", "scopes": ["run"], "created_by": "ana",
            "created_at": at, "expires_at": null,
        });
        let token: ApiToken = serde_json::from_value(token).unwrap();
        assert!(token.apps.is_empty() && token.last_used_at.is_none());
    }

    #[test]
    fn hashes_do_not_show() {
        let hash = PasswordHash::from_phc("$argon2id$canary".to_owned());
        assert!(!format!("{hash:?}").contains("canary"));
    }
}

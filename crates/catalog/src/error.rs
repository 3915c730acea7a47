//! What the catalog can refuse.

use model::Told;
use sea_orm::DbErr;

/// The catalog could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// No such row.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A name is taken.
    #[error("there is a {what} called `{name}` already: choose another name")]
    NameTaken {
        /// Kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Somebody else edited it meanwhile.
    #[error(
        "`{name}` was changed by somebody else meanwhile: look at it again, then repeat the change"
    )]
    Stale {
        /// What was to be changed.
        name: String,
    },
    /// It cannot go or change while it is used.
    #[error("`{name}` is used by {by}")]
    InUse {
        /// What was to be changed.
        name: String,
        /// Who uses it.
        by: Told,
    },
    /// Nobody could administer any more.
    #[error("`{name}` is the last admin: make another user an admin first")]
    LastAdmin {
        /// Who was to be removed or demoted.
        name: String,
    },
    /// A login of another service belongs to one user.
    #[error("this login of the other service is linked with `{by}` already: unlink it there first")]
    IdentityTaken {
        /// Who has it.
        by: String,
    },
    /// The caller no longer holds the run.
    #[error("run {run} is not, or no longer, held by this worker")]
    LeaseLost {
        /// The run.
        run: String,
    },
    /// A run cannot go from where it is to where it was told to.
    #[error("a run that is {from} cannot become {to}")]
    Transition {
        /// Where it is.
        from: String,
        /// Where it was to go.
        to: String,
    },
    /// Busy, out of reach, or out of room.
    #[error("the catalog cannot be used now: {0}; check its database and the room on its disk")]
    Unavailable(String),
    /// The file is not a database, or damaged.
    #[error("the catalog is damaged: {0}; keep the file and rebuild it from the destinations")]
    Corrupt(String),
    /// Written by a newer version.
    #[error("the catalog has version {found}, this program knows {known}: start the newer program")]
    Newer {
        /// Its version.
        found: i64,
        /// The newest known one.
        known: i64,
    },
}

impl CatalogError {
    /// Whether the same call may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }
}

impl From<DbErr> for CatalogError {
    fn from(error: DbErr) -> Self {
        let text = error.to_string();
        if text.contains("malformed") || text.contains("not a database") {
            Self::Corrupt(text)
        } else {
            Self::Unavailable(text)
        }
    }
}

impl From<serde_json::Error> for CatalogError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

//! Errors of the engine's operations.

use catalog::CatalogError;

use crate::vault::VaultError;

/// One field of what a user sent that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// The field, as the API names it (`destinations[0].folder`).
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl FieldError {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, message: impl ToString) -> Self {
        Self { field: field.into(), message: message.to_string() }
    }
}

/// An operation could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// What was sent cannot be accepted.
    #[error("{}", join(.0))]
    Invalid(Vec<FieldError>),
    /// It clashes with what is there.
    #[error("{0}")]
    Conflict(String),
    /// Refused to keep data safe.
    #[error("{0}")]
    Refused(String),
    /// A stored secret cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A destination's fault.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A snapshot is encrypted and the key that opens it is not here.
    #[error("{0}")]
    Locked(String),
    /// The bytes of a snapshot are not what they should be.
    #[error("{0}")]
    Damaged(String),
    /// The catalog's fault.
    #[error(transparent)]
    Catalog(CatalogError),
}

impl From<CatalogError> for EngineError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound { what, name } => Self::NotFound { what, name },
            other => Self::Catalog(other),
        }
    }
}

impl EngineError {
    /// An [`EngineError::Invalid`] about one field.
    pub fn invalid(field: impl Into<String>, message: impl ToString) -> Self {
        Self::Invalid(vec![FieldError::new(field, message)])
    }

    /// Nothing called `name` among `what`.
    pub fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }

    /// Whether trying again without a change can help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Catalog(error) => error.is_retryable(),
            _ => false,
        }
    }
}

fn join(errors: &[FieldError]) -> String {
    let lines: Vec<_> = errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect();
    lines.join("; ")
}

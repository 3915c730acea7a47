//! Errors of the engine's operations.

use catalog::CatalogError;
use model::{Fact, Sentence, Told};

use crate::{run::failure, vault::VaultError};

/// One field of what a user sent that cannot be accepted.
// What is wrong is a fact, never text alone, so that it can be told in every language.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// The field, as the API names it (`destinations[0].folder`).
    pub field: String,
    /// What is wrong and what would be right, in English.
    message: String,
    /// The same without its language.
    fact: Box<Fact>,
}

impl FieldError {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, wrong: impl Into<Fact>) -> Self {
        let fact = wrong.into();
        Self { field: field.into(), message: fact.to_string(), fact: Box::new(fact) }
    }

    /// What is wrong, in English.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What is wrong, without its language.
    pub fn fact(&self) -> &Fact {
        &self.fact
    }

    /// What is wrong, in English and without its language.
    pub fn sentence(&self) -> Sentence {
        Fact::clone(&self.fact).into()
    }

    /// The same about another field.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        Self { field: field.into(), ..self }
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
    Conflict(Told),
    /// Refused to keep data safe.
    #[error("{0}")]
    Refused(Told),
    /// A stored secret cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A destination's fault.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A snapshot is encrypted and the key that opens it is not here.
    #[error("{0}")]
    Locked(Told),
    /// The bytes of a snapshot are not what they should be.
    #[error("{0}")]
    Damaged(Told),
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
    pub fn invalid(field: impl Into<String>, wrong: impl Into<Fact>) -> Self {
        Self::Invalid(vec![FieldError::new(field, wrong)])
    }

    /// It clashes with what is there.
    pub fn conflict(why: impl Into<Told>) -> Self {
        Self::Conflict(why.into())
    }

    /// Refused to keep data safe.
    pub fn refused(why: impl Into<Told>) -> Self {
        Self::Refused(why.into())
    }

    /// Encrypted, and the key is not here.
    pub fn locked(why: impl Into<Told>) -> Self {
        Self::Locked(why.into())
    }

    /// Other bytes than they should be.
    pub fn damaged(why: impl Into<Told>) -> Self {
        Self::Damaged(why.into())
    }

    /// What went wrong, without its language where it is a sentence of ours with a code.
    pub fn sentence(&self) -> Sentence {
        failure::of_engine(self).into()
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

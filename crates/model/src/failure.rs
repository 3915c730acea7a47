//! Why a run did not succeed, in a form that can be stored, translated and acted on.

use serde::{Deserialize, Serialize};

use crate::{Fact, Sentence, Told};

/// One failure: what failed, on what, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// Stable code, for translations, alerts and scripts.
    pub code: FailureCode,
    /// What happened, in one English sentence without secrets.
    pub message: String,
    /// Whether trying again without a change can help.
    pub retryable: bool,
    /// The same without its language, where it is a sentence of ours with a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Box<Fact>>,
}

impl Failure {
    /// A failure with its code's own answer to "can trying again help".
    pub fn new(code: FailureCode, message: impl Into<Sentence>) -> Self {
        let Sentence { message, fact } = message.into();
        Self { code, message, retryable: code.is_retryable(), fact: fact.map(Box::new) }
    }

    /// This failure, and another after it.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.told_in(|first| Fact::Also { first, then: other.into() })
    }

    /// The same failure in words that no fact has.
    #[must_use]
    pub fn reworded(self, message: impl FnOnce(&str) -> String) -> Self {
        Self { message: message(&self.message), fact: None, ..self }
    }

    /// The same failure in another sentence, which has this one in it.
    #[must_use]
    pub fn told_in(self, sentence: impl FnOnce(Told) -> Fact) -> Self {
        let (code, retryable) = (self.code, self.retryable);
        Self { retryable, ..Self::new(code, sentence(self.into())) }
    }
}

words! {
    /// Kinds of failure a user can act on.
    pub enum FailureCode {
        /// The source could not be reached (name, network, connection).
        SourceUnreachable,
        /// The source refused the token.
        SourceUnauthorized,
        /// The source answered outside the contract.
        SourceProtocol,
        /// The source said that its export failed.
        SourceFailed,
        /// The source is busy with another export.
        SourceBusy,
        /// The stream ended before its end.
        SourceTruncated,
        /// Size or checksum differ from what the source declared.
        SourceMismatch,
        /// The bytes are not of the declared format.
        SourceFormat,
        /// The export was empty.
        SourceEmpty,
        /// The export is larger than allowed.
        SourceTooLarge,
        /// The source's settings are wrong, or what they name is not there (a program, a database,
        /// a volume).
        SourceConfig,
        /// A deadline passed.
        Timeout,
        /// The address is not allowed.
        AddressRefused,
        /// The destination is full.
        DestinationFull,
        /// The destination could not be reached or refused for now.
        DestinationUnavailable,
        /// The destination refused permission.
        DestinationDenied,
        /// What the destination holds differs from what was sent.
        DestinationMismatch,
        /// The destination's settings are wrong.
        DestinationConfig,
        /// The app or destination was changed or removed so that the run has no meaning.
        ConfigurationChanged,
        /// A stored secret cannot be opened with the present `APP_SECRET_KEY`.
        SecretUnreadable,
        /// The bytes at the destination are damaged.
        Damaged,
        /// The objects are not at the destination.
        Missing,
        /// The catalog could not record the outcome.
        Catalog,
        /// The process that ran it ended.
        Interrupted,
        /// Somebody cancelled it.
        Cancelled,
        /// A restore cannot begin or go on as asked: something is in its way.
        RestoreRefused,
        /// A drill found that what came back is not what it should be.
        DrillFailed,
        /// A rule of retention safety refused.
        RetentionRefused,
        /// A fault of our own.
        Internal,
    }
}

impl FailureCode {
    /// Whether trying again without a change can help.
    pub fn is_retryable(self) -> bool {
        use FailureCode as C;
        matches!(
            self,
            C::SourceUnreachable
                | C::SourceFailed
                | C::SourceBusy
                | C::SourceTruncated
                | C::SourceMismatch
                | C::Timeout
                | C::DestinationUnavailable
                | C::DestinationMismatch
                | C::Catalog
                | C::Interrupted
        )
    }
}

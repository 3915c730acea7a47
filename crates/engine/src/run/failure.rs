//! Errors of the parts below, told as failures of a run.

use catalog::CatalogError;
use contract::ContractError;
use model::{Failure, FailureCode};
use store::{StoreError, StoreErrorKind};

use crate::EngineError;

pub(crate) fn of_catalog(error: &CatalogError) -> Failure {
    let code = match error {
        CatalogError::LeaseLost { .. } => FailureCode::Interrupted,
        _ => FailureCode::Catalog,
    };
    Failure { code, message: error.to_string(), retryable: error.is_retryable(), fact: None }
}

pub(crate) fn of_store(error: &StoreError) -> Failure {
    use StoreErrorKind as K;
    let code = match error.kind() {
        K::Full => FailureCode::DestinationFull,
        K::PermissionDenied => FailureCode::DestinationDenied,
        K::Mismatch => FailureCode::DestinationMismatch,
        K::Damaged => FailureCode::Damaged,
        K::Config | K::InvalidKey | K::AlreadyExists => FailureCode::DestinationConfig,
        K::NotFound => FailureCode::Missing,
        K::Timeout | K::Throttled | K::Unavailable => FailureCode::DestinationUnavailable,
        K::Internal => FailureCode::Internal,
    };
    Failure { code, message: error.to_string(), retryable: error.is_retryable(), fact: None }
}

pub(crate) fn of_engine(error: &EngineError) -> Failure {
    match error {
        EngineError::Store(error) => of_store(error),
        EngineError::Catalog(error) => of_catalog(error),
        EngineError::Vault(error) => Failure::new(FailureCode::SecretUnreadable, error.to_string()),
        EngineError::Locked(message) => {
            Failure::new(FailureCode::SecretUnreadable, message.clone())
        }
        EngineError::Invalid(_) => Failure::new(FailureCode::DestinationConfig, error.to_string()),
        EngineError::Damaged(message) => Failure::new(FailureCode::Damaged, message.clone()),
        EngineError::NotFound { .. } => {
            Failure::new(FailureCode::ConfigurationChanged, error.to_string())
        }
        EngineError::Conflict(_) | EngineError::Refused(_) => {
            Failure::new(FailureCode::Internal, error.to_string())
        }
    }
}

pub(crate) fn of_contract(error: &ContractError) -> Failure {
    use ContractError as E;
    let code = match error {
        E::Refused { .. } => FailureCode::AddressRefused,
        E::Unreachable { .. } => FailureCode::SourceUnreachable,
        E::Unauthorized { .. } => FailureCode::SourceUnauthorized,
        E::Busy { .. } => FailureCode::SourceBusy,
        E::Truncated { .. } => FailureCode::SourceTruncated,
        E::Mismatch(_) => FailureCode::SourceMismatch,
        E::TooLarge { .. } => FailureCode::SourceTooLarge,
        E::Timeout { .. } => FailureCode::Timeout,
        E::Status { .. } | E::JobFailed(_) | E::ImportFailed(_) | E::Unreadable(_) => {
            FailureCode::SourceFailed
        }
        E::NotOffered { .. } => FailureCode::RestoreRefused,
        E::Cancelled => FailureCode::Cancelled,
        _ => FailureCode::SourceProtocol,
    };
    Failure { code, message: error.to_string(), retryable: error.is_retryable(), fact: None }
}

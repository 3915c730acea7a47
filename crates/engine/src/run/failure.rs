//! Errors of the parts below, told as failures of a run.

use catalog::CatalogError;
use model::{Failure, FailureCode};
use store::{StoreError, StoreErrorKind};

use crate::EngineError;

pub(crate) fn of_catalog(error: &CatalogError) -> Failure {
    let code = match error {
        CatalogError::LeaseLost { .. } => FailureCode::Interrupted,
        _ => FailureCode::Catalog,
    };
    Failure { code, message: error.to_string(), retryable: error.is_retryable() }
}

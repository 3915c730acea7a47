//! Errors of the parts below, told as failures of a run.

use catalog::CatalogError;
use contract::{AddressRefused, ContractError, UrlForm};
use model::{Fact, Failure, FailureCode, Sentence, Size};
use store::{StoreError, StoreErrorKind};

use crate::{EngineError, FieldError};

pub(crate) fn of_catalog(error: &CatalogError) -> Failure {
    let code = match error {
        CatalogError::LeaseLost { .. } => FailureCode::Interrupted,
        _ => FailureCode::Catalog,
    };
    let told = catalog_fact(error).map_or_else(|| error.to_string().into(), Sentence::from);
    Failure { retryable: error.is_retryable(), ..Failure::new(code, told) }
}

fn catalog_fact(error: &CatalogError) -> Option<Fact> {
    use CatalogError as E;
    Some(match error {
        E::NotFound { what, name } => {
            Fact::NotThere { what: (*what).to_owned(), name: name.clone() }
        }
        E::NameTaken { what, name } => {
            Fact::NameIsTaken { what: (*what).to_owned(), name: name.clone() }
        }
        E::Stale { name } => Fact::ChangedByOther { name: name.clone() },
        E::InUse { name, by } => Fact::IsUsed { name: name.clone(), by: by.clone() },
        E::LastAdmin { name } => Fact::LastAdmin { name: name.clone() },
        E::IdentityTaken { by } => Fact::IdentityIsTaken { by: by.clone() },
        _ => return None,
    })
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
    let told = Fact::At { place: error.what().to_owned(), why: advice(error.kind()).into() };
    Failure { retryable: error.is_retryable(), ..Failure::new(code, told) }
}

fn advice(kind: StoreErrorKind) -> Fact {
    use StoreErrorKind as K;
    match kind {
        K::NotFound => Fact::DoLookFolder {},
        K::AlreadyExists => Fact::DoOtherName {},
        K::PermissionDenied => Fact::DoPermissions {},
        K::Full => Fact::DoFreeRoom {},
        K::Throttled => Fact::StorePatience {},
        K::Timeout => Fact::StoreLate {},
        K::Unavailable => Fact::DoReachStore {},
        K::Mismatch => Fact::StoreOther {},
        K::Damaged => Fact::DoOtherCopy {},
        K::Config => Fact::DoDestinationSettings {},
        K::InvalidKey => Fact::DoOtherFolder {},
        K::Internal => Fact::DoReport {},
    }
}

pub(crate) fn of_engine(error: &EngineError) -> Failure {
    match error {
        EngineError::Store(error) => of_store(error),
        EngineError::Catalog(error) => of_catalog(error),
        EngineError::Vault(_) => Failure::new(FailureCode::SecretUnreadable, Fact::SecretLocked {}),
        EngineError::Locked(told) => {
            Failure::new(FailureCode::SecretUnreadable, told.0.as_ref().clone())
        }
        EngineError::Invalid(errors) => {
            Failure::new(FailureCode::DestinationConfig, of_fields(errors))
        }
        EngineError::Damaged(told) => Failure::new(FailureCode::Damaged, told.0.as_ref().clone()),
        EngineError::NotFound { what, name } => {
            let (what, name) = ((*what).to_owned(), name.clone());
            Failure::new(FailureCode::ConfigurationChanged, Fact::NotThere { what, name })
        }
        EngineError::Conflict(told) | EngineError::Refused(told) => {
            Failure::new(FailureCode::Internal, told.0.as_ref().clone())
        }
    }
}

fn of_fields(errors: &[FieldError]) -> Sentence {
    let told = errors
        .iter()
        .map(|one| Fact::At { place: one.field.clone(), why: one.fact().clone().into() });
    told.reduce(Fact::also).map(Sentence::from).unwrap_or_default()
}

/// An error as a fact; what has none is in its own words.
pub(crate) fn fact_of(error: &EngineError) -> Fact {
    let told = error.sentence();
    told.fact.unwrap_or_else(|| Fact::said(told.message))
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
    let told = contract_fact(error).map_or_else(|| error.to_string().into(), Sentence::from);
    Failure { retryable: error.is_retryable(), ..Failure::new(code, told) }
}

fn contract_fact(error: &ContractError) -> Option<Fact> {
    use ContractError as E;
    Some(match error {
        E::Refused { url, source } => {
            Fact::IsRefused { what: url.clone(), why: of_address(source).into() }
        }
        E::Unreachable { url, reason } => {
            Fact::AppUnreachable { url: url.clone(), why: reason.clone() }
        }
        E::Unauthorized { url } => Fact::AppUnauthorized { url: url.clone() },
        E::Busy { url, status, .. } => {
            Fact::AppBusy { url: url.clone(), status: status.to_string() }
        }
        E::Status { url, status, detail: None } => {
            Fact::AppStatus { url: url.clone(), status: status.to_string() }
        }
        E::Status { url, status, detail: Some(said) } => {
            let (url, status, said) = (url.clone(), status.to_string(), said.clone());
            Fact::AppStatusSaid { url, status, said }
        }
        E::Protocol { url, reason } => Fact::AppProtocol { url: url.clone(), why: reason.clone() },
        E::Truncated { received_bytes, reason } => {
            Fact::ExportCut { size: Size(*received_bytes), why: reason.clone() }
        }
        E::Mismatch(why) => Fact::ExportDiffers { why: why.clone() },
        E::TooLarge { limit_bytes } => Fact::ExportTooLarge { limit: Size(*limit_bytes) },
        E::Timeout { what, limit_secs } => {
            Fact::TookLonger { what: what.clone(), seconds: *limit_secs }
        }
        E::JobFailed(said) => Fact::AppExportFailed { said: said.clone() },
        E::NotOffered { url } => Fact::ImportNotOffered { url: url.clone() },
        E::Unreadable(why) => Fact::ImportUnreadable { why: why.clone() },
        E::ImportFailed(said) => Fact::AppImportFailed { said: said.clone() },
        _ => return None,
    })
}

/// Why an address may not be connected to.
pub(crate) fn of_address(refused: &AddressRefused) -> Fact {
    match refused {
        AddressRefused::Here(at) => Fact::AddressIsHere { address: at.to_string() },
        AddressRefused::Special(at) => Fact::AddressSpecial { address: at.to_string() },
        AddressRefused::Outside(at) => Fact::AddressOutside { address: at.to_string() },
        AddressRefused::Form(UrlForm::Scheme) => Fact::UrlScheme {},
        AddressRefused::Form(UrlForm::Login) => Fact::UrlLogin {},
        AddressRefused::Form(UrlForm::Query) => Fact::UrlQuery {},
        AddressRefused::Form(UrlForm::Host) => Fact::UrlHost {},
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn facts_say_what_the_errors_say() {
        let url = || "http://app:1".to_owned();
        let why = || "no route".to_owned();
        let at = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let refused = |source| ContractError::Refused { url: url(), source };
        let errors = [
            refused(AddressRefused::Here(at)),
            refused(AddressRefused::Special(at)),
            refused(AddressRefused::Outside(at)),
            refused(UrlForm::Scheme.into()),
            refused(UrlForm::Login.into()),
            refused(UrlForm::Query.into()),
            refused(UrlForm::Host.into()),
            ContractError::Unreachable { url: url(), reason: why() },
            ContractError::Unauthorized { url: url() },
            ContractError::Busy { url: url(), status: 429, retry_after_secs: None },
            ContractError::Status { url: url(), status: 404, detail: None },
            ContractError::Status { url: url(), status: 500, detail: Some(why()) },
            ContractError::Protocol { url: url(), reason: why() },
            ContractError::Truncated { received_bytes: 7, reason: why() },
            ContractError::Mismatch(why()),
            ContractError::TooLarge { limit_bytes: 7 },
            ContractError::Timeout { what: url(), limit_secs: 7 },
            ContractError::JobFailed(why()),
            ContractError::NotOffered { url: url() },
            ContractError::Unreadable(why()),
            ContractError::ImportFailed(why()),
        ];
        for error in errors {
            let failure = of_contract(&error);
            assert_eq!(failure.message, error.to_string());
            assert!(failure.fact.is_some(), "{error}");
        }
        for kind in [
            StoreErrorKind::NotFound,
            StoreErrorKind::AlreadyExists,
            StoreErrorKind::PermissionDenied,
            StoreErrorKind::Full,
            StoreErrorKind::Throttled,
            StoreErrorKind::Timeout,
            StoreErrorKind::Unavailable,
            StoreErrorKind::Mismatch,
            StoreErrorKind::Damaged,
            StoreErrorKind::Config,
            StoreErrorKind::InvalidKey,
            StoreErrorKind::Internal,
        ] {
            let error = StoreError::new(kind, "write a/b: no");
            let failure = of_store(&error);
            assert_eq!(failure.message, error.to_string());
            assert_eq!(failure.retryable, error.is_retryable());
        }
        let vault = EngineError::Vault(crate::vault::VaultError);
        assert_eq!(of_engine(&vault).message, vault.to_string());
        let fields = ["a", "b[0].c", "d"].map(|field| FieldError::new(field, Fact::IsNeeded {}));
        let invalid = EngineError::Invalid(fields.into());
        assert_eq!(
            invalid.to_string(),
            "a: this is needed; b[0].c: this is needed; d: this is needed"
        );
        assert_eq!(of_engine(&invalid).message, invalid.to_string());
        assert_eq!(fact_of(&invalid).to_string(), invalid.to_string());
    }
}

//! Backup contract v1: wire types, headers, client and conformance checker.
//!
//! `docs/contract.md` is the contract for people who implement it.

pub mod check;
pub mod header;
pub mod wire;

mod artifact;
mod client;
mod connect;
mod error;
mod import;
mod job;
mod net;
mod openapi;

pub use artifact::{ArtifactMeta, ArtifactStream, Declared, SourceOutcome};
pub use client::{ContractClient, Limits};
pub use error::ContractError;
pub use import::{ImportRequest, ImportTarget};
pub use job::Download;
pub use net::{AddressRefused, NetPolicy, UrlForm};
pub use openapi::openapi;
pub use wire::{
    Capabilities, ExportRequest, ImportAccepted, ImportReport, JobAccepted, JobState, JobStatus,
    Prefer, Problem,
};

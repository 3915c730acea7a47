//! The real binary, driven by the contract's own client.

mod contract;
mod exports;
mod postgres;
mod sidecar;

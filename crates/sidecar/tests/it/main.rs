//! The real binary, driven by the contract's own client.

mod exports;
mod postgres;
mod sidecar;

//! The real binary, driven by the contract's own client.

mod exports;
mod jobs;
mod life;
mod postgres;
mod raw;
mod sidecar;

//! The real binary, driven by the contract's own client.

mod archives;
mod changes;
mod exports;
mod jobs;
mod life;
mod postgres;
mod raw;
mod sidecar;
mod tree;

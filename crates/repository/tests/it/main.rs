//! Tests of the crate, in one binary.

mod chunk;
mod hash;

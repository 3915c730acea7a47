//! The crate `repository`, from outside.

mod chunk;
mod hash;
mod parsers;

//! The crate `repository`, from outside.

mod chunk;
mod hash;
mod locks;
mod parsers;
mod stock;
mod world;
mod writer;

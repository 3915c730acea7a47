//! The crate `repository`, from outside.

mod locks;
mod parsers;
mod stock;
mod world;
mod writer;

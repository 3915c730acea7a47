//! The crate `repository`, from outside.

mod chunk;
mod folders;
mod hash;
mod kills;
mod locks;
mod parsers;
mod stock;
mod streams;
mod world;
mod writer;

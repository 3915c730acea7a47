//! The crate `repository`, from outside.

mod parsers;

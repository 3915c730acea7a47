//! Coming back: on a bare machine (`bootstrap`), and at start where the catalog's file is damaged.

mod bootstrap;
mod damage;
mod files;

pub(crate) use bootstrap::{BootstrapError, Request, bootstrap};
pub(crate) use damage::open_catalog;

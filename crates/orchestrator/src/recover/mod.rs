//! Coming back: on a bare machine (`bootstrap`), and at start where the catalog's file is damaged.

mod bootstrap;
mod damage;
mod files;
mod way_back;

pub(crate) use bootstrap::{BootstrapError, Found, Request, Step, bootstrap};
pub(crate) use damage::open_catalog;
pub(crate) use way_back::{Told, WayBack};

//! Coming back: on a bare machine (`bootstrap`), and at start where the catalog's file is damaged.

mod bootstrap;
mod damage;
mod files;
mod way_back;

pub(crate) use bootstrap::{BootstrapError, Done, Found, Request, Step, bootstrap};
pub(crate) use damage::open_catalog;
pub(crate) use way_back::{Told, WayBack};

/// What a destination is called that the catalog which comes back does not know.
pub(crate) const NAME: &str = "recovered";

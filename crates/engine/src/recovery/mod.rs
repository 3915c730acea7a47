//! Coming back after everything is lost: copies of the catalog at the destinations, the key that
//! opens them, the kit that tells how, and the way back.

pub mod address;
pub(crate) mod copies;
pub(crate) mod follow;
mod hold;
pub(crate) mod key;
pub mod kit;
pub mod names;
pub mod rebuild;

pub use copies::{CopiesState, PlaceState, is_wanted};
pub use hold::Hold;
pub use kit::{Kit, KitPlace};
pub use rebuild::{Fetched, RebuildError, fetch_newest, restore_copy};

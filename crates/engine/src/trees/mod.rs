//! Trees of files at a destination: each snapshot a folder that can be browsed, in which what did
//! not change is one file with the folders before it.
//!
//! A tree is made by rsync as `NAME.tree.partial` and is called `NAME.tree` from just before its
//! manifest is written. Beside it lies its listing, an ordinary stored object that says what every
//! file of it must be.

mod check;
mod host;
pub(crate) mod listed;
mod listing;
mod make;
mod part;
mod previous;
mod prove;
mod read;
mod ssh;
mod store;
mod walked;
mod work;

pub(crate) use host::{Claim, Host};
pub(crate) use listing::FORMAT;
pub(crate) use make::{Making, make};
pub(crate) use previous::find as previous;
pub(crate) use prove::{Proven, prove};
pub(crate) use read::read;
pub(crate) use store::TreeStore;
pub(crate) use work::{Work, make_own};

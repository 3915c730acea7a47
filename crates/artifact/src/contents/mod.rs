//! What a stream holds, counted while it passes: to be compared with what comes back.
//!
//! Counting never fails: of what cannot be read nothing is told.

mod mysql;
mod pg_custom;
mod pg_script;
mod rows;

use std::collections::BTreeMap;

use crate::format::Dump;

pub use mysql::{Reader, Seen};

/// Rows by table, as far as they could be counted.
pub type Tables = BTreeMap<String, u64>;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Rows by table, as `schema.table`.
    pub tables: Tables,
    /// Tables whose rows could not be counted.
    pub uncounted: u64,
}

/// Counts while a stream passes.
#[derive(Debug, Default)]
pub struct Counter(Inner);

#[derive(Debug, Default)]
enum Inner {
    #[default]
    Nothing,
    Custom(Box<pg_custom::Custom>),
    Script(Box<pg_script::Script>),
    Mysql(Box<mysql::Script>),
}

impl Counter {
    /// For a stream of `format`, in the contract's words.
    pub fn new(format: Option<&str>) -> Self {
        Self(match format.and_then(Dump::of) {
            Some(Dump::PgCustom) => Inner::Custom(Box::default()),
            Some(Dump::Mysql) => Inner::Mysql(Box::default()),
            Some(Dump::PgScript) => Inner::Script(Box::default()),
            _ => Inner::Nothing,
        })
    }

    /// Takes the next bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        match &mut self.0 {
            Inner::Nothing => {}
            Inner::Custom(custom) => custom.push(chunk),
            Inner::Script(script) => script.push(chunk),
            Inner::Mysql(script) => script.push(chunk),
        }
    }

    /// What was counted up to the stream's end; `None` where nothing can be said.
    pub fn finish(self) -> Option<Counted> {
        match self.0 {
            Inner::Nothing => None,
            Inner::Custom(custom) => custom.finish(),
            Inner::Script(script) => Some(script.finish()),
            Inner::Mysql(script) => Some(script.finish()),
        }
    }
}

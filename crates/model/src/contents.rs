//! What was seen in a stream while it was stored, to compare with what a drill finds.

use serde::{Deserialize, Serialize};

/// What an artifact holds, as counted in its own bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "holds", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Contents {
    /// Tables with their rows.
    Tables {
        /// The tables whose rows could be counted, by name; at most [`MAX_TABLES`].
        tables: Vec<TableRows>,
        /// How many tables there are, also those that are not named.
        total: u64,
    },
    /// Members of an archive.
    Members {
        /// Regular files.
        files: u64,
        /// Bytes in them.
        bytes: u64,
        /// Folders, links and the rest.
        others: u64,
    },
}

/// More tables than this are only counted.
pub const MAX_TABLES: usize = 2_000;

/// A table and how many rows it has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableRows {
    /// `schema.table`, or the table's name alone where there are no schemas.
    pub table: String,
    /// Rows.
    pub rows: u64,
}

//! Whether a stream is what it claims to be.
//!
//! A size and a SHA-256 prove that the bytes arrived; they prove nothing about a command that
//! failed half-way and had its output compressed, or an error page sent with status 200. So the
//! bytes are looked at while they pass:
//!
//! | kind | looked at | cost |
//! |---|---|---|
//! | gzip | everything: inflated, CRC and length of each member, nothing after; what is inside too | inflating |
//! | zstd | the framing of every frame and block; not the content | almost none |
//! | tar | every header's checksum and size; the closing zero blocks | almost none |
//! | zip | magic; the end-of-central-directory record | almost none |
//! | xz | magic; footer | almost none |
//! | `SQLite` | magic; page size times page count against the length | almost none |
//! | Redis RDB | magic; end mark | almost none |
//! | SQL text of `pg_dump`, `pg_dumpall`, mysqldump | their closing line | almost none |
//! | bzip2, `pg_dump` custom | magic | none |
//!
//! A declared format that does not fit is refused. A file name or media type is a weaker claim:
//! where another known format is found instead, it is accepted with a warning. A stream about
//! which nothing is claimed is refused only if it looks like an HTML or JSON error page.

mod dump;
mod gzip;
mod hints;
mod kind;
mod layer;
mod tar;
mod zstd_frames;

pub use dump::{Dump, canonical};
pub use hints::Hints;
pub use kind::Kind;

use layer::Layer;

/// Why a stream is not what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The declared format and the bytes differ.
    #[error("declared as {declared}, but the bytes are {found}: correct the format or the command")]
    NotAsDeclared {
        /// What was claimed.
        declared: String,
        /// What the bytes look like.
        found: String,
    },
    /// An error page instead of an artifact.
    #[error("the app answered with {0} instead of an artifact: look into the app's own log")]
    Page(&'static str),
    /// The end is missing.
    #[error("the {kind} data ends early ({detail}): the command that makes it was probably cut")]
    Truncated {
        /// What it is.
        kind: Kind,
        /// What is missing.
        detail: String,
    },
    /// Not well-formed.
    #[error("the {kind} data is damaged: {detail}")]
    Corrupt {
        /// What it is.
        kind: Kind,
        /// What is wrong.
        detail: String,
    },
}

impl FormatError {
    /// Whether another export may do better.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::NotAsDeclared { .. })
    }
}

/// What a [`FormatChecker`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatReport {
    /// What the bytes are, where known.
    pub kind: Option<Kind>,
    /// No bytes, or a wrapping of nothing (`false | gzip`). Whether that is an error is the
    /// caller's to say.
    pub is_empty: bool,
    /// Things to know that are not failures.
    pub warnings: Vec<String>,
}

/// Looks at a stream as it passes. Holds less than 1 MiB.
#[derive(Debug)]
pub struct FormatChecker {
    layer: Layer,
}

impl FormatChecker {
    /// A checker for one stream.
    pub fn new(hints: &Hints<'_>) -> Self {
        Self { layer: Layer::new(hints.claims(), hints.expects_page()) }
    }

    /// Looks at the next bytes; an error as soon as they cannot be right.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.layer.push(bytes)
    }

    /// Looks at the end.
    pub fn finish(self) -> Result<FormatReport, FormatError> {
        self.layer.finish()
    }
}

/// Whether a stream that begins with `head` is compressed already, so that compressing it again
/// would cost time and save nothing.
pub fn is_compressed(head: &[u8]) -> bool {
    use Kind as K;
    match kind::sniff(head) {
        Some(K::PgCustom) => !is_plain_pg_custom(head),
        Some(K::Gzip | K::Zstd | K::Xz | K::Bzip2 | K::Zip) => true,
        _ => false,
    }
}

/// Whether a `pg_dump -Fc` says that it was made with `-Z0`. After its magic stand three bytes of
/// version, the sizes of its integers and offsets, and its format.
fn is_plain_pg_custom(head: &[u8]) -> bool {
    let (Some(&[major, minor, _, size]), Some(rest)) = (head.get(5..9), head.get(11..)) else {
        return false;
    };
    if (major, minor) >= (1, 15) {
        // Since PostgreSQL 16: the method.
        return rest.first() == Some(&0);
    }
    // Before: the level, as a sign and an integer.
    rest.get(1..=usize::from(size)).is_some_and(|level| level.iter().all(|byte| *byte == 0))
}

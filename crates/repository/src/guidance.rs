//! What to do when a repository is damaged.

/// After a damaged file.
pub const DAMAGED: &str = "bring that file back from a copy of the repository if there is one";

/// After a blob that nothing knows of.
pub const MISSING_BLOB: &str = "rebuild the index from the packs (`restic repair index`); if it \
    stays away, write the same source again, which stores the blob anew";

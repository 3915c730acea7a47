//! Where tools and images that a clean clone needs again are kept.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The folder outside the clone; made where it is missing.
pub(crate) fn folder() -> Result<PathBuf> {
    let own = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let root = own.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?;
    let folder = root.join("backup-orchestrator");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

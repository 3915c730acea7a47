//! The way through the files that are asked for.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use super::{Warnings, quoted, roots};
use crate::{config::Config, export::ExportError, spool::Spool};

/// Something to archive.
pub(super) struct Item {
    pub(super) path: PathBuf,
    /// Its name in the archive: relative, without `.` and `..`.
    pub(super) name: PathBuf,
    pub(super) meta: Metadata,
}

/// A format of archives. What it cannot keep it adds to the warnings. A `NotFound` says that it
/// has written nothing.
pub(super) trait Format {
    fn add(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()>;
}

const GONE: &str = "it was gone before it was read";

/// What is no part of what is protected, by device and inode.
struct Own {
    spool: Option<(u64, u64)>,
    artifacts: Option<(u64, u64)>,
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Adds everything that `paths` finds.
pub(super) fn walk(
    config: &Config,
    format: &mut impl Format,
    warnings: &mut Warnings,
) -> Result<(), ExportError> {
    let artifacts = &config.paths.artifacts;
    let of = |path: &Path| path.metadata().ok().map(|meta| identity(&meta));
    let own = Own { spool: of(Spool::within(artifacts).folder()), artifacts: of(artifacts) };
    let follow = config.strategy.config.follow_symlinks;
    for root in &roots(config)? {
        tree(root, follow, &own, format, warnings)?;
    }
    Ok(())
}

/// What is asked for, nothing of it twice.
fn roots(config: &Config) -> Result<Vec<PathBuf>, ExportError> {
    let mut all = Vec::new();
    for pattern in &config.strategy.config.paths {
        let pattern = config.paths.workdir.join(pattern);
        let told = |error| ExportError::Failed(format!("{}: {error}", pattern.display()));
        let found = roots::find(&pattern).map_err(told)?;
        if found.is_empty() {
            return Err(ExportError::Failed(format!("nothing is at {}", pattern.display())));
        }
        for path in found {
            all.push(without_parents(path).map_err(told)?);
        }
    }
    all.sort();
    Ok(without_nested(all, &config.paths.artifacts))
}

/// Leaves out what lies within another root. What lies in the folder of artifacts is there only
/// where it is asked for itself. `all` is sorted: what lies within a folder follows it.
fn without_nested(all: Vec<PathBuf>, own: &Path) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    let mut last_outside: Option<PathBuf> = None;
    for path in all {
        let is_own = path.starts_with(own);
        let around = if is_own { roots.last() } else { last_outside.as_ref() };
        let covers = |root: &PathBuf| path.starts_with(root) && (root.starts_with(own) || !is_own);
        if around.is_some_and(covers) {
            continue;
        }
        if !is_own {
            last_outside = Some(path.clone());
        }
        roots.push(path);
    }
    roots
}

/// Names in the archive come from the path: `..` must not make two places one.
fn without_parents(path: PathBuf) -> io::Result<PathBuf> {
    if path.components().any(|component| component == Component::ParentDir) {
        return path.canonicalize();
    }
    Ok(path)
}

fn tree(
    root: &Path,
    follow: bool,
    own: &Own,
    format: &mut impl Format,
    warnings: &mut Warnings,
) -> Result<(), ExportError> {
    let walk = walkdir::WalkDir::new(root).follow_links(follow).follow_root_links(follow);
    let mut walk = walk.sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let (path, depth) = match entry {
            Ok(entry) => {
                let depth = entry.depth();
                (entry.into_path(), depth)
            }
            Err(error) => match skipped(&error, warnings)? {
                Some(link) => (link, error.depth()),
                None => continue,
            },
        };
        let failed = |error| ExportError::Failed(format!("{}: {error}", quoted(&path)));
        let item = match Item::new(&path, follow) {
            Ok(item) => item,
            Err(error) if is_gone(&error) => {
                warnings.push(&path, GONE);
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        if own.leaves_out(&item, depth) {
            walk.skip_current_dir();
            continue;
        }
        if item.name.as_os_str().is_empty() {
            continue;
        }
        if depth == 0 && item.meta.is_symlink() {
            warnings
                .push(&path, "only the link itself is kept; `follow_symlinks` keeps its target");
        }
        match format.add(&item, warnings) {
            Ok(()) => {}
            Err(error) if is_gone(&error) => warnings.push(&path, GONE),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(ExportError::Gone);
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

impl Item {
    fn new(path: &Path, follow: bool) -> io::Result<Self> {
        let linked = path.symlink_metadata();
        // A link to nowhere stays a link.
        let meta = if follow { path.metadata().or(linked)? } else { linked? };
        let is_plain = |component: &Component<'_>| matches!(component, Component::Normal(_));
        let name = path.components().filter(is_plain).collect();
        Ok(Self { path: path.to_owned(), name, meta })
    }
}

impl Own {
    /// The folder of artifacts only within what is asked for: one that holds everything excludes
    /// nothing.
    fn leaves_out(&self, item: &Item, depth: usize) -> bool {
        let identity = Some(identity(&item.meta));
        item.meta.is_dir() && (identity == self.spool || depth > 0 && identity == self.artifacts)
    }
}

/// Passes over what cannot be walked and need not be; gives a link to nowhere.
fn skipped(
    error: &walkdir::Error,
    warnings: &mut Warnings,
) -> Result<Option<PathBuf>, ExportError> {
    let failed = || Err(ExportError::Failed(error.to_string()));
    let Some(path) = error.path() else { return failed() };
    if error.loop_ancestor().is_some() {
        warnings.push(path, "the link leads to a folder around it; left out");
        return Ok(None);
    }
    if path.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        return Ok(Some(path.to_owned()));
    }
    if error.depth() > 0 && error.io_error().is_some_and(is_gone) {
        warnings.push(path, GONE);
        return Ok(None);
    }
    failed()
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_archived_twice() {
        let of = |paths: &[&str]| {
            let mut all: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            all.sort();
            let roots = without_nested(all, Path::new("/data/own"));
            roots.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(&["/a/b", "/a", "/a/b/c", "/ab", "/a"]), ["/a", "/ab"]);
        assert_eq!(of(&["/data", "/data/own/x", "/data/z"]), ["/data", "/data/own/x"]);
        assert_eq!(of(&["/data/own", "/data/own/x"]), ["/data/own"]);
    }
}

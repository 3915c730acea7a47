//! The way through the files that are asked for.

use std::{
    cell::RefCell,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use glob::{MatchOptions, Pattern, PatternError};

use crate::{ArchiveError, Bounds, Content, Warnings, quoted};

/// Something to archive.
#[derive(Debug)]
pub struct Item {
    /// Where it is.
    pub path: PathBuf,
    /// Its name in the archive: relative, without `.` and `..`.
    pub name: PathBuf,
    /// What it is.
    pub meta: Metadata,
    pub(crate) follow: bool,
    bounds: Option<Arc<Bounds>>,
    /// What is in it, where that was read before its turn.
    ahead: RefCell<Option<io::Result<Option<Content>>>>,
}

/// What a walk comes to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Something to archive.
    Found(Box<Item>),
    /// A warning.
    Told(PathBuf, &'static str),
}

/// A format of archives. What it cannot keep it adds to the warnings. A `NotFound` says that it
/// has written nothing.
pub trait Format {
    /// Adds one.
    fn add(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()>;

    /// Whether anybody still reads what it writes.
    fn is_wanted(&self) -> bool {
        true
    }
}

/// Where a walk begins, and its name in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Where it is read.
    pub path: PathBuf,
    /// Relative, without `.` and `..`.
    pub name: PathBuf,
}

impl Root {
    /// One that is read where its name says.
    pub fn at(path: PathBuf) -> Self {
        let name = name_of(&path);
        Self { path, name }
    }

    /// What is in `folder`, by names that begin with `./`; the folder itself is `.`.
    pub fn contents_of(folder: PathBuf) -> Self {
        Self { path: folder, name: PathBuf::from(".") }
    }

    /// `path`, read from `place`: there is a snapshot of it.
    pub fn read_from(path: &Path, place: PathBuf) -> Self {
        Self { path: place, name: name_of(path) }
    }
}

fn name_of(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

const GONE: &str = "it was gone before it was read";
const NAMES: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// How trees are walked.
#[derive(Debug, Default)]
pub struct Walk {
    follow: bool,
    one_file_system: bool,
    bounds: Option<Arc<Bounds>>,
    exclude: Vec<Pattern>,
    /// Left out, by name in the archive.
    names: Vec<PathBuf>,
    /// Folders left out, by device and inode.
    own: Vec<(u64, u64)>,
    /// Folders left out unless they are a root.
    own_below: Vec<(u64, u64)>,
}

impl Walk {
    /// Keeps what links lead to instead of the links.
    pub fn following(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Does not descend into what is mounted below a root.
    pub fn on_one_file_system(mut self, yes: bool) -> Self {
        self.one_file_system = yes;
        self
    }

    /// Reads no file outside `bounds`.
    pub fn within(mut self, bounds: Bounds) -> Self {
        self.bounds = Some(Arc::new(bounds));
        self
    }

    /// Leaves out what a pattern names: a whole path where it begins with `/`, else a name or the
    /// end of a path at any depth.
    pub fn excluding<'p>(
        mut self,
        patterns: impl IntoIterator<Item = &'p str>,
    ) -> Result<Self, PatternError> {
        for pattern in patterns {
            let pattern = match pattern.strip_prefix('/') {
                Some(whole) => Pattern::new(whole),
                None => Pattern::new(&format!("**/{pattern}")),
            };
            self.exclude.push(pattern?);
        }
        Ok(self)
    }

    /// Leaves `folder` out.
    pub fn without(mut self, folder: &Path) -> Self {
        self.own.extend(folder.metadata().ok().map(|meta| identity(&meta)));
        self
    }

    /// Leaves out what is at `path` and everything below it, wherever that is read.
    pub fn without_name(mut self, path: &Path) -> Self {
        self.names.push(name_of(path));
        self
    }

    /// Leaves `folder` out where it is within what is asked for: one that holds everything
    /// excludes nothing.
    pub fn without_below(mut self, folder: &Path) -> Self {
        self.own_below.extend(folder.metadata().ok().map(|meta| identity(&meta)));
        self
    }

    /// Adds everything at `root`.
    pub fn add(
        &self,
        root: &Root,
        format: &mut impl Format,
        warnings: &mut Warnings,
    ) -> Result<(), ArchiveError> {
        self.each(root, |step| step.take(format, warnings))
    }

    /// Comes to everything at `root`, in an order that is always the same.
    pub(crate) fn each(
        &self,
        root: &Root,
        mut take: impl FnMut(Step) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let mut walk = walkdir::WalkDir::new(&root.path)
            .follow_links(self.follow)
            .follow_root_links(self.follow)
            .same_file_system(self.one_file_system)
            .sort_by_file_name()
            .into_iter();
        while let Some(entry) = walk.next() {
            let (path, depth) = match entry {
                Ok(entry) => {
                    let depth = entry.depth();
                    (entry.into_path(), depth)
                }
                Err(error) => match skipped(&error)? {
                    Skipped::Link(link) => (link, error.depth()),
                    Skipped::Told(path, what) => {
                        take(Step::Told(path, what))?;
                        continue;
                    }
                },
            };
            let (item, leads_out) = match self.item(root, &path) {
                Ok(item) => item,
                Err(error) if is_gone(&error) => {
                    take(Step::Told(path, GONE))?;
                    continue;
                }
                Err(error) => return Err(failed(&path, &error)),
            };
            if self.leaves_out(&item, depth) {
                if item.meta.is_dir() {
                    walk.skip_current_dir();
                }
                continue;
            }
            if leads_out {
                if path.is_dir() {
                    walk.skip_current_dir();
                }
                let what = "it leads out of the allowed folders; only the link is kept";
                take(Step::Told(path.clone(), what))?;
            }
            if item.name.as_os_str().is_empty() {
                continue;
            }
            if depth == 0 && item.meta.is_symlink() && !leads_out {
                let what = "only the link itself is kept; `follow_symlinks` keeps its target";
                take(Step::Told(path, what))?;
            }
            take(Step::Found(Box::new(item)))?;
        }
        Ok(())
    }

    /// What is at `path`, and whether it is a link that leads out of the bounds.
    fn item(&self, root: &Root, path: &Path) -> io::Result<(Item, bool)> {
        let linked = path.symlink_metadata();
        let is_link = linked.as_ref().is_ok_and(Metadata::is_symlink);
        let leads_out = self.follow
            && is_link
            // A link to nowhere leads nowhere.
            && path.metadata().is_ok()
            && self.bounds.as_ref().is_some_and(|bounds| !bounds.lead_to(path));
        // A link to nowhere stays a link.
        let meta = if self.follow && !leads_out { path.metadata().or(linked)? } else { linked? };
        let below = path.strip_prefix(&root.path).unwrap_or(Path::new(""));
        let name = root.name.join(below);
        // `join` of nothing would end the name with a slash.
        let name = if below.as_os_str().is_empty() { root.name.clone() } else { name };
        let (path, bounds) = (path.to_owned(), self.bounds.clone());
        let ahead = RefCell::new(None);
        Ok((Item { path, name, meta, follow: self.follow, bounds, ahead }, leads_out))
    }

    fn leaves_out(&self, item: &Item, depth: usize) -> bool {
        let identity = identity(&item.meta);
        let is_own = item.meta.is_dir()
            && (self.own.contains(&identity) || depth > 0 && self.own_below.contains(&identity));
        if is_own || self.names.contains(&item.name) {
            return true;
        }
        if self.exclude.is_empty() || depth == 0 && item.name == Path::new(".") {
            return false;
        }
        let name = item.name.to_string_lossy();
        self.exclude.iter().any(|pattern| pattern.matches_with(&name, NAMES))
    }
}

impl Item {
    /// `None` where it is no longer a plain file.
    pub fn open(&self) -> io::Result<Option<Content>> {
        self.ahead.take().unwrap_or_else(|| self.open_now())
    }

    fn open_now(&self) -> io::Result<Option<Content>> {
        Content::open(&self.path, self.follow, self.bounds.as_deref())
    }

    /// Reads now what [`Item::open`] is asked for later.
    pub(crate) fn read_ahead(&self) {
        if !self.meta.is_file() {
            return;
        }
        let mut opened = self.open_now();
        if let Ok(Some(content)) = &mut opened
            && let Err(error) = content.read_ahead()
        {
            opened = Err(error);
        }
        self.ahead.replace(Some(opened));
    }
}

impl Step {
    /// Adds it to what is written.
    pub(crate) fn take(
        self,
        format: &mut impl Format,
        warnings: &mut Warnings,
    ) -> Result<(), ArchiveError> {
        if !format.is_wanted() {
            return Err(ArchiveError::Gone);
        }
        let item = match self {
            Self::Found(item) => item,
            Self::Told(path, what) => {
                warnings.push(&path, what);
                return Ok(());
            }
        };
        match format.add(&item, warnings) {
            Ok(()) => Ok(()),
            Err(error) if is_gone(&error) => {
                warnings.push(&item.path, GONE);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ArchiveError::Gone),
            Err(error) => Err(failed(&item.path, &error)),
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> ArchiveError {
    ArchiveError::Failed(format!("{}: {error}", quoted(path)))
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// What cannot be walked, and need not be.
enum Skipped {
    /// A link to nowhere.
    Link(PathBuf),
    /// Something to warn of.
    Told(PathBuf, &'static str),
}

fn skipped(error: &walkdir::Error) -> Result<Skipped, ArchiveError> {
    let failed = || Err(ArchiveError::Failed(error.to_string()));
    let Some(path) = error.path() else { return failed() };
    if error.loop_ancestor().is_some() {
        let what = "the link leads to a folder around it; left out";
        return Ok(Skipped::Told(path.to_owned(), what));
    }
    if path.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        return Ok(Skipped::Link(path.to_owned()));
    }
    if error.depth() > 0 && error.io_error().is_some_and(is_gone) {
        return Ok(Skipped::Told(path.to_owned(), GONE));
    }
    failed()
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

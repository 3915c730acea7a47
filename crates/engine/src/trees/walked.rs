//! What is asked for, as the way through the source finds it: lists for rsync, and what every file
//! was then.

use std::{
    collections::BTreeSet,
    fs::{File, Metadata},
    io::{self, BufWriter, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use archive::{ArchiveError, Format, Item, Root, Walk, Warnings};
use tokio_util::sync::CancellationToken;

use super::listing::{Kind, Row, Text};

/// What is read from one folder and laid down in one folder.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// Where it is read.
    pub(super) base: PathBuf,
    /// Where it is in the tree; empty for the tree itself.
    pub(super) name: PathBuf,
    /// The file with its names.
    pub(super) names: PathBuf,
}

impl Group {
    /// Where the file called `path` in the tree is read.
    pub(super) fn source_of(&self, path: &Path) -> PathBuf {
        self.base.join(self.below(path))
    }

    /// Its name below the group's folder.
    pub(super) fn below<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.name).unwrap_or(path)
    }
}

/// All that was found.
pub(super) struct Walked {
    pub(super) groups: Vec<Group>,
    /// The file with a row for each.
    pub(super) rows: PathBuf,
    /// How many rows each group has.
    pub(super) counts: Vec<u64>,
    /// Folders above what was asked for.
    pub(super) above: BTreeSet<PathBuf>,
    /// Bytes of all files.
    pub(super) size_bytes: u64,
}

/// Walks through `roots` and writes the lists into `folder`; `notice` sees each file first.
pub(super) fn walk(
    walk: &Walk,
    roots: &[Root],
    folder: &Path,
    stop: CancellationToken,
    warnings: &mut Warnings,
    notice: impl Fn(&Item, &mut Warnings),
) -> Result<Walked, ArchiveError> {
    let rows = folder.join("walked");
    let mut lister = Lister {
        rows: BufWriter::new(File::create(&rows)?),
        names: None,
        groups: Vec::new(),
        counts: Vec::new(),
        size_bytes: 0,
        stop,
        notice,
    };
    let mut above = BTreeSet::new();
    let mut roots = roots.to_vec();
    roots.sort_by(|one, other| one.name.cmp(&other.name));
    for root in &roots {
        lister.begin(root, folder)?;
        walk.add(root, &mut lister, warnings)?;
        let folders = root.name.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
        above.extend(folders.map(Path::to_owned));
    }
    lister.rows.flush()?;
    if let Some(mut names) = lister.names.take() {
        names.flush()?;
    }
    let Lister { groups, counts, size_bytes, .. } = lister;
    Ok(Walked { groups, rows, counts, above, size_bytes })
}

struct Lister<F> {
    rows: BufWriter<File>,
    names: Option<BufWriter<File>>,
    groups: Vec<Group>,
    counts: Vec<u64>,
    size_bytes: u64,
    stop: CancellationToken,
    notice: F,
}

impl<F> Lister<F> {
    /// Roots that are read where they are make one group: files that are one under two of them
    /// stay one.
    fn begin(&mut self, root: &Root, folder: &Path) -> io::Result<()> {
        let top = Path::new("/");
        let (base, name) = if root.path == top.join(&root.name) {
            (top.to_owned(), PathBuf::new())
        } else if root.path.is_dir() {
            (root.path.clone(), root.name.clone())
        } else {
            let parent = |path: &Path| path.parent().unwrap_or(top).to_owned();
            (parent(&root.path), parent(&root.name))
        };
        if self.groups.last().is_some_and(|last| last.base == base && last.name == name) {
            return Ok(());
        }
        let names = folder.join(format!("group-{}", self.groups.len()));
        if let Some(mut before) = self.names.replace(BufWriter::new(File::create(&names)?)) {
            before.flush()?;
        }
        self.groups.push(Group { base, name, names });
        self.counts.push(0);
        Ok(())
    }
}

impl<F: Fn(&Item, &mut Warnings)> Format for Lister<F> {
    fn add(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()> {
        (self.notice)(item, warnings);
        let Some(row) = row(&item.path, &item.name, &item.meta)? else {
            let is_socket = item.meta.file_type().is_socket();
            let what = if is_socket { "a socket; left out" } else { "a device; left out" };
            warnings.push(&item.path, what);
            return Ok(());
        };
        let (Some(group), Some(names), Some(count)) =
            (self.groups.last(), &mut self.names, self.counts.last_mut())
        else {
            return Ok(());
        };
        serde_json::to_writer(&mut self.rows, &row).map_err(io::Error::other)?;
        self.rows.write_all(b"\n")?;
        let below = group.below(&item.name);
        names.write_all(b"./")?;
        names.write_all(below.as_os_str().as_bytes())?;
        names.write_all(b"\0")?;
        self.size_bytes += row.size;
        *count += 1;
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        !self.stop.is_cancelled()
    }
}

/// What is at `path`; `None` for what no tree keeps.
pub(super) fn row(path: &Path, name: &Path, meta: &Metadata) -> io::Result<Option<Row>> {
    let kind = meta.file_type();
    let kind = if kind.is_file() {
        Kind::File
    } else if kind.is_dir() {
        Kind::Folder
    } else if kind.is_symlink() {
        Kind::Link
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        return Ok(None);
    };
    let target = match kind {
        Kind::Link => Some(Text::of(std::fs::read_link(path)?.as_os_str())),
        _ => None,
    };
    Ok(Some(Row {
        path: Text::of(name.as_os_str()),
        kind,
        mode: format!("{:o}", meta.mode() & 0o7777),
        uid: meta.uid(),
        gid: meta.gid(),
        mtime: meta.mtime(),
        mtime_nanos: u32::try_from(meta.mtime_nsec()).unwrap_or_default(),
        size: if kind == Kind::File { meta.len() } else { 0 },
        sha256: None,
        target,
    }))
}

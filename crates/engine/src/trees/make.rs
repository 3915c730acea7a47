//! Makes a tree: a walk tells what there is, rsync brings it, and every file is looked at on both
//! sides before the tree counts.

use std::path::{Path, PathBuf};

use archive::{Item, Root, Walk, Warnings};
use model::{Failure, FailureCode};
use store::Key;
use tokio::time::Instant;

use super::{
    Host, Work,
    check::{Finder, Found, Hasher},
    host::inside,
    listing::{Head, Kind, Lines, Row, Rows},
    previous::Previous,
    walked::{self, Group, Walked},
    work,
};
use crate::run::RunContext;

/// rsync's word for files that vanished while it read them.
const VANISHED: i32 = 24;
/// Silence of the other side that rsync bears, in seconds.
const SILENCE_SECS: u32 = 600;

/// What is to be made, and where.
pub(crate) struct Making<'a> {
    pub(crate) context: &'a RunContext,
    pub(crate) host: &'a Host,
    /// Its `.partial` is ours.
    pub(crate) tree: &'a Key,
    /// The host's root, without links.
    pub(crate) root: &'a str,
    pub(crate) previous: Option<Previous>,
    pub(crate) work: &'a Work,
    /// Bytes that the tree may have.
    pub(crate) limit: u64,
    pub(crate) ends_by: Instant,
}

/// A tree that is made and not published yet.
#[derive(Debug)]
pub(crate) struct Made {
    /// Its listing.
    pub(crate) listing: PathBuf,
    files: u64,
    size_bytes: u64,
    shared: u64,
    new_bytes: u64,
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} files of {} bytes in all; {} are shared with the tree before, {} bytes are new",
            self.files, self.size_bytes, self.shared, self.new_bytes
        )
    }
}

/// Makes a tree of what `walk` finds at `roots`; `notice` sees each file first.
pub(crate) async fn make(
    making: &Making<'_>,
    walk: Walk,
    roots: Vec<Root>,
    mut warnings: Warnings,
    notice: impl Fn(&Item, &mut Warnings) + Send + 'static,
) -> Result<(Made, Warnings), Failure> {
    let folder = making.work.file("");
    let stop = making.context.stop_token().clone();
    let walked = tokio::task::spawn_blocking(move || {
        let walked = walked::walk(&walk, &roots, &folder, stop, &mut warnings, notice)?;
        Ok::<_, archive::ArchiveError>((walked, warnings))
    });
    let (walked, mut warnings) = walked
        .await
        .map_err(|panic| Failure::new(FailureCode::Internal, panic.to_string()))?
        .map_err(|error| Failure::new(FailureCode::SourceFailed, error.to_string()))?;
    if walked.size_bytes > making.limit {
        return Err(Failure::new(
            FailureCode::SourceTooLarge,
            format!(
                "there are {} bytes, more than {}: raise BACKUP_MAX_SIZE_MB or the app's own \
                 limit, or exclude what need not be kept",
                walked.size_bytes, making.limit
            ),
        ));
    }
    for group in &walked.groups {
        making.bring(group).await?;
    }
    let names = making.names(&walked).await?;
    let unread = making.look(&walked, &names, &mut warnings).await?;
    let made = making.read(&walked, unread, &mut warnings).await?;
    Ok((made, warnings))
}

/// What is still to be read of a tree that was looked at.
struct Unread {
    rows: PathBuf,
    /// Names of files whose content is not known, below the tree and below each group.
    there: PathBuf,
    here: Vec<PathBuf>,
}

impl Making<'_> {
    fn partial(&self) -> String {
        format!("{}.partial", inside(self.tree))
    }

    /// Lets rsync bring what `group` names.
    async fn bring(&self, group: &Group) -> Result<(), Failure> {
        let config = &self.context.engine.0.config;
        if !group.name.as_os_str().is_empty() {
            self.host.make_inside(config, self.tree, &group.name).await?;
        }
        let (program, host) = self.host.rsync(config);
        let below = |tree: &str| Path::new(self.root).join(tree).join(&group.name);
        let mut from = group.base.clone().into_os_string();
        from.push("/");
        let mut list = std::ffi::OsString::from("--files-from=");
        list.push(&group.names);
        let mut to = std::ffi::OsString::from(host);
        to.push(below(&format!("{}.partial", self.tree)));
        to.push("/");
        let mut program = program
            .args(["-lptgoDHAX", "--numeric-ids", "--sparse", "--from0", "--no-implied-dirs"])
            // Nanoseconds count: a file may change twice in a second.
            .args(["--ignore-missing-args", "-s", "--modify-window=-1"])
            .args([format!("--timeout={SILENCE_SECS}").into(), list]);
        if let Some(previous) = &self.previous {
            let mut shared = std::ffi::OsString::from("--link-dest=");
            shared.push(below(previous.tree.as_str()));
            program = program.args([shared]);
        }
        let program = program.args(["--".into(), from, to]).accepting(VANISHED);
        let mut running = program.start(self.left()).map_err(|failure| self.host.fault(failure))?;
        while running.chunk().await.map_err(|failure| self.host.fault(failure))?.is_some() {}
        Ok(())
    }

    fn left(&self) -> std::time::Duration {
        self.ends_by.saturating_duration_since(Instant::now())
    }

    /// The names of all that was walked through.
    async fn names(&self, walked: &Walked) -> Result<PathBuf, Failure> {
        let mut rows = Rows::open(&walked.rows).await?;
        let mut names = Lines::create(self.work.file("names")).await?;
        while let Some(row) = rows.next().await? {
            names.name(&row.safe_path()?).await?;
        }
        names.finish().await
    }

    /// Looks at every file that rsync has brought: it must be what the walk saw, or its source
    /// has changed meanwhile.
    async fn look(
        &self,
        walked: &Walked,
        names: &Path,
        warnings: &mut Warnings,
    ) -> Result<Unread, Failure> {
        let config = &self.context.engine.0.config;
        let mut finder = Finder::start(self.host, config, &self.partial(), names, self.ends_by)?;
        let mut before = match &self.previous {
            None => Before::default(),
            Some(previous) => Before::open(&previous.listing).await?,
        };
        let mut rows = Rows::open(&walked.rows).await?;
        let mut looked = Lines::create(self.work.file("looked")).await?;
        let mut there = Lines::create(self.work.file("there")).await?;
        let mut here = Vec::new();
        let mut strangers = 0_u64;
        for (index, (group, count)) in walked.groups.iter().zip(&walked.counts).enumerate() {
            let mut list = Lines::create(self.work.file(&format!("here-{index}"))).await?;
            for _ in 0..*count {
                let Some(row) = rows.next().await? else { break };
                let path = row.safe_path()?;
                let known = before.at(&path).await?;
                let found = finder.at(&path).await?;
                let Some(Found { row: mut kept, names, .. }) =
                    self.judge(group, &row, &path, found, warnings).await?
                else {
                    continue;
                };
                strangers += u64::from((kept.uid, kept.gid) != (row.uid, row.gid));
                if kept.kind == Kind::File {
                    // What has another name was not brought anew: it is what it was.
                    kept.sha256 = known
                        .filter(|known| {
                            names > 1 && known.looks_like(&row) && kept.looks_like(&row)
                        })
                        .and_then(|known| known.sha256);
                    if kept.sha256.is_none() {
                        there.name(&path).await?;
                        list.name(group.below(&path)).await?;
                    }
                }
                looked.json(&kept).await?;
            }
            here.push(list.finish().await?);
        }
        if strangers > 0 {
            self.context.journal.warn(format!(
                "{strangers} files have another owner in the tree than at their source: only root \
                 can keep owners"
            ));
        }
        Ok(Unread { rows: looked.finish().await?, there: there.finish().await?, here })
    }

    /// What is kept of a file; `None` where it is gone on both sides.
    async fn judge(
        &self,
        group: &Group,
        row: &Row,
        path: &Path,
        found: Option<Found>,
        warnings: &mut Warnings,
    ) -> Result<Option<Found>, Failure> {
        let source = group.source_of(path);
        let Some(found) = found else {
            return match now_at(&source, path).await? {
                None => {
                    warnings.push(&source, "it was gone before it was read");
                    Ok(None)
                }
                Some(_) => Err(self.wrong(&source, "rsync did not bring it")),
            };
        };
        let is_link = row.kind == Kind::Link;
        let same = found.row.kind == row.kind
            && found.row.size == row.size
            && found.row.target == row.target
            && (found.row.mtime == row.mtime || is_link);
        if !same {
            if now_at(&source, path).await?.is_some_and(|now| now == *row) {
                return Err(self.wrong(&source, "it is not in the tree as it is here"));
            }
            warnings.push(&source, "it changed while it was read");
        }
        Ok(Some(found))
    }

    /// Reads what is new on both sides, and writes the listing.
    async fn read(
        &self,
        walked: &Walked,
        unread: Unread,
        warnings: &mut Warnings,
    ) -> Result<Made, Failure> {
        let config = &self.context.engine.0.config;
        let mut there = Hasher::new(self.host, self.ends_by).and(
            self.host,
            config,
            &self.partial(),
            &unread.there,
        );
        let mut rows = Rows::open(&unread.rows).await?;
        let mut listing = Lines::create(self.work.file("listing")).await?;
        listing.json(&Head::new(self.tree.as_str(), walked.above.iter().cloned())).await?;
        let mut made =
            Made { listing: PathBuf::new(), files: 0, size_bytes: 0, shared: 0, new_bytes: 0 };
        let mut groups = Vec::new();
        for (group, list) in walked.groups.iter().zip(&unread.here) {
            let base = Host::here(&group.base);
            groups.push((group, Hasher::new(&base, self.ends_by).and(&base, config, ".", list)));
        }
        while let Some(mut row) = rows.next().await? {
            let path = row.safe_path()?;
            if row.kind == Kind::File {
                made.files += 1;
                made.size_bytes += row.size;
                if row.sha256.is_some() {
                    made.shared += 1;
                } else {
                    made.new_bytes += row.size;
                    self.context.journal.add_bytes(usize::try_from(row.size).unwrap_or(0));
                    let kept = there.at(&path).await?;
                    let Some(kept) = kept else {
                        return Err(self.wrong(&path, "it cannot be read in the tree"));
                    };
                    // A file that was named is in its folder's group, beside those of folders.
                    let group = groups
                        .iter_mut()
                        .filter(|(group, _)| path.starts_with(&group.name))
                        .max_by_key(|(group, _)| group.name.components().count());
                    if let Some((group, here)) = group {
                        let source = group.source_of(&path);
                        if here.at(group.below(&path)).await?.as_ref() != Some(&kept) {
                            let now = now_at(&source, &path).await?;
                            if now.is_some_and(|now| now.looks_like(&row)) {
                                return Err(self.wrong(&source, "its bytes are others in the tree"));
                            }
                            warnings.push(&source, "it changed while it was read");
                        }
                    }
                    row.sha256 = Some(kept);
                }
            }
            listing.json(&row).await?;
        }
        made.listing = listing.finish().await?;
        Ok(made)
    }

    fn wrong(&self, path: &Path, what: &str) -> Failure {
        let message = format!("{}: {what}; {} is given up", archive::quoted(path), self.tree);
        self.host.fault(Failure::new(FailureCode::DestinationMismatch, message))
    }
}

/// The listing of the tree before, read beside the new one.
#[derive(Default)]
struct Before {
    rows: Option<Rows>,
    ahead: Option<(PathBuf, Row)>,
}

impl Before {
    async fn open(listing: &Path) -> Result<Self, Failure> {
        let mut rows = Rows::open(listing).await?;
        rows.head().await?;
        Ok(Self { rows: Some(rows), ahead: None })
    }

    /// What was at `path`. Both listings are in the order of their paths.
    async fn at(&mut self, path: &Path) -> Result<Option<Row>, Failure> {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        loop {
            if self.ahead.is_none() {
                let Some(row) = rows.next().await? else { return Ok(None) };
                self.ahead = Some((row.safe_path()?, row));
            }
            match self.ahead.take_if(|(at, _)| at.as_path() <= path) {
                None => return Ok(None),
                Some((at, row)) if at == path => return Ok(Some(row)),
                Some(_) => {}
            }
        }
    }
}

/// What is at the source `path` now; `None` where nothing is.
async fn now_at(path: &Path, name: &Path) -> Result<Option<Row>, Failure> {
    let (at, name) = (path.to_owned(), name.to_owned());
    let looked = work::blocking(move || match std::fs::symlink_metadata(&at) {
        Ok(meta) => walked::row(&at, &name, &meta),
        Err(error) => Err(error),
    });
    match looked.await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        looked => looked.map_err(|error| {
            let message = format!("{}: {error}", archive::quoted(path));
            Failure::new(FailureCode::SourceFailed, message)
        }),
    }
}

//! Whether a tree is what its listing says: every file looked at and re-read where it lies.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use archive::quoted;
use bytes::BytesMut;
use model::{Failure, FailureCode};
use store::Key;
use tokio::time::Instant;

use super::{
    Host, Proven, Work,
    host::{LONG, inside},
    listing::{Kind, Lines, Row, Rows, Text, damaged},
};
use crate::{
    EngineConfig,
    process::{Program, Running},
};

/// What is told of one by one.
const MAX_TOLD: usize = 5;
/// The facts of the files whose names come in, in their order, without those that are not there.
const FIND: &str = r#"cd -- "$2" || exit 1
find . -maxdepth 0 -printf "" && sha256sum -z /dev/null >/dev/null ||
    { echo "GNU findutils and coreutils are needed here" >&2; exit 1; }
exec xargs -0 -r sh -c 'find "$@" -maxdepth 0 -printf "%y %m %U %G %s %T@ %n\0%l\0%p\0" 2>/dev/null; true' sh"#;
/// The same for SHA-256.
const HASH: &str = r#"cd -- "$2" || exit 1
exec xargs -0 -r sh -c 'sha256sum -z -- "$@" 2>/dev/null; true' sh"#;
/// How many files there are at and below the path that comes in.
const COUNT: &str = r#"cd -- "$2" && xargs -0 sh -c 'find "$1" -printf x' sh | wc -c"#;

/// What a program writes, in parts ended by a zero byte.
struct Fields {
    running: Running,
    buffer: BytesMut,
    has_ended: bool,
}

impl Fields {
    fn start(program: &Program, ends_by: Instant) -> Result<Self, Failure> {
        let left = ends_by.saturating_duration_since(Instant::now());
        Ok(Self { running: program.start(left)?, buffer: BytesMut::new(), has_ended: false })
    }

    async fn next(&mut self) -> Result<Option<BytesMut>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == 0) {
                let mut field = self.buffer.split_to(end + 1);
                field.truncate(end);
                return Ok(Some(field));
            }
            if self.has_ended {
                return Ok(None);
            }
            match self.running.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => self.has_ended = true,
            }
        }
    }
}

/// A file as it is found.
pub(super) struct Found {
    path: PathBuf,
    pub(super) row: Row,
    /// How many names it has.
    pub(super) names: u64,
}

/// Looks at files in the order in which their names are in a file.
pub(super) struct Finder {
    host: Host,
    fields: Fields,
    ahead: Option<Found>,
}

impl Finder {
    pub(super) fn start(
        host: &Host,
        config: &EngineConfig,
        folder: &str,
        names: &Path,
        ends_by: Instant,
    ) -> Result<Self, Failure> {
        let program = host.script(config, FIND, &[folder]).reading(names);
        Ok(Self { host: host.clone(), fields: Fields::start(&program, ends_by)?, ahead: None })
    }

    /// What is at `path`; `None` where nothing is.
    pub(super) async fn at(&mut self, path: &Path) -> Result<Option<Found>, Failure> {
        if self.ahead.is_none() {
            let next = self.read().await;
            self.ahead = next.map_err(|failure| self.host.fault(failure))?;
        }
        Ok(self.ahead.take_if(|found| found.path == path))
    }

    async fn read(&mut self) -> Result<Option<Found>, Failure> {
        let Some(facts) = self.fields.next().await? else { return Ok(None) };
        let (Some(target), Some(path)) = (self.fields.next().await?, self.fields.next().await?)
        else {
            return Err(nonsense(&facts));
        };
        let path = without_dot(&path);
        let found = found(&facts, &target, &path).ok_or_else(|| nonsense(&facts))?;
        Ok(Some(Found { path, ..found }))
    }
}

fn nonsense(text: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(text).escape_debug().to_string();
    Failure::new(FailureCode::SourceFailed, format!("find told of `{text}`"))
}

fn without_dot(path: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(path.strip_prefix(b"./").unwrap_or(path))).to_owned()
}

fn found(facts: &[u8], target: &[u8], path: &Path) -> Option<Found> {
    let text = std::str::from_utf8(facts).ok()?;
    let mut words = text.split(' ');
    let mut next = || words.next();
    let kind = match next()? {
        "f" => Kind::File,
        "d" => Kind::Folder,
        "l" => Kind::Link,
        "p" => Kind::Fifo,
        _ => return None,
    };
    let mode = next()?.to_owned();
    let (uid, gid) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let size: u64 = next()?.parse().ok()?;
    let (secs, fraction) = next()?.split_once('.')?;
    let row = Row {
        path: Text::of(path.as_os_str()),
        kind,
        mode,
        uid,
        gid,
        mtime: secs.parse().ok()?,
        mtime_nanos: fraction.get(..9)?.parse().ok()?,
        size: if kind == Kind::File { size } else { 0 },
        sha256: None,
        target: (kind == Kind::Link).then(|| Text::of(OsStr::from_bytes(target))),
    };
    Some(Found { path: path.to_owned(), row, names: next()?.parse().ok()? })
}

/// Reads files in the order in which their names are in some files.
pub(super) struct Hasher {
    host: Host,
    waiting: VecDeque<Program>,
    fields: Option<Fields>,
    ends_by: Instant,
    ahead: Option<(PathBuf, String)>,
}

impl Hasher {
    pub(super) fn new(host: &Host, ends_by: Instant) -> Self {
        let (waiting, fields, ahead) = (VecDeque::new(), None, None);
        Self { host: host.clone(), waiting, fields, ends_by, ahead }
    }

    /// Also reads what `names` names in `folder` of `host`.
    pub(super) fn and(
        mut self,
        host: &Host,
        config: &EngineConfig,
        folder: &str,
        names: &Path,
    ) -> Self {
        self.waiting.push_back(host.script(config, HASH, &[folder]).reading(names));
        self
    }

    /// The SHA-256 of what is at `path`; `None` where nothing can be read.
    pub(super) async fn at(&mut self, path: &Path) -> Result<Option<String>, Failure> {
        if self.ahead.is_none() {
            let next = self.read().await;
            self.ahead = next.map_err(|failure| self.host.fault(failure))?;
        }
        Ok(self.ahead.take_if(|(found, _)| found == path).map(|(_, hash)| hash))
    }

    async fn read(&mut self) -> Result<Option<(PathBuf, String)>, Failure> {
        loop {
            if self.fields.is_none() {
                let Some(program) = self.waiting.pop_front() else { return Ok(None) };
                self.fields = Some(Fields::start(&program, self.ends_by)?);
            }
            let Some(fields) = &mut self.fields else { return Ok(None) };
            let Some(line) = fields.next().await? else {
                self.fields = None;
                continue;
            };
            let (hash, path) = line.split_at_checked(64).ok_or_else(|| nonsense(&line))?;
            let path = without_dot(path.get(2..).unwrap_or_default());
            return Ok(Some((path, String::from_utf8_lossy(hash).into_owned())));
        }
    }
}

/// What is not as it should be: some of it, and how much there is.
#[derive(Default)]
struct Troubles {
    told: Vec<String>,
    count: u64,
}

impl Troubles {
    fn add(&mut self, path: &Path, what: &str) {
        self.count += 1;
        if self.told.len() < MAX_TOLD {
            self.told.push(format!("{}: {what}", quoted(path)));
        }
    }

    fn end(self) -> Result<(), Failure> {
        if self.count == 0 {
            return Ok(());
        }
        let more = self.count - self.told.len() as u64;
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(Failure::new(FailureCode::Damaged, format!("{}{more}", self.told.join("; "))))
    }
}

/// Compares a tree, or a part of it, with its listing, and tells `progress` of every file's bytes.
/// Where one file is not right, the rest is looked at all the same.
pub(super) async fn verify(
    Proven { host, tree, part, listing }: &Proven,
    config: &EngineConfig,
    work: &Work,
    progress: impl Fn(u64),
) -> Result<(), Failure> {
    let ends_by = Instant::now() + LONG;
    let folder = inside(tree);
    let head = Rows::open(listing).await?;
    let (names, files, expected) = names_of(head, work).await?;
    let mut top = Lines::create(work.file("top")).await?;
    top.name(part).await?;
    let counting = host.script(config, COUNT, &[&folder]).reading(top.finish().await?);
    let count = counting.output(64, LONG).await;
    let count = count.map_err(|failure| absent(host, tree, failure))?;
    let count: u64 = String::from_utf8_lossy(&count).trim().parse().unwrap_or_default();
    // The tree's own folder is in no listing.
    let expected = expected + u64::from(part.as_os_str().is_empty());

    let mut troubles = Troubles::default();
    let mut rows = Rows::open(listing).await?;
    rows.head().await?;
    let mut finder = Finder::start(host, config, &folder, &names, ends_by)?;
    let mut missing = 0;
    while let Some(row) = rows.next().await? {
        let path = row.safe_path()?;
        match finder.at(&path).await? {
            None => {
                missing += 1;
                troubles.add(&path, "it is not there");
            }
            Some(found) => {
                if let Some(what) = differs(&row, &found.row) {
                    troubles.add(&path, what);
                }
            }
        }
    }
    if count + missing > expected {
        let more = count + missing - expected;
        troubles.add(Path::new(tree.as_str()), &format!("{more} files too many are in it"));
    }
    let mut rows = Rows::open(listing).await?;
    rows.head().await?;
    let mut hasher = Hasher::new(host, ends_by).and(host, config, &folder, &files);
    while let Some(row) = rows.next().await? {
        if row.kind != Kind::File {
            continue;
        }
        let path = row.safe_path()?;
        match hasher.at(&path).await? {
            Some(hash) if row.sha256.as_ref() == Some(&hash) => progress(row.size),
            Some(_) => troubles.add(&path, "its bytes are others"),
            None => troubles.add(&path, "it cannot be read"),
        }
    }
    troubles.end()
}

/// Writes the names of all and of files, and counts what the tree should have.
async fn names_of(mut rows: Rows, work: &Work) -> Result<(PathBuf, PathBuf, u64), Failure> {
    let head = rows.head().await?;
    let mut expected = head.above.len() as u64;
    let mut names = Lines::create(work.file("names")).await?;
    let mut files = Lines::create(work.file("files")).await?;
    while let Some(row) = rows.next().await? {
        let path = row.safe_path()?;
        names.name(&path).await?;
        if row.kind == Kind::File {
            if row.sha256.is_none() {
                return Err(damaged("a file has no checksum"));
            }
            files.name(&path).await?;
        }
        expected += 1;
    }
    Ok((names.finish().await?, files.finish().await?, expected))
}

/// A tree that cannot be entered: gone, or out of reach.
fn absent(host: &Host, tree: &Key, failure: Failure) -> Failure {
    if failure.message.contains("cd:") && failure.message.contains(tree.as_str()) {
        let message = format!("the tree {tree} is not there");
        return Failure::new(FailureCode::Missing, message);
    }
    host.fault(failure)
}

/// What is not the same about a file, its bytes aside.
fn differs(row: &Row, found: &Row) -> Option<&'static str> {
    if row.kind != found.kind {
        Some("it is of another kind")
    } else if row.target != found.target {
        Some("the link leads elsewhere")
    } else if row.size != found.size {
        Some("it has another size")
    } else if row.mode != found.mode || (row.uid, row.gid) != (found.uid, found.gid) {
        Some("its owner or permissions are others")
    } else if (row.mtime, row.mtime_nanos) != (found.mtime, found.mtime_nanos) {
        Some("its time is another")
    } else {
        None
    }
}

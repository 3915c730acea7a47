//! The second way in: segments that the server's `archive_command`, or a receiver beside it, hands
//! over, and what its `restore_command` asks for.

use std::{fs::File, io::Write as _, os::unix::fs::FileExt as _, sync::Arc};

use bytes::Bytes;
use futures::{TryStreamExt as _, stream::BoxStream};
use model::{App, AppId, EventKind, Fact, Severity, WalPiece, WalPieceKind, WalPieceState};
use replication::{Commits, Lsn, Scanner, SegmentSize, SystemId, Timeline};

use super::{
    archive::{Archive, Put, Unhashed, WalStream},
    asked,
    content::Content,
    index::Outline,
    names::{PieceName, is_label},
    told,
};
use crate::{Engine, EngineError};

/// A file that is handed over.
pub type WalBody = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is durable at the destination.
    Stored,
    /// It was so already, with the same content.
    AlreadyThere,
}

/// Who hands a file of WAL over, and how much of it there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// The server's `archive_command`, once the file is whole.
    ByCommand,
    /// A receiver beside the server, once it is whole.
    ByReceiver,
    /// Such a receiver, the beginning of a segment that is not whole yet.
    Beginning,
}

/// Largest file that is taken: a segment of the largest size.
const MOST: u64 = 1 << 30;
/// How often a beginning may be replaced while it is asked for.
const MOST_LOOKS: u32 = 5;
/// The head of a segment: where it says whose it is.
const HEAD: usize = 40;
/// The first page's header is the long one.
const LONG: u16 = 2;

impl Engine {
    /// Takes a file from a server's `archive_command`, or from a receiver beside it; well only once
    /// it is durable at the destination. [`EngineError::Conflict`] where one of other content is
    /// there.
    pub async fn push_wal(
        &self,
        app: AppId,
        name: &str,
        handed: Handed,
        body: WalBody,
        size: u64,
    ) -> Result<Pushed, EngineError> {
        let app = self.0.catalog.app(app).await?;
        let archive = self.wal_archive(&app).await?;
        let is_history = name.len() == 16 && name.ends_with(".history");
        let is_segment = name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !(is_history || is_segment || is_label(name)) {
            return Err(EngineError::invalid("name", Fact::NoWalFile { name: cut(name) }));
        }
        if handed == Handed::Beginning && !is_segment {
            return Err(EngineError::invalid("name", Fact::OnlySegmentBegins {}));
        }
        if size == 0 || size > MOST || is_history && size > replication::MAX_HISTORY as u64 {
            return Err(EngineError::invalid("size", Fact::NoWalSize { bytes: size }));
        }
        let file = Arc::new(self.spooled(body, size).await?);
        let content = Content::File(Arc::clone(&file), 0, size);
        let what = if is_segment {
            segment(name, &file, size, handed == Handed::Beginning).await?
        } else {
            self.other(&app, name, is_history).await?
        };
        let put = archive.put(self, &what, content).await;
        let put = match put {
            Ok(put) => put,
            Err(EngineError::Conflict(why)) => {
                let told = Fact::WalOther { app: app.name.to_string(), why: why.clone() };
                told::tell_once(self, app.id, EventKind::WalGap, Severity::Error, told).await?;
                return Err(EngineError::conflict(why));
            }
            Err(error) => return Err(error),
        };
        if is_segment {
            super::beside::note(self, app.id, handed).await?;
            super::stream::tidy_or_warn(self, &archive, name).await;
        }
        let now = self.now();
        let mut standing = self.0.catalog.wal_standing(app.id).await?.unwrap_or_default();
        standing.is_live = true;
        standing.trouble = None;
        standing.heard_at = Some(now);
        if is_segment {
            let end = super::names::told(what.end);
            standing.stored_to = standing.stored_to.max(Some(end));
            standing.server_at = standing.server_at.max(Some(end));
        }
        self.0.catalog.set_wal_standing(app.id, &standing).await?;
        Ok(match put {
            Put::Stored(_) => Pushed::Stored,
            Put::AlreadyThere(_) => Pushed::AlreadyThere,
        })
    }

    /// A file for a server's `restore_command`, a beginning filled up to a whole segment; `None`
    /// only where it is proven that there is none: neither catalog nor destination has it.
    pub async fn fetch_wal(
        &self,
        app: AppId,
        name: &str,
    ) -> Result<Option<WalStream>, EngineError> {
        let app = self.0.catalog.app(app).await?;
        let archive = self.wal_archive(&app).await?;
        if let Some(stream) = self.known_wal(&app, &archive, name).await? {
            return Ok(Some(stream));
        }
        // The catalog may know less than is there.
        let scanned = super::scan::scan(self, &archive).await?;
        super::receive::tell_of_lost(self, &app, &scanned.lost).await?;
        match self.known_wal(&app, &archive, name).await? {
            Some(stream) => Ok(Some(stream)),
            None => {
                let known = self.0.catalog.wal_named(app.id, name).await?;
                if known.iter().any(|piece| piece.kind != WalPieceKind::Beginning) {
                    return Err(EngineError::damaged(format!(
                        "{name} was in the archive of `{}` and is damaged or gone",
                        app.name
                    )));
                }
                Ok(None)
            }
        }
    }

    /// What the catalog knows of that file, filled up to a whole segment.
    async fn known_wal(
        &self,
        app: &App,
        archive: &Archive,
        name: &str,
    ) -> Result<Option<WalStream>, EngineError> {
        let mut looks = 0;
        loop {
            let Some(piece) = self.wal_piece(app, name).await? else { return Ok(None) };
            match archive.get_whole(&piece).await {
                // Something longer has replaced it since it was looked up.
                Err(EngineError::Store(error))
                    if error.kind() == store::StoreErrorKind::NotFound
                        && piece.kind == WalPieceKind::Beginning
                        && looks < MOST_LOOKS =>
                {
                    looks += 1;
                }
                got => return got.map(Some),
            }
        }
    }

    /// The good piece of that file: the whole one, or else the longest beginning.
    async fn wal_piece(&self, app: &App, name: &str) -> Result<Option<WalPiece>, EngineError> {
        let found = self.0.catalog.wal_named(app.id, name).await?;
        let good = found.into_iter().filter(|piece| piece.state == WalPieceState::Good);
        // Of several clusters the one that was stored last.
        Ok(good.max_by_key(|piece| {
            (piece.kind != WalPieceKind::Beginning, piece.stored_at, piece.end)
        }))
    }

    /// Writes what comes into a file of the spool that has no name.
    async fn spooled(&self, mut body: WalBody, size: u64) -> Result<File, EngineError> {
        let folder = self.0.config.spool.clone();
        let told = |error: std::io::Error| {
            EngineError::Store(store::StoreError::new(
                store::StoreErrorKind::Unavailable,
                format!("a file of WAL cannot be taken: {error}"),
            ))
        };
        let work = move || {
            std::fs::create_dir_all(&folder)?;
            tempfile::tempfile_in(folder)
        };
        let mut file = joined(work).await.map_err(told)?;
        let mut taken = 0_u64;
        while let Some(chunk) = body.try_next().await.map_err(told)? {
            taken += chunk.len() as u64;
            if taken > size {
                break;
            }
            file = joined(move || file.write_all(&chunk).map(|()| file)).await.map_err(told)?;
        }
        if taken != size {
            return Err(EngineError::invalid("size", Fact::WalCutShort { came: taken, size }));
        }
        Ok(file)
    }

    /// A history, or anything that is no segment: it does not say whose it is.
    async fn other(&self, app: &App, name: &str, history: bool) -> Result<Unhashed, EngineError> {
        let bad = || EngineError::invalid("name", Fact::NoTimelineFirst { name: cut(name) });
        let timeline = u32::from_str_radix(&name[..8], 16).ok().and_then(Timeline::new);
        let timeline = timeline.ok_or_else(bad)?;
        let outline = Outline::load(self, app.id).await?;
        let known = outline.end().and_then(|end| Some((end.system, outline.size(end.system)?)));
        let (system, size) = match known {
            Some(known) => known,
            // The first file of an archive: the server says who it is.
            None => identity(self, app).await?,
        };
        Ok(PieceName {
            system,
            size,
            timeline,
            kind: if history { WalPieceKind::History } else { WalPieceKind::Label },
            file: name.to_owned(),
            start: Lsn(0),
            end: Lsn(0),
            hash: String::new(),
            last_commit: None,
        })
    }
}

/// What was given as a name, no longer than it can be.
fn cut(name: &str) -> String {
    name.chars().take(80).collect()
}

/// Who the server is, and how large its segments are.
async fn identity(engine: &Engine, app: &App) -> Result<(SystemId, SegmentSize), EngineError> {
    let told = |error: replication::Error| EngineError::refused(error.to_string());
    let settings = super::address::of(&asked(engine, app)?).await.map_err(super::ops::refused)?;
    let mut connection = replication::Connection::open(&settings).await.map_err(told)?;
    let system = connection.identify().await.map_err(told)?.system;
    let size = connection.segment_size().await.map_err(told)?;
    connection.close().await;
    Ok((system, size))
}

async fn joined<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// What a segment says of itself, held against its name and size; of a `beginning` its size is less.
async fn segment(
    name: &str,
    file: &Arc<File>,
    size: u64,
    beginning: bool,
) -> Result<Unhashed, EngineError> {
    let wrong = |how: Fact| {
        EngineError::invalid("body", Fact::At { place: name.to_owned(), why: how.into() })
    };
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0).map_err(|error| wrong(Fact::said(error)))?;
    let told = Head::read(&head).ok_or_else(|| wrong(Fact::NoSegmentHead {}))?;
    let whole = u64::from(told.segment);
    let segment_size = SegmentSize::new(if beginning { whole } else { size })
        .ok_or_else(|| wrong(Fact::NoSegmentSize { bytes: size }))?;
    let (timeline, start) =
        segment_size.parse_name(name).ok_or_else(|| wrong(Fact::NoSegmentName {}))?;
    let fits = if beginning { size < whole } else { size == whole };
    if told.at != start.0 || !fits {
        let position = Lsn(told.at).to_string();
        return Err(wrong(Fact::OtherSegment { position, bytes: whole }));
    }
    let file = Arc::clone(file);
    let commits = joined(move || commits(&file, segment_size, start, size)).await;
    let commits = commits.map_err(|error| wrong(Fact::said(error)))?;
    Ok(PieceName {
        system: told.system,
        size: segment_size,
        timeline,
        kind: if beginning { WalPieceKind::Beginning } else { WalPieceKind::Segment },
        file: name.to_owned(),
        start,
        end: start.plus(size),
        hash: String::new(),
        last_commit: commits.map(|commits| commits.last),
    })
}

/// The commits in the first `len` bytes of a segment.
fn commits(
    file: &File,
    size: SegmentSize,
    start: Lsn,
    len: u64,
) -> std::io::Result<Option<Commits>> {
    let mut scanner = Scanner::new(size, start);
    let mut block = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        let count = usize::try_from(len - at).unwrap_or(block.len()).min(block.len());
        file.read_exact_at(&mut block[..count], at)?;
        scanner.feed(&block[..count]);
        at += count as u64;
    }
    Ok(scanner.take())
}

/// The head of a segment's first page, the same from PostgreSQL 13 to 18.
struct Head {
    at: u64,
    system: u64,
    segment: u32,
}

impl Head {
    fn read(bytes: &[u8; HEAD]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let half = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let info = u16::from_le_bytes([bytes[2], bytes[3]]);
        (info & LONG != 0).then_some(Self { at: word(8)?, system: word(24)?, segment: half(32)? })
    }
}

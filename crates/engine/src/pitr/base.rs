//! A base backup as a source's stream: one tar of what the server sends, file by file, which ends
//! well only once its manifest is proven and the WAL it needs is in the archive.

use std::{collections::VecDeque, path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use model::{BaseFacts, Failure, FailureCode, Name, RunKind, SnapshotKind};
use replication::{
    BaseBackup, BaseOptions, Connection, Finished, Kind, Lsn, Member, Part as Piece, SegmentSize,
    SystemId, Timeline,
};
use tar::{EntryType, Header};

use super::{address, index::Outline, names::told};
use crate::{
    run::{RunContext, failure},
    source::{
        OpenedSource, Part, SourceMeta, SourceOutcome, SourceStream, direct::Asked, parts,
        postgres::session::Session,
    },
};

/// The word for the part that is a base backup.
const BASE: &str = "base";
/// Bytes handed on at once.
const CHUNK: usize = 256 << 10;
const BLOCK: u64 = 512;
/// What ends a tar.
const END: usize = 1024;
/// Longest name that a tar's header holds.
const LONG: usize = 100;
/// How long WAL that a base needs may take until it is stored.
const PATIENCE: Duration = Duration::from_secs(1800);
/// After so many looks at which later WAL was acknowledged, what is missing will not come.
const GONE: u32 = 10;
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The part of `source` that is its base backup.
pub(crate) fn part(source: &Name) -> Part {
    parts::of_server(source, BASE, BASE)
}

/// Whether a run makes a base backup.
pub(crate) fn is_base(run: &model::Run) -> bool {
    run.kind == RunKind::Backup && run.snapshot_kind == SnapshotKind::Base
}

/// Begins a base backup of the server.
pub(crate) async fn open(
    context: &RunContext,
    asked: &Asked<'_>,
    part: &Part,
) -> Result<OpenedSource, Failure> {
    let told = |error: replication::Error| address::failure(&error);
    let settings = address::of(asked).await?;
    let mut connection = Connection::open(&settings).await.map_err(told)?;
    let size = connection.segment_size().await.map_err(told)?;
    let major = connection.major();
    let options = BaseOptions {
        label: format!("backup-orchestrator {}", context.run.id),
        start_timeout: asked.timeout(),
        ..BaseOptions::default()
    };
    let backup = connection.base_backup(&options).await.map_err(told)?;
    let meta = SourceMeta {
        file_name: format!("{}.tar", part.name),
        format: Some("tar".to_owned()),
        content_type: None,
        expected_size_bytes: Some(backup.progress().0),
    };
    let warnings = backup
        .tablespaces()
        .iter()
        .filter_map(|one| Some((one.oid?, one.location.display())))
        .map(|(oid, place)| {
            format!("the tablespace {oid} of {place} is in pg_tblspc/{oid} of the base backup")
        })
        .collect();
    Ok(Box::new(Base {
        context: context.clone(),
        meta,
        warnings,
        start: Place {
            system: backup.system(),
            timeline: backup.timeline(),
            at: backup.start(),
            size,
            major,
        },
        backup: Some(backup),
        folder: None,
        file: None,
        ready: BytesMut::with_capacity(2 * CHUNK),
        ends: VecDeque::new(),
        sent: 0,
        facts: None,
    }))
}

/// Where a base begins, and of what.
#[derive(Debug, Clone, Copy)]
struct Place {
    system: SystemId,
    timeline: Timeline,
    at: Lsn,
    size: SegmentSize,
    major: u32,
}

struct Base {
    context: RunContext,
    meta: SourceMeta,
    warnings: Vec<String>,
    start: Place,
    backup: Option<BaseBackup>,
    /// The tablespace whose members come.
    folder: Option<u32>,
    /// The size of the file whose bytes come.
    file: Option<u64>,
    ready: BytesMut,
    /// What is left to be sent once all has come.
    ends: VecDeque<Bytes>,
    sent: u64,
    facts: Option<BaseFacts>,
}

#[async_trait::async_trait]
impl SourceStream for Base {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        while self.ready.len() < CHUNK {
            let Some(backup) = &mut self.backup else { break };
            match backup.next().await.map_err(|error| address::failure(&error))? {
                Some(piece) => self.take(piece),
                None => self.finish().await?,
            }
        }
        if !self.ready.is_empty() {
            let chunk = self.ready.split().freeze();
            self.sent += chunk.len() as u64;
            return Ok(Some(chunk));
        }
        let Some(chunk) = self.ends.pop_front() else { return Ok(None) };
        if self.ends.is_empty() {
            self.wait().await?;
        }
        self.sent += chunk.len() as u64;
        Ok(Some(chunk))
    }

    fn outcome(&self) -> Option<SourceOutcome> {
        self.facts.as_ref().map(|_| SourceOutcome {
            size_bytes: self.sent,
            sha256: None,
            // The server's manifest told size and checksum of every file.
            verified_by_source: true,
        })
    }

    fn allows_empty(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn base(&self) -> Option<BaseFacts> {
        self.facts.clone()
    }
}

impl Base {
    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Archive(tablespace) => {
                self.folder = tablespace;
                if let Some(oid) = tablespace {
                    let member = Member {
                        path: oid.to_string().into(),
                        kind: Kind::Folder,
                        mode: 0o700,
                        size: 0,
                        modified: 0,
                    };
                    self.head(&Path::new("pg_tblspc").join(&member.path), &member);
                }
            }
            Piece::Member(member) => {
                let path = match self.folder {
                    Some(oid) => Path::new("pg_tblspc").join(oid.to_string()).join(&member.path),
                    None => member.path.clone(),
                };
                self.head(&path, &member);
                self.file = (member.kind == Kind::File).then_some(member.size);
            }
            Piece::Data(bytes) => self.ready.extend_from_slice(&bytes),
            Piece::End => self.pad(),
        }
    }

    /// Zeros up to the next block.
    fn pad(&mut self) {
        let over = self.file.take().unwrap_or(0) % BLOCK;
        let zeros = if over == 0 { 0 } else { BLOCK - over };
        self.ready.resize(self.ready.len() + usize::try_from(zeros).unwrap_or(0), 0);
    }

    fn head(&mut self, path: &Path, member: &Member) {
        let name = path.as_os_str().as_encoded_bytes();
        let target = match &member.kind {
            Kind::Link(target) => target.as_os_str().as_encoded_bytes(),
            _ => &[],
        };
        self.long(b'L', name);
        self.long(b'K', target);
        let mut header = Header::new_gnu();
        put(&mut header.as_gnu_mut().expect("made so").name, name);
        put(&mut header.as_gnu_mut().expect("made so").linkname, target);
        header.set_entry_type(match &member.kind {
            Kind::File => EntryType::Regular,
            Kind::Folder => EntryType::Directory,
            Kind::Link(_) => EntryType::Symlink,
        });
        header.set_mode(member.mode & 0o7777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(member.modified);
        header.set_size(if member.kind == Kind::File { member.size } else { 0 });
        header.set_cksum();
        self.ready.extend_from_slice(header.as_bytes());
    }

    /// A name that the header has no room for, before it.
    fn long(&mut self, kind: u8, name: &[u8]) {
        if name.len() <= LONG {
            return;
        }
        let mut header = Header::new_gnu();
        put(&mut header.as_gnu_mut().expect("made so").name, b"././@LongLink");
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(name.len() as u64 + 1);
        header.set_cksum();
        self.ready.extend_from_slice(header.as_bytes());
        self.ready.extend_from_slice(name);
        self.ready.extend_from_slice(&[0]);
        self.file = Some(name.len() as u64 + 1);
        self.pad();
    }

    /// Everything has come: the manifest proves it, and goes with it.
    async fn finish(&mut self) -> Result<(), Failure> {
        let Some(backup) = self.backup.take() else { return Ok(()) };
        let finished = backup.finish().await;
        let (connection, finished) = finished.map_err(|error| address::failure(&error))?;
        connection.close().await;
        let Finished { end, manifest_bytes, .. } = finished;
        let member = Member {
            path: "backup_manifest".into(),
            kind: Kind::File,
            mode: 0o600,
            size: manifest_bytes.len() as u64,
            modified: u64::try_from(self.context.engine.now().as_second()).unwrap_or(0),
        };
        self.head(Path::new("backup_manifest"), &member);
        self.ready.extend_from_slice(&manifest_bytes);
        self.file = Some(member.size);
        self.pad();
        let Place { system, timeline, at, size, major } = self.start;
        self.facts = Some(BaseFacts {
            system: system.to_string(),
            timeline: timeline.number(),
            start: told(at),
            end: told(end),
            segment_bytes: size.bytes(),
            major,
        });
        self.ends.push_back(Bytes::from_static(&[0; END]));
        Ok(())
    }

    /// Waits until the WAL that it needs is stored: without that it is no backup.
    async fn wait(&mut self) -> Result<(), Failure> {
        let Some(facts) = self.facts.clone() else { return Ok(()) };
        let engine = self.context.engine.clone();
        let app = self.context.app().await?;
        self.context.journal.info(format!(
            "the base backup is whole and proven by its manifest; waiting for WAL from {} to {}",
            facts.start, facts.end
        ));
        if app.recovery.as_ref().is_some_and(|plan| plan.way == model::WalWay::Push) {
            switch(&self.context, &app).await;
        }
        let from = self.start.size.start_of(self.start.at);
        let until = tokio::time::Instant::now() + PATIENCE;
        let streams = app.recovery.as_ref().is_some_and(|plan| plan.way == model::WalWay::Stream);
        let mut gone = 0;
        loop {
            // Before the index: what was acknowledged by then is in it, or will never be.
            let standing = engine.0.catalog.wal_standing(app.id).await.ok().flatten();
            let outline = Outline::load(&engine, app.id).await;
            let outline = outline.map_err(|error| failure::of_engine(&error))?;
            let own = outline.stored.of(self.start.system, self.start.timeline);
            let end = Lsn(facts.end.0);
            if own.is_some_and(|ranges| ranges.contains(from, end)) {
                return Ok(());
            }
            let acknowledged = standing.as_ref().filter(|standing| streams && standing.is_live);
            let is_gone = acknowledged.and_then(|standing| standing.stored_to) > Some(facts.end);
            gone = if is_gone { gone + 1 } else { 0 };
            if gone == GONE {
                return Err(Failure::new(
                    FailureCode::SourceFailed,
                    format!(
                        "WAL from {} to {} is not whole in the archive, and what is missing will \
                         not come any more: the server has let go of it, as it does where it may \
                         keep no more; without it the base backup is nothing, and the next one \
                         follows by itself",
                        facts.start, facts.end
                    ),
                ));
            }
            if tokio::time::Instant::now() > until {
                let why = standing.and_then(|standing| standing.trouble);
                let why = why.map(|told| told.message).unwrap_or_default();
                return Err(Failure::new(
                    FailureCode::Timeout,
                    format!(
                        "WAL from {} to {} did not come into the archive within {} minutes, and \
                         without it the base backup is nothing; {why}",
                        facts.start,
                        facts.end,
                        PATIENCE.as_secs() / 60
                    ),
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Ends the segment in hand, so that `archive_command` is given it. Where the role may not, the
/// server's `archive_timeout` does it.
async fn switch(context: &RunContext, app: &model::App) {
    let switched = async {
        let asked = super::asked(&context.engine, app).map_err(|e| failure::of_engine(&e))?;
        let session = Session::of(&asked).await?;
        let (database, tools, _) = session.maintenance().await?;
        session.ask(&tools, database, "SELECT pg_switch_wal()").await.map(drop)
    };
    if let Err(failure) = switched.await {
        let why = failure.message;
        context.journal.warn(format!("the segment in hand cannot be ended by us: {why}"));
    }
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let count = bytes.len().min(field.len());
    field[..count].copy_from_slice(&bytes[..count]);
}

//! Base backups: file by file from the stream, proven by the server's manifest.

mod files;

use std::{path::PathBuf, time::Duration};

use bytes::{Buf, Bytes};

use crate::{
    Algorithm, Connection, Error, Kind, Lsn, Manifest, Member, SystemId, Timeline,
    query::{Answer, number, text},
    server_error::Asked,
    tar_stream::{Step, TarStream},
};
use files::Files;

/// Largest manifest that is kept: about 200 bytes for each file.
const MAX_MANIFEST: usize = 512 << 20;
const DOING: &str = "taking a base backup";

/// How to take a base backup.
#[derive(Debug, Clone)]
pub struct BaseOptions {
    /// Its name in the server's log and in `backup_label`.
    pub label: String,
    /// Begin with a checkpoint at once; otherwise with the next one that comes.
    pub fast: bool,
    /// KiB each second, 32 to 1048576; `None` for as fast as it goes.
    pub max_rate: Option<u32>,
    /// How the manifest proves the files.
    pub checksums: Algorithm,
    /// How long the checkpoint may take.
    pub start_timeout: Duration,
}

impl Default for BaseOptions {
    fn default() -> Self {
        Self {
            label: "backup-orchestrator".into(),
            fast: true,
            max_rate: None,
            checksums: Algorithm::default(),
            start_timeout: Duration::from_secs(3600),
        }
    }
}

impl BaseOptions {
    /// The command, in the words of that version.
    fn command(&self, major: u32) -> Result<String, Error> {
        if self.label.contains('\0') || self.label.len() > 1_000 {
            return Err(Error::Settings("a label has at most 1000 bytes".into()));
        }
        if self.max_rate.is_some_and(|rate| !(32..=1_048_576).contains(&rate)) {
            return Err(Error::Settings("a rate is 32 to 1048576 KiB each second".into()));
        }
        let label = self.label.replace('\'', "''");
        let sums = self.checksums;
        // Without waiting for the server's own archive: the WAL is received by ourselves.
        Ok(if major >= 15 {
            let rate = self.max_rate.map(|rate| format!(", MAX_RATE {rate}")).unwrap_or_default();
            let checkpoint = if self.fast { "fast" } else { "spread" };
            format!(
                "BASE_BACKUP (LABEL '{label}', PROGRESS, CHECKPOINT '{checkpoint}', WAIT 0{rate}, \
                 TABLESPACE_MAP, MANIFEST 'yes', MANIFEST_CHECKSUMS '{sums}')"
            )
        } else {
            let rate = self.max_rate.map(|rate| format!(" MAX_RATE {rate}")).unwrap_or_default();
            let fast = if self.fast { " FAST" } else { "" };
            format!(
                "BASE_BACKUP LABEL '{label}' PROGRESS{fast} NOWAIT{rate} TABLESPACE_MAP \
                 MANIFEST 'yes' MANIFEST_CHECKSUMS '{sums}'"
            )
        })
    }
}

/// A tablespace outside the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablespace {
    /// Its number; `None` is the data directory itself.
    pub oid: Option<u32>,
    /// Where it is on the server; empty for the data directory.
    pub location: PathBuf,
    /// About how large, in bytes.
    pub size: u64,
}

/// What comes of a base backup, in order.
#[derive(Debug)]
pub enum Part {
    /// Members of this tablespace follow; `None` for the data directory.
    Archive(Option<u32>),
    /// A file, a folder or a link. A file's bytes follow.
    Member(Member),
    /// Bytes of the file in hand.
    Data(Bytes),
    /// The file in hand is whole.
    End,
}

/// What is known at the end.
#[derive(Debug)]
pub struct Finished {
    /// Up to where WAL is needed for it to be consistent.
    pub end: Lsn,
    /// The timeline of `end`.
    pub timeline: Timeline,
    /// The manifest as the server wrote it: to be kept beside the files as `backup_manifest`.
    pub manifest_bytes: Bytes,
    /// What it says; each file was found to be as it says.
    pub manifest: Manifest,
}

/// A base backup that is being taken. Dropping it ends it at the server.
pub struct BaseBackup {
    connection: Connection,
    system: SystemId,
    start: Lsn,
    timeline: Timeline,
    tablespaces: Vec<Tablespace>,
    /// The archives of servers before 15 come in the order of the tablespaces.
    legacy: Option<usize>,
    input: Bytes,
    tar: Option<TarStream>,
    files: Files,
    manifest: Option<Vec<u8>>,
    end: Option<(Lsn, Timeline)>,
    received: u64,
    ready: bool,
}

impl Connection {
    /// `BASE_BACKUP`: begins one, once the checkpoint is done.
    pub async fn base_backup(mut self, options: &BaseOptions) -> Result<BaseBackup, Error> {
        let system = self.identify().await?.system;
        let command = options.command(self.major())?;
        self.send(&command).await?;
        let usual = std::mem::replace(&mut self.wire.timeout, options.start_timeout);
        let mut rows = Vec::new();
        let mut sets = 0;
        // The position in one answer, the tablespaces in another.
        while sets < 2 {
            match self.hear(Asked::Other, DOING, None).await? {
                Answer::Row(row) if rows.len() < 100_000 => rows.push(row),
                Answer::Complete => sets += 1,
                Answer::Columns => {}
                _ => return Err(Error::protocol("no beginning of a base backup")),
            }
        }
        self.wire.timeout = usual;
        let (first, rest) =
            rows.split_first().ok_or_else(|| Error::protocol("a base backup begins nowhere"))?;
        let (start, timeline) = (text(first, 0)?.parse()?, text(first, 1)?.parse()?);
        let tablespaces = rest
            .iter()
            .map(|row| {
                let oid = match row.first() {
                    Some(Some(_)) => Some(number(row, 0)?),
                    _ => None,
                };
                let location = text(row, 1).unwrap_or_default().into();
                let size: u64 = number(row, 2).unwrap_or(0);
                Ok(Tablespace { oid, location, size: size.saturating_mul(1024) })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let legacy = (self.major() < 15).then_some(0);
        Ok(BaseBackup {
            connection: self,
            system,
            start,
            timeline,
            tablespaces,
            legacy,
            input: Bytes::new(),
            tar: None,
            files: Files::new(options.checksums),
            manifest: None,
            end: None,
            received: 0,
            ready: false,
        })
    }
}

impl BaseBackup {
    /// The cluster.
    pub fn system(&self) -> SystemId {
        self.system
    }

    /// Where replay begins: WAL from the segment that holds this is needed.
    pub fn start(&self) -> Lsn {
        self.start
    }

    /// The timeline of `start`.
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// The data directory and the tablespaces outside it.
    pub fn tablespaces(&self) -> &[Tablespace] {
        &self.tablespaces
    }

    /// About how many bytes there are, and how many have come.
    pub fn progress(&self) -> (u64, u64) {
        (self.tablespaces.iter().map(|tablespace| tablespace.size).sum(), self.received)
    }

    /// The next part; `None` once all has come.
    pub async fn next(&mut self) -> Result<Option<Part>, Error> {
        loop {
            if let Some(tar) = &mut self.tar
                && let Some(step) = tar.next(&mut self.input)?
            {
                return Ok(Some(match step {
                    Step::Member(member) => {
                        if member.kind == Kind::File {
                            self.files.begin(&member)?;
                        }
                        Part::Member(member)
                    }
                    Step::Data(bytes) => {
                        self.files.feed(&bytes);
                        Part::Data(bytes)
                    }
                    Step::End => {
                        self.files.end()?;
                        Part::End
                    }
                }));
            }
            if self.ready {
                return Ok(None);
            }
            if let Some(part) = self.advance().await? {
                return Ok(Some(part));
            }
        }
    }

    /// Takes the server's next message.
    async fn advance(&mut self) -> Result<Option<Part>, Error> {
        match self.connection.hear(Asked::Other, DOING, None).await? {
            Answer::CopyOut => {
                let Some(archive) = self.legacy.as_mut() else { return Ok(None) };
                let tablespace = self.tablespaces.get(*archive).cloned();
                *archive += 1;
                match tablespace {
                    Some(tablespace) => return Ok(Some(self.begin(tablespace.oid))),
                    None => self.manifest = Some(Vec::new()),
                }
            }
            Answer::Data(bytes) => {
                self.received += bytes.len() as u64;
                return if self.legacy.is_some() {
                    self.data(bytes).map(|()| None)
                } else {
                    self.tagged(bytes)
                };
            }
            Answer::CopyDone => self.end_archive()?,
            Answer::Row(row) => self.end = Some((text(&row, 0)?.parse()?, text(&row, 1)?.parse()?)),
            Answer::Columns | Answer::Complete => {}
            Answer::Ready => self.ready = true,
            Answer::CopyBoth => return Err(Error::protocol("no base backup")),
        }
        Ok(None)
    }

    /// Since 15 the first byte says what follows.
    fn tagged(&mut self, mut bytes: Bytes) -> Result<Option<Part>, Error> {
        let tag = bytes.try_get_u8().map_err(|_| Error::protocol("an empty message"))?;
        match tag {
            b'n' => {
                self.end_archive()?;
                let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                let name = String::from_utf8_lossy(name);
                let oid = match name.as_ref() {
                    "base.tar" => None,
                    other => Some(
                        other.strip_suffix(".tar").and_then(|oid| oid.parse().ok()).ok_or_else(
                            || {
                                Error::protocol(format!(
                                    "\"{}\" is no archive",
                                    other.escape_debug()
                                ))
                            },
                        )?,
                    ),
                };
                Ok(Some(self.begin(oid)))
            }
            b'm' => {
                self.end_archive()?;
                self.manifest = Some(Vec::new());
                Ok(None)
            }
            b'd' => self.data(bytes).map(|()| None),
            b'p' => Ok(None),
            other => Err(Error::protocol(format!("{other:#04x} in a base backup"))),
        }
    }

    fn begin(&mut self, tablespace: Option<u32>) -> Part {
        self.tar = Some(TarStream::new());
        self.files.tablespace(tablespace);
        Part::Archive(tablespace)
    }

    fn end_archive(&mut self) -> Result<(), Error> {
        self.tar.take().map_or(Ok(()), |tar| tar.finish())
    }

    fn data(&mut self, bytes: Bytes) -> Result<(), Error> {
        if let Some(manifest) = &mut self.manifest {
            if manifest.len() + bytes.len() > MAX_MANIFEST {
                return Err(Error::Unsound("its manifest is larger than 512 MiB".into()));
            }
            manifest.extend_from_slice(&bytes);
            return Ok(());
        }
        if self.tar.is_none() {
            return Err(Error::protocol("data outside of an archive"));
        }
        self.input = bytes;
        Ok(())
    }

    /// Proves each file by the manifest. Only what comes out of here is a base backup.
    pub async fn finish(mut self) -> Result<(Connection, Finished), Error> {
        while self.next().await?.is_some() {}
        let (end, timeline) =
            self.end.ok_or_else(|| Error::protocol("a base backup without an end"))?;
        let bytes = Bytes::from(
            self.manifest.take().ok_or_else(|| Error::Unsound("it has no manifest".into()))?,
        );
        let files = self.files;
        let manifest_bytes = bytes.clone();
        // Many files: seconds of reading.
        let manifest = tokio::task::spawn_blocking(move || {
            let manifest = Manifest::parse(&bytes)?;
            files.prove(&manifest)?;
            Ok::<_, Error>(manifest)
        })
        .await
        .map_err(|_| Error::Gone)??;
        if manifest.system.is_some_and(|system| system != self.system) {
            return Err(Error::Unsound("its manifest is of another cluster".into()));
        }
        Ok((self.connection, Finished { end, timeline, manifest_bytes, manifest }))
    }
}

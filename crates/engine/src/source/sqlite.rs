//! Direct source: a SQLite file, also while it is written.
//!
//! SQLite's own online backup copies one moment of it into the spool folder; the copy is checked
//! and streamed.

pub(crate) mod copy;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use artifact::contents::Counted;
use bytes::{Bytes, BytesMut};
use model::{Duty, Fact, Failure, FailureCode, Size};
use tokio::io::AsyncReadExt as _;

use self::copy::Copying;
use super::{
    OpenedSource, Part, SourceMeta, SourceOutcome, SourceStream,
    direct::{Asked, Driver, SettingField, SettingValue},
};
use crate::{CheckState, Report, doctor::said, run::RunContext};

const READ_CHUNK: usize = 128 << 10;
/// How long a lock of another is waited for, where nothing is said.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Sqlite;

#[async_trait::async_trait]
impl Driver for Sqlite {
    fn settings(&self) -> &'static [SettingField] {
        const FIELDS: &[SettingField] = &[
            SettingField::required("path", SettingValue::Text),
            SettingField::optional("busy_timeout_secs", SettingValue::Number(0, 3_600)),
        ];
        FIELDS
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    fn check(&self, settings: &BTreeMap<String, String>) -> Vec<(&'static str, Fact)> {
        match settings.get("path") {
            Some(path) if !Path::new(path).is_absolute() => {
                vec![("path", Fact::WholePathHere {})]
            }
            _ => Vec::new(),
        }
    }

    async fn open(
        &self,
        context: &RunContext,
        asked: &Asked<'_>,
        part: &Part,
    ) -> Result<OpenedSource, Failure> {
        let file = file_of(asked).await?;
        let size_bytes = size_with_log(&file).await;
        check_size(asked, size_bytes)?;
        let config = &asked.engine.0.config;
        let folder = config.spool.join(format!("{}-{}", context.run.id, part.name));
        // Paths in the catalog have to mean the same after a restart elsewhere.
        let folder = std::path::absolute(folder).map_err(|error| spool_failed(&error))?;
        let _owed = context.owe(Duty::RemoveFolder { path: folder.clone() }).await?;
        make_folder(&folder).await?;
        let target = folder.join("copy.sqlite3");
        let copying = Copying {
            busy_timeout: busy_timeout(asked),
            ends_by: std::time::Instant::now() + asked.timeout(),
            max_size_bytes: asked.max_size_bytes(),
        };
        let copied = tokio::select! {
            biased;
            failure = context.stopped() => return Err(failure),
            copied = copying.start(file.clone(), target.clone()) => copied?,
        };
        let opened = tokio::fs::File::open(&target).await.map_err(|error| spool_failed(&error))?;
        let size_bytes = opened.metadata().await.map_err(|error| spool_failed(&error))?.len();
        check_size(asked, size_bytes)?;
        Ok(Box::new(Opened {
            meta: SourceMeta {
                file_name: file_name(&file),
                format: Some("sqlite3".to_owned()),
                content_type: Some("application/vnd.sqlite3".to_owned()),
                expected_size_bytes: Some(size_bytes),
            },
            file: opened,
            size_bytes,
            read_bytes: 0,
            buffer: BytesMut::new(),
            is_done: false,
            warnings: copied.warnings,
            counted: copied.counted,
        }))
    }

    async fn doctor(&self, asked: &Asked<'_>, report: &mut Report) {
        let file = match file_of(asked).await {
            Ok(file) => file,
            Err(failure) => return report.failed("reachable", failure, Fact::DoPathSeen {}),
        };
        report.ok("reachable", Fact::PathThere { path: file.display().to_string() });
        match copy::look(file.clone(), busy_timeout(asked)).await {
            Ok(found) => report.ok("database", found),
            Err(failure) => return report.failed("database", failure, Fact::DoSqlite {}),
        }
        let size_bytes = size_with_log(&file).await;
        match check_size(asked, size_bytes) {
            Ok(()) => report.ok("size", Fact::SizeIs { size: Size(size_bytes) }),
            Err(failure) => report.failed("size", failure, Fact::DoOwnLimit {}),
        }
        let spool = &asked.engine.0.config.spool;
        match nix::sys::statvfs::statvfs(spool) {
            Ok(room) => {
                let free_bytes = room.blocks_available().saturating_mul(room.fragment_size());
                let (size, path) = (Size(free_bytes), spool.display().to_string());
                let found = Fact::FreeIn { size, path };
                if free_bytes < size_bytes {
                    report.failed("spool", found, Fact::DoRoomForCopy {});
                } else {
                    report.ok("spool", found);
                }
            }
            // It is made by the first run that needs it.
            Err(nix::Error::ENOENT) => {}
            Err(error) => report.push(
                "spool",
                CheckState::Warning,
                said(format!("{}: {error}", spool.display())),
                Some(Fact::DoSpool {}),
            ),
        }
    }
}

/// The database's file, which must be a plain one.
async fn file_of(asked: &Asked<'_>) -> Result<PathBuf, Failure> {
    let file = PathBuf::from(asked.setting("path").unwrap_or_default());
    let refuse = |why: Fact| {
        let fact = Fact::At { place: file.display().to_string(), why: why.into() };
        Err(Failure::new(FailureCode::SourceConfig, fact))
    };
    match tokio::fs::symlink_metadata(&file).await {
        Ok(meta) if meta.is_file() => Ok(file),
        Ok(meta) if meta.is_symlink() => refuse(Fact::IsLink {}),
        Ok(_) => refuse(Fact::IsNoFile {}),
        Err(error) => refuse(Fact::also(said(error), Fact::DoPathOurs {})),
    }
}

/// What a copy will have at most: what is not yet in the file counts, too.
async fn size_with_log(file: &Path) -> u64 {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let size = async |path: &Path| tokio::fs::metadata(path).await.map_or(0, |meta| meta.len());
    size(file).await + size(Path::new(&log)).await
}

fn check_size(asked: &Asked<'_>, size_bytes: u64) -> Result<(), Failure> {
    let limit = asked.max_size_bytes();
    if size_bytes <= limit {
        return Ok(());
    }
    let (source, size) = (asked.source.name.to_string(), Size(size_bytes));
    let too_large = Fact::SourceTooLarge { source, size, limit: Size(limit) };
    Err(Failure::new(FailureCode::SourceTooLarge, too_large))
}

pub(crate) fn busy_timeout(asked: &Asked<'_>) -> Duration {
    let told = asked.setting("busy_timeout_secs").and_then(|text| text.parse().ok());
    told.map_or(BUSY_TIMEOUT, Duration::from_secs)
}

/// A folder that only we can read; what an earlier try left in it is gone.
async fn make_folder(folder: &Path) -> Result<(), Failure> {
    if let Some(spool) = folder.parent() {
        tokio::fs::create_dir_all(spool).await.map_err(|error| spool_failed(&error))?;
    }
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(spool_failed(&error));
        }
        _ => {}
    }
    let mut made = tokio::fs::DirBuilder::new();
    made.mode(0o700).create(folder).await.map_err(|error| spool_failed(&error))
}

fn spool_failed(error: &std::io::Error) -> Failure {
    let message = format!("the spool folder cannot be used: {error}; look at its room and owner");
    Failure::new(FailureCode::SourceFailed, message)
}

/// The file's own name, as far as it is safe.
fn file_name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let stem: String = stem.chars().take(48).map(safe).collect();
    let stem = stem.trim_start_matches(['-', '_']);
    format!("{}.sqlite3", if stem.is_empty() { "database" } else { stem })
}

struct Opened {
    meta: SourceMeta,
    file: tokio::fs::File,
    size_bytes: u64,
    read_bytes: u64,
    buffer: BytesMut,
    is_done: bool,
    warnings: Vec<String>,
    counted: Counted,
}

#[async_trait::async_trait]
impl SourceStream for Opened {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.buffer.reserve(READ_CHUNK);
        let read = self.file.read_buf(&mut self.buffer).await;
        let count = read.map_err(|error| spool_failed(&error))?;
        self.read_bytes += count as u64;
        if count > 0 {
            return Ok(Some(self.buffer.split().freeze()));
        }
        if self.read_bytes != self.size_bytes {
            let message = format!(
                "the copy had {} bytes and only {} could be read",
                self.size_bytes, self.read_bytes
            );
            return Err(Failure::new(FailureCode::SourceTruncated, message));
        }
        self.is_done = true;
        Ok(None)
    }

    fn outcome(&self) -> Option<SourceOutcome> {
        self.is_done.then_some(SourceOutcome {
            size_bytes: self.read_bytes,
            sha256: None,
            verified_by_source: false,
        })
    }

    fn allows_empty(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn counted(&self) -> Option<Counted> {
        Some(self.counted.clone())
    }
}

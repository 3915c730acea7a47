//! Direct source: Redis and Valkey, as a replica sees them.

mod rdb;
pub(crate) mod wire;

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{Fact, Failure, FailureCode, Size};
use tokio::time::Instant;

use self::{rdb::Rdb, wire::Connection};
use super::{
    OpenedSource, Part, SourceMeta, SourceOutcome, SourceStream,
    direct::{Asked, Driver, SettingField, SettingValue},
};
use crate::{CheckState, Report, doctor::said, run::RunContext};

pub(crate) struct Redis;

#[async_trait::async_trait]
impl Driver for Redis {
    fn settings(&self) -> &'static [SettingField] {
        const FIELDS: &[SettingField] = &[
            SettingField::optional("host", SettingValue::Text),
            SettingField::optional("port", SettingValue::Number(1, 65_535)),
            SettingField::optional("socket", SettingValue::Text),
            SettingField::optional("user", SettingValue::Text),
        ];
        FIELDS
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["password"]
    }

    fn check(&self, settings: &BTreeMap<String, String>) -> Vec<(&'static str, Fact)> {
        match (settings.get("host"), settings.get("socket")) {
            (None, None) => vec![("host", Fact::HostSocket {})],
            (Some(_), Some(_)) => vec![("socket", Fact::HostOrSocket {})],
            (None, Some(socket)) if !socket.starts_with('/') => {
                vec![("socket", Fact::SlashFirst {})]
            }
            _ => Vec::new(),
        }
    }

    async fn open(
        &self,
        _context: &RunContext,
        asked: &Asked<'_>,
        _part: &Part,
    ) -> Result<OpenedSource, Failure> {
        let ends_by = Instant::now() + asked.timeout();
        let mut connection = Connection::open(asked, ends_by).await?;
        let payload = connection.begin_snapshot().await?;
        Ok(Box::new(Opened {
            meta: SourceMeta {
                file_name: "dump.rdb".to_owned(),
                format: Some("rdb".to_owned()),
                content_type: Some("application/octet-stream".to_owned()),
                expected_size_bytes: payload.size_bytes(),
            },
            connection,
            payload,
            rdb: Rdb::default(),
            max_size_bytes: asked.max_size_bytes(),
            is_done: false,
        }))
    }

    async fn doctor(&self, asked: &Asked<'_>, report: &mut Report) {
        let ends_by = Instant::now() + wire::ANSWER;
        let mut connection = match Connection::open(asked, ends_by).await {
            Ok(connection) => connection,
            Err(failure) if failure.code == FailureCode::SourceUnauthorized => {
                return report.failed("login", failure, Fact::DoUserPassword {});
            }
            Err(failure) => return report.failed("reachable", failure, Fact::DoHostPort {}),
        };
        report.ok("reachable", Fact::Answers { place: connection.place().to_owned() });
        let info = match connection.info().await {
            Ok(info) => info,
            Err(failure) => return report.failed("login", failure, Fact::DoInfo {}),
        };
        let told = |key: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.unwrap_or("?").trim().to_owned()
        };
        // Valkey gives Redis's version for those who ask for nothing else.
        let server = match told("valkey_version") {
            version if version == "?" => format!("Redis {}", told("redis_version")),
            version => format!("Valkey {version}"),
        };
        report.ok("login", Fact::LoginAccepted { server });
        let keys: Vec<_> = info.lines().filter(|line| line.starts_with("db")).collect();
        let keys = if keys.is_empty() { Fact::NoKeys {} } else { said(keys.join("; ")) };
        report.ok("databases", keys);
        let used_bytes: u64 = told("used_memory").parse().unwrap_or_default();
        report.ok("size", Fact::MemoryUsed { size: Size(used_bytes) });
        if told("role") == "slave" && told("master_link_status") != "up" {
            report.failed("replica", Fact::ReplicaLost {}, Fact::DoReplica {});
        }
        // Asking for a snapshot would make the server write one.
        match connection.may_snapshot().await {
            Ok(true) => report.ok("snapshot", Fact::MaySnapshot {}),
            Ok(false) => report.failed(
                "snapshot",
                Fact::MayNotSnapshot {},
                said("ACL SETUSER name +sync +replconf +ping"),
            ),
            Err(_) => report.push(
                "snapshot",
                CheckState::Warning,
                Fact::SnapshotUntold {},
                Some(Fact::DoRun {}),
            ),
        }
    }
}

struct Opened {
    meta: SourceMeta,
    connection: Connection,
    payload: wire::Payload,
    rdb: Rdb,
    max_size_bytes: u64,
    is_done: bool,
}

#[async_trait::async_trait]
impl SourceStream for Opened {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(chunk) = self.connection.snapshot_chunk(&mut self.payload).await? else {
            self.rdb.finish()?;
            self.is_done = true;
            return Ok(None);
        };
        self.rdb.push(&chunk)?;
        if self.rdb.size_bytes() > self.max_size_bytes {
            let message = format!(
                "the snapshot of {} has more than the {} bytes allowed: raise BACKUP_MAX_SIZE_MB \
                 or the app's own limit",
                self.connection.place(),
                self.max_size_bytes
            );
            return Err(Failure::new(FailureCode::SourceTooLarge, message));
        }
        Ok(Some(chunk))
    }

    fn outcome(&self) -> Option<SourceOutcome> {
        self.is_done.then_some(SourceOutcome {
            size_bytes: self.rdb.size_bytes(),
            sha256: None,
            verified_by_source: false,
        })
    }

    fn allows_empty(&self) -> bool {
        false
    }
}

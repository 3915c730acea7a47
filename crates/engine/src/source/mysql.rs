//! Direct source: MariaDB and MySQL, by `mariadb-dump` or `mysqldump`.

pub(crate) mod client;
mod names;

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{Fact, Failure, FailureCode, Name, Size};

use self::client::Client;
use super::{
    OpenedSource, Part, SourceMeta, SourceOutcome, SourceStream,
    direct::{Asked, Driver, SettingField, SettingValue},
    parts,
    tool::{Reading, within},
};
use crate::{Report, doctor::said, run::RunContext};

/// Kept of the stream's end, to look for the closing line.
const TAIL_BYTES: usize = 256;
const CLOSING_LINE: &[u8] = b"\n-- Dump completed";
/// The word for the part that holds users and grants.
pub(crate) const USERS: &str = "users and grants";

/// The part of users and grants.
fn users(source: &Name) -> Part {
    parts::of_server(source, "users", USERS)
}

pub(crate) struct Mysql;

#[async_trait::async_trait]
impl Driver for Mysql {
    fn settings(&self) -> &'static [SettingField] {
        const FIELDS: &[SettingField] = &[
            SettingField::optional("host", SettingValue::Text),
            SettingField::optional("port", SettingValue::Number(1, 65_535)),
            SettingField::optional("socket", SettingValue::Text),
            SettingField::optional("user", SettingValue::Text),
            SettingField::required("database", SettingValue::List),
            SettingField::optional("users", SettingValue::Flag),
            SettingField::optional("tls", SettingValue::Choice(&["default", "off", "verified"])),
            SettingField::optional("tls_ca", SettingValue::Text),
            SettingField::optional("container", SettingValue::Text),
        ];
        FIELDS
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["password"]
    }

    fn check(&self, settings: &BTreeMap<String, String>) -> Vec<(&'static str, Fact)> {
        let mut problems = Vec::new();
        match (settings.get("host"), settings.get("socket")) {
            (None, None) if !settings.contains_key("container") => {
                problems.push(("host", Fact::HostSocketContainer {}));
            }
            (Some(_), Some(_)) => {
                problems.push(("socket", Fact::HostOrSocket {}));
            }
            (None, Some(socket)) if !socket.starts_with('/') => {
                problems.push(("socket", Fact::SlashFirst {}));
            }
            _ => {}
        }
        let databases = settings.get("database").map(String::as_str).unwrap_or_default();
        let several = databases.split([',', '\n']).filter(|word| !word.trim().is_empty()).count();
        if several == 0 {
            problems.push(("database", Fact::NameDatabase {}));
        }
        if several > 1 && databases.split([',', '\n']).any(|word| word.trim() == "*") {
            problems.push(("database", Fact::StarAlone {}));
        }
        problems
    }

    async fn parts(&self, asked: &Asked<'_>) -> Result<Vec<Part>, Failure> {
        let listed = asked.list("database");
        let wants_users = asked.flag("users");
        if let [one] = listed[..]
            && one != "*"
            && !wants_users
        {
            return Ok(vec![Part::whole(asked.source)]);
        }
        let databases = match listed[..] {
            ["*"] => Client::of(asked).await?.databases().await?,
            _ => listed.into_iter().map(str::to_owned).collect(),
        };
        if databases.is_empty() {
            let message = format!("`{}` has no database to dump", asked.source.name);
            return Err(Failure::new(FailureCode::SourceConfig, message));
        }
        let mut parts = parts::of_databases(&asked.source.name, &databases);
        if wants_users {
            parts.push(users(&asked.source.name));
        }
        Ok(parts)
    }

    async fn open(
        &self,
        context: &RunContext,
        asked: &Asked<'_>,
        part: &Part,
    ) -> Result<OpenedSource, Failure> {
        let client = Client::of(asked).await?;
        let (what, warnings, reading) = if asked.flag("users") && *part == users(&asked.source.name)
        {
            ("users".to_owned(), Vec::new(), client.dump_users(context).await?)
        } else {
            let only = asked.list("database");
            let only = only.first().copied().unwrap_or_default();
            let database = part.part.as_deref().unwrap_or(only);
            names::check(database)?;
            let warnings = client.warnings(database).await?;
            (database.to_owned(), warnings, client.dump(context, database).await?)
        };
        Ok(Box::new(Opened {
            meta: SourceMeta {
                file_name: format!("{}.sql", parts::safe(&what)),
                format: Some("mysqldump".to_owned()),
                content_type: Some("application/sql".to_owned()),
                expected_size_bytes: None,
            },
            reading,
            what,
            read_bytes: 0,
            max_size_bytes: asked.max_size_bytes(),
            tail: Vec::new(),
            is_done: false,
            warnings,
        }))
    }

    async fn doctor(&self, asked: &Asked<'_>, report: &mut Report) {
        let client = match Client::of(asked).await {
            Ok(client) => client,
            Err(failure) if failure.code == FailureCode::SecretUnreadable => {
                return report.failed("secrets", failure, Fact::DoPassword {});
            }
            Err(failure) => return report.failed("tool", failure, Fact::DoMariadbClient {}),
        };
        report.ok("tool", said(client.version()));
        match client.server_version().await {
            Ok(server) => {
                report.ok("reachable", Fact::Answers { place: client.place() });
                report.ok("login", Fact::LoginAccepted { server });
            }
            Err(failure) => {
                let (id, advice) = match failure.code {
                    FailureCode::SourceUnauthorized => ("login", Fact::DoUserPassword {}),
                    _ => ("reachable", Fact::DoHostPort {}),
                };
                return report.failed(id, failure, advice);
            }
        }
        let sized = async {
            let mut told = Vec::new();
            let mut total_bytes = 0_u64;
            let databases = match asked.list("database")[..] {
                ["*"] => client.databases().await?,
                ref listed => listed.iter().map(|name| (*name).to_owned()).collect(),
            };
            for database in databases {
                let size_bytes = client.size_bytes(&database).await?;
                total_bytes = total_bytes.saturating_add(size_bytes);
                told.push(format!("{} ({size_bytes} bytes)", database.escape_debug()));
            }
            let (databases, size) = (told.join(", "), Size(total_bytes));
            Ok::<_, Failure>(Fact::DatabasesSized { databases, size })
        };
        match sized.await {
            Ok(told) => report.ok("databases", told),
            Err(failure) => report.failed("databases", failure, Fact::DoDatabaseNames {}),
        }
        if asked.flag("users") && !client.dumps_users() {
            report.failed("users", Fact::UsersNotDumped {}, Fact::DoUsersOut {});
        }
    }
}

struct Opened {
    meta: SourceMeta,
    reading: Reading,
    what: String,
    read_bytes: u64,
    max_size_bytes: u64,
    tail: Vec<u8>,
    is_done: bool,
    warnings: Vec<String>,
}

impl Opened {
    fn keep_tail(&mut self, chunk: &[u8]) {
        let from = chunk.len().saturating_sub(TAIL_BYTES);
        self.tail.extend_from_slice(&chunk[from..]);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..over);
    }
}

#[async_trait::async_trait]
impl SourceStream for Opened {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(chunk) = self.reading.chunk().await.map_err(client::classified)? else {
            // A program that ended well has written this line, too.
            if !self.tail.windows(CLOSING_LINE.len()).any(|window| window == CLOSING_LINE) {
                let message = format!(
                    "the dump of `{}` ended without its closing line: nothing was kept",
                    self.what.escape_debug()
                );
                return Err(Failure::new(FailureCode::SourceTruncated, message));
            }
            self.is_done = true;
            return Ok(None);
        };
        self.read_bytes += chunk.len() as u64;
        within(self.read_bytes, self.max_size_bytes, &self.meta.file_name)?;
        self.keep_tail(&chunk);
        Ok(Some(chunk))
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
}

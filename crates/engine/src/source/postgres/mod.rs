//! Direct source: PostgreSQL, by its own tools.
//!
//! Dumps are not compressed by `pg_dump`: the run does that, better and on several processors.

mod conninfo;
mod directory;
mod doctor;
pub(crate) mod session;
pub(crate) mod told;
pub(crate) mod tools;
pub(crate) mod wal;

use std::{collections::BTreeMap, path::Path};

use model::{Fact, Failure, Name};

use super::{
    OpenedSource, Part, SourceMeta,
    direct::{Asked, Driver, SettingField, SettingValue},
    parts,
    tool::ToolStream,
};
use crate::{Report, pitr, run::RunContext};
use session::Session;

/// What stands for all databases.
const ALL: &str = "*";
/// The word for the part that holds roles and tablespaces.
const GLOBALS: &str = "globals";

pub(crate) struct Postgres;

#[async_trait::async_trait]
impl Driver for Postgres {
    fn settings(&self) -> &'static [SettingField] {
        const MODES: &[&str] =
            &["prefer", "disable", "allow", "require", "verify-ca", "verify-full"];
        const FIELDS: &[SettingField] = &[
            SettingField::optional("host", SettingValue::Text),
            SettingField::optional("port", SettingValue::Number(1, 65_535)),
            SettingField::optional("user", SettingValue::Text),
            SettingField::required("database", SettingValue::Text),
            SettingField::optional(
                "format",
                SettingValue::Choice(&["custom", "plain", "directory"]),
            ),
            SettingField::optional("globals", SettingValue::Flag),
            SettingField::optional("jobs", SettingValue::Number(1, 64)),
            SettingField::optional("sslmode", SettingValue::Choice(MODES)),
            SettingField::optional("sslrootcert", SettingValue::Text),
            SettingField::optional("container", SettingValue::Text),
        ];
        FIELDS
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["password"]
    }

    fn check(&self, settings: &BTreeMap<String, String>) -> Vec<(&'static str, Fact)> {
        problems(settings)
    }

    async fn parts(&self, asked: &Asked<'_>) -> Result<Vec<Part>, Failure> {
        let source = &asked.source.name;
        let named = asked.list("database");
        let databases = match named.as_slice() {
            [one] if *one != ALL && !wants_globals(asked) => {
                return Ok(vec![Part::whole(asked.source)]);
            }
            [one] if *one == ALL => Session::of(asked).await?.databases().await?,
            several => several.iter().map(|database| (*database).to_owned()).collect(),
        };
        let mut parts = parts::of_databases(source, &databases);
        if wants_globals(asked) {
            parts.push(of_globals(source));
        }
        Ok(parts)
    }

    async fn open(
        &self,
        context: &RunContext,
        asked: &Asked<'_>,
        part: &Part,
    ) -> Result<OpenedSource, Failure> {
        if *part == pitr::base_part(&asked.source.name) {
            return pitr::open_base(context, asked, part).await;
        }
        let opened = async {
            let session = Session::of(asked).await?;
            if *part == of_globals(&asked.source.name) {
                return globals(context, asked, &session, part).await;
            }
            let database = part.part.as_deref().or(asked.setting("database")).unwrap_or_default();
            database_stream(context, asked, &session, part, database).await
        };
        tokio::select! {
            biased;
            failure = context.stopped() => Err(failure),
            opened = opened => opened,
        }
    }

    async fn doctor(&self, asked: &Asked<'_>, report: &mut Report) {
        doctor::look(asked, report).await;
    }
}

async fn database_stream(
    context: &RunContext,
    asked: &Asked<'_>,
    session: &Session<'_>,
    part: &Part,
    database: &str,
) -> Result<OpenedSource, Failure> {
    let (tools, _) = session.fit(database).await?;
    let format = asked.setting("format").unwrap_or("custom");
    let dump = session.tool(&tools, "pg_dump").args([
        &format!("--format={format}"),
        "--compress=0",
        "--no-password",
        &format!("--dbname={}", session.server.conninfo(database)),
    ]);
    if format == "directory" {
        let dump = dump.arg(format!("--jobs={}", asked.setting("jobs").unwrap_or("2")));
        return directory::open(context, asked, dump, part).await;
    }
    let (extension, word) =
        if format == "plain" { ("sql", "pg_dump_Fp") } else { ("dump", "pg_dump_Fc") };
    let meta = meta(part, extension, word);
    let reading = dump.start(context, asked.timeout()).await.map_err(told::explained)?;
    Ok(Box::new(ToolStream::new(reading, meta, asked.max_size_bytes(), told::explained)))
}

/// Roles and tablespaces, which belong to no database.
async fn globals(
    context: &RunContext,
    asked: &Asked<'_>,
    session: &Session<'_>,
    part: &Part,
) -> Result<OpenedSource, Failure> {
    let (maintenance, tools, _) = session.maintenance().await?;
    let mut dump = session.tool(&tools, "pg_dumpall").args([
        "--globals-only",
        "--no-password",
        &format!("--database={maintenance}"),
        &format!("--dbname={}", session.server.conninfo(maintenance)),
    ]);
    let sees_passwords = session.sees_passwords(&tools, maintenance).await?;
    let mut warnings = Vec::new();
    if !sees_passwords {
        dump = dump.arg("--no-role-passwords");
        warnings
            .push("roles are without their passwords: only a superuser can read them".to_owned());
    }
    let reading = dump.start(context, asked.timeout()).await.map_err(told::explained)?;
    let meta = meta(part, "sql", "pg_dumpall");
    let stream = ToolStream::new(reading, meta, asked.max_size_bytes(), told::explained);
    Ok(Box::new(stream.warning(warnings)))
}

fn meta(part: &Part, extension: &str, format: &str) -> SourceMeta {
    SourceMeta {
        file_name: format!("{}.{extension}", part.name),
        format: Some(format.to_owned()),
        content_type: None,
        expected_size_bytes: None,
    }
}

/// Whether roles and tablespaces are wanted: with all databases unless told otherwise.
fn of_globals(source: &Name) -> Part {
    parts::of_server(source, GLOBALS, GLOBALS)
}

fn wants_globals(asked: &Asked<'_>) -> bool {
    match asked.setting("globals") {
        Some(told) => told == "true",
        None => asked.setting("database") == Some(ALL),
    }
}

fn problems(settings: &BTreeMap<String, String>) -> Vec<(&'static str, Fact)> {
    let get = |key: &str| settings.get(key).map(String::as_str).unwrap_or_default();
    let mut problems = Vec::new();
    let (host, container) = (get("host"), get("container"));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:/%".contains(c);
    if host.is_empty() && container.is_empty() {
        problems.push(("host", Fact::HostOrItsContainer {}));
    }
    if host.starts_with('-') || !host.chars().all(is_plain) {
        problems.push(("host", Fact::OneHost {}));
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if container.starts_with(['-', '.', '_']) || !container.chars().all(is_word) {
        problems.push(("container", Fact::ContainerNameOrId {}));
    }
    let names: Vec<&str> = get("database").split(',').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty() || name.len() > 63) {
        problems.push(("database", Fact::DatabaseNames {}));
    }
    if names.len() > 1 && names.contains(&ALL) {
        problems.push(("database", Fact::StarAllDatabases {}));
    }
    if (1..names.len()).any(|n| names[..n].contains(&names[n])) {
        problems.push(("database", Fact::DatabaseTwice {}));
    }
    if get("format") == "directory" {
        if !container.is_empty() {
            problems.push(("format", Fact::DirectoryHere {}));
        }
    } else if settings.contains_key("jobs") {
        problems.push(("jobs", Fact::DirectoryJobs {}));
    }
    if settings.contains_key("sslrootcert") && !Path::new(get("sslrootcert")).is_absolute() {
        problems.push(("sslrootcert", Fact::FilePathWhole {}));
    }
    problems
}

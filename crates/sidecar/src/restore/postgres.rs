//! PostgreSQL: into a new database, which then takes the name of the old one.

use std::time::Duration;

use contract::ImportReport;
use tokio::{io::AsyncReadExt as _, process::Command};

use super::{Given, both, failed, output, program, report};
use crate::{
    command::Commands, config::Preset, config::Target, export::ExportError, strategy::postgres,
};

/// Longest name of a database, in bytes.
const MAX_NAME: usize = 63;
/// How often connections to the old database are ended before renaming it is given up.
const TRIES: u32 = 20;
/// The database that is connected to while others are made and renamed.
const MAINTENANCE: &str = "postgres";

pub(super) struct Postgres<'a> {
    commands: &'a Commands,
    given: &'a Given<'a>,
    target: Target,
    name: String,
    made: String,
    before: String,
}

impl<'a> Postgres<'a> {
    pub(super) fn new(commands: &'a Commands, given: &'a Given<'a>, target: Target) -> Self {
        let name = target.database.clone().unwrap_or_default();
        let (made, before) = both(&name, given.tag, MAX_NAME);
        Self { commands, given, target, name, made, before }
    }

    fn tool(&self, name: &str, database: &str) -> Result<Command, ExportError> {
        let command = program(self.commands, &[name], Preset::Postgres.package())?;
        let mut command = postgres::connected(command, &self.target, database);
        command.arg("--no-password").env("PGOPTIONS", "-c client_min_messages=error");
        Ok(command)
    }

    /// Rows of one statement, without its name for columns.
    async fn ask(&self, statement: &str) -> Result<String, ExportError> {
        let mut psql = self.tool("psql", MAINTENANCE)?;
        psql.args(["--no-psqlrc", "-qAt", "--set=ON_ERROR_STOP=1"]).args(["-c", statement]);
        output(self.commands, psql).await
    }

    async fn is_there(&self, name: &str) -> Result<bool, ExportError> {
        let query = format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(name));
        Ok(!self.ask(&query).await?.is_empty())
    }

    pub(super) async fn load(&self) -> Result<(), ExportError> {
        let mut magic = [0; 5];
        let mut file = tokio::fs::File::open(self.given.file).await.map_err(io_told)?;
        if file.read_exact(&mut magic).await.is_err() || &magic != b"PGDMP" {
            return Err(failed("this is no dump of pg_dump's custom format"));
        }
        let like = format!(
            "SELECT format(' OWNER %I ENCODING %L LC_COLLATE %L LC_CTYPE %L', \
             pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype) \
             FROM pg_database WHERE datname = {}",
            literal(&self.name)
        );
        let like = self.ask(&like).await?;
        let made = format!("CREATE DATABASE {} TEMPLATE template0{like}", ident(&self.made));
        self.ask(&made).await?;
        let mut restore = self.tool("pg_restore", &self.made)?;
        restore.arg("--exit-on-error").arg(self.given.file);
        self.commands.run(restore, None).await
    }

    pub(super) async fn clear(&self) {
        let drop = format!("DROP DATABASE IF EXISTS {}", ident(&self.made));
        let dropped = async {
            self.end_connections(&self.made).await?;
            self.ask(&drop).await
        };
        if let Err(error) = dropped.await {
            tracing::warn!("the database {} is left over: {error}", self.made);
        }
    }

    pub(super) async fn switch(&self) -> Result<ImportReport, ExportError> {
        let (name, made, before) = (ident(&self.name), ident(&self.made), ident(&self.before));
        if !self.is_there(&self.name).await? {
            self.ask(&format!("ALTER DATABASE {made} RENAME TO {name}")).await?;
            let told = format!("the database {} is restored; it was not there", self.name);
            return Ok(report(told, None));
        }
        for statement in self.ask(&self.properties()).await?.lines() {
            self.ask(statement).await?;
        }
        self.ask(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await?;
        let both = format!(
            "BEGIN; ALTER DATABASE {name} RENAME TO {before}; \
             ALTER DATABASE {made} RENAME TO {name}; COMMIT"
        );
        let renamed = self.rename(&both).await;
        // Whatever came of it, the old one may be talked to again, by either name.
        let old = if renamed.is_ok() { &before } else { &name };
        let opened = self.ask(&format!("ALTER DATABASE {old} ALLOW_CONNECTIONS true")).await;
        renamed?;
        let kept = format!("the database {}", self.before);
        let mut report = report(format!("the database {} is restored", self.name), Some(kept));
        report.notes.push("connections to it were ended".to_owned());
        if let Err(error) = opened {
            report.notes.push(format!("{} takes no connections: {error}", self.before));
        }
        Ok(report)
    }

    async fn rename(&self, both: &str) -> Result<(), ExportError> {
        let mut tries = 0;
        loop {
            self.end_connections(&self.name).await?;
            self.end_connections(&self.made).await?;
            tries += 1;
            match self.ask(both).await {
                Err(error) if tries < TRIES && error.to_string().contains("being accessed") => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                done => return done.map(drop),
            }
        }
    }

    async fn end_connections(&self, name: &str) -> Result<(), ExportError> {
        let query = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} \
             AND pid <> pg_backend_pid()",
            literal(name)
        );
        self.ask(&query).await.map(drop)
    }

    /// Asks for the statements that give the new database the settings and the rights of the old
    /// one, which a dump does not have.
    fn properties(&self) -> String {
        let (from, to) = (literal(&self.name), literal(&self.made));
        // Lists are stored as they are to be written; everything else is one value.
        format!(
            "WITH one AS (SELECT split_part(s, '=', 1) AS n, substr(s, strpos(s, '=') + 1) AS v \
               FROM pg_db_role_setting r JOIN pg_database d ON d.oid = r.setdatabase, \
               unnest(r.setconfig) s WHERE r.setrole = 0 AND d.datname = {from}), \
             acl AS (SELECT a.* FROM pg_database d, aclexplode(d.datacl) a \
               WHERE d.datname = {from}) \
             SELECT format('ALTER DATABASE %I SET %I TO %s', {to}, n, CASE WHEN n LIKE \
               '%\\_libraries' OR n IN ('search_path', 'temp_tablespaces') THEN v \
               ELSE quote_literal(v) END) FROM one \
             UNION ALL SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', {to}) \
               WHERE EXISTS (SELECT FROM acl) \
             UNION ALL SELECT format('GRANT %s ON DATABASE %I TO %s', privilege_type, {to}, \
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) \
               || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END FROM acl"
        )
    }
}

fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn io_told(error: std::io::Error) -> ExportError {
    failed(format!("the spooled artifact: {error}"))
}

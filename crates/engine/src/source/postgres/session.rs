//! A server, as it is asked and dumped by the tools of one place.

use std::time::Duration;

use model::{Fact, Failure, FailureCode};
use secrecy::SecretString;

use super::{
    super::{
        direct::Asked,
        reach,
        tool::{Tool, Where},
    },
    conninfo::Server,
    told,
    tools::{self, Tools},
};
use crate::{Engine, doctor::said, run::RunContext};

const ANSWER: Duration = Duration::from_secs(60);
/// Room for the names of many thousands of databases.
const MAX_ANSWER: usize = 4 << 20;

/// How a source's server is reached.
pub(crate) struct Session<'a> {
    engine: &'a Engine,
    pub(crate) place: Where,
    pub(crate) server: Server,
    password: Option<SecretString>,
    patience: Duration,
}

impl<'a> Session<'a> {
    /// Judges the host's addresses, where it is this machine that connects.
    pub(crate) async fn of(asked: &Asked<'a>) -> Result<Self, Failure> {
        let place = Where::of(asked.setting("container"));
        let addresses = match asked.setting("host") {
            Some(host) if place == Where::Here && !host.starts_with(['/', '@']) => {
                reach::allowed(&asked.engine.0.config, host).await?
            }
            _ => Vec::new(),
        };
        let owned = |key| asked.setting(key).map(str::to_owned);
        let port = asked.setting("port").and_then(|text| text.parse().ok()).unwrap_or(5432);
        Ok(Self {
            engine: asked.engine,
            place,
            server: Server {
                host: owned("host"),
                addresses,
                port,
                user: owned("user").unwrap_or_else(|| "postgres".to_owned()),
                sslmode: owned("sslmode"),
                sslrootcert: owned("sslrootcert"),
                connect_timeout_secs: asked.engine.0.config.connect_timeout.as_secs().max(2),
            },
            password: asked.secret("password")?,
            patience: ANSWER,
        })
    }

    /// The same for questions that may take long.
    pub(crate) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// One of the tools, with the password in its environment.
    pub(crate) fn tool<'s>(&'s self, tools: &Tools, name: &str) -> Tool<'s> {
        let tool = Tool::new(self.engine, &self.place, tools.path(name))
            // Nobody's own files of passwords and services count.
            .env("PGPASSFILE", "/nonexistent")
            .env("PGSERVICEFILE", "/nonexistent");
        match &self.password {
            Some(password) => tool.secret_env("PGPASSWORD", password),
            None => tool,
        }
    }

    /// The rows that `query` gives in `database`, each in columns. The names that people gave to
    /// things in there mean nothing to it.
    pub(crate) async fn ask(
        &self,
        tools: &Tools,
        database: &str,
        query: &str,
    ) -> Result<Vec<Vec<String>>, Failure> {
        self.ask_along("''", tools, database, query).await
    }

    /// The same; names without a schema are looked for along `path`, as SQL has it.
    async fn ask_along(
        &self,
        path: &str,
        tools: &Tools,
        database: &str,
        query: &str,
    ) -> Result<Vec<Vec<String>>, Failure> {
        let output = self
            .tool(tools, "psql")
            .env("PGCLIENTENCODING", "UTF8")
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--no-password"])
            .args(["--set=ON_ERROR_STOP=1", "--record-separator-zero", "--field-separator=\t"])
            .arg(format!("--dbname={}", self.server.conninfo(database)))
            .args([format!("--command=SET search_path = {path}"), format!("--command={query}")])
            .output(MAX_ANSWER, self.patience)
            .await
            .map_err(told::explained)?;
        let text = String::from_utf8_lossy(&output);
        Ok(text
            .split('\0')
            .filter(|row| !row.is_empty())
            .map(|row| row.split('\t').map(str::to_owned).collect())
            .collect())
    }

    /// Runs statements that hold secrets, all or none: by standard input, where no list of
    /// processes shows them. They are to hold nothing that psql takes for its own.
    pub(crate) async fn tell(
        &self,
        context: &RunContext,
        tools: &Tools,
        database: &str,
        statements: &SecretString,
    ) -> Result<(), Failure> {
        self.tool(tools, "psql")
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGOPTIONS", "-c client_min_messages=error")
            .args(["--no-psqlrc", "--quiet", "--no-password", "--single-transaction", "--file=-"])
            .args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--output=/dev/null"])
            .arg(format!("--dbname={}", self.server.conninfo(database)))
            .told(context, statements, ANSWER)
            .await
            .map_err(told::explained)
    }

    /// The one value that `query` gives.
    pub(crate) async fn value(
        &self,
        tools: &Tools,
        database: &str,
        query: &str,
    ) -> Result<String, Failure> {
        self.one(self.ask(tools, database, query).await?)
    }

    /// The same; names without a schema are looked for along `path`, as SQL has it.
    pub(crate) async fn value_along(
        &self,
        path: &str,
        tools: &Tools,
        database: &str,
        query: &str,
    ) -> Result<String, Failure> {
        self.one(self.ask_along(path, tools, database, query).await?)
    }

    fn one(&self, mut rows: Vec<Vec<String>>) -> Result<String, Failure> {
        match (rows.pop().and_then(|mut row| row.pop()), rows.is_empty()) {
            (Some(value), true) => Ok(value),
            _ => Err(Failure::new(
                FailureCode::SourceFailed,
                Fact::OddPostgres { place: self.server.address() },
            )),
        }
    }

    /// The tools that can dump the server, and its version.
    pub(crate) async fn fit(&self, database: &str) -> Result<(Tools, u32), Failure> {
        let all = tools::all(self.engine, &self.place).await?;
        let Some(newest) = all.last() else {
            return Err(Failure::new(FailureCode::SourceConfig, Fact::NoPgDump {}));
        };
        let told = self.value(newest, database, "SHOW server_version_num").await?;
        // Ten thousands are the major version since PostgreSQL 10.
        let major = told.trim().parse::<u32>().map(|number| number / 10_000).map_err(|_| {
            Failure::new(FailureCode::SourceFailed, said(format!("server_version_num is `{told}`")))
        })?;
        Ok((tools::fit(all, major, &self.place)?, major))
    }

    /// A database to ask about the whole server: the usual ones, in turn.
    pub(crate) async fn maintenance(&self) -> Result<(&'static str, Tools, u32), Failure> {
        match self.fit("postgres").await {
            Ok((tools, major)) => Ok(("postgres", tools, major)),
            Err(failure) if told::is_no_such_database(&failure) => {
                let (tools, major) = self.fit("template1").await?;
                Ok(("template1", tools, major))
            }
            Err(failure) => Err(failure),
        }
    }

    /// All databases that can be connected to and are no templates.
    pub(crate) async fn databases(&self) -> Result<Vec<String>, Failure> {
        let (maintenance, tools, _) = self.maintenance().await?;
        // A database whose removal was cut off has the limit -2.
        let rows = self
            .ask(
                &tools,
                maintenance,
                "SELECT datname FROM pg_catalog.pg_database \
                 WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2 \
                 ORDER BY datname",
            )
            .await?;
        Ok(rows.into_iter().map(|row| row.join("\t")).collect())
    }

    /// Whether passwords of roles can be read.
    pub(crate) async fn sees_passwords(
        &self,
        tools: &Tools,
        maintenance: &str,
    ) -> Result<bool, Failure> {
        let query = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
        Ok(self.value(tools, maintenance, query).await? == "t")
    }

    /// What the user may read in `database`.
    pub(crate) async fn rights(&self, tools: &Tools, database: &str) -> Result<Rights, Failure> {
        let query = "SELECT pg_database_size(current_database()), \
                     EXISTS (SELECT 1 FROM pg_roles \
                       WHERE rolname = current_user AND rolsuper) \
                     OR EXISTS (SELECT 1 FROM pg_roles \
                       WHERE rolname = 'pg_read_all_data' AND pg_has_role(oid, 'USAGE')), \
                     (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
                       WHERE relkind IN ('r', 'p', 'S') AND nspname !~ '^pg_' \
                       AND nspname <> 'information_schema' \
                       AND NOT (has_schema_privilege(n.oid, 'USAGE') \
                         AND has_table_privilege(c.oid, 'SELECT')))";
        let rows = self.ask(tools, database, query).await?;
        let columns: Vec<_> = rows.iter().flatten().map(String::as_str).collect();
        let parsed = match columns.as_slice() {
            [size, reads_all, unreadable] => {
                size.parse().ok().zip(unreadable.parse().ok()).map(|(size_bytes, unreadable)| {
                    Rights { size_bytes, reads_all: *reads_all == "t", unreadable }
                })
            }
            _ => None,
        };
        parsed.ok_or_else(|| {
            let odd = Fact::OddPostgres { place: database.to_owned() };
            Failure::new(FailureCode::SourceFailed, odd)
        })
    }
}

/// What a user may read in a database.
pub(crate) struct Rights {
    pub(crate) size_bytes: u64,
    /// Also what will be made yet.
    pub(crate) reads_all: bool,
    /// Tables and sequences that it may not.
    pub(crate) unreadable: u64,
}

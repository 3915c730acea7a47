//! PostgreSQL dumps: into a server of our own that nobody else can reach.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use bytes::Bytes;
use model::{DirectKind, DrillCheck, DrillState, Fact, Failure, FailureCode};
use nix::sys::signal::Signal;

use super::{
    Restored, Trial, Way,
    asked::{self, Who},
    check,
    owner::{self, OWNER, SUPERUSER},
    reader::{self, READER},
    rows::compared,
    scratch::{self, Daemon, Image},
};
use crate::{
    docker::scratch::{FOLDER, Recipe},
    run::RunContext,
    source::postgres::{session::Session, tools::Tools},
    target::{
        Aim,
        postgres::{Owners, database, fill, globals, is_globals, is_script},
    },
};

const DATABASE: &str = "drill";
/// How long the server may take to end.
const ENDING: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);

/// In `$1`; all of it in the container's own layer, which goes with it.
const SERVE: &str = "set -e; mkdir -p \"$1\"; cd \"$1\"; \
                     initdb --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8 \
                     --username=\"$2\" --pgdata=\"$1/data\" >&2; \
                     printf 'host all %s all reject\nhost all all all trust\n' \"$2\" \
                     >> \"$1/data/pg_hba.conf\"; \
                     exec postgres -D \"$1/data\" -k \"$1\" -c listen_addresses=\"$3\" -c port=\"$4\" -c fsync=off \
                     -c full_page_writes=off -c synchronous_commit=off -c max_wal_size=1GB \
                     -c autovacuum=off";

pub(super) struct Postgres;

#[async_trait::async_trait]
impl Way for Postgres {
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure> {
        let server = Server::start(trial).await?;
        if let Err(failure) = server.fill(trial).await {
            server.end(trial.context).await;
            return Err(failure);
        }
        Ok(Box::new(server))
    }
}

struct Server {
    daemon: Daemon,
    socket: PathBuf,
    version: String,
}

impl Server {
    async fn start(trial: &Trial<'_>) -> Result<Self, Failure> {
        if let Some(image) = Image::of(trial.aim).await {
            let made = Self::contained(trial, &image).await;
            if let Some(server) = scratch::or_here(trial, &image, made)? {
                return Ok(server);
            }
        }
        Self::here(trial).await
    }

    /// In a container of `image`.
    async fn contained(trial: &Trial<'_>, image: &Image) -> Result<Self, Failure> {
        let joined = if is_globals(trial.aim) { None } else { scratch::joined(trial).await? };
        let port = scratch::port(trial).unwrap_or_else(|| "5432".to_owned());
        let listen = if joined.is_some() { "*" } else { "" };
        let recipe = Recipe {
            image: &image.name,
            user: "postgres",
            script: SERVE,
            args: [FOLDER, SUPERUSER, listen, &port].map(str::to_owned).to_vec(),
            memory_bytes: scratch::MEMORY_BYTES,
            joined,
        };
        let settings =
            [("host", FOLDER), ("port", &port), ("user", SUPERUSER), ("database", DATABASE)];
        let kind = DirectKind::Postgres;
        let daemon = Daemon::contained(trial, image, recipe, None, kind, &settings).await?;
        Self::ready(trial, daemon, PathBuf::from(FOLDER)).await
    }

    /// By the programs of this machine.
    async fn here(trial: &Trial<'_>) -> Result<Self, Failure> {
        let config = trial.context.engine.config();
        let missing = |what: &str| {
            let missing = Fact::ServerNotInstalled {
                program: what.to_owned(),
                package: "postgresql".to_owned(),
            };
            Failure::new(FailureCode::SourceConfig, missing)
        };
        let initdb = scratch::newest(config, "initdb").ok_or_else(|| missing("initdb"))?;
        let postgres = initdb.with_file_name("postgres");
        let user = scratch::user(&["postgres"]);
        scratch::give(&trial.folder, user)?;
        // A socket's path has room for little more than a hundred bytes.
        let socket = trial.folder.clone();
        let data = trial.folder.join("data");
        scratch::program(config, &initdb, user)
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args([format!("--username={SUPERUSER}"), format!("--pgdata={}", data.display())])
            .output(1 << 20, ANSWER)
            .await?;
        let program = scratch::program(config, &postgres, user)
            .args([format!("-D{}", data.display()), format!("-k{}", socket.display())])
            // Nothing of it is to last, and nobody but us is to reach it.
            .args(["-clisten_addresses=", "-cunix_socket_permissions=0700"])
            .args(["-cfsync=off", "-cfull_page_writes=off"])
            .args(["-csynchronous_commit=off", "-cmax_wal_size=1GB", "-cautovacuum=off"])
            // Killed, it would leave its piece of shared memory to this machine for ever.
            .dying_by("QUIT");
        let text = socket.display().to_string();
        let settings = [("host", text.as_str()), ("user", SUPERUSER), ("database", DATABASE)];
        let daemon = Daemon::start(trial, program, DirectKind::Postgres, &settings)?;
        Self::ready(trial, daemon, socket).await
    }

    /// Waits until it answers.
    async fn ready(trial: &Trial<'_>, daemon: Daemon, socket: PathBuf) -> Result<Self, Failure> {
        let mut server = Self { daemon, socket, version: String::new() };
        let ask = || async { server.session(trial).await?.maintenance().await.map(drop) };
        let asked = async {
            server.daemon.until_ready(trial, "PostgreSQL", ask).await?;
            let session = server.session(trial).await?;
            let (maintenance, tools, _) = session.maintenance().await?;
            session.value(&tools, maintenance, "SHOW server_version").await
        };
        match asked.await {
            Ok(version) => {
                server.version = version;
                Ok(server)
            }
            Err(failure) => {
                server.end(trial.context).await;
                Err(failure)
            }
        }
    }

    async fn session<'a>(&'a self, trial: &'a Trial<'_>) -> Result<Session<'a>, Failure> {
        Session::of(&self.daemon.aim(trial).asked()?).await
    }

    /// The same, as the one whose rights the dump has.
    async fn owner<'a>(&'a self, trial: &'a Trial<'_>) -> Result<Session<'a>, Failure> {
        // Rows of large tables take long to count.
        let mut session = self.session(trial).await?.patient(trial.aim.timeout());
        OWNER.clone_into(&mut session.server.user);
        Ok(session)
    }

    async fn fill(&self, trial: &Trial<'_>) -> Result<(), Failure> {
        let session = self.session(trial).await?;
        let (maintenance, tools, _) = session.maintenance().await?;
        let aim = self.daemon.aim(trial);
        if is_globals(&aim) {
            return self.roles(trial, &session, &tools).await;
        }
        owner::make(&session, &tools, maintenance, &roles_in(trial).await?).await?;
        database::create(&session, &tools, maintenance, DATABASE, None).await?;
        owner::give(&session, &tools, DATABASE).await?;
        let owner = self.owner(trial).await?;
        fill(trial.context, &aim, &owner, &tools, DATABASE, Owners::Ours, trial.supply)
            .await
            .map_err(owner::explained)
    }

    /// Roles and tablespaces: the roles are made.
    async fn roles(
        &self,
        trial: &Trial<'_>,
        session: &Session<'_>,
        tools: &Tools,
    ) -> Result<(), Failure> {
        globals::load(session, tools, "postgres", trial.supply).await.map(|_| ())
    }
}

#[async_trait::async_trait]
impl Restored for Server {
    fn place(&self) -> Fact {
        self.daemon.place(format!("PostgreSQL {}", self.version), &self.socket)
    }

    async fn check(&self, trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure> {
        let session = self.session(trial).await?;
        let (_, tools, _) = session.maintenance().await?;
        if is_globals(trial.aim) {
            let query = "SELECT rolname FROM pg_catalog.pg_roles";
            let there = session.ask(&tools, "postgres", query).await?;
            let there: BTreeSet<_> = there.into_iter().map(|row| row.join("\t")).collect();
            let told = globals::named(trial.supply).await?;
            return Ok(vec![asked::all_there(Who::Roles, &told, &there)]);
        }
        let owner = self.owner(trial).await?;
        let mut checks = vec![rows(trial, &owner, &tools).await?];
        checks.push(amcheck(trial, &session, &tools).await);
        checks.extend(self.questions(trial, &session, &tools).await?);
        Ok(checks)
    }

    /// Under its own name, with those who are known to use it.
    async fn lend(&self, trial: &Trial<'_>) -> Result<(), Failure> {
        if is_globals(trial.aim) {
            return Ok(());
        }
        let known = scratch::known(trial, self.daemon.container(), "PostgreSQL").await?;
        let session = self.session(trial).await?;
        let (_, tools, _) = session.maintenance().await?;
        let asked = trial.aim.asked()?;
        let own = trial.aim.artifact.part.as_deref().or(asked.setting("database"));
        let own = own.filter(|own| *own != DATABASE && !own.starts_with("template"));
        for (within, statement) in own.into_iter().flat_map(|own| {
            let own = database::ident(own);
            let rename = format!("ALTER DATABASE {DATABASE} RENAME TO {own}");
            // A new server has one of the most common name.
            [("template1", format!("DROP DATABASE IF EXISTS {own}")), ("template1", rename)]
        }) {
            session.ask(&tools, within, &statement).await?;
        }
        let said = known.variable(&["POSTGRES_USER", "POSTGRESQL_USERNAME"]);
        let users = [
            trial.boot.and_then(super::boot::Stage::user),
            Some(asked.setting("user").unwrap_or("postgres")),
            said.map(secrecy::ExposeSecret::expose_secret),
        ];
        owner::let_in(&session, &tools, users.into_iter().flatten().collect()).await
    }

    async fn end(&self, context: &RunContext) {
        self.daemon.end(context, Some((Signal::SIGQUIT, ENDING))).await;
    }
}

impl Server {
    /// Asks as somebody who may read everything and do nothing else: what came back is not trusted
    /// with a superuser's session. Names without a schema mean what they mean to the source's user
    /// where nothing else was said: those of its own schema, then those of `public`.
    async fn questions(
        &self,
        trial: &Trial<'_>,
        session: &Session<'_>,
        tools: &Tools,
    ) -> Result<Vec<DrillCheck>, Failure> {
        let questions: Vec<_> = asked::of(trial).collect();
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let user =
            trial.aim.asked().ok().and_then(|asked| asked.setting("user").map(str::to_owned));
        let path = format!("{}, public", database::ident(user.as_deref().unwrap_or("postgres")));
        reader::make(session, tools, &[DATABASE]).await?;
        let mut source = self.daemon.source().clone();
        if let model::SourceKind::Direct(direct) = &mut source.kind {
            direct.settings.insert("user".to_owned(), READER.to_owned());
        }
        let aim = Aim { source: Some(&source), ..self.daemon.aim(trial) };
        let reader = Session::of(&aim.asked()?).await?.patient(trial.aim.timeout());
        let mut checks = Vec::new();
        for question in questions {
            let asked = reader.value_along(&path, tools, DATABASE, &question.sql);
            checks.push(asked::judge(question, asked.await));
        }
        Ok(checks)
    }
}

/// Counts the rows of every table and compares them with what passed when the dump was stored.
async fn rows(
    trial: &Trial<'_>,
    session: &Session<'_>,
    tools: &Tools,
) -> Result<DrillCheck, Failure> {
    let query = "SELECT n.nspname || '.' || c.relname, \
                   pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
                 WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' \
                   AND n.nspname <> 'information_schema' ORDER BY 1";
    let found = session.ask(tools, DATABASE, query).await?;
    let mut counts = std::collections::BTreeMap::new();
    for row in &found {
        let [table, quoted] = row.as_slice() else { continue };
        trial.context.keep_going()?;
        let count = format!("SELECT count(*) FROM ONLY {quoted}");
        let count = session.value(tools, DATABASE, &count).await?;
        counts.insert(table.clone(), count.parse::<u64>().unwrap_or(0));
    }
    Ok(compared(&counts, 0, trial.aim.artifact.contents.as_ref()))
}

/// Every table and index, page by page. Only a superuser may, and none of what the dump calls
/// functions of that name is asked.
async fn amcheck(trial: &Trial<'_>, session: &Session<'_>, tools: &Tools) -> DrillCheck {
    let drop = "DROP EXTENSION IF EXISTS amcheck CASCADE";
    if let Err(failure) = session.ask(tools, DATABASE, drop).await {
        return check("pg_amcheck", DrillState::Failed, failure.message);
    }
    let tool = session.tool(tools, "pg_amcheck").args([
        "--install-missing",
        "--heapallindexed",
        "--no-password",
        &format!("--host={}", session.server.host.as_deref().unwrap_or_default()),
        &format!("--port={}", session.server.port),
        &format!("--username={SUPERUSER}"),
        DATABASE,
    ]);
    match tool.output(1 << 20, trial.aim.timeout()).await {
        Ok(_) => check("pg_amcheck", DrillState::Passed, Fact::AllSound {}),
        Err(failure) if no_amcheck(&failure) => check("pg_amcheck", DrillState::Skipped, failure),
        Err(failure) => check("pg_amcheck", DrillState::Failed, failure),
    }
}

/// Whether the tool, which PostgreSQL 14 was the first to have, or its extension is not there. A file
/// of the server that is not there is no such thing.
pub(super) fn no_amcheck(failure: &Failure) -> bool {
    let told = &failure.message;
    failure.code == FailureCode::SourceConfig
        // By whoever was to run it.
        || told.contains("pg_amcheck ended with exit code 127")
        || told.contains("extension control file")
        || told.contains("is not available")
}

/// Roles that a script gives things to: they have to be there before it is run.
async fn roles_in(trial: &Trial<'_>) -> Result<BTreeSet<String>, Failure> {
    let mut roles = BTreeSet::new();
    if !is_script(trial.aim) {
        return Ok(roles);
    }
    let mut finder = crate::target::postgres::roles::Finder::default();
    let mut bytes = trial.supply.open()?;
    while let Some(chunk) = bytes.chunk().await? {
        let chunk: Bytes = chunk;
        finder.push(&chunk, &mut roles);
    }
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tool_that_is_not_there_is_left_out() {
        let told = |message: &str| no_amcheck(&Failure::new(FailureCode::SourceFailed, message));
        let missing = "setpriv: failed to execute /x/pg_amcheck: No such file or directory";
        assert!(told(&format!("pg_amcheck ended with exit code 127: {missing}")));
        assert!(told("pg_amcheck ended with exit code 1: extension \"amcheck\" is not available"));
        let lost = "could not open file \"base/5/1259\": No such file or directory";
        assert!(!told(&format!("pg_amcheck ended with exit code 2: {lost}")));
    }
}

//! MariaDB and MySQL dumps: into a MariaDB of this machine's own that nobody else can reach.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use model::{DirectKind, DrillCheck, DrillState, Fact, Failure, FailureCode};
use rand::RngExt;

use super::{
    Restored, Trial, Way,
    asked::{self, Who},
    check,
    rows::compared,
    scratch::{self, Daemon},
};
use crate::{
    process,
    source::mysql::client::Client,
    target::mysql::{fill, ident, users},
};

const DATABASE: &str = "drill";
/// Loads the dump and asks the questions: what is in a dump has no more rights than this.
const OWNER: &str = "drill";
const ANSWER: Duration = Duration::from_secs(120);

pub(super) struct Mysql;

#[async_trait::async_trait]
impl Way for Mysql {
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure> {
        let server = Server::start(trial).await?;
        server.fill(trial).await?;
        Ok(Box::new(server))
    }
}

struct Server {
    daemon: Daemon,
    socket: PathBuf,
}

impl Server {
    async fn start(trial: &Trial<'_>) -> Result<Self, Failure> {
        let config = trial.context.engine.config();
        let find = |name: &str| {
            process::find(config, name).ok_or_else(|| {
                let missing = Fact::ServerNotInstalled {
                    program: name.to_owned(),
                    package: "mariadb-server".to_owned(),
                };
                Failure::new(FailureCode::SourceConfig, missing)
            })
        };
        let (install, server) = (find("mariadb-install-db")?, find("mariadbd")?);
        let user = scratch::user(&["mysql"]);
        scratch::give(&trial.folder, user)?;
        let folder = trial.folder.display();
        // Given to programs by their folder's names alone: nothing of this machine's settings.
        let common = ["--no-defaults".to_owned(), format!("--datadir={folder}/data")];
        scratch::program(config, &install, user)
            .args(common.iter().cloned())
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            // A server that starts clears away what others have in theirs.
            .env("TMPDIR", trial.folder.clone())
            .output(1 << 20, ANSWER)
            .await?;
        let socket = trial.folder.join("s");
        let admin = format!("admin_{:016x}", trial.context.engine.with_rng(RngExt::random::<u64>));
        let opening = trial.folder.join("opening.sql");
        let written = tokio::fs::write(&opening, users_of_ours(&admin)).await;
        written.map_err(|error| {
            let message = format!("{} cannot be written: {error}", opening.display());
            Failure::new(FailureCode::Internal, message)
        })?;
        scratch::give(&opening, user)?;
        let program = scratch::program(config, &server, user)
            .args(common.iter().cloned())
            .args([format!("--socket={folder}/s"), format!("--pid-file={folder}/pid")])
            .args([format!("--init-file={folder}/opening.sql")])
            .args([format!("--tmpdir={folder}"), format!("--secure-file-priv={folder}")])
            .args(["--skip-networking", "--skip-log-bin", "--event-scheduler=OFF"])
            // Nothing of it is to last.
            .args(["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"])
            .args(["--innodb-flush-method=nosync", "--max-allowed-packet=1073741824"]);
        let text = socket.display().to_string();
        // Users can only be made by one who may do everything; a database is not trusted with that.
        let user = if users::are(trial.aim) { admin.as_str() } else { OWNER };
        let settings = [("socket", text.as_str()), ("user", user), ("database", DATABASE)];
        let daemon = Daemon::start(trial, program, DirectKind::Mysql, &settings)?;
        let server = Self { daemon, socket };
        let ask = || async {
            let asked = server.daemon.aim(trial).asked()?;
            Client::of(&asked).await?.server_version().await.map(drop)
        };
        server.daemon.until_ready(trial, "MariaDB", ask).await?;
        Ok(server)
    }

    async fn fill(&self, trial: &Trial<'_>) -> Result<(), Failure> {
        let asked = self.daemon.aim(trial).asked()?;
        let client = Client::of(&asked).await?;
        if users::are(trial.aim) {
            return users::load(&client, trial.supply).await.map(drop);
        }
        fill(trial.context, trial.aim, &client, DATABASE, trial.supply).await
    }
}

/// What a new server does first, one statement a line. A view or a procedure acts for the user that
/// it names: so there is nobody to name who may do more, but for one whose name cannot be guessed.
fn users_of_ours(admin: &str) -> String {
    [
        "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';".to_owned(),
        "DELETE FROM mysql.proxies_priv;".to_owned(),
        // Who grants this has to have it.
        format!(
            "INSERT INTO mysql.proxies_priv (Host, User, Proxied_host, Proxied_user, With_grant, \
             Grantor) VALUES ('localhost', '{admin}', '', '', 1, '');"
        ),
        "FLUSH PRIVILEGES;".to_owned(),
        format!("CREATE USER `{admin}`@`localhost`;"),
        format!("GRANT ALL ON *.* TO `{admin}`@`localhost` WITH GRANT OPTION;"),
        format!("CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4;"),
        format!("CREATE USER {OWNER}@`localhost`;"),
        format!("GRANT ALL ON {DATABASE}.* TO {OWNER}@`localhost`;"),
        // What is in a dump is of users that nobody here knows.
        format!("GRANT SET USER ON *.* TO {OWNER}@`localhost`;\n"),
    ]
    .join("\n")
}

#[async_trait::async_trait]
impl Restored for Server {
    fn place(&self) -> Fact {
        Fact::ScratchServer { kind: "MariaDB".to_owned(), path: self.socket.display().to_string() }
    }

    async fn check(&self, trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure> {
        let asked = self.daemon.aim(trial).asked()?;
        let client = Client::of(&asked).await?;
        if users::are(trial.aim) {
            let (mut told, there) =
                (users::named(trial.supply).await?, users::there(&client).await?);
            // Every new server has them.
            told.retain(|user| {
                !["`root`@`localhost`", "`mariadb.sys`@`localhost`"].contains(&user.as_str())
            });
            return Ok(vec![asked::all_there(Who::Users, &told, &there)]);
        }
        let tables = client
            .ask(&format!(
                "SELECT hex(table_name) FROM information_schema.tables WHERE table_schema = \
                 '{DATABASE}' AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"
            ))
            .await?;
        let (mut counts, mut unsound) = (BTreeMap::new(), Vec::new());
        for table in tables.lines() {
            trial.context.keep_going()?;
            let table =
                String::from_utf8_lossy(&hex::decode(table).unwrap_or_default()).into_owned();
            let quoted = format!("{DATABASE}.{}", ident(&table));
            let said =
                client.ask_for(&format!("CHECK TABLE {quoted}"), trial.aim.timeout()).await?;
            // The last line is the verdict; engines without a check say so in a note.
            let last = said.lines().last().unwrap_or_default();
            if !last.ends_with("\tOK") && !last.contains("\tnote\t") {
                unsound.push(last.to_owned());
            }
            let count = format!("SELECT count(*) FROM {quoted}");
            let count = client.ask_for(&count, trial.aim.timeout()).await?;
            counts.insert(table, count.trim().parse::<u64>().unwrap_or(0));
        }
        let mut checks = vec![compared(&counts, 0, trial.aim.artifact.contents.as_ref())];
        checks.push(match (counts.len(), unsound.first()) {
            (_, Some(first)) => check("check_table", DrillState::Failed, first.clone()),
            (0, None) => check("check_table", DrillState::Skipped, Fact::TablesNone {}),
            (_, None) => check("check_table", DrillState::Passed, Fact::TablesSound {}),
        });
        for question in asked::of(trial) {
            let sql = format!("USE {DATABASE}; {}", question.sql);
            let answer = client.ask_for(&sql, trial.aim.timeout()).await;
            let answer = answer.map(|answer| match answer.trim_end_matches('\n') {
                "NULL" => String::new(),
                answer => answer.to_owned(),
            });
            checks.push(asked::judge(question, answer));
        }
        Ok(checks)
    }
}

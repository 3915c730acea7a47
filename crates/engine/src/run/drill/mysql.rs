//! MariaDB and MySQL dumps: into a MariaDB of our own that nobody else can reach.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use model::{DirectKind, DrillCheck, DrillState, Fact, Failure, FailureCode};
use rand::RngExt;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Restored, Trial, Way,
    asked::{self, Who},
    check,
    rows::compared,
    scratch::{self, Daemon, Image},
};
use crate::{
    docker::scratch::{FOLDER, Recipe},
    process,
    run::RunContext,
    source::mysql::client::{Client, literal},
    target::{
        Aim,
        mysql::{fill, ident, users},
        refused,
    },
};

const DATABASE: &str = "drill";
/// Loads the dump and asks the questions: what is in a dump has no more rights than this.
const OWNER: &str = "drill";
const ANSWER: Duration = Duration::from_secs(120);

/// In `$1`; all of it in the container's own layer, which goes with it.
const SERVE: &str = "set -e; cd \"$1\"; export TMPDIR=\"$1\"; \
                     mariadb-install-db --no-defaults --datadir=\"$1/data\" \
                     --auth-root-authentication-method=normal --skip-test-db >&2; \
                     exec mariadbd --no-defaults --datadir=\"$1/data\" --socket=\"$1/s\" \
                     --pid-file=\"$1/pid\" --init-file=\"$1/opening.sql\" \
                     --tmpdir=\"$1\" --secure-file-priv=\"$1\" \
                     \"$2\" --skip-name-resolve --skip-log-bin --event-scheduler=OFF \
                     --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 \
                     --innodb-flush-method=nosync --max-allowed-packet=1073741824";

pub(super) struct Mysql;

#[async_trait::async_trait]
impl Way for Mysql {
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
    /// What the restored database is called.
    database: String,
    /// Who may do everything, where it is in a container.
    admin: String,
}

impl Server {
    async fn start(trial: &Trial<'_>) -> Result<Self, Failure> {
        let admin = format!("admin_{:016x}", trial.context.engine.with_rng(RngExt::random::<u64>));
        let opening = trial.folder.join("opening.sql");
        let database = name(trial)?;
        let written = tokio::fs::write(&opening, users_of_ours(&admin, &database)).await;
        written.map_err(|error| {
            let message = format!("{} cannot be written: {error}", opening.display());
            Failure::new(FailureCode::Internal, message)
        })?;
        // Users can only be made by one who may do everything; a database is not trusted with that.
        let user = if users::are(trial.aim) { admin.as_str() } else { OWNER };
        if let Some(image) = Image::of(trial.aim).await {
            let made = Self::contained(trial, &image, user, &opening, &database).await;
            if let Some(server) = scratch::or_here(trial, &image, made)? {
                return Ok(Self { admin, ..server });
            }
        }
        Self::here(trial, user, &opening, &database).await
    }

    /// In a container of `image`.
    async fn contained(
        trial: &Trial<'_>,
        image: &Image,
        user: &str,
        opening: &Path,
        database: &str,
    ) -> Result<Self, Failure> {
        let joined = if users::are(trial.aim) { None } else { scratch::joined(trial).await? };
        let reached = match (&joined, scratch::port(trial)) {
            (None, _) => "--skip-networking".to_owned(),
            (Some(_), port) => format!("--port={}", port.as_deref().unwrap_or("3306")),
        };
        let recipe = Recipe {
            image: &image.name,
            user: "mysql",
            script: SERVE,
            args: vec![FOLDER.to_owned(), reached],
            memory_bytes: scratch::MEMORY_BYTES,
            joined,
        };
        let socket = PathBuf::from(FOLDER).join("s");
        let text = socket.display().to_string();
        let settings = [("socket", text.as_str()), ("user", user), ("database", database)];
        let (file, kind) = (Some((opening, "opening.sql")), DirectKind::Mysql);
        let daemon = Daemon::contained(trial, image, recipe, file, kind, &settings).await?;
        Self::ready(trial, daemon, socket, database).await
    }

    /// By the programs of this machine.
    async fn here(
        trial: &Trial<'_>,
        by: &str,
        opening: &Path,
        database: &str,
    ) -> Result<Self, Failure> {
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
        scratch::give(opening, user)?;
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
        let settings = [("socket", text.as_str()), ("user", by), ("database", database)];
        let daemon = Daemon::start(trial, program, DirectKind::Mysql, &settings)?;
        Self::ready(trial, daemon, socket, database).await
    }

    /// Waits until it answers.
    async fn ready(
        trial: &Trial<'_>,
        daemon: Daemon,
        socket: PathBuf,
        database: &str,
    ) -> Result<Self, Failure> {
        let (version, admin, database) = (String::new(), String::new(), database.to_owned());
        let mut server = Self { daemon, socket, version, database, admin };
        let version = async || {
            let asked = server.daemon.aim(trial).asked()?;
            Client::of(&asked).await?.server_version().await
        };
        let told = async {
            let ask = || async { version().await.map(drop) };
            server.daemon.until_ready(trial, "MariaDB", ask).await?;
            version().await
        };
        match told.await {
            Ok(version) => {
                version.trim().clone_into(&mut server.version);
                Ok(server)
            }
            Err(failure) => {
                server.end(trial.context).await;
                Err(failure)
            }
        }
    }

    async fn fill(&self, trial: &Trial<'_>) -> Result<(), Failure> {
        let asked = self.daemon.aim(trial).asked()?;
        let client = Client::of(&asked).await?;
        if users::are(trial.aim) {
            return users::load(&client, trial.supply).await.map(drop);
        }
        fill(trial.context, trial.aim, &client, &self.database, trial.supply).await
    }
}

/// What a new server does first, one statement a line. A view or a procedure acts for the user that
/// it names: so there is nobody to name who may do more, but for one whose name cannot be guessed.
fn users_of_ours(admin: &str, database: &str) -> String {
    let database = ident(database);
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
        format!("CREATE DATABASE {database} CHARACTER SET utf8mb4;"),
        format!("CREATE USER {OWNER}@`localhost`;"),
        format!("GRANT ALL ON {database}.* TO {OWNER}@`localhost`;"),
        // What is in a dump is of users that nobody here knows.
        format!("GRANT SET USER ON *.* TO {OWNER}@`localhost`;\n"),
    ]
    .join("\n")
}

/// What the database is called: as it is, where an app is to find it.
fn name(trial: &Trial<'_>) -> Result<String, Failure> {
    if trial.boot.is_none() || users::are(trial.aim) {
        return Ok(DATABASE.to_owned());
    }
    let asked = trial.aim.asked()?;
    let own = trial.aim.artifact.part.as_deref().or(asked.setting("database"));
    // It is in a file of one statement a line.
    let own = own.filter(|own| !own.contains(['\n', '\r']));
    Ok(own.unwrap_or(DATABASE).to_owned())
}

#[async_trait::async_trait]
impl Restored for Server {
    fn place(&self) -> Fact {
        self.daemon.place(self.version.clone(), &self.socket)
    }

    /// With those who are known to use it, by the passwords that their container and the source say.
    async fn lend(&self, trial: &Trial<'_>) -> Result<(), Failure> {
        if users::are(trial.aim) {
            return Ok(());
        }
        let known = scratch::known(trial, self.daemon.container(), "MariaDB").await?;
        let asked = trial.aim.asked()?;
        let said = |names: [&str; 2]| known.variable(&names).cloned();
        let user = |name: Option<SecretString>| name.map(|name| name.expose_secret().to_owned());
        let users = [
            (asked.setting("user").map(str::to_owned), asked.secret("password")?),
            (
                user(said(["MARIADB_USER", "MYSQL_USER"])),
                said(["MARIADB_PASSWORD", "MYSQL_PASSWORD"]),
            ),
            (Some("root".to_owned()), said(["MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD"])),
        ];
        let users: BTreeMap<_, _> =
            users.into_iter().filter_map(|(user, password)| Some((user?, password?))).collect();
        if users.is_empty() {
            let artifact = trial.aim.artifact.source.to_string();
            return Err(refused(Fact::BootNoUser { artifact }));
        }
        let mut source = self.daemon.source().clone();
        if let model::SourceKind::Direct(direct) = &mut source.kind {
            direct.settings.insert("user".to_owned(), self.admin.clone());
        }
        let aim = Aim { source: Some(&source), ..self.daemon.aim(trial) };
        let asked = aim.asked()?;
        let admin = Client::of(&asked).await?;
        for (user, password) in users {
            let user = format!("{}@`%`", ident(&user));
            let password = password.expose_secret().replace('\\', r"\\").replace('\'', "''");
            let statements = SecretString::from(format!(
                "CREATE USER {user} IDENTIFIED BY '{password}';\nGRANT ALL ON {}.* TO {user};\n",
                ident(&self.database)
            ));
            admin.tell(trial.context, &statements).await?;
        }
        Ok(())
    }

    async fn end(&self, context: &RunContext) {
        self.daemon.end(context, None).await;
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
                "SELECT hex(table_name) FROM information_schema.tables WHERE table_schema = {} \
                 AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')",
                literal(&self.database)
            ))
            .await?;
        let (mut counts, mut unsound) = (BTreeMap::new(), Vec::new());
        for table in tables.lines() {
            trial.context.keep_going()?;
            let table =
                String::from_utf8_lossy(&hex::decode(table).unwrap_or_default()).into_owned();
            let quoted = format!("{}.{}", ident(&self.database), ident(&table));
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
            let sql = format!("USE {}; {}", ident(&self.database), question.sql);
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

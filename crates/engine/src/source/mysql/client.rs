//! The client programs of MariaDB and MySQL.
//!
//! Passwords go by the environment of one child, never by an argument or a file. No options file
//! of the machine is read: what a dump holds is told by the source's settings alone.

use std::time::Duration;

use model::{Fact, Failure, FailureCode, Sentence, Told};
use secrecy::SecretString;

use super::super::{
    reach,
    tool::{Reading, Tool, Where},
};
use super::names;
use crate::{run::RunContext, source::direct::Asked};

/// The dump program and the shell beside it. The newer names first: where both are there, they
/// are the same programs.
const PROGRAMS: &[(&str, &str)] = &[("mariadb-dump", "mariadb"), ("mysqldump", "mysql")];
/// How long a question may take.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest answer: names of very many databases.
const MAX_ANSWER: usize = 16 << 20;

/// What connects to one server.
pub(crate) struct Client<'a> {
    asked: &'a Asked<'a>,
    place: Where,
    /// What the programs connect to, where that is no socket.
    host: String,
    password: Option<SecretString>,
    dump: &'static str,
    shell: &'static str,
    version: String,
}

impl<'a> Client<'a> {
    /// Finds the programs, here or in the source's container.
    pub(crate) async fn of(asked: &'a Asked<'a>) -> Result<Self, Failure> {
        let password = asked.secret("password")?;
        let place = Where::of(asked.setting("container"));
        let host = host_of(asked, &place).await?;
        let mut reason = None;
        for (dump, shell) in PROGRAMS {
            let tool = Tool::new(asked.engine, &place, *dump).arg("--version");
            match tool.output(MAX_ANSWER, ANSWER).await {
                Ok(version) => {
                    let version = String::from_utf8_lossy(&version).trim().to_owned();
                    return Ok(Self { asked, place, host, password, dump, shell, version });
                }
                Err(failure) if failure.code == FailureCode::SourceConfig => {
                    reason.get_or_insert(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        let why = Told::from(reason.map(Sentence::from).unwrap_or_default());
        Err(Failure::new(FailureCode::SourceConfig, Fact::NoMariadbClient { why }))
    }

    /// Where the server is, for people.
    pub(crate) fn place(&self) -> String {
        let server = match (self.asked.setting("socket"), self.asked.setting("host")) {
            (Some(socket), _) => socket.to_owned(),
            (None, host) => format!(
                "{}:{}",
                host.unwrap_or("127.0.0.1"),
                self.asked.setting("port").unwrap_or("3306")
            ),
        };
        match &self.place {
            Where::Here => server,
            Where::Container(container) => format!("{server} ({container})"),
        }
    }

    /// The dump program's version.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Whether the programs run in a container.
    pub(crate) fn is_inside(&self) -> bool {
        self.place != Where::Here
    }

    fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// Whether the dump program can write users and grants.
    pub(super) fn dumps_users(&self) -> bool {
        self.is_mariadb()
    }

    /// A program with nothing but where and who.
    fn tool(&self, program: &str) -> Tool<'_> {
        let mut tool = Tool::new(self.asked.engine, &self.place, program).arg("--no-defaults");
        tool = match (self.asked.setting("socket"), &self.host) {
            (Some(socket), _) => tool.arg("--protocol=socket").arg(format!("--socket={socket}")),
            // `localhost` would mean a socket, and each program knows another.
            (None, _) => tool.arg("--protocol=tcp").arg(format!("--host={}", self.host)),
        };
        for key in ["port", "user"] {
            if let Some(value) = self.asked.setting(key) {
                tool = tool.arg(format!("--{key}={value}"));
            }
        }
        tool = match (self.asked.setting("tls"), self.is_mariadb()) {
            (Some("off"), true) => tool.arg("--skip-ssl"),
            (Some("off"), false) => tool.arg("--ssl-mode=DISABLED"),
            (Some("verified"), true) => tool.args(["--ssl", "--ssl-verify-server-cert"]),
            (Some("verified"), false) => tool.arg("--ssl-mode=VERIFY_IDENTITY"),
            _ => tool,
        };
        if let Some(ca) = self.asked.setting("tls_ca") {
            tool = tool.arg(format!("--ssl-ca={ca}"));
        }
        tool = tool.arg("--default-character-set=utf8mb4");
        match &self.password {
            Some(password) => tool.secret_env("MYSQL_PWD", password),
            None => tool,
        }
    }

    /// What the server answers, a line for each row.
    pub(crate) async fn ask(&self, sql: &str) -> Result<String, Failure> {
        self.ask_for(sql, ANSWER.min(self.asked.timeout())).await
    }

    /// The same of what may take long.
    pub(crate) async fn ask_for(&self, sql: &str, deadline: Duration) -> Result<String, Failure> {
        let answer = self
            .tool(self.shell)
            .args(["--batch", "--skip-column-names", "--connect-timeout=15", "--execute"])
            .arg(sql)
            .output(MAX_ANSWER, deadline)
            .await
            .map_err(classified)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Runs statements that hold secrets: by standard input, where no list of processes shows them.
    pub(crate) async fn tell(
        &self,
        context: &RunContext,
        statements: &SecretString,
    ) -> Result<(), Failure> {
        // Without a terminal this mode knows no command of the shell but the delimiter.
        let tool = self.tool(self.shell).args(["--batch", "--binary-mode", "--connect-timeout=15"]);
        let told = tool.told(context, statements, ANSWER.min(self.asked.timeout())).await;
        told.map_err(classified)
    }

    pub(crate) async fn server_version(&self) -> Result<String, Failure> {
        let told = self.ask("SELECT concat(@@version_comment, ' ', version())").await?;
        Ok(told.trim().to_owned())
    }

    /// All databases but the server's own.
    pub(super) async fn databases(&self) -> Result<Vec<String>, Failure> {
        // In hexadecimal digits a name can be nothing else.
        let told = self.ask("SELECT hex(schema_name) FROM information_schema.schemata").await?;
        let mut databases = Vec::new();
        for line in told.lines() {
            let name = hex::decode(line.trim()).ok().and_then(|name| String::from_utf8(name).ok());
            let name =
                name.ok_or_else(|| Failure::new(FailureCode::SourceFailed, Fact::NameNotUtf8 {}))?;
            if !names::is_own(&name) {
                databases.push(name);
            }
        }
        databases.sort_unstable();
        Ok(databases)
    }

    /// About how large its tables are.
    pub(crate) async fn size_bytes(&self, database: &str) -> Result<u64, Failure> {
        let name = literal(database);
        let told = self
            .ask(&format!(
                "SELECT (SELECT count(*) FROM information_schema.schemata WHERE schema_name = \
                 {name}), (SELECT coalesce(sum(data_length), 0) FROM information_schema.tables \
                 WHERE table_schema = {name})"
            ))
            .await?;
        let mut words = told.split_whitespace();
        if words.next() == Some("0") {
            let missing = Fact::NoDatabase { database: database.escape_debug().to_string() };
            return Err(Failure::new(FailureCode::SourceConfig, missing));
        }
        Ok(words.next().and_then(|word| word.parse().ok()).unwrap_or_default())
    }

    /// What a single transaction does not cover.
    pub(super) async fn warnings(&self, database: &str) -> Result<Vec<String>, Failure> {
        let told = self
            .ask(&format!(
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = {} AND \
                 table_type = 'BASE TABLE' AND engine NOT IN (SELECT engine FROM \
                 information_schema.engines WHERE transactions = 'YES')",
                literal(database)
            ))
            .await?;
        Ok(match told.trim() {
            "0" => Vec::new(),
            count => vec![format!(
                "tables without transactions in `{}` (MyISAM or the like): {count}; what is \
                 written to them during the dump may be in it by half",
                database.escape_debug()
            )],
        })
    }

    /// Begins the dump of one database: one moment of it, with all that belongs to it.
    pub(super) async fn dump(
        &self,
        context: &RunContext,
        database: &str,
    ) -> Result<Reading, Failure> {
        self.dump_of(database, None).start(context, self.asked.timeout()).await
    }

    /// The same without one table.
    pub(crate) async fn dump_without(
        &self,
        context: &RunContext,
        database: &str,
        table: &str,
    ) -> Result<Reading, Failure> {
        self.dump_of(database, Some(table)).start(context, self.asked.timeout()).await
    }

    fn dump_of(&self, database: &str, without: Option<&str>) -> Tool<'_> {
        let mut tool = self.tool(self.dump).args([
            "--single-transaction",
            "--quick",
            "--routines",
            "--events",
            "--triggers",
            "--hex-blob",
            "--no-tablespaces",
            // The largest there is: a single large value must not fail the dump.
            "--max-allowed-packet=1073741824",
        ]);
        if !self.is_mariadb() {
            // Neither older servers nor other ones know what these ask for or write.
            tool = tool.args(["--column-statistics=0", "--set-gtid-purged=OFF"]);
        }
        if let Some(table) = without {
            tool = tool.arg(format!("--ignore-table={database}.{table}"));
        }
        // Whatever follows is a name.
        tool.arg("--").arg(database)
    }

    /// Whether the shell can be forbidden commands of its own.
    pub(crate) async fn is_careful(&self) -> Result<bool, Failure> {
        let help = self.tool(self.shell).arg("--help").output(MAX_ANSWER, ANSWER).await?;
        Ok(String::from_utf8_lossy(&help).contains("--sandbox"))
    }

    /// Begins to load `size_bytes` of SQL into `database`; 0 where that is not known.
    pub(crate) async fn load(
        &self,
        context: &RunContext,
        database: &str,
        size_bytes: u64,
        deadline: Duration,
    ) -> Result<Reading, Failure> {
        // Without a terminal this mode knows no command of the shell but the delimiter.
        let mut tool = self.tool(self.shell).args(["--batch", "--binary-mode"]);
        if self.is_careful().await? {
            tool = tool.arg("--sandbox");
        }
        tool.args(["--max-allowed-packet=1073741824", &format!("--database={database}")])
            .fed(size_bytes)
            .start(context, deadline)
            .await
    }

    /// Begins the dump of users, roles and grants, which can be read by a server that has some of
    /// them.
    pub(super) async fn dump_users(&self, context: &RunContext) -> Result<Reading, Failure> {
        if !self.dumps_users() {
            let message = "users and grants can only be dumped by MariaDB's dump program: install \
                           it (Debian: mariadb-client), or leave `users` out";
            return Err(Failure::new(FailureCode::SourceConfig, message));
        }
        let tool = self.tool(self.dump).args(["--system=users", "--insert-ignore"]);
        tool.start(context, self.asked.timeout()).await
    }
}

/// The host as the programs are told it: the address that was judged, where it is this machine that
/// connects. A certificate that is to be verified is held against the name; whoever has one for
/// that name is who was meant, wherever the name leads by then.
async fn host_of(asked: &Asked<'_>, place: &Where) -> Result<String, Failure> {
    let host = asked.setting("host").unwrap_or("127.0.0.1");
    if *place != Where::Here || asked.setting("socket").is_some() {
        return Ok(host.to_owned());
    }
    let allowed = reach::allowed(&asked.engine.0.config, host).await?;
    if asked.setting("tls") == Some("verified") {
        return Ok(host.to_owned());
    }
    Ok(allowed.first().map_or_else(|| host.to_owned(), ToString::to_string))
}

/// A name as SQL, whatever it is.
pub(crate) fn literal(name: &str) -> String {
    format!("convert(x'{}' using utf8mb4)", hex::encode(name))
}

/// A program's failure by the number of the error it tells.
pub(crate) fn classified(failure: Failure) -> Failure {
    if failure.code != FailureCode::SourceFailed {
        return failure;
    }
    let (code, advice) = match error_number(&failure.message) {
        Some(1045 | 1698 | 1862) => (FailureCode::SourceUnauthorized, Fact::DoUserPassword {}),
        Some(1044 | 1142 | 1143 | 1227 | 1370 | 1449) => {
            (FailureCode::SourceConfig, Fact::DoGrantDump {})
        }
        Some(1049) => (FailureCode::SourceConfig, Fact::DoDatabaseRight {}),
        Some(2026) => (FailureCode::SourceConfig, Fact::DoTls {}),
        Some(1040 | 1053 | 1203 | 2002..=2006 | 2013 | 2055) => {
            (FailureCode::SourceUnreachable, Fact::DoHostPort {})
        }
        None if failure.message.contains("unknown option")
            || failure.message.contains("unknown variable") =>
        {
            (FailureCode::SourceConfig, Fact::DoNewerClient {})
        }
        _ => return failure,
    };
    Failure::new(code, Fact::also(failure, advice))
}

/// The number in `error: 1045:`, `ERROR 1045 (28000)`, `Error 2013:` or, at the end, `(2013)`.
fn error_number(message: &str) -> Option<u16> {
    let lower = message.to_ascii_lowercase();
    let after_word = lower.match_indices("error").find_map(|(at, word)| {
        let rest = lower[at + word.len()..].trim_start_matches([':', ' ']);
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        rest[..digits].parse().ok()
    });
    let at_end = || lower.strip_suffix(')')?.rsplit_once('(')?.1.parse().ok();
    after_word.or_else(at_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_by_their_numbers() {
        let cases = [
            (
                "mariadb-dump ended with exit code 2: mariadb-dump: Got error: 1045: \"Access \
                 denied for user 'd'@'localhost' (using password: YES)\" when trying to connect",
                FailureCode::SourceUnauthorized,
            ),
            (
                "mariadb ended with exit code 1: ERROR 2002 (HY000): Can't connect to server",
                FailureCode::SourceUnreachable,
            ),
            (
                "mariadb-dump ended with exit code 3: mariadb-dump: Error 2013: Lost connection \
                 to server during query when dumping table `t` at row: 77",
                FailureCode::SourceUnreachable,
            ),
            (
                "mariadb-dump: Couldn't execute 'SELECT `id` FROM `t`': Lost connection to server \
                 during query (2013)",
                FailureCode::SourceUnreachable,
            ),
            ("mysqldump: Got error: 1049: Unknown database", FailureCode::SourceConfig),
            ("mysqldump: unknown option '--events'", FailureCode::SourceConfig),
            ("mysqldump was killed by signal 9: ", FailureCode::SourceFailed),
            ("mysqldump: Error 1412: Table definition has changed", FailureCode::SourceFailed),
        ];
        for (message, code) in cases {
            let failure = classified(Failure::new(FailureCode::SourceFailed, message));
            assert_eq!(failure.code, code, "{message}");
            assert!(failure.message.starts_with(message));
        }
        let late = classified(Failure::new(FailureCode::Timeout, "Got error: 1045"));
        assert_eq!(late.code, FailureCode::Timeout);
    }
}

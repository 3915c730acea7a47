//! A PostgreSQL server with the database of `pgbench`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::measure::{self, shell};
use crate::quickstart::{Running, free_port, wait_for};

/// Bytes that one unit of `pgbench -i -s` takes, roughly.
const SCALE_MIB: u64 = 15;

/// A server with the database that is dumped; gone when dropped.
pub(super) struct Postgres {
    pub(super) port: u16,
    /// Its data directory, where its socket is, too.
    pub(super) data: PathBuf,
    home: PathBuf,
    running: Running,
}

/// A conversation with a server: no program is started for a question.
pub(super) struct Session {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Session {
    /// The one line that answers `statement`.
    pub(super) fn ask(&mut self, statement: &str) -> Result<String> {
        writeln!(self.questions, "{statement};")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the server does not answer `{statement}`");
        Ok(line.trim().to_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Postgres {
    pub(super) fn start(root: &Path, size_mib: u64) -> Result<Self> {
        Self::start_with(root, size_mib, &[])
    }

    /// With settings such as `max_wal_size=2GB`.
    pub(super) fn start_with(root: &Path, size_mib: u64, settings: &[&str]) -> Result<Self> {
        let homes = fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
        let home = homes.flatten().map(|home| home.path().join("bin")).max();
        let home = home.context("PostgreSQL is not installed")?;
        let data = root.join("postgres");
        fs::create_dir(&data)?;
        // The server refuses to run as root.
        let user = nix::unistd::User::from_name("postgres")?.context("no user postgres")?;
        chown(&data, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let port = free_port()?;
        let as_user = |program: &str| {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
                .arg(home.join(program))
                .current_dir(&data)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let made = as_user("initdb").arg("-D").arg(&data).args(["-A", "trust"]).status()?;
        ensure!(made.success(), "initdb failed");
        let running = Running(
            as_user("postgres")
                .arg("-D")
                .arg(&data)
                .args([
                    "-p",
                    &port.to_string(),
                    "-c",
                    "fsync=off",
                    "-c",
                    "listen_addresses=127.0.0.1",
                ])
                .args(settings.iter().map(|one| format!("-c{one}")))
                .arg("-k")
                .arg(&data)
                .spawn()?,
        );
        let server = Self { port, data: data.clone(), home, running };
        let there = format!("-h 127.0.0.1 -p {port} -U postgres");
        let ask = |program: &str, rest: &str| {
            shell(&format!("{} {there} {rest}", server.program(program).display()))
        };
        wait_for("PostgreSQL", || ask("psql", "-c 'SELECT 1' postgres").is_ok())?;
        ask("createdb", "bench")?;
        let scale = (size_mib / SCALE_MIB).max(1);
        println!("filling the database: pgbench -i -s {scale}");
        ask("pgbench", &format!("-i -q -s {scale} bench"))?;
        Ok(server)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Its first process.
    pub(super) fn id(&self) -> u32 {
        self.running.0.id()
    }

    /// Its process that calls itself so, such as `walsender`.
    pub(super) fn process(&self, title: &str) -> Option<u32> {
        let title = format!("postgres: {title}");
        measure::children(self.id()).into_iter().find(|id| {
            fs::read(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| line.starts_with(title.as_bytes()))
        })
    }

    /// Ends all of it as a loss of power does.
    pub(super) fn kill(mut self) {
        let all = measure::children(self.id());
        let _ = self.running.0.kill();
        for id in all {
            measure::kill(id);
        }
    }

    pub(super) fn session(&self, database: &str) -> Result<Session> {
        let mut child = Command::new(self.program("psql"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-AtqX", "-d", database])
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = child.stdin.take().context("no input")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Session { child, questions, answers })
    }

    pub(super) fn sql(&self, database: &str, statement: &str) -> Result<String> {
        let done = Command::new(self.program("psql"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-AtX", "-d", database, "-c", statement])
            .args(["-p", &self.port.to_string()])
            .output()?;
        ensure!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    /// Removes what restores have kept beside `database`.
    pub(super) fn drop_others(&self, database: &str) -> Result<()> {
        let others = "SELECT datname FROM pg_database WHERE datname NOT IN \
                      ('postgres', 'template0', 'template1')";
        for name in self.sql("postgres", others)?.lines().filter(|name| *name != database) {
            self.sql("postgres", &format!("DROP DATABASE \"{name}\""))?;
        }
        Ok(())
    }
}

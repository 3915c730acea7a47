//! PostgreSQL in containers shaped as the official image's: `POSTGRES_USER`, `POSTGRES_PASSWORD`,
//! `POSTGRES_DB`, data on a volume.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::{base, client::Docker};

/// The image that this makes.
pub(super) const IMAGE: &str = "backup-test-postgres";
/// Where it keeps its data.
const DATA: &str = "/var/lib/postgresql/data";
const READY: Duration = Duration::from_secs(60);

const START: &str = r#"#!/bin/sh
set -eu
data=/var/lib/postgresql/data
bin=$(ls -d /usr/lib/postgresql/*/bin)
as="setpriv --reuid=postgres --regid=postgres --init-groups --"
port=${PGPORT:-5432}
if [ ! -s "$data/PG_VERSION" ]; then
    install -d -o postgres -g postgres -m 0700 "$data"
    (umask 077 && printf '%s' "$POSTGRES_PASSWORD" > /tmp/pass) && chown postgres /tmp/pass
    $as "$bin/initdb" -D "$data" -U "$POSTGRES_USER" --pwfile=/tmp/pass -A scram-sha-256 -E UTF8
    rm /tmp/pass
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
fi
exec $as "$bin/postgres" -D "$data" -p "$port" -c listen_addresses='*' -k /tmp
"#;

/// Makes the image.
pub(super) fn build(docker: &Docker) -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("start.sh"), START)?;
    let recipe = format!(
        "FROM {}\n\
         RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
         --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/*\n\
         COPY start.sh /start.sh\n\
         STOPSIGNAL SIGINT\n\
         CMD [\"sh\", \"/start.sh\"]\n",
        base::IMAGE
    );
    fs::write(folder.path().join("Dockerfile"), recipe)?;
    docker.ask(&["build", "--tag", IMAGE, &folder.path().display().to_string()]).map(drop)
}

/// A running server; removed with its volume when dropped.
pub(super) struct Database<'a> {
    docker: &'a Docker,
    name: String,
    volume: String,
    port: u16,
    user: String,
    password: String,
}

impl<'a> Database<'a> {
    /// Starts one that is called `name` on `network`, with its data on `volume`.
    pub(super) fn start(
        docker: &'a Docker,
        (network, name, volume): (&str, &str, &str),
        port: u16,
        (user, password): (&str, &str),
    ) -> Result<Self> {
        let mount = format!("{volume}:{DATA}");
        let container = format!("backup-test-{name}");
        docker.ask(&[
            "run",
            "--detach",
            "--name",
            &container,
            "--network",
            network,
            "--network-alias",
            name,
            "--volume",
            &mount,
            "--env",
            &format!("POSTGRES_USER={user}"),
            "--env",
            &format!("POSTGRES_PASSWORD={password}"),
            "--env",
            &format!("PGPORT={port}"),
            IMAGE,
        ])?;
        let database = Self {
            docker,
            name: container,
            volume: volume.to_owned(),
            port,
            user: user.to_owned(),
            password: password.to_owned(),
        };
        let until = Instant::now() + READY;
        while database.sql("postgres", "SELECT 1").is_err() {
            if Instant::now() > until {
                let told = docker.try_ask(&["logs", &database.name])?;
                bail!("PostgreSQL does not start: {}", String::from_utf8_lossy(&told.stderr));
            }
            thread::sleep(Duration::from_millis(300));
        }
        Ok(database)
    }

    /// What a query gives, one row a line.
    pub(super) fn sql(&self, database: &str, query: &str) -> Result<String> {
        self.psql(database, query.as_bytes())
    }

    /// Feeds a script to `psql`, which stops at its first error.
    pub(super) fn psql(&self, database: &str, script: &[u8]) -> Result<String> {
        self.client(&["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"], database, script)
    }

    /// Feeds a dump to `pg_restore`.
    pub(super) fn restore(&self, database: &str, dump: &[u8]) -> Result<()> {
        self.client(&["pg_restore", "--exit-on-error", "--no-owner"], database, dump).map(drop)
    }

    fn client(&self, program: &[&str], database: &str, input: &[u8]) -> Result<String> {
        let (password, port) = (format!("PGPASSWORD={}", self.password), self.port.to_string());
        let exec = ["exec", "-i", "--env", &password, &self.name];
        let to = ["-h", "127.0.0.1", "-p", &port, "-U", &self.user, "-d", database];
        Ok(self.docker.feed(&[&exec[..], program, &to[..]].concat(), input)?.trim().to_owned())
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let _ = self.docker.try_ask(&["rm", "--force", "--volumes", &self.name]);
        let _ = self.docker.try_ask(&["volume", "rm", "--force", &self.volume]);
    }
}

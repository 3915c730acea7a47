//! The orchestrator's compose file: up, judged, driven by its command line, restarted, down.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{
    client::Docker,
    stage::{self, Stage},
};

pub(super) const CONTAINER: &str = "backup-orchestrator";
pub(super) const NETWORK: &str = "backups_net";
const PROJECT: &str = "backup-test";
/// A key of this test only, looked for wherever it must not be.
const KEY: &str = "canary-0c1f7ab4e5d94e0fb7c2f6";
const HEALTHY: Duration = Duration::from_secs(90);

/// The running service; taken down with its volumes when dropped.
pub(super) struct Orchestrator<'a> {
    docker: &'a Docker,
    stage: &'a Stage,
    port: u16,
}

impl<'a> Orchestrator<'a> {
    /// `docker compose up -d --build`, and waits until it is healthy.
    pub(super) fn up(docker: &'a Docker, stage: &'a Stage) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        stage.write(
            ".env",
            &format!("APP_PORT={port}\nAPP_SECRET_KEY={KEY}\nRCLONE_REMOTE=gdrive\n"),
        )?;
        let service = Self { docker, stage, port };
        service.compose(&["up", "-d", "--build"])?;
        service.wait_until_healthy()?;
        Ok(service)
    }

    fn compose(&self, arguments: &[&str]) -> Result<String> {
        self.docker.compose(self.stage.path(), &stage::environment(PROJECT), arguments)
    }

    /// Lays the compose file for `backups.yml` over it: the file, its variables, Docker's socket.
    pub(super) fn lay_stack_over(&self) -> Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        let socket = self.docker.socket();
        let group = std::fs::metadata(&socket)?.gid().to_string();
        let folder = self.stage.path().display().to_string();
        let mut environment = stage::environment(PROJECT);
        environment.extend([
            ("STACK_DIR", folder.as_str()),
            ("DOCKER_SOCKET", socket.as_str()),
            ("DOCKER_GID", group.as_str()),
            ("TZ", "America/Sao_Paulo"),
        ]);
        let files = ["-f", "docker-compose.yml", "-f", "docker/stack/docker-compose.yml"];
        let words = [&files[..], &["up", "-d"]].concat();
        self.docker.compose(self.stage.path(), &environment, &words)?;
        self.wait_until_healthy()
    }

    fn wait_until_healthy(&self) -> Result<()> {
        let until = Instant::now() + HEALTHY;
        loop {
            let health = self.inspect("{{.State.Health.Status}}")?;
            match health.trim() {
                "healthy" => return Ok(()),
                "starting" if Instant::now() < until => thread::sleep(Duration::from_millis(300)),
                other => {
                    let logs = self.logs()?;
                    bail!("the container is {other}, not healthy; its log:\n{logs}");
                }
            }
        }
    }

    fn inspect(&self, format: &str) -> Result<String> {
        self.docker.ask(&["inspect", "--format", format, CONTAINER])
    }

    fn logs(&self) -> Result<String> {
        let told = self.docker.try_ask(&["logs", CONTAINER])?;
        Ok(String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned())
    }

    /// Runs a program in the container as the container's user.
    pub(super) fn exec(&self, words: &[&str]) -> Result<String> {
        self.docker.ask(&[&["exec", CONTAINER], words].concat())
    }

    /// Runs the command line in the container, which needs no address and no token there.
    pub(super) fn cli(&self, words: &[&str], input: &str) -> Result<Value> {
        println!("$ docker exec {CONTAINER} {CONTAINER} {}", words.join(" "));
        let all = [&["exec", "-i", CONTAINER, CONTAINER, "--json"], words].concat();
        let said = self.docker.feed(&all, input.as_bytes())?;
        if said.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&said).with_context(|| said.clone())
    }

    /// Who runs it, and what it may do.
    pub(super) fn check_confinement(&self) -> Result<()> {
        ensure!(self.exec(&["id", "-u"])?.trim() != "0", "the container's user is root");
        let status = self.exec(&["cat", "/proc/1/status"])?;
        let is = |name: &str, value: &str| {
            status.lines().any(|line| line.split_whitespace().eq([name, value]))
        };
        ensure!(is("CapEff:", "0000000000000000"), "it has capabilities:\n{status}");
        ensure!(is("CapBnd:", "0000000000000000"), "it may gain capabilities:\n{status}");
        ensure!(is("NoNewPrivs:", "1"), "it may gain privileges:\n{status}");
        // As root, so that it is the mount that refuses and not the folder's mode.
        let words = ["exec", "--user", "0", CONTAINER, "touch", "/usr/local/bin/planted"];
        let told = self.docker.try_ask(&words)?;
        let said = String::from_utf8_lossy(&told.stderr);
        ensure!(
            !told.status.success() && said.contains("Read-only file system"),
            "the root file system can be written: {said}"
        );
        for place in ["/app/data", "/config/rclone", "/tmp"] {
            let file = format!("{place}/written");
            self.exec(&["touch", &file])?;
            self.exec(&["rm", &file])?;
        }
        let mounts = self.inspect("{{json .Mounts}}")?;
        ensure!(!mounts.contains("docker.sock"), "it holds Docker's socket: {mounts}");
        Ok(())
    }

    /// `/healthz` through the published port.
    pub(super) fn check_health(&self) -> Result<()> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        connection.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut reply = String::new();
        connection.read_to_string(&mut reply)?;
        ensure!(reply.contains(" 200 OK\r\n"), "/healthz answers {reply:?}");
        self.exec(&[CONTAINER, "healthcheck"])?;
        let told = self.docker.try_ask(&[
            "exec",
            "-e",
            "APP_PORT=9",
            CONTAINER,
            CONTAINER,
            "healthcheck",
        ])?;
        ensure!(!told.status.success(), "healthcheck succeeds where nothing listens");
        Ok(())
    }

    /// Secrets are in `.env` and in the data volume, and nowhere that Docker shows.
    pub(super) fn check_secrets(&self, more: &[&str]) -> Result<()> {
        let made = self.exec(&["cat", "/app/data/cli.token"])?;
        let modes = self.exec(&["stat", "--format", "%a %u", "/app/data/cli.token"])?;
        ensure!(modes.starts_with("600 "), "the token's file has mode and owner {modes}");
        let inspected = self.docker.ask(&["inspect", CONTAINER])?;
        let history = self.docker.ask(&["history", "--no-trunc", "backup-orchestrator"])?;
        let image = self.docker.ask(&["image", "inspect", "backup-orchestrator"])?;
        let logs = self.logs()?;
        for (place, text, secrets) in [
            ("docker inspect", &inspected, vec![made.trim()]),
            ("the image's history", &history, vec![made.trim(), KEY]),
            ("the image", &image, vec![made.trim(), KEY]),
            ("the log", &logs, vec![made.trim(), KEY]),
        ] {
            for secret in secrets.iter().chain(more) {
                ensure!(!text.contains(secret), "{place} shows a secret");
            }
        }
        Ok(())
    }

    /// `docker compose restart`.
    pub(super) fn restart(&self) -> Result<()> {
        self.compose(&["restart"])?;
        self.wait_until_healthy()
    }

    /// `docker compose down` and up again: the volumes stay.
    pub(super) fn recreate(&self) -> Result<()> {
        self.compose(&["up", "-d", "--force-recreate"])?;
        self.wait_until_healthy()
    }
}

impl Drop for Orchestrator<'_> {
    fn drop(&mut self) {
        if thread::panicking() || self.compose(&["down", "--volumes", "--timeout", "20"]).is_err() {
            eprintln!("`down` failed: the containers are removed one by one");
            let _ = self.docker.try_ask(&["rm", "--force", "--volumes", CONTAINER]);
            let _ = self.docker.try_ask(&["network", "rm", NETWORK]);
        }
        let _ = self.docker.try_ask(&["volume", "rm", "--force", &format!("{PROJECT}_backups")]);
    }
}

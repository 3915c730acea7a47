//! The `docker` and compose programs, pointed at one engine.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

/// How much of what a failed program said is shown, in lines.
const SHOWN_LINES: usize = 40;

/// A client of one engine.
#[derive(Clone)]
pub(crate) struct Docker {
    /// `unix://…`; without it whatever `docker` itself takes.
    host: Option<String>,
    compose: &'static [&'static str],
}

/// Compose v2 where it is, else docker-compose 1.29.
pub(crate) fn compose_program() -> Option<&'static [&'static str]> {
    const V2: &[&str] = &["docker", "compose"];
    const V1: &[&str] = &["docker-compose"];
    [V2, V1].into_iter().find(|words| {
        let told = Command::new(words[0]).args(&words[1..]).arg("version").output();
        told.is_ok_and(|told| told.status.success())
    })
}

impl Docker {
    pub(super) fn new(host: Option<String>, compose: &'static [&'static str]) -> Self {
        Self { host, compose }
    }

    /// Where the engine's socket is on this machine.
    pub(crate) fn socket(&self) -> String {
        let host = self.host.clone().or_else(|| std::env::var("DOCKER_HOST").ok());
        let socket = host.as_deref().and_then(|host| host.strip_prefix("unix://"));
        socket.unwrap_or("/var/run/docker.sock").to_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs our own `cargo` with the engine in its environment, and where the program is.
    pub(super) fn cargo(&self, arguments: &[&str]) -> Result<()> {
        let mut command = crate::cargo::cargo();
        match (&self.host, std::env::var_os("DOCKER_HOST")) {
            (Some(host), _) => command.env("DOCKER_HOST", host),
            (None, Some(host)) => command.env("DOCKER_HOST", host),
            (None, None) => command.env("DOCKER_HOST", format!("unix://{}", self.socket())),
        };
        let program = std::env::current_exe()?.with_file_name("backup-orchestrator");
        let status = command.env("BACKUP_ORCHESTRATOR", program).args(arguments).status()?;
        ensure!(status.success(), "`cargo {}` ended with {status}", arguments.join(" "));
        Ok(())
    }

    /// Whether an engine answers.
    pub(super) fn answers(&self) -> bool {
        let told = self.try_ask(&["version", "--format", "{{.Server.Version}}"]);
        told.is_ok_and(|told| told.status.success())
    }

    /// Runs `docker` and gives what it printed, as it is.
    pub(crate) fn ask<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String> {
        let told = self.try_ask(arguments)?;
        succeeded(&shown(&["docker"], arguments), told)
    }

    /// Runs `docker`, whatever the end.
    pub(crate) fn try_ask<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Output> {
        self.command("docker").args(arguments).output().context("docker cannot be started")
    }

    /// Runs `docker` with bytes on its standard input.
    pub(super) fn feed(&self, arguments: &[&str], input: &[u8]) -> Result<String> {
        let mut child = self
            .command("docker")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no standard input")?.write_all(input)?;
        succeeded(&shown(&["docker"], arguments), child.wait_with_output()?)
    }

    /// Runs compose in a folder that holds the compose file and `.env`.
    pub(super) fn compose(
        &self,
        folder: &Path,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Result<String> {
        println!("$ {}", shown(self.compose, arguments));
        let told = self
            .command(self.compose[0])
            .args(&self.compose[1..])
            .args(arguments)
            .current_dir(folder)
            .envs(environment.iter().copied())
            .output()?;
        succeeded(&shown(self.compose, arguments), told)
    }
}

fn shown<S: AsRef<OsStr>>(program: &[&str], arguments: &[S]) -> String {
    let arguments = arguments.iter().map(|word| word.as_ref().to_string_lossy().into_owned());
    program.iter().map(|word| (*word).to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn succeeded(what: &str, told: Output) -> Result<String> {
    if told.status.success() {
        return Ok(String::from_utf8_lossy(&told.stdout).into_owned());
    }
    let said = [told.stdout, told.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let lines: Vec<_> = said.lines().collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    bail!("`{what}` ended with {}:\n{}", told.status, last.join("\n"))
}

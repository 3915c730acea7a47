//! What archives WAL: ours, `pg_receivewal` with each of its compressors, and pgBackRest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::super::{
    database::Postgres,
    measure::{Orphans, cpu_secs, shell},
    pgbackrest,
    world::{self, Orchestrator},
};
use crate::quickstart::Running;

/// How long the first base backup may take.
const FIRST: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ours,
    /// With its quicker compressor.
    ReceiveLz4,
    ReceiveGzip,
    Backrest,
}

pub(super) const ALL: [Kind; 4] = [Kind::Ours, Kind::ReceiveLz4, Kind::ReceiveGzip, Kind::Backrest];

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::ReceiveLz4 => "pg_receivewal, lz4",
            Self::ReceiveGzip => "pg_receivewal, gzip:1",
            Self::Backrest => "pgBackRest, zst",
        }
    }

    /// Whether it is there, or why not.
    pub(super) fn find(self) -> Result<()> {
        match self {
            Self::Backrest => world::need(&[pgbackrest::PROGRAM]),
            _ => Ok(()),
        }
    }

    /// What its server has to be told.
    pub(super) fn setting(self) -> &'static str {
        if self == Self::Backrest { "archive_mode=on" } else { "archive_mode=off" }
    }

    /// The name of its processes, where there are many.
    pub(super) fn program(self) -> Option<&'static str> {
        (self == Self::Backrest).then_some(pgbackrest::PROGRAM)
    }
}

/// One that runs.
pub(super) struct Tool {
    pub(super) kind: Kind,
    root: PathBuf,
    work: Work,
}

enum Work {
    Ours(Orchestrator),
    Receive(Running),
    /// Started by the server, and by themselves.
    Backrest(Orphans),
}

impl Tool {
    pub(super) fn start(
        kind: Kind,
        binaries: &Path,
        root: &Path,
        server: &Postgres,
    ) -> Result<Self> {
        let work = match kind {
            Kind::Ours => Work::Ours(ours(binaries, root, server)?),
            Kind::ReceiveLz4 => Work::Receive(receive(root, server, "lz4")?),
            Kind::ReceiveGzip => Work::Receive(receive(root, server, "gzip:1")?),
            Kind::Backrest => Work::Backrest(backrest(root, server)?),
        };
        Ok(Self { kind, root: root.to_owned(), work })
    }

    /// Where it puts WAL.
    pub(super) fn folder(&self) -> PathBuf {
        match self.kind {
            Kind::Ours => self.root.join("destination/bench/wal"),
            Kind::ReceiveLz4 | Kind::ReceiveGzip => self.root.join("received"),
            Kind::Backrest => self.root.join("backrest/archive"),
        }
    }

    /// Its process, where there is one only.
    pub(super) fn id(&self) -> Option<u32> {
        match &self.work {
            Work::Ours(orchestrator) => Some(orchestrator.id()),
            Work::Receive(running) => Some(running.0.id()),
            Work::Backrest(_) => None,
        }
    }

    /// Processor seconds so far, but for what [`Self::server_cpu_secs`] tells.
    pub(super) fn cpu_secs(&mut self) -> Result<f64> {
        match &mut self.work {
            Work::Ours(orchestrator) => cpu_secs(orchestrator.id()),
            Work::Receive(running) => cpu_secs(running.0.id()),
            Work::Backrest(orphans) => Ok(orphans.cpu_secs()),
        }
    }

    /// Processor seconds of the server's process that serves it: the sender of WAL, or the archiver
    /// with the commands that it runs.
    pub(super) fn server_cpu_secs(&self, server: &Postgres) -> Result<f64> {
        let title = if self.kind == Kind::Backrest { "archiver" } else { "walsender" };
        let id = server.process(title).with_context(|| format!("the server has no {title}"))?;
        cpu_secs(id)
    }

    /// Ends it as a loss of power does.
    pub(super) fn kill(self) {
        if let Work::Ours(orchestrator) = self.work {
            orchestrator.kill();
        }
    }
}

/// The orchestrator with an archive of the server, started anew after its first base backup: what is
/// measured is receiving.
fn ours(binaries: &Path, root: &Path, server: &Postgres) -> Result<Orchestrator> {
    let orchestrator = Orchestrator::start(binaries, root, 1)?;
    orchestrator.add_local(&root.join("destination"))?;
    let source =
        format!("kind=postgres,host=127.0.0.1,port={},user=postgres,database=bench", server.port);
    let app = ["app", "add", "bench", "--source", &source, "--destination", "local:bench"];
    orchestrator.ask(&[&app[..], &["--wal", "stream"]].concat())?;
    let begun = Instant::now();
    loop {
        let state = orchestrator.ask(&["recovery", "status", "bench"])?;
        if state["windows"].as_array().is_some_and(|windows| !windows.is_empty()) {
            break;
        }
        ensure!(begun.elapsed() < FIRST, "there is no base backup: {state}");
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(orchestrator);
    let orchestrator = Orchestrator::start(binaries, root, 1)?;
    connected(server)?;
    Ok(orchestrator)
}

fn receive(root: &Path, server: &Postgres, compress: &str) -> Result<Running> {
    let folder = root.join("received");
    fs::create_dir(&folder)?;
    let program = server.program("pg_receivewal");
    let there =
        format!("-D {} -h 127.0.0.1 -p {} -U postgres --slot=bench", folder.display(), server.port);
    shell(&format!("{} {there} --create-slot", program.display()))?;
    let running = Running(
        Command::new(&program)
            .args(there.split(' '))
            .arg(format!("--compress={compress}"))
            .stderr(Stdio::null())
            .spawn()?,
    );
    connected(server)?;
    Ok(running)
}

/// Waits until the server sends.
fn connected(server: &Postgres) -> Result<()> {
    crate::quickstart::wait_for("receiving", || server.process("walsender").is_some())
}

fn backrest(root: &Path, server: &Postgres) -> Result<Orphans> {
    let orphans = Orphans::new(pgbackrest::PROGRAM)?;
    let config = pgbackrest::config(root, server, 2)?;
    pgbackrest::shell(&config, "stanza-create")?;
    pgbackrest::archive(&config, server)?;
    Ok(orphans)
}

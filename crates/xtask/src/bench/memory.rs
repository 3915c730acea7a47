//! Memory at rest, of one long stream, and of many at once; and how long a start takes.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    cases::lasted,
    data,
    measure::{median, memory_mib},
    table::ONE_STREAM_MIB,
    world::{Orchestrator, Sidecar},
};

/// Streams at once.
const MANY: usize = 32;
/// Largest peak of that many.
const MANY_MIB: f64 = 128.0;
/// How often a start is timed.
const STARTS: usize = 3;

/// A fresh orchestrator.
pub(super) struct Started {
    pub(super) start_secs: f64,
    /// Resident memory after five seconds of rest, in 10^6 bytes.
    pub(super) idle_mb: f64,
}

impl Started {
    pub(super) fn to_json(&self) -> Value {
        json!({ "start_secs": self.start_secs, "idle_mb": self.idle_mb })
    }
}

/// The largest memory of something.
pub(super) struct Peak {
    pub(super) what: String,
    pub(super) mib: f64,
    pub(super) limit_mib: f64,
    pub(super) wall_secs: f64,
}

impl Peak {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "what": self.what, "peak_mib": self.mib, "limit_mib": self.limit_mib,
            "wall_secs": self.wall_secs,
        })
    }
}

/// First starts on an empty data folder.
pub(super) fn start_and_idle(binaries: &Path) -> Result<Started> {
    let mut starts = Vec::new();
    let mut idle = Vec::new();
    for _ in 0..STARTS {
        let scratch = tempfile::tempdir()?;
        let orchestrator = Orchestrator::start(binaries, scratch.path(), 4)?;
        starts.push(orchestrator.start.as_secs_f64());
        thread::sleep(Duration::from_secs(5));
        idle.push(memory_mib(orchestrator.id(), "VmRSS")? * 1.048_576);
    }
    Ok(Started { start_secs: median(starts.into_iter()), idle_mb: median(idle.into_iter()) })
}

/// Ten times `size_mib` in one stream, and an eighth of it in each of [`MANY`], to the local
/// disk with zstd, each by a fresh orchestrator.
pub(super) fn peaks(binaries: &Path, size_mib: u64) -> Result<Vec<Peak>> {
    let scratch = tempfile::tempdir()?;
    let text = scratch.path().join("text");
    data::text(&text, size_mib)?;
    let text = text.display();
    let long = format!("for i in 1 2 3 4 5 6 7 8 9 10; do cat {text}; done");
    // Late enough that all of them are under way at once.
    let short = format!("sleep 3; head -c {}M {text}", size_mib / 8);
    Ok(vec![
        streams(
            binaries,
            1,
            &long,
            ONE_STREAM_MIB,
            &format!("one stream of {} MiB", size_mib * 10),
        )?,
        streams(
            binaries,
            MANY,
            &short,
            MANY_MIB,
            &format!("{MANY} streams of {} MiB at once", size_mib / 8),
        )?,
    ])
}

fn streams(binaries: &Path, count: usize, line: &str, limit_mib: f64, what: &str) -> Result<Peak> {
    println!("{what}");
    let scratch = tempfile::tempdir()?;
    let root = scratch.path();
    // A sidecar exports one thing at a time.
    let sidecars = (0..count)
        .map(|_| Sidecar::of_command(binaries, root, line))
        .collect::<Result<Vec<_>>>()?;
    let orchestrator = Orchestrator::start(binaries, root, count)?;
    orchestrator.add_local(&root.join("destination"))?;
    for (at, sidecar) in sidecars.iter().enumerate() {
        let name = format!("app{at}");
        orchestrator.add_app(&name, sidecar, &format!("local:{name}"), "auto")?;
    }
    let mut ids = Vec::new();
    for at in 0..count {
        let run = orchestrator.ask(&["run", &format!("app{at}")])?;
        ids.push(run["id"].as_str().context("the run has no id")?.to_owned());
    }
    let mut wall_secs = 0.0_f64;
    for id in &ids {
        let run = ended(&orchestrator, id)?;
        ensure!(run["state"] == "succeeded", "the run ended as {run}");
        wall_secs = wall_secs.max(lasted(&run)?);
    }
    let mib = memory_mib(orchestrator.id(), "VmHWM")?;
    drop(orchestrator);
    fs::remove_dir_all(root.join("destination"))?;
    Ok(Peak { what: what.to_owned(), mib, limit_mib, wall_secs })
}

fn ended(orchestrator: &Orchestrator, id: &str) -> Result<Value> {
    loop {
        let shown = orchestrator.ask(&["run-show", id])?;
        if !shown["run"]["finished_at"].is_null() {
            return Ok(shown["run"].clone());
        }
        thread::sleep(Duration::from_millis(500));
    }
}

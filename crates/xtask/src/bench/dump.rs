//! A database and a volume of many small files, beside `pg_dump | gzip`, `pg_dump -Fc` and
//! `tar czf`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    cases::lasted,
    data,
    database::Postgres,
    measure::{cpu_secs, median, memory_mib, reset_peak, shell},
    world::{self, Orchestrator},
};
use crate::{
    docker::client::{self, Docker},
    docker::engine,
};

/// Ours is this many times as quick.
const TIMES: f64 = 3.0;
/// Largest peak of the orchestrator.
const PEAK_MIB: f64 = 96.0;
pub(super) const FILES: u32 = 40_000;
const VOLUME: &str = "backup-bench-files";

/// One way of doing the same.
struct Figure {
    what: String,
    wall_secs: f64,
    cpu_secs: f64,
    stored_bytes: u64,
    peak_mib: Option<f64>,
}

/// Measures both, `repeat` times; everything goes into what is given back.
pub(super) fn run(size_mib: u64, repeat: usize) -> Result<Value> {
    world::need(&["gzip", "tar", "setpriv", "docker", "dockerd"])?;
    let binaries = world::build()?;
    let scratch = tempfile::tempdir()?;
    let root = scratch.path();
    let postgres = Postgres::start(root, size_mib)?;
    let cache = crate::cache::folder()?;
    let compose = client::compose_program().context("compose is not installed")?;
    let engine = engine::find_or_start(compose, &cache)?;
    let docker = engine.docker();
    crate::docker::base::import(docker, &cache)?;
    let files = Volume::filled(docker)?;
    let socket = format!("unix://{}", docker.socket());
    let orchestrator = Orchestrator::start_with(&binaries, root, 4, &[("DOCKER_HOST", &socket)])?;
    let local = root.join("destination");
    orchestrator.add_local(&local)?;
    let port = postgres.port;
    let source = |format: &str| {
        format!(
            "kind=postgres,host=127.0.0.1,port={port},user=postgres,database=bench,format={format}"
        )
    };
    let volume = format!("kind=volume,volume={VOLUME}");
    for (name, source) in
        [("custom", source("custom")), ("plain", source("plain")), ("files", volume)]
    {
        let to = format!("local:{name}");
        orchestrator.ask(&["app", "add", name, "--source", &source, "--destination", &to])?;
    }
    let out = root.join("peer").display().to_string();
    let dump = postgres.program("pg_dump").display().to_string();
    let dump = format!("{dump} -h 127.0.0.1 -p {port} -U postgres");
    let tar = format!("tar -C {} -czf {out} .", files.folder.display());
    let rounds = |work: &dyn Fn() -> Result<Figure>| -> Result<Figure> {
        let all = (0..repeat).map(|_| work()).collect::<Result<Vec<_>>>()?;
        Ok(middle(all))
    };
    let mut all = Vec::new();
    for (what, line) in [
        ("pg_dump | gzip", format!("{dump} bench | gzip > {out}")),
        ("pg_dump -Fc", format!("{dump} -Fc bench > {out}")),
        ("tar czf", tar),
    ] {
        all.push(rounds(&|| peer(what, &line, Path::new(&out)))?);
    }
    for name in ["custom", "plain", "files"] {
        all.push(rounds(&|| ours(&orchestrator, name, &local))?);
    }
    print(&all);
    Ok(all.iter().map(Figure::to_json).collect())
}

impl Figure {
    fn to_json(&self) -> Value {
        json!({
            "what": self.what, "wall_secs": self.wall_secs, "cpu_secs": self.cpu_secs,
            "stored_bytes": self.stored_bytes, "peak_mib": self.peak_mib,
        })
    }
}

fn middle(all: Vec<Figure>) -> Figure {
    let of = |field: fn(&Figure) -> f64| median(all.iter().map(field));
    let (wall_secs, cpu_secs) = (of(|f| f.wall_secs), of(|f| f.cpu_secs));
    let peak_mib = all.iter().filter_map(|f| f.peak_mib).reduce(f64::max);
    let stored_bytes = all.iter().map(|f| f.stored_bytes).max().unwrap_or_default();
    let what = all.into_iter().next().map(|f| f.what).unwrap_or_default();
    Figure { what, wall_secs, cpu_secs, stored_bytes, peak_mib }
}

fn peer(what: &str, line: &str, out: &Path) -> Result<Figure> {
    nix::unistd::sync();
    let (wall_secs, cpu_secs) = shell(line)?;
    let stored_bytes = fs::metadata(out)?.len();
    fs::remove_file(out)?;
    Ok(Figure { what: what.to_owned(), wall_secs, cpu_secs, stored_bytes, peak_mib: None })
}

fn ours(orchestrator: &Orchestrator, name: &str, local: &Path) -> Result<Figure> {
    nix::unistd::sync();
    reset_peak(orchestrator.id());
    let before = cpu_secs(orchestrator.id())?;
    let run = orchestrator.ask(&["run", name, "--wait"])?;
    ensure!(run["state"] == "succeeded", "{name}: {run}");
    let cpu = cpu_secs(orchestrator.id())? - before;
    let peak = memory_mib(orchestrator.id(), "VmHWM")?;
    let folder = local.join(name);
    let mut stored_bytes = 0;
    for entry in fs::read_dir(&folder)? {
        stored_bytes += entry?.metadata()?.len();
    }
    fs::remove_dir_all(&folder)?;
    Ok(Figure {
        what: format!("ours: {name}"),
        wall_secs: lasted(&run)?,
        cpu_secs: cpu,
        stored_bytes,
        peak_mib: Some(peak),
    })
}

fn print(all: &[Figure]) {
    let of = |what: &str| all.iter().find(|figure| figure.what == what);
    println!("\nDumps: medians; processor seconds of the client's side");
    for figure in all {
        let peak = figure.peak_mib.map(|mib| format!("peak {mib:.1} of {PEAK_MIB:.0} MiB"));
        println!(
            "{:16} {:7.2} s {:7.2} s cpu {:8.1} MiB  {}",
            figure.what,
            figure.wall_secs,
            figure.cpu_secs,
            figure.stored_bytes as f64 / f64::from(1 << 20),
            peak.unwrap_or_default()
        );
    }
    for (ours, peer) in [
        ("ours: custom", "pg_dump | gzip"),
        ("ours: custom", "pg_dump -Fc"),
        ("ours: plain", "pg_dump | gzip"),
        ("ours: files", "tar czf"),
    ] {
        let (Some(mine), Some(theirs)) = (of(ours), of(peer)) else { continue };
        let times = theirs.wall_secs / mine.wall_secs;
        let size = mine.stored_bytes as f64 / theirs.stored_bytes as f64;
        let mark = if times >= TIMES && size <= 1.0 { "yes" } else { "NO" };
        println!(
            "{ours} against {peer}: {times:.2} times as quick (3), {size:.2} of its size  {mark}"
        );
    }
}

/// A volume of many small files; gone when dropped.
struct Volume<'a> {
    docker: &'a Docker,
    /// Where the engine keeps it.
    folder: PathBuf,
}

impl<'a> Volume<'a> {
    fn filled(docker: &'a Docker) -> Result<Self> {
        docker.ask(&["volume", "create", VOLUME])?;
        let place = docker.ask(&["volume", "inspect", "--format", "{{.Mountpoint}}", VOLUME])?;
        let folder = PathBuf::from(place.trim());
        let volume = Self { docker, folder };
        println!("filling the volume: {FILES} files");
        data::many_small(&volume.folder, FILES)?;
        Ok(volume)
    }
}

impl Drop for Volume<'_> {
    fn drop(&mut self) {
        let _ = self.docker.try_ask(&["volume", "rm", "--force", VOLUME]);
    }
}

//! A database and a volume of many small files, beside `pg_dump | gzip`, `pg_dump -Fc` and
//! `tar czf`.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    cases::lasted,
    measure::{cpu_secs, median, memory_mib, reset_peak, shell},
    world::{self, Orchestrator},
};
use crate::{
    docker::client::{self, Docker},
    docker::engine,
    quickstart::{Running, free_port, wait_for},
};

/// Ours is this many times as quick.
const TIMES: f64 = 3.0;
/// Largest peak of the orchestrator.
const PEAK_MIB: f64 = 96.0;
/// Bytes that one unit of `pgbench -i -s` takes, roughly.
const SCALE_MIB: u64 = 15;
const FILES: u32 = 40_000;
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

/// A server with the database that is dumped; gone when dropped.
struct Postgres {
    port: u16,
    home: PathBuf,
    _running: Running,
}

impl Postgres {
    fn start(root: &Path, size_mib: u64) -> Result<Self> {
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
                .arg("-k")
                .arg(&data)
                .spawn()?,
        );
        let server = Self { port, home, _running: running };
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

    fn program(&self, name: &str) -> PathBuf {
        self.home.join(name)
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
        let text = "configuration = value of some length; another line of it";
        for n in 0..FILES {
            let parent = volume.folder.join(format!("{:03}", n / 200));
            if n % 200 == 0 {
                fs::create_dir_all(&parent)?;
            }
            // From a hundred bytes to 16 KiB, no two alike.
            let lines = 1 + (n.wrapping_mul(2_654_435_761) >> 24) as usize;
            let mut content = String::new();
            for line in 0..lines {
                writeln!(content, "{n}:{line} {text}")?;
            }
            fs::write(parent.join(format!("{n}.conf")), content)?;
        }
        Ok(volume)
    }
}

impl Drop for Volume<'_> {
    fn drop(&mut self) {
        let _ = self.docker.try_ask(&["volume", "rm", "--force", VOLUME]);
    }
}

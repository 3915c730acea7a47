//! Base backups and restores of a server beside pgBackRest, and what a second base backup adds to a
//! repository beside restic.

mod second;

use std::{
    cell::Cell,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::{
    database::Postgres,
    measure::{
        children, cpu_secs, folder_bytes, median, memory_mib, memory_of_all, reset_peak, shell,
    },
    pgbackrest,
    world::{self, Orchestrator},
};
use crate::quickstart::free_port;

/// How long WAL may take until it is stored.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Args)]
pub(crate) struct BaseOptions {
    /// Size of the server's database in MiB, roughly.
    #[arg(long, default_value_t = 2000)]
    size_mib: u64,
    /// How often each thing is measured, in turn; medians are told.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Transactions between the two base backups whose growth is measured.
    #[arg(long, default_value_t = 20_000)]
    transactions: u32,
    /// Only `speed` or only `growth`.
    #[arg(long)]
    only: Option<String>,
    /// Write every figure into this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One measurement.
struct Sample {
    wall_secs: f64,
    /// Of the tool, and of the server whose files are read.
    cpu_secs: f64,
    server_cpu_secs: f64,
    peak_mib: f64,
    stored_mib: f64,
}

/// Those of one tool at one step.
struct Figures {
    step: &'static str,
    tool: String,
    samples: Vec<Sample>,
}

pub(super) fn run(options: &BaseOptions) -> Result<()> {
    ensure!(options.repeat > 0, "at least one repetition");
    world::need(&["setpriv"])?;
    let binaries = world::build_ours()?;
    let wanted = |what: &str| options.only.as_deref().is_none_or(|only| only == what);
    let scratch = tempfile::tempdir()?;
    let root = scratch.path();
    let has_backrest = world::need(&[pgbackrest::PROGRAM]).is_ok();
    let archives = has_backrest && wanted("speed");
    let mode = if archives { "archive_mode=on" } else { "archive_mode=off" };
    let settings = ["max_wal_size=4GB", "shared_buffers=256MB", mode];
    let server = Postgres::start_with(root, options.size_mib, &settings)?;
    let mut figures = Vec::new();
    if wanted("speed") {
        figures = speed(&binaries, root, &server, archives, (options.repeat, options.size_mib))?;
        print(&figures);
        if !has_backrest {
            println!("pgBackRest is left out: {} is not installed", pgbackrest::PROGRAM);
        }
    }
    let mut growth = None;
    if wanted("growth") {
        growth = Some(second::measured(&binaries, root, &server, options.transactions)?);
    }
    if let Some(file) = &options.json {
        let told: Value = figures.iter().map(Figures::to_json).collect();
        let told = json!({ "speed": told, "growth": growth });
        fs::write(file, serde_json::to_string_pretty(&told)?)?;
    }
    Ok(())
}

/// What is measured, and with which tools.
struct Bench<'a> {
    root: &'a Path,
    server: &'a Postgres,
    orchestrator: Orchestrator,
    config: Option<PathBuf>,
    /// Names of moments that were made.
    points: Cell<u32>,
    size_mib: u64,
}

fn speed(
    binaries: &Path,
    root: &Path,
    server: &Postgres,
    archives: bool,
    (repeat, size_mib): (usize, u64),
) -> Result<Vec<Figures>> {
    let config = archives.then(|| pgbackrest::config(root, server, 2)).transpose()?;
    if let Some(config) = &config {
        pgbackrest::shell(config, "stanza-create")?;
        pgbackrest::archive(config, server)?;
    }
    let orchestrator = orchestrator(binaries, root)?;
    orchestrator.add_local(&root.join("destination"))?;
    follow(&orchestrator, server, "bench", "local:bench")?;
    let bench = Bench { root, server, orchestrator, config, points: Cell::new(0), size_mib };
    let processes: &[u32] = if archives { &[1, 2] } else { &[] };
    let mut all: Vec<Figures> = Vec::new();
    let mut put = |round: usize, step: &'static str, tool: String, sample: Sample| {
        println!("{round}/{repeat}  {:7.2} s  {step} {tool}", sample.wall_secs);
        match all.iter_mut().find(|one| one.step == step && one.tool == tool) {
            Some(one) => one.samples.push(sample),
            None => all.push(Figures { step, tool, samples: vec![sample] }),
        }
    };
    for round in 1..=repeat {
        put(round, "backup", "ours".to_owned(), bench.base()?);
        for count in processes {
            put(round, "backup", named(*count), bench.peer_backup(*count)?);
        }
        let point = bench.point()?;
        put(round, "restore", "ours".to_owned(), bench.restore(&point)?);
        for count in processes {
            put(round, "restore", named(*count), bench.peer_restore(&point, *count)?);
        }
    }
    Ok(all)
}

fn named(processes: u32) -> String {
    format!("pgBackRest, {processes}")
}

/// An orchestrator that may restore into a folder beside the server.
fn orchestrator(binaries: &Path, root: &Path) -> Result<Orchestrator> {
    let folder = |name: &str| {
        let folder = root.join(name);
        fs::create_dir_all(&folder)?;
        Ok::<_, anyhow::Error>(folder.display().to_string())
    };
    let (roots, scratch) = (folder("restored")?, folder("scratch")?);
    let variables = [("BACKUP_RESTORE_ROOTS", &*roots), ("BACKUP_SCRATCH_DIR", &*scratch)];
    Orchestrator::start_with(binaries, root, 2, &variables)
}

/// Has the server's WAL archived as the app `name`, and waits for the first base backup.
fn follow(orchestrator: &Orchestrator, server: &Postgres, name: &str, to: &str) -> Result<()> {
    let source =
        format!("kind=postgres,host=127.0.0.1,port={},user=postgres,database=bench", server.port);
    let app = ["app", "add", name, "--source", &source, "--destination", to, "--wal", "stream"];
    orchestrator.ask(&app)?;
    let begun = Instant::now();
    loop {
        let state = orchestrator.ask(&["recovery", "status", name])?;
        if state["windows"].as_array().is_some_and(|windows| !windows.is_empty()) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "there is no base backup: {state}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

impl Bench<'_> {
    /// The processor seconds of all of the server.
    fn server_secs(&self) -> f64 {
        let own = std::iter::once(self.server.id()).chain(children(self.server.id()));
        own.filter_map(|id| cpu_secs(id).ok()).sum()
    }

    /// As much memory as is about to be written was just free. A virtual machine gives back to its
    /// host what is not used: whoever comes first would wait for it, and the next would not.
    fn warm(&self) -> Result<()> {
        let path = self.root.join("warm");
        let mut file = fs::File::create(&path)?;
        let piece = vec![1; 1 << 20];
        for _ in 0..self.size_mib {
            file.write_all(&piece)?;
        }
        Ok(fs::remove_file(&path)?)
    }

    /// Runs `work` of ours.
    fn ours(&self, work: impl FnOnce(&Orchestrator) -> Result<()>) -> Result<Sample> {
        self.server.sql("bench", "CHECKPOINT")?;
        nix::unistd::sync();
        self.warm()?;
        let id = self.orchestrator.id();
        reset_peak(id);
        let before = (cpu_secs(id)?, self.server_secs());
        let begun = Instant::now();
        work(&self.orchestrator)?;
        Ok(Sample {
            wall_secs: begun.elapsed().as_secs_f64(),
            cpu_secs: cpu_secs(id)? - before.0,
            server_cpu_secs: self.server_secs() - before.1,
            peak_mib: memory_mib(id, "VmHWM")?,
            stored_mib: 0.0,
        })
    }

    /// Runs a line of bash.
    fn peer(&self, line: &str) -> Result<Sample> {
        self.server.sql("bench", "CHECKPOINT")?;
        nix::unistd::sync();
        self.warm()?;
        let before = self.server_secs();
        let (ended, is_over) = std::sync::mpsc::channel::<()>();
        let memory = std::thread::spawn(move || {
            let mut peak = 0.0_f64;
            while is_over
                .recv_timeout(Duration::from_millis(100))
                .is_err_and(|why| why == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                peak = peak.max(memory_of_all(pgbackrest::PROGRAM));
            }
            peak
        });
        let done = shell(line);
        drop(ended);
        let peak_mib = memory.join().unwrap_or(f64::NAN);
        let (wall_secs, cpu_secs) = done?;
        let server_cpu_secs = self.server_secs() - before;
        Ok(Sample { wall_secs, cpu_secs, server_cpu_secs, peak_mib, stored_mib: 0.0 })
    }

    fn base(&self) -> Result<Sample> {
        let folder = self.root.join("destination");
        let wal = folder.join("bench/wal");
        let size = || folder_bytes(&folder) - folder_bytes(&wal);
        let before = size();
        let sample = self.ours(|ours| {
            let run = ours.ask(&["recovery", "base", "bench", "--wait"])?;
            ensure!(run["state"] == "succeeded", "the base backup ended as {run}");
            Ok(())
        })?;
        Ok(Sample { stored_mib: mib(size() - before), ..sample })
    }

    fn peer_backup(&self, processes: u32) -> Result<Sample> {
        let config = self.config.as_deref().context("no pgBackRest")?;
        let command = format!("backup --type=full --process-max={processes}");
        let line = pgbackrest::line(config, &command);
        let sample = self.peer(&pgbackrest::as_user(&line))?;
        // Of two, its oldest goes with each new one: all of them are the same data.
        let all = self.root.join("backrest/backup/bench");
        let newest = fs::read_dir(&all)?.flatten().map(|entry| entry.path());
        let newest = newest.filter(|path| path.file_name().is_some_and(is_full)).max();
        let newest = newest.context("no backup")?;
        Ok(Sample { stored_mib: mib(folder_bytes(&newest)), ..sample })
    }

    /// A moment after all base backups, with WAL behind it, that both have stored.
    fn point(&self) -> Result<String> {
        self.points.set(self.points.get() + 1);
        let name = format!("moment-{}", self.points.get());
        self.orchestrator.ask(&["recovery", "restore-point", "bench", &name])?;
        self.server.sql("bench", "CREATE TABLE IF NOT EXISTS marks (id serial)")?;
        self.server.sql("bench", "INSERT INTO marks DEFAULT VALUES")?;
        self.server.sql("bench", "SELECT pg_switch_wal()")?;
        self.server.sql("bench", "INSERT INTO marks DEFAULT VALUES")?;
        let folder = self.target("planned");
        let plan =
            ["recovery", "plan", "bench", "--restore-point", &name, "--into-folder", &folder];
        let begun = Instant::now();
        while let Err(why) = self.orchestrator.ask(&plan) {
            ensure!(begun.elapsed() < PATIENCE, "the moment cannot be gone back to: {why:#}");
            std::thread::sleep(Duration::from_millis(500));
        }
        if self.config.is_some() {
            let last = "SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 16777216) \
                        FROM pg_stat_archiver";
            while self.server.sql("bench", last)? != "t" {
                ensure!(begun.elapsed() < PATIENCE, "pgBackRest does not archive");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        Ok(name)
    }

    fn target(&self, name: &str) -> String {
        self.root.join("restored").join(name).display().to_string()
    }

    fn restore(&self, point: &str) -> Result<Sample> {
        let folder = self.target("ours");
        let sample = self.ours(|ours| {
            let order =
                ["restore", "bench", "--restore-point", point, "--into-folder", &folder, "--wait"];
            let run = ours.ask(&order)?;
            ensure!(run["state"] == "succeeded", "the restore ended as {run}");
            Ok(())
        })?;
        ensure!(folder_bytes(Path::new(&folder)) > 0, "nothing was restored into {folder}");
        fs::remove_dir_all(&folder)?;
        Ok(sample)
    }

    /// The same of pgBackRest: its files, then a server that replays, is promoted and stops.
    fn peer_restore(&self, point: &str, processes: u32) -> Result<Sample> {
        let config = self.config.as_deref().context("no pgBackRest")?;
        let folder = self.target("peer");
        let made = format!("install -d -o postgres -g postgres -m 700 {folder}");
        shell(&made)?;
        let restore = pgbackrest::line(
            config,
            &format!(
                "restore --process-max={processes} --pg1-path={folder} --type=name \
                 --target={point} --target-action=promote --archive-mode=off"
            ),
        );
        let port = free_port()?;
        let start = format!(
            "{} -D {folder} -p {port} -k {folder} -c listen_addresses=",
            self.server.program("postgres").display()
        );
        let asked = format!(
            "{} -h {folder} -p {port} -U postgres -AtX -c 'SELECT NOT pg_is_in_recovery()'",
            self.server.program("psql").display()
        );
        let line = format!(
            "{}\n{} >{}/log/peer-server 2>&1 &\nserver=$!\n\
             for i in {{1..1200}}; do [ \"$({asked} postgres 2>/dev/null)\" = t ] && break; \
             sleep 0.05; done\n[ $i -lt 1200 ]\nkill -INT $server\nwait $server",
            pgbackrest::as_user(&restore),
            pgbackrest::as_user(&start).replace("cd / && ", ""),
            self.root.display(),
        );
        let sample = self.peer(&format!("set -e\n{line}"))?;
        fs::remove_dir_all(&folder)?;
        Ok(sample)
    }
}

/// Whether it is the name of a full backup of pgBackRest.
fn is_full(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.len() == 16 && name.ends_with('F'))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Figures {
    fn median(&self) -> Sample {
        let of = |field: fn(&Sample) -> f64| median(self.samples.iter().map(field));
        Sample {
            wall_secs: of(|s| s.wall_secs),
            cpu_secs: of(|s| s.cpu_secs),
            server_cpu_secs: of(|s| s.server_cpu_secs),
            peak_mib: self.samples.iter().map(|s| s.peak_mib).fold(0.0, f64::max),
            stored_mib: of(|s| s.stored_mib),
        }
    }

    fn to_json(&self) -> Value {
        let one = |s: &Sample| {
            json!({
                "wall_secs": s.wall_secs, "cpu_secs": s.cpu_secs,
                "server_cpu_secs": s.server_cpu_secs, "peak_mib": s.peak_mib,
                "stored_mib": s.stored_mib,
            })
        };
        let samples: Vec<_> = self.samples.iter().map(one).collect();
        json!({ "step": self.step, "tool": self.tool, "samples": samples })
    }

    /// Medians over rounds of how many times ours takes of something that this one does.
    fn times(&self, ours: &Self, of: fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&ours.samples).map(|(other, own)| of(other) / of(own)))
    }
}

/// Medians; `x` is how many times the seconds of ours another one takes, pair by pair.
fn print(all: &[Figures]) {
    println!(
        "\n| step | tool | s | x | CPU s | server's | x of both | peak MiB | stored MiB |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    for one in all {
        let Some(ours) = all.iter().find(|own| own.step == one.step && own.tool == "ours") else {
            continue;
        };
        let Sample { wall_secs, cpu_secs, server_cpu_secs, peak_mib, stored_mib } = one.median();
        println!(
            "| {} | {} | {wall_secs:.2} | {:.2} | {cpu_secs:.2} | {server_cpu_secs:.2} | {:.2} | \
             {peak_mib:.0} | {stored_mib:.0} |",
            one.step,
            one.tool,
            one.times(ours, |s| s.wall_secs),
            one.times(ours, |s| s.cpu_secs + s.server_cpu_secs),
        );
    }
}

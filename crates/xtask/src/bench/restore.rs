//! What was stored, brought back: beside `zstd -d`, `tar x`, `pg_restore` and `psql`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    cases::lasted,
    data,
    database::Postgres,
    dump::FILES,
    measure::{cpu_secs, median, memory_mib, reset_peak, shell},
    world::{self, Orchestrator, Sidecar},
};

/// Ours takes at most the peer's time divided by this.
const RATIO: f64 = 0.95;
/// Largest peak of the orchestrator.
const PEAK_MIB: f64 = 96.0;

/// Where an app is brought back to.
enum Back {
    /// Downloaded by the command line.
    File,
    /// Unpacked into a folder by the orchestrator.
    Folder,
    /// Into the server, in the place of the database.
    Database,
}

struct Case {
    app: &'static str,
    back: Back,
    what: &'static str,
    /// The stock tools' line; `OBJECT` is what is stored, `OUT` where it goes.
    peer: String,
}

struct Figure {
    what: &'static str,
    ours_secs: f64,
    peer_secs: f64,
    /// Of the orchestrator, and of the peer's programs.
    ours_cpu_secs: f64,
    peer_cpu_secs: f64,
    peak_mib: f64,
}

/// Measures every case `repeat` times; everything goes into what is given back.
pub(super) fn run(size_mib: u64, repeat: usize) -> Result<Value> {
    world::need(&["zstd", "tar", "setpriv", "bash"])?;
    let binaries = world::build()?;
    let scratch = tempfile::tempdir()?;
    let root = scratch.path();
    let postgres = Postgres::start(root, size_mib)?;
    let sidecars = make_data(&binaries, root, size_mib)?;
    let back = root.join("back");
    fs::create_dir(&back)?;
    let roots = back.display().to_string();
    let variables =
        [("BACKUP_RESTORE_ROOTS", &*roots), ("BACKUP_FILE_ROOTS", &*root.display().to_string())];
    let orchestrator = Orchestrator::start_with(&binaries, root, 4, &variables)?;
    let local = root.join("destination");
    orchestrator.add_local(&local)?;
    for (name, sidecar) in &sidecars {
        orchestrator.add_app(name, sidecar, &format!("local:{name}"), "zstd")?;
    }
    let database = |format: &str| {
        let port = postgres.port;
        format!(
            "kind=postgres,host=127.0.0.1,port={port},user=postgres,database=bench,format={format}"
        )
    };
    let files = |name: &str| format!("kind=files,path={}", root.join(name).display());
    for (name, source) in [
        ("folder", files("folder")),
        ("small", files("small")),
        ("custom", database("custom")),
        ("plain", database("plain")),
    ] {
        let to = format!("local:{name}");
        orchestrator.ask(&["app", "add", name, "--source", &source, "--destination", &to])?;
    }
    let mut all = Vec::new();
    for case in cases(&postgres) {
        let rounds = (0..repeat)
            .map(|_| measure(&case, &orchestrator, &local, &back, &postgres))
            .collect::<Result<Vec<_>>>()?;
        all.push(middle(&rounds));
        fs::remove_dir_all(local.join(case.app))?;
    }
    print(&all);
    Ok(all.iter().map(Figure::to_json).collect())
}

fn make_data(binaries: &Path, root: &Path, size_mib: u64) -> Result<Vec<(&'static str, Sidecar)>> {
    println!("making data of {size_mib} MiB in {}", root.display());
    let (text, noise, folder) = (root.join("text"), root.join("noise"), root.join("folder"));
    data::text(&text, size_mib)?;
    data::noise(&noise, size_mib)?;
    fs::create_dir(&folder)?;
    shell(&format!("split -n 64 {} {}/part-", text.display(), folder.display()))?;
    data::many_small(&root.join("small"), FILES)?;
    let cat = |file: &Path| Sidecar::of_command(binaries, root, &format!("cat {}", file.display()));
    Ok(vec![("text", cat(&text)?), ("noise", cat(&noise)?)])
}

fn cases(postgres: &Postgres) -> Vec<Case> {
    // Ours say that they are done when what they wrote outlasts a power loss; so do databases.
    let unpack = || "mkdir OUT && zstd -dqc OBJECT | tar -x -C OUT && sync -f OUT".to_owned();
    let there = format!("-h 127.0.0.1 -p {} -U postgres", postgres.port);
    let program = |name: &str| postgres.program(name).display().to_string();
    let into = |program: String| format!("zstd -dqc OBJECT | {program} {there} -d peer");
    let file = || "zstd -dqf OBJECT -o OUT && sync OUT".to_owned();
    vec![
        Case { app: "text", back: Back::File, what: "text, to a file", peer: file() },
        Case { app: "noise", back: Back::File, what: "noise, to a file", peer: file() },
        Case { app: "folder", back: Back::Folder, what: "64 large files", peer: unpack() },
        Case { app: "small", back: Back::Folder, what: "40,000 small files", peer: unpack() },
        Case {
            app: "custom",
            back: Back::Database,
            what: "database, custom",
            peer: into(program("pg_restore")),
        },
        Case {
            app: "plain",
            back: Back::Database,
            what: "database, plain",
            peer: into(format!("{} -q -o /dev/null", program("psql"))),
        },
    ]
}

fn measure(
    case: &Case,
    orchestrator: &Orchestrator,
    local: &Path,
    back: &Path,
    postgres: &Postgres,
) -> Result<Figure> {
    let (object, snapshot) = stored(case, orchestrator, local)?;
    let out = back.join("peer");
    let line = case
        .peer
        .replace("OBJECT", &object.display().to_string())
        .replace("OUT", &out.display().to_string());
    let is_database = matches!(case.back, Back::Database);
    if is_database {
        postgres.sql("postgres", "CREATE DATABASE peer")?;
    }
    nix::unistd::sync();
    let (peer_secs, peer_cpu_secs) = shell(&line)?;
    if is_database {
        postgres.sql("postgres", "DROP DATABASE peer")?;
    }
    nix::unistd::sync();
    reset_peak(orchestrator.id());
    let before = cpu_secs(orchestrator.id())?;
    let ours_secs = bring_back(case, orchestrator, back, &snapshot)?;
    let ours_cpu_secs = cpu_secs(orchestrator.id())? - before;
    let peak_mib = memory_mib(orchestrator.id(), "VmHWM")?;
    if is_database {
        postgres.drop_others("bench")?;
    } else {
        let same = format!("diff -r {} {}", out.display(), ours(case, back)?.display());
        shell(&same).context("what came back differs")?;
    }
    fs::remove_dir_all(back)?;
    fs::create_dir(back)?;
    Ok(Figure { what: case.what, ours_secs, peer_secs, ours_cpu_secs, peer_cpu_secs, peak_mib })
}

/// The object that the app's snapshot has, and the snapshot; made the first time.
fn stored(case: &Case, orchestrator: &Orchestrator, local: &Path) -> Result<(PathBuf, String)> {
    let folder = local.join(case.app);
    if !folder.exists() {
        let run = orchestrator.ask(&["run", case.app, "--wait"])?;
        ensure!(run["state"] == "succeeded", "{}: {run}", case.app);
    }
    let snapshots = orchestrator.ask(&["snapshots", case.app])?;
    let id = snapshots[0]["id"].as_str().context("no snapshot")?.to_owned();
    let mut objects = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|name| name == "zst"));
    Ok((objects.next().context("nothing was stored")?, id))
}

/// Seconds that ours takes.
fn bring_back(
    case: &Case,
    orchestrator: &Orchestrator,
    back: &Path,
    snapshot: &str,
) -> Result<f64> {
    let out = back.join("ours").display().to_string();
    let begun = Instant::now();
    let rest: &[&str] = match case.back {
        Back::File => &["--to", &out],
        Back::Folder => &["--into-folder", &out, "--wait"],
        Back::Database => &["--into-app", "--confirm", case.app, "--no-undo", "--wait"],
    };
    let told = orchestrator.ask(&[&["restore", snapshot], rest].concat())?;
    if matches!(case.back, Back::File) {
        return Ok(begun.elapsed().as_secs_f64());
    }
    ensure!(told["state"] == "succeeded", "{}: {told}", case.app);
    lasted(&told)
}

/// Where ours lies: a download keeps its file's name, a source its own folder.
fn ours(case: &Case, back: &Path) -> Result<PathBuf> {
    let mut at = back.join("ours");
    let entry = |at: &Path| -> Result<PathBuf> {
        Ok(fs::read_dir(at)?.next().context("nothing came back")??.path())
    };
    if matches!(case.back, Back::File) {
        return entry(&at);
    }
    // Below the folder it may lie in one of the source's name, as the archive may.
    while fs::read_dir(&at)?.count() == 1 && !back.join("peer").join(name(&entry(&at)?)).exists() {
        at = entry(&at)?;
    }
    Ok(at)
}

fn name(path: &Path) -> PathBuf {
    path.file_name().map(PathBuf::from).unwrap_or_default()
}

fn middle(all: &[Figure]) -> Figure {
    let of = |field: fn(&Figure) -> f64| median(all.iter().map(field));
    Figure {
        what: all.first().map(|one| one.what).unwrap_or_default(),
        ours_secs: of(|f| f.ours_secs),
        peer_secs: of(|f| f.peer_secs),
        ours_cpu_secs: of(|f| f.ours_cpu_secs),
        peer_cpu_secs: of(|f| f.peer_cpu_secs),
        peak_mib: all.iter().map(|f| f.peak_mib).fold(0.0, f64::max),
    }
}

impl Figure {
    fn to_json(&self) -> Value {
        json!({
            "what": self.what, "ours_secs": self.ours_secs, "peer_secs": self.peer_secs,
            "ours_cpu_secs": self.ours_cpu_secs, "peer_cpu_secs": self.peer_cpu_secs,
            "peak_mib": self.peak_mib,
        })
    }
}

fn print(all: &[Figure]) {
    println!("\nRestores: medians; the peer is `zstd -d`, with `tar x`, `pg_restore` or `psql`");
    for one in all {
        let ratio = one.peer_secs / one.ours_secs;
        let good = ratio >= RATIO && one.peak_mib <= PEAK_MIB;
        println!(
            "{:20} {:7.2} s  peer {:7.2} s  ratio {ratio:5.2} ({RATIO})  cpu {:6.2} / {:6.2} s  \
             peak {:5.1} of {PEAK_MIB:.0} MiB  {}",
            one.what,
            one.ours_secs,
            one.peer_secs,
            one.ours_cpu_secs,
            one.peer_cpu_secs,
            one.peak_mib,
            if good { "yes" } else { "NO" }
        );
    }
}

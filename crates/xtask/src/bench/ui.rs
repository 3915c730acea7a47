//! How long pages take on the server with a long history, each asked for many times in turn; and
//! until they are painted in a browser.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{measure::memory_mib, paint, world};
use crate::quickstart::{Running, free_port};

/// What the slowest twentieth of requests may take at most, in seconds.
const LIMIT_SECS: f64 = 0.05;
/// Pages that are opened in a browser.
const PAINTED: &[&str] = &[
    "overview",
    "app",
    "runs",
    "run",
    "run, 100,000 lines of log",
    "the same, the end of its log",
];
/// How often each.
const OPENED: u32 = 9;
/// Lines in the log of a run.
const LINES: u32 = 100_000;
const PASSWORD: &str = "bench-password-of-this-run-only";
/// Pages that show what there is most of; `{run}` is a run.
const PAGES: &[(&str, &str)] = &[
    ("overview", "/"),
    ("overview, its live part", "/?part=live"),
    ("overview, searched", "/?q=shop"),
    ("app", "/apps/shop"),
    ("runs", "/runs"),
    ("snapshots", "/snapshots"),
    ("destinations", "/destinations"),
    ("run", "/runs/{run}"),
    ("run, 100,000 lines of log", "/runs/{long}"),
    ("the same, the end of its log", "/runs/{long}?page=99"),
    ("the same, searched", "/runs/{long}?q=99+999"),
    ("api: overview", "/api/v1/overview"),
];

/// Serves `apps` apps with `days` days of history, and asks for each page `times` times.
pub(super) fn run(apps: u32, days: u32, times: u32) -> Result<Value> {
    world::need(&["curl", "sqlite3"])?;
    let binaries = world::build_ours()?;
    let scratch = tempfile::tempdir()?;
    let server = Server::start(&binaries, scratch.path(), apps, days)?;
    let mut figures = Vec::new();
    println!(
        "{apps} apps, {days} days; milliseconds on the server, limit of p95 {}",
        LIMIT_SECS * 1e3
    );
    println!("| page | median | p95 | worst | |\n|---|---|---|---|---|");
    for (name, path) in PAGES {
        let path = server.filled(path);
        let mut secs = server.ask(&path, times)?;
        secs.sort_by(f64::total_cmp);
        let at = |percent: usize| secs[(secs.len() - 1) * percent / 100];
        let (median, p95, worst) = (at(50), at(95), at(100));
        let word = if p95 <= LIMIT_SECS { "" } else { "over" };
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} | {word} |",
            median * 1e3,
            p95 * 1e3,
            worst * 1e3
        );
        figures.push(json!({ "page": name, "median_secs": median, "p95_secs": p95 }));
    }
    let memory = memory_mib(server.running.0.id(), "VmHWM")?;
    println!("\npeak memory {memory:.0} MiB");
    let painted = painted(&server)?;
    Ok(json!({
        "apps": apps, "days": days, "pages": figures, "peak_mib": memory, "painted": painted,
    }))
}

/// The same in a browser, where there is one.
fn painted(server: &Server) -> Result<Vec<Value>> {
    if let Err(why) = world::need(&["chromium", "chromedriver"]) {
        println!("nothing was painted: {why}");
        return Ok(Vec::new());
    }
    let pages: Vec<_> = PAGES
        .iter()
        .filter(|(name, _)| PAINTED.contains(name))
        .map(|(name, path)| ((*name).to_owned(), server.filled(path)))
        .collect();
    paint::run(&server.base, Path::new(&server.cookies), &pages, OPENED)
}

/// Gives a run a long log: the demonstration's are short.
fn long_log(folder: &Path, run: &str) -> Result<()> {
    let made = fs::read_dir(folder)?.flatten().map(|entry| entry.path().join("catalog.sqlite"));
    let catalog = made.into_iter().find(|path| path.exists()).context("no catalog")?;
    let insert = format!(
        "PRAGMA busy_timeout = 20000; \
         WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < {LINES}) \
         INSERT OR REPLACE INTO run_log (run_id, seq, doc) SELECT '{run}', seq, json_object('seq', seq, \
         'at', '2026-01-31T03:00:00Z', 'level', 'info', 'stage', 'store', \
         'message', printf('pg_dump: dumping contents of table public.orders_%d', seq)) FROM n"
    );
    let done = Command::new("sqlite3").arg(&catalog).arg(&insert).output()?;
    ensure!(done.status.success(), "a log: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

struct Server {
    running: Running,
    base: String,
    cookies: String,
    run: String,
    /// One whose log is long.
    long: String,
}

impl Server {
    fn start(binaries: &Path, root: &Path, apps: u32, days: u32) -> Result<Self> {
        let port = free_port()?;
        let log = root.join("server.log");
        let running = Running(
            Command::new(binaries.join("backup-orchestrator"))
                .args(["demo", "--port", &port.to_string()])
                .args(["--apps", &apps.to_string(), "--days", &days.to_string()])
                .env("APP_ADMIN_PASS", PASSWORD)
                .env("TMPDIR", root)
                .stderr(fs::File::create(&log)?)
                .spawn()?,
        );
        let cookies = root.join("cookies").display().to_string();
        let mut server = Self {
            running,
            base: format!("http://127.0.0.1:{port}"),
            cookies,
            run: String::new(),
            long: String::new(),
        };
        let login = json!({ "user": "demo", "password": PASSWORD }).to_string();
        let url = format!("{}/api/v1/session", server.base);
        // A history of this length takes its time to be written.
        let retry = ["--retry", "600", "--retry-delay", "1", "--retry-connrefused"];
        let login = ["-d", &login, "-H", "content-type: application/json", &url];
        server.curl(&[&retry[..], &login].concat()).with_context(|| {
            format!("no login; {}", fs::read_to_string(&log).unwrap_or_default())
        })?;
        let runs = server.curl(&[&format!("{}/api/v1/runs?limit=2", server.base)])?;
        let runs: Value = serde_json::from_str(&runs)?;
        let id = |at: usize| runs[at]["id"].as_str().context("no run");
        id(0)?.clone_into(&mut server.run);
        id(1)?.clone_into(&mut server.long);
        long_log(root, &server.long)?;
        Ok(server)
    }

    /// A path with its runs.
    fn filled(&self, path: &str) -> String {
        path.replace("{run}", &self.run).replace("{long}", &self.long)
    }

    fn curl(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("curl")
            .args(["-s", "--fail", "-b", &self.cookies, "-c", &self.cookies])
            .args(arguments)
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "curl ended with {}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Seconds of each of `times` requests over one connection.
    fn ask(&self, path: &str, times: u32) -> Result<Vec<f64>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{joint}n=[1-{times}]", self.base);
        let told = self.curl(&["-o", "/dev/null", "-w", "%{time_total}\\n", &url])?;
        let secs: Vec<f64> = told.lines().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(secs.len() == times as usize, "{path}: {} answers", secs.len());
        Ok(secs)
    }
}

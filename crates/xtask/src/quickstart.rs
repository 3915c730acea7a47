//! The whole road, for real: a sidecar over a folder, a run through the contract, verification,
//! restore, and a comparison byte by byte.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

/// Who logs in to the pages.
const USER: &str = "admin";

#[derive(Args)]
pub(crate) struct Options {
    /// Back up this folder instead of made-up files.
    #[arg(long)]
    path: Option<PathBuf>,
    /// Stop at the end instead of staying up.
    #[arg(long)]
    exit: bool,
    /// Port of the server; 0 takes a free one.
    #[arg(long, default_value_t = 5550)]
    port: u16,
}

/// A process that ends with us.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let id = i32::try_from(self.0.id()).unwrap_or(i32::MAX);
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id),
            nix::sys::signal::Signal::SIGTERM,
        );
        let until = Instant::now() + Duration::from_secs(12);
        while Instant::now() < until {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Stage {
    binaries: PathBuf,
    data: PathBuf,
}

impl Stage {
    fn orchestrator(&self) -> Command {
        let mut command = Command::new(self.binaries.join("backup-orchestrator"));
        command
            .env("BACKUP_DATA_DIR", &self.data)
            .env("BACKUP_ALLOW_LOOPBACK", "true")
            .env("BACKUP_BIND_ADDRESS", "127.0.0.1");
        command
    }

    /// Runs a command and gives the JSON it prints.
    fn ask(&self, arguments: &[&str]) -> Result<Value> {
        println!("$ backup-orchestrator {}", arguments.join(" "));
        let done = self.orchestrator().arg("--json").args(arguments).output()?;
        ensure!(
            done.status.success(),
            "`backup-orchestrator {}` ended with {}: {}",
            arguments.join(" "),
            done.status,
            String::from_utf8_lossy(&done.stderr)
        );
        if done.stdout.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_slice(&done.stdout)?)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let status = crate::cargo::cargo()
        .args(["build", "--package", "orchestrator", "--package", "sidecar"])
        .status()?;
    ensure!(status.success(), "the build failed");
    let binaries = std::env::current_exe()?.parent().context("no folder")?.to_owned();
    let scratch = tempfile::tempdir()?;
    let root = scratch.path();
    let source = match &options.path {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => sample(&root.join("sample"))?,
    };
    let stage = Stage { binaries, data: root.join("data") };

    // Made for this run alone; whoever sees the terminal may come in.
    let password = hex::encode(rand::random::<[u8; 8]>());
    let port = free_port()?;
    let _sidecar = Running(sidecar(&stage, root, &source, port)?);
    let _server = Running(
        stage
            .orchestrator()
            .arg("serve")
            .env("APP_PORT", options.port.to_string())
            .env("APP_ADMIN_USER", USER)
            .env("APP_ADMIN_PASS", &password)
            .stderr(fs::File::create(root.join("server.log"))?)
            .process_group(0)
            .spawn()?,
    );
    wait_for("the server", || stage.data.join("address").exists())?;
    wait_for("the sidecar", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;

    let store = root.join("destination");
    let path = format!("path={}", store.display());
    stage.ask(&["destination", "add", "disk", "--kind", "local", "--set", &path])?;
    stage.ask(&["destination", "test", "disk"])?;
    let token = root.join("token").display().to_string();
    let url = format!("http://127.0.0.1:{port}");
    stage.ask(&[
        "app",
        "add",
        "example",
        "--url",
        &url,
        "--token-file",
        &token,
        "--destination",
        "disk:example",
        "--schedule",
        "daily",
        "--keep-daily",
        "7",
        "--keep-weekly",
        "4",
    ])?;
    stage.ask(&["doctor", "example"])?;
    let made = stage.ask(&["run", "example", "--wait"])?;
    let snapshot = made["snapshot_id"].as_str().context("the run made no snapshot")?.to_owned();
    stage.ask(&["verify", &snapshot, "--wait"])?;
    let restored = root.join("restored");
    let told = stage.ask(&["restore", &snapshot, "--to", &restored.display().to_string()])?;
    let archive = told["restored"][0]["path"].as_str().context("nothing was restored")?.to_owned();

    compare(&source, Path::new(&archive), &root.join("unpacked"))?;
    let extracted = root.join("extracted").display().to_string();
    stage.ask(&["restore", &snapshot, "--to", &extracted, "--extract"])?;
    same(&source, Path::new(&extracted))?;
    let address = fs::read_to_string(stage.data.join("address"))?;
    println!();
    println!("backed up   {}", source.display());
    for object in fs::read_dir(store.join("example"))?.flatten() {
        println!("stored      {} ({} bytes)", object.path().display(), object.metadata()?.len());
    }
    println!("verified    every byte at the destination");
    println!("restored    and equal, byte by byte");
    let page = address.trim().replace("127.0.0.1", "localhost");
    println!("the pages   {page} (user {USER}, password {password})");
    println!("the API     {page}/api/v1, its token in {}", stage.data.join("cli.token").display());
    if options.exit {
        return Ok(());
    }
    println!("Ctrl-C stops it and removes everything that was made here");
    wait_for_signal()
}

/// Sleeps until Ctrl-C or SIGTERM, so that what runs is stopped in order.
fn wait_for_signal() -> Result<()> {
    use nix::sys::signal::{SigSet, Signal};
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    signals.wait()?;
    Ok(())
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(crate) fn wait_for(what: &str, ready: impl Fn() -> bool) -> Result<()> {
    for _ in 0..200 {
        if ready() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("{what} did not start")
}

fn sidecar(stage: &Stage, root: &Path, source: &Path, port: u16) -> Result<Child> {
    let token = "quickstart-token-of-this-run-only";
    fs::write(root.join("token"), token)?;
    let work = root.join("sidecar");
    fs::create_dir(&work)?;
    let parent = source.parent().context("the folder has no parent")?;
    let name = source.file_name().context("the folder has no name")?.to_string_lossy();
    // JSON is YAML: names need no quoting of their own.
    let config = serde_json::json!({
        "app": { "port": port, "name": "example", "host": "127.0.0.1" },
        "capabilities": { "version": "v1", "types": ["files"] },
        "strategy": {
            "type": "file_archive",
            "artifact": { "filename": "files.tar", "format": "tar", "content_type": "application/x-tar" },
            "config": { "paths": [name], "format": "tar", "compression": "store" },
        },
        "paths": { "workdir": parent, "artifacts": work, "temp_dump": work.join("dump") },
        "secrets": { "api_token": "${BACKUP_API_TOKEN}" },
    });
    let file = root.join("config.yaml");
    fs::write(&file, serde_json::to_string_pretty(&config)?)?;
    Ok(Command::new(stage.binaries.join("backup-sidecar"))
        .arg("--config")
        .arg(&file)
        .env("BACKUP_API_TOKEN", token)
        .stdout(Stdio::null())
        .stderr(fs::File::create(root.join("sidecar.log"))?)
        .process_group(0)
        .spawn()?)
}

/// A small folder with what folders have: text, bytes, nothing, depth, links and odd names.
fn sample(root: &Path) -> Result<PathBuf> {
    let folder = root.join("example-data");
    fs::create_dir_all(folder.join("photos/2026"))?;
    fs::write(folder.join("notes.txt"), "buy milk\n".repeat(20_000))?;
    fs::write(folder.join("empty"), "")?;
    fs::write(folder.join("ñandú ☂.txt"), "odd names are names\n")?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: Vec<u8> = (0..4 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    fs::write(folder.join("photos/2026/one.raw"), noise)?;
    fs::hard_link(folder.join("notes.txt"), folder.join("photos/notes-too.txt"))?;
    std::os::unix::fs::symlink("photos/2026", folder.join("latest"))?;
    Ok(folder)
}

/// Unpacks the restored archive with stock tar and compares it with the source.
fn compare(source: &Path, archive: &Path, unpacked: &Path) -> Result<()> {
    fs::create_dir(unpacked)?;
    let status = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(unpacked).status()?;
    ensure!(status.success(), "tar cannot unpack {}", archive.display());
    same(source, unpacked)
}

/// Whether `unpacked` holds the whole of `source`, under its path or beside its name.
fn same(source: &Path, unpacked: &Path) -> Result<()> {
    let inside = source.strip_prefix("/").unwrap_or(source);
    let status = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .arg(source)
        .arg(unpacked.join(inside))
        .status()?;
    ensure!(status.success(), "what was restored differs from what was backed up");
    Ok(())
}

//! Real servers on loopback: the orchestrator, sidecars, and an S3 server over a folder.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::data;
use crate::quickstart::{Running, free_port, wait_for};

const TOKEN: &str = "bench-token-of-this-run-only";

/// Fails where a program is missing.
pub(super) fn need(programs: &[&str]) -> Result<()> {
    for program in programs {
        let found = Command::new("bash")
            .args(["-c", "command -v \"$0\"", program])
            .stdout(Stdio::null())
            .status()?;
        ensure!(found.success(), "{program} is not installed");
    }
    Ok(())
}

/// Builds what is measured, and what it is measured with; gives the folder it lies in.
pub(super) fn build() -> Result<PathBuf> {
    release(&["--package", "store", "--example", "s3_server"])?;
    build_ours()
}

/// Builds what is measured alone.
pub(super) fn build_ours() -> Result<PathBuf> {
    release(&["--package", "orchestrator", "--package", "sidecar"])?;
    let ours = std::env::current_exe()?;
    let target = ours.parent().and_then(Path::parent).context("no folder")?;
    Ok(target.join("release"))
}

fn release(what: &[&str]) -> Result<()> {
    let status = crate::cargo::cargo().args(["build", "--release"]).args(what).status()?;
    ensure!(status.success(), "the build failed");
    Ok(())
}

/// A running orchestrator.
pub(super) struct Orchestrator {
    running: Running,
    program: PathBuf,
    data: PathBuf,
    /// From its spawning to its first answer.
    pub(super) start: Duration,
}

impl Orchestrator {
    pub(super) fn start(binaries: &Path, root: &Path, workers: usize) -> Result<Self> {
        Self::start_with(binaries, root, workers, &[])
    }

    /// Starts it with further variables.
    pub(super) fn start_with(
        binaries: &Path,
        root: &Path,
        workers: usize,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let program = binaries.join("backup-orchestrator");
        let data = root.join("data");
        let port = free_port()?;
        let begun = Instant::now();
        let running = Running(
            command(&program, &data)
                .arg("serve")
                .env("APP_PORT", port.to_string())
                .env("BACKUP_WORKERS", workers.to_string())
                .envs(variables.iter().copied())
                .stderr(fs::File::create(root.join("server.log"))?)
                .process_group(0)
                .spawn()?,
        );
        while !answers(port) {
            ensure!(begun.elapsed() < Duration::from_secs(30), "the orchestrator did not start");
            std::thread::sleep(Duration::from_millis(2));
        }
        let start = begun.elapsed();
        wait_for("the orchestrator", || data.join("address").exists())?;
        Ok(Self { running, program, data, start })
    }

    pub(super) fn id(&self) -> u32 {
        self.running.0.id()
    }

    /// Ends it as a loss of power does.
    pub(super) fn kill(mut self) {
        let _ = self.running.0.kill();
        let _ = self.running.0.wait();
    }

    /// Runs a command of the CLI and gives the JSON it prints.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let done = command(&self.program, &self.data).arg("--json").args(arguments).output()?;
        ensure!(
            done.status.success(),
            "`{}` ended with {}: {}{}",
            arguments.join(" "),
            done.status,
            String::from_utf8_lossy(&done.stderr),
            String::from_utf8_lossy(&done.stdout)
        );
        Ok(serde_json::from_slice(&done.stdout).unwrap_or(Value::Null))
    }

    pub(super) fn add_app(&self, name: &str, from: &Sidecar, to: &str, how: &str) -> Result<()> {
        let token = from.token_file.display().to_string();
        self.ask(&[
            "app",
            "add",
            name,
            "--url",
            &from.url,
            "--token-file",
            &token,
            "--destination",
            to,
            "--compression",
            how,
        ])?;
        Ok(())
    }

    pub(super) fn add_local(&self, path: &Path) -> Result<()> {
        let path = format!("path={}", path.display());
        self.ask(&["destination", "add", "local", "--kind", "local", "--set", &path]).map(drop)
    }
}

fn command(program: &Path, data: &Path) -> Command {
    let mut command = Command::new(program);
    command
        // As in our image.
        .env("MALLOC_ARENA_MAX", "2")
        .env("BACKUP_DATA_DIR", data)
        .env("BACKUP_ALLOW_LOOPBACK", "true")
        .env("BACKUP_BIND_ADDRESS", "127.0.0.1");
    command
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// A running sidecar, and what reads its export.
pub(super) struct Sidecar {
    running: Running,
    pub(super) url: String,
    token_file: PathBuf,
    header_file: PathBuf,
}

impl Sidecar {
    /// A sidecar whose export is what `line` prints.
    pub(super) fn of_command(binaries: &Path, root: &Path, line: &str) -> Result<Self> {
        let strategy = json!({
            "type": "custom",
            "artifact": { "filename": "export.bin", "content_type": "application/octet-stream" },
            "config": { "command": line, "capture_stdout": true },
        });
        Self::start(binaries, root, strategy)
    }

    /// A sidecar whose export is an archive of `folder`.
    pub(super) fn of_folder(binaries: &Path, root: &Path, folder: &Path) -> Result<Self> {
        let strategy = json!({
            "type": "file_archive",
            "artifact": { "filename": "files.tar", "format": "tar" },
            "config": { "paths": [folder], "format": "tar", "compression": "store" },
        });
        Self::start(binaries, root, strategy)
    }

    fn start(binaries: &Path, root: &Path, strategy: Value) -> Result<Self> {
        let port = free_port()?;
        let folder = root.join(format!("sidecar-{port}"));
        fs::create_dir(&folder)?;
        let token_file = folder.join("token");
        fs::write(&token_file, TOKEN)?;
        // In a file, not in an argument, which everybody on the machine could read.
        let header_file = folder.join("header");
        fs::write(&header_file, format!("Authorization: Bearer {TOKEN}\n"))?;
        // JSON is YAML: names need no quoting of their own.
        let config = json!({
            "app": { "port": port, "name": "bench", "host": "127.0.0.1" },
            "capabilities": { "version": "v1", "types": ["files"] },
            "strategy": strategy,
            "paths": { "workdir": root, "artifacts": folder, "temp_dump": folder.join("dump") },
            "secrets": { "api_token": "${BACKUP_API_TOKEN}" },
        });
        let file = folder.join("config.yaml");
        fs::write(&file, config.to_string())?;
        let running = Running(
            Command::new(binaries.join("backup-sidecar"))
                .arg("--config")
                .arg(&file)
                .env("BACKUP_API_TOKEN", TOKEN)
                .stdout(Stdio::null())
                .stderr(fs::File::create(folder.join("log"))?)
                .process_group(0)
                .spawn()?,
        );
        wait_for("a sidecar", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self { running, url, token_file, header_file })
    }

    pub(super) fn id(&self) -> u32 {
        self.running.0.id()
    }

    /// The command that reads the export.
    pub(super) fn curl(&self) -> String {
        let header = self.header_file.display();
        format!("curl -sSf -X POST -H @{header} {}/backup/export", self.url)
    }
}

/// Something to export, and the same bytes as a file.
pub(super) struct Data {
    pub(super) name: &'static str,
    pub(super) file: PathBuf,
    /// The file as zstd makes it.
    pub(super) packed: PathBuf,
    pub(super) sidecar: Sidecar,
}

/// Everything that the cases run against.
pub(super) struct World {
    pub(super) size_mib: u64,
    pub(super) orchestrator: Orchestrator,
    pub(super) data: Vec<Data>,
    /// Where peers write.
    pub(super) out: PathBuf,
    /// Where the local destination lies.
    pub(super) local: PathBuf,
    /// What the S3 server serves as its bucket.
    pub(super) bucket: PathBuf,
    pub(super) s3_id: u32,
    /// Holds the peers' access to S3.
    pub(super) rclone_config: PathBuf,
    _s3: Running,
    /// Last: the others write there until they end.
    _scratch: tempfile::TempDir,
}

impl World {
    pub(super) fn new(binaries: &Path, size_mib: u64) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let root = scratch.path();
        println!("making data of {size_mib} MiB in {}", root.display());
        let data = data_sets(binaries, root, size_mib)?;
        let buckets = root.join("s3");
        let bucket = buckets.join("bucket");
        fs::create_dir_all(&bucket)?;
        let (s3, s3_address) = s3_server(binaries, &buckets)?;
        let orchestrator = Orchestrator::start(binaries, root, 4)?;
        let local = root.join("destination");
        orchestrator.add_local(&local)?;
        let (id, key) = (root.join("s3-id"), root.join("s3-key"));
        fs::write(&id, "key-id")?;
        fs::write(&key, "key-secret")?;
        orchestrator.ask(&[
            "destination",
            "add",
            "s3",
            "--kind",
            "s3",
            "--set",
            "bucket=bucket",
            "--set",
            &format!("endpoint={s3_address}"),
            "--set-file",
            &format!("access_key_id={}", id.display()),
            "--set-file",
            &format!("secret_access_key={}", key.display()),
        ])?;
        for set in &data {
            for (to, how) in [("local", "none"), ("local", "zstd"), ("s3", "none"), ("s3", "zstd")]
            {
                let name = format!("{}-{how}-{to}", set.name);
                orchestrator.add_app(&name, &set.sidecar, &format!("{to}:{name}"), how)?;
            }
        }
        let rclone_config = root.join("rclone.conf");
        fs::write(
            &rclone_config,
            format!(
                "[s3]\ntype = s3\nprovider = Other\nendpoint = {s3_address}\n\
                 access_key_id = key-id\nsecret_access_key = key-secret\n"
            ),
        )?;
        let out = root.join("out");
        fs::create_dir(&out)?;
        Ok(Self {
            size_mib,
            orchestrator,
            data,
            out,
            local,
            bucket,
            s3_id: s3.0.id(),
            rclone_config,
            _s3: s3,
            _scratch: scratch,
        })
    }

    /// Removes what was written, and lets the disk come to rest.
    pub(super) fn clear(&self) -> Result<()> {
        for folder in [&self.out, &self.local, &self.bucket] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
            fs::create_dir(folder)?;
        }
        nix::unistd::sync();
        Ok(())
    }
}

fn data_sets(binaries: &Path, root: &Path, size_mib: u64) -> Result<Vec<Data>> {
    let (text, noise, folder) = (root.join("text"), root.join("noise"), root.join("folder"));
    data::text(&text, size_mib)?;
    data::noise(&noise, size_mib)?;
    fs::create_dir(&folder)?;
    // The same text in 64 files.
    let parts = format!("split -n 64 {} {}/part-", text.display(), folder.display());
    super::measure::shell(&parts)?;
    for file in [&text, &noise] {
        super::measure::shell(&format!("zstd -q -T0 -k {}", file.display()))?;
    }
    let packed = |file: &Path| file.with_extension("zst");
    let cat = |file: &Path| Sidecar::of_command(binaries, root, &format!("cat {}", file.display()));
    Ok(vec![
        Data { name: "text", packed: packed(&text), sidecar: cat(&text)?, file: text.clone() },
        Data { name: "noise", packed: packed(&noise), sidecar: cat(&noise)?, file: noise },
        Data {
            name: "folder",
            packed: packed(&text),
            sidecar: Sidecar::of_folder(binaries, root, &folder)?,
            file: text,
        },
    ])
}

fn s3_server(binaries: &Path, folder: &Path) -> Result<(Running, String)> {
    let mut child = Command::new(binaries.join("examples/s3_server"))
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let out = child.stdout.take().context("no output")?;
    let running = Running(child);
    let mut address = String::new();
    BufReader::new(out).read_line(&mut address)?;
    if address.trim().is_empty() {
        bail!("the S3 server did not start");
    }
    Ok((running, address.trim().to_owned()))
}

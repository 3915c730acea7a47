//! A SQLite file for each test; one PostgreSQL for all, a database for each.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use sea_orm::{ConnectionTrait as _, Database};
use secrecy::SecretString;
use tempfile::TempDir;

pub(crate) struct Sqlite(TempDir);

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("catalog.sqlite")
    }

    pub(crate) fn url(&self) -> SecretString {
        format!("sqlite://{}?mode=rwc", self.file().display()).into()
    }

    pub(crate) async fn sql(&self, sql: &str) {
        let url = format!("sqlite://{}", self.file().display());
        let db = Database::connect(url).await.unwrap();
        db.execute_unprepared(sql).await.unwrap();
        db.close().await.unwrap();
    }
}

/// A PostgreSQL that is stopped when the test process ends.
struct Server {
    folder: TempDir,
    bin: PathBuf,
    port: u16,
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();

/// Runs one of PostgreSQL's programs; they refuse to run as root.
fn program(bin: &Path, name: &str, arguments: &[&str]) -> bool {
    let path = bin.join(name);
    let is_root =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let mut command = if is_root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    command.args(arguments).stdout(std::process::Stdio::null()).status().is_ok_and(|s| s.success())
}

fn start() -> Option<Server> {
    let homes = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let bin = homes
        .flatten()
        .map(|home| home.path().join("bin"))
        .find(|bin| bin.join("initdb").exists())?;
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
    let data = folder.path().join("data").display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let made =
        program(&bin, "initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "--no-sync"]);
    let options = format!(
        "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=200"
    );
    let log = folder.path().join("log").display().to_string();
    let started =
        made && program(&bin, "pg_ctl", &["-D", &data, "-o", &options, "-l", &log, "-w", "start"]);
    assert!(
        started,
        "PostgreSQL is there and does not start: {}",
        std::fs::read_to_string(&log).unwrap_or_default()
    );
    // The server is a daemon: a watcher ends it when this process is gone, however it goes.
    let pid = std::process::id();
    let stop = format!(
        "while kill -0 {pid} 2>/dev/null; do sleep 1; done; kill -QUIT $(head -1 {data}/postmaster.pid); sleep 1; rm -rf {}",
        folder.path().display()
    );
    Command::new("sh")
        .args(["-c", &stop])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map(drop)
        .unwrap();
    Some(Server { folder, bin, port })
}

/// The URL of a fresh database; `None` where there is no PostgreSQL, which CI does not allow.
pub(crate) async fn postgres(name: &str) -> Option<SecretString> {
    let name = name.to_owned();
    let made = tokio::task::spawn_blocking(move || {
        let server = SERVER.get_or_init(start).as_ref()?;
        assert!(server.folder.path().exists() && server.bin.exists());
        Some(server.port)
    });
    let port = made.await.unwrap();
    assert!(port.is_some() || std::env::var_os("CI").is_none(), "PostgreSQL is needed in CI");
    let Some(port) = port else {
        eprintln!("skipped: PostgreSQL is not installed");
        return None;
    };
    let base = format!("postgres://postgres@127.0.0.1:{port}");
    let db = Database::connect(format!("{base}/postgres")).await.unwrap();
    db.execute_unprepared(&format!("CREATE DATABASE \"{name}\"")).await.unwrap();
    db.close().await.unwrap();
    Some(format!("{base}/{name}").into())
}

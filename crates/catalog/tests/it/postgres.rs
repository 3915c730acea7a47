//! One PostgreSQL for all tests, a database for each.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use secrecy::SecretString;
use tempfile::TempDir;

/// A PostgreSQL that is stopped when the test process ends.
pub(crate) struct Server {
    folder: TempDir,
    pub(crate) bin: PathBuf,
    pub(crate) port: u16,
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

/// Where the versions of PostgreSQL are, each in `VERSION/bin`: Debian's, or those of
/// `cargo xtask test --postgres VERSION`.
pub(crate) fn homes() -> PathBuf {
    std::env::var_os("POSTGRES_HOME").map_or_else(|| "/usr/lib/postgresql".into(), PathBuf::from)
}

/// A server that knows its users by `auth` (`initdb`'s arguments).
pub(crate) fn start(auth: &[&str]) -> Option<Server> {
    let homes = std::fs::read_dir(homes()).ok()?;
    let bin = homes
        .flatten()
        .map(|home| home.path().join("bin"))
        .find(|bin| bin.join("initdb").exists())?;
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
    let data = folder.path().join("data").display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let made = program(
        &bin,
        "initdb",
        &[&["-D", &data, "-U", "postgres", "--no-sync", "-E", "UTF8"], auth].concat(),
    );
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
pub(crate) async fn database(name: &str) -> Option<SecretString> {
    let wanted = name.to_owned();
    let made = tokio::task::spawn_blocking(move || {
        let server = SERVER.get_or_init(|| start(&["-A", "trust"])).as_ref()?;
        assert!(server.folder.path().exists());
        let port = server.port.to_string();
        let to = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", &wanted];
        assert!(program(&server.bin, "createdb", &to), "createdb failed");
        Some(server.port)
    });
    let Some(port) = made.await.unwrap() else {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is needed in CI");
        eprintln!("skipped: PostgreSQL is not installed");
        return None;
    };
    Some(format!("postgres://postgres@127.0.0.1:{port}/{name}").into())
}

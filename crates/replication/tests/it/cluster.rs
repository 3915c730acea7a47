//! Real PostgreSQL clusters, one for each test: of the version that is installed, or, with
//! `POSTGRES_USR=/where/it/is/usr` and as root, of the one in another system's `/usr`; or with
//! `POSTGRES_BIN=/where/it/is/bin`, of a server there, with the installed client programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use replication::{Host, Settings, Tls};
use tempfile::TempDir;

/// A cluster in a folder of its own; stopped when dropped.
pub(crate) struct Cluster {
    folder: Arc<TempDir>,
    name: &'static str,
    bin: PathBuf,
    pub(crate) port: u16,
}

/// The `/usr` of another system, with another version.
fn other_usr() -> Option<PathBuf> {
    std::env::var_os("POSTGRES_USR").map(PathBuf::from)
}

/// PostgreSQL's programs; `None` where it is not installed, which CI does not allow.
fn programs() -> Option<PathBuf> {
    let usr = other_usr().unwrap_or_else(|| "/usr".into());
    let homes = std::fs::read_dir(usr.join("lib/postgresql")).ok();
    let bin = homes
        .into_iter()
        .flatten()
        .flatten()
        .find(|home| home.path().join("bin/initdb").exists())
        .map(|home| Path::new("/usr/lib/postgresql").join(home.file_name()).join("bin"));
    if bin.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is needed in CI");
        eprintln!("skipped: PostgreSQL is not installed");
    }
    bin
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    /// A cluster that trusts its own machine, with these arguments for `initdb`.
    pub(crate) fn start(initdb: &[&str]) -> Option<Self> {
        Self::start_with(initdb, &[])
    }

    /// The same with lines for `postgresql.conf`.
    pub(crate) fn start_with(initdb: &[&str], settings: &[&str]) -> Option<Self> {
        let bin = programs()?;
        let folder = tempfile::tempdir().unwrap();
        Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
        let cluster = Self { folder: Arc::new(folder), name: "data", bin, port: free_port() };
        let data = cluster.data().display().to_string();
        let trust =
            if initdb.iter().any(|a| a.starts_with("--auth")) { "" } else { "--auth=trust" };
        let mut arguments =
            vec!["-D", &data, "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"];
        arguments.extend(initdb);
        arguments.extend((!trust.is_empty()).then_some(trust));
        cluster.run("initdb", &arguments);
        cluster.configure(&["wal_keep_size = 0", "max_wal_size = 64MB", "min_wal_size = 32MB"]);
        cluster.configure(settings);
        cluster.up();
        Some(cluster)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds lines to `postgresql.conf`.
    pub(crate) fn configure(&self, lines: &[&str]) {
        self.append("postgresql.conf", lines);
    }

    pub(crate) fn append(&self, file: &str, lines: &[&str]) {
        let path = self.data().join(file);
        let mut text = std::fs::read_to_string(&path).unwrap_or_default();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        std::fs::write(&path, text).unwrap();
        self.owned(&path);
    }

    /// Gives a path to the user that runs the server.
    pub(crate) fn owned(&self, path: &Path) {
        if is_root() {
            let done = Command::new("chown").args(["-R", "postgres"]).arg(path).status().unwrap();
            assert!(done.success());
        }
    }

    pub(crate) fn up(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c fsync=off",
            self.port,
            self.folder.path().display()
        );
        let data = self.data().display().to_string();
        let log = format!("{data}.log");
        let arguments = ["-D", &data, "-o", &options, "-l", &log, "-w", "start"];
        assert!(
            self.try_run("pg_ctl", &arguments),
            "{}",
            std::fs::read_to_string(&log).unwrap_or_default()
        );
    }

    /// Stops it: `fast`, or `immediate` as a crash does.
    pub(crate) fn down(&self, how: &str) {
        let data = self.data().display().to_string();
        self.run("pg_ctl", &["-D", &data, "-m", how, "-w", "stop"]);
    }

    pub(crate) fn promote(&self) {
        let data = self.data().display().to_string();
        self.run("pg_ctl", &["-D", &data, "-w", "promote"]);
    }

    /// A standby of this cluster, running.
    pub(crate) fn standby(&self) -> Self {
        let standby = Self {
            folder: Arc::clone(&self.folder),
            name: "standby",
            bin: self.bin.clone(),
            port: free_port(),
        };
        let data = standby.data().display().to_string();
        let port = self.port.to_string();
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-D", &data];
        self.run("pg_basebackup", &[&from[..], &["-R", "-c", "fast", "-X", "stream"]].concat());
        // What a newer `pg_basebackup` writes, an older server does not understand.
        let primary = format!("primary_conninfo = 'host=127.0.0.1 port={port} user=postgres'");
        standby.append("postgresql.auto.conf", &[&primary]);
        standby.up();
        standby
    }

    /// A cluster of the same version whose data directory was put at `name`.
    pub(crate) fn restored(&self, name: &'static str) -> Self {
        let bin = self.bin.clone();
        Self { folder: Arc::clone(&self.folder), name, bin, port: free_port() }
    }

    /// Runs SQL; what `psql` prints.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let port = self.port.to_string();
        let out = self
            .command("psql")
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-XAtq"])
            .args(["-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .unwrap();
        assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn pgbench(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("pgbench");
        let port = self.port.to_string();
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-n"]);
        command.args(arguments).arg("postgres").stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        assert!(self.try_run(program, arguments), "{program} {arguments:?}");
    }

    pub(crate) fn try_run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = self.command(program);
        command.args(arguments).stdout(Stdio::null()).status().is_ok_and(|s| s.success())
    }

    /// One of PostgreSQL's programs; they refuse to run as root.
    pub(crate) fn command(&self, program: &str) -> Command {
        let other = std::env::var_os("POSTGRES_BIN").map(|bin| Path::new(&bin).join(program));
        let path = other.filter(|path| path.exists()).unwrap_or_else(|| self.bin.join(program));
        if !is_root() {
            return Command::new(path);
        }
        if let Some(usr) = other_usr() {
            // For this process and its children alone, `/usr` is the other one.
            let script = "mount --bind \"$0\" /usr && exec runuser -u postgres -- \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", script]).arg(usr).arg(path);
            return command;
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(path);
        command
    }

    /// How to reach it as its superuser.
    pub(crate) fn settings(&self) -> Settings {
        self.settings_as("postgres")
    }

    pub(crate) fn settings_as(&self, role: &str) -> Settings {
        let mut settings = Settings::new(Host::Tcp("127.0.0.1".into(), self.port), role);
        settings.tls = Tls::Prefer;
        settings
    }

    /// How to reach it by its socket.
    pub(crate) fn socket(&self, role: &str) -> Settings {
        Settings::new(Host::Unix(self.folder.path().into(), self.port), role)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data().display().to_string();
        if self.data().join("postmaster.pid").exists() {
            self.try_run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
        }
    }
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

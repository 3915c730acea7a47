//! A PostgreSQL of a test alone, which asks for passwords.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

pub(crate) const USER: &str = "admin";
pub(crate) const PASSWORD: &str = "canary-password-of-the-database";

pub(crate) struct Postgres {
    bin: PathBuf,
    folder: TempDir,
    pub(crate) port: u16,
}

impl Postgres {
    /// `None` where there is none, which CI does not allow.
    pub(crate) fn start() -> Option<Self> {
        let homes = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let bin = homes.map(|home| home.path().join("bin")).find(|bin| bin.join("initdb").exists());
        let Some(bin) = bin else {
            assert!(std::env::var_os("CI").is_none(), "there is no PostgreSQL");
            eprintln!("skipped: there is no PostgreSQL");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { bin, folder, port };
        let data = server.data();
        let password = password.display().to_string();
        let made = server.program(
            "initdb",
            &["-D", &data, "-A", "scram-sha-256", "-U", USER, "--pwfile", &password, "--no-sync"],
        );
        assert!(made, "initdb failed");
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        );
        let log = server.folder.path().join("log").display().to_string();
        let start = ["-D", &data, "-o", &options, "-l", &log, "-w", "start"];
        let told = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(server.program("pg_ctl", &start), "PostgreSQL does not start: {}", told());
        Some(server)
    }

    /// A folder that goes with it.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    pub(crate) fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// Its programs refuse to run as root.
    fn program(&self, name: &str, arguments: &[&str]) -> bool {
        let path = self.bin.join(name);
        let is_root = nix::unistd::Uid::effective().is_root();
        let mut command = if is_root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.args(arguments).current_dir(self.folder.path()).stdout(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Whatever becomes of it.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Output {
        self.psql(database, &["-At", "-c", sql], Stdio::null())
    }

    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let done = self.try_sql(database, sql);
        assert!(done.status.success(), "{sql}: {done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// `gunzip -c FILE | psql DATABASE`.
    pub(crate) fn restore(&self, database: &str, file: &Path) {
        let mut unpacking =
            Command::new("gunzip").arg("-c").arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let plain = unpacking.stdout.take().unwrap();
        let done = self.psql(database, &["-q", "-v", "ON_ERROR_STOP=1"], plain.into());
        assert!(done.status.success(), "{done:?}");
        assert!(unpacking.wait().unwrap().success());
    }

    fn psql(&self, database: &str, arguments: &[&str], input: Stdio) -> Output {
        self.client(database).args(arguments).stdin(input).output().unwrap()
    }

    /// A psql that is to be told what to do.
    pub(crate) fn client(&self, database: &str) -> Command {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-X", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER])
            .args(["-d", database])
            .env("PGPASSWORD", PASSWORD);
        psql
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data();
        self.program("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
    }
}

//! The real program, on a folder of its own.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{host::Host, program};

/// Where `cargo xtask docker` says the program is.
const PROGRAM: &str = "BACKUP_ORCHESTRATOR";

/// The program on a folder of its own.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

/// One that serves; killed with its owner.
pub(crate) struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    /// An empty one, where files below `root` may be read and restored.
    pub(crate) fn empty(host: &Host, root: &Path) -> Self {
        let root = root.display().to_string();
        let environment = vec![
            ("DOCKER_HOST", host.url().to_owned()),
            ("BACKUP_FILE_ROOTS", root.clone()),
            ("BACKUP_RESTORE_ROOTS", root),
        ];
        Self { folder: tempfile::tempdir().unwrap(), environment }
    }

    /// With one app `shop`, whose sources are these lines of YAML.
    pub(crate) fn of_file(host: &Host, sources: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "destinations:\n  - {{ name: disk, kind: local, settings: {{ path: {0}/disk }} }}\n\
             apps:\n  - name: shop\n    destinations: [disk]\n    sources:\n{sources}",
            folder.path().display()
        );
        let file = folder.path().join("backups.yml");
        std::fs::write(&file, text).unwrap();
        let environment = vec![
            ("DOCKER_HOST", host.url().to_owned()),
            ("BACKUPS_FILE", file.display().to_string()),
        ];
        Self { folder, environment }
    }

    /// The same, where files below `root` may be read.
    pub(crate) fn allowing(mut self, root: &Path) -> Self {
        self.environment.push(("BACKUP_FILE_ROOTS", root.display().to_string()));
        self
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os(PROGRAM).expect(
            "BACKUP_ORCHESTRATOR names the program: `cargo xtask docker --engine` builds it",
        );
        let mut command = program::command(program, self.folder.path());
        command.args(arguments).envs(self.environment.iter().cloned());
        command
    }

    /// Starts to serve, and waits until `ready` is answered.
    pub(crate) fn serve(&self, ready: &[&str]) -> Serving {
        let address = self.data().join("address");
        let _ = std::fs::remove_file(&address);
        let log = self.folder.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let serving = Serving(self.program(&["serve"]).stderr(log).spawn().unwrap());
        until("it serves and has read its file", || {
            address.exists() && self.run(ready).status.success()
        });
        serving
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.program(arguments).output().unwrap()
    }

    /// What it prints as JSON; it has to succeed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Value {
        let told = self.run(&[&["--json"], arguments].concat());
        let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let said = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success(), "{arguments:?}: {said} {}", log());
        serde_json::from_slice(&told.stdout).unwrap_or_default()
    }
}

pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not so after a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

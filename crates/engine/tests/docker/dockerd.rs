//! The engine to test on.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

const SOCKET: &str = "/var/run/docker.sock";
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(40);

/// An engine that answers.
pub(crate) enum Found {
    /// It ran before us and goes on after us.
    Running(String),
    /// It lives as long as this value.
    Own(Box<OwnEngine>),
}

impl Found {
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Running(url) => url,
            Self::Own(own) => &own.url,
        }
    }
}

/// Why there can be no engine.
pub(crate) fn what_is_missing() -> Option<String> {
    if running().is_some() {
        return None;
    }
    if !nix::unistd::geteuid().is_root() {
        return Some("no Docker engine answers, and only root can start one".to_owned());
    }
    let missing: Vec<_> = ["dockerd", "docker", "debootstrap", "unshare", "setpriv"]
        .into_iter()
        .filter(|program| !on_path(program))
        .collect();
    (!missing.is_empty())
        .then(|| format!("no Docker engine answers, and these are missing: {missing:?}"))
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

fn running() -> Option<String> {
    let told = std::env::var("DOCKER_HOST").ok().filter(|url| !url.is_empty());
    let usual = || Path::new(SOCKET).exists().then(|| format!("unix://{SOCKET}"));
    told.or_else(usual).filter(|url| answers(url))
}

fn answers(url: &str) -> bool {
    let told = Command::new("docker").args(["--host", url, "version"]).output();
    told.is_ok_and(|told| told.status.success())
}

/// Takes the engine that answers, or starts one.
pub(crate) fn find_or_start() -> Found {
    running().map_or_else(|| Found::Own(Box::new(OwnEngine::start())), Found::Running)
}

/// `dockerd` with its own folders and without a network of containers, in its own mount and
/// process namespaces: what it mounts and starts ends with it, also where we are killed.
pub(crate) struct OwnEngine {
    url: String,
    daemon: Child,
    folder: TempDir,
}

impl OwnEngine {
    /// To be called on the main thread: the engine is killed where the thread that started it ends.
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("backup-dockerd-").tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        let url = format!("unix://{}", inside("docker.sock").display());
        let log = fs::File::create(inside("log")).unwrap();
        let daemon = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg("dockerd")
            .args(["--bridge=none", "--iptables=false", "--ip-masq=false", "--ip-forward=false"])
            .arg("--data-root")
            .arg(inside("data"))
            .arg("--exec-root")
            .arg(inside("exec"))
            .arg("--pidfile")
            .arg(inside("pid"))
            .args(["--host", &url])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // Ctrl-C is for us; it is stopped in order.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut own = Self { url, daemon, folder };
        own.wait_until_it_answers();
        own
    }

    fn wait_until_it_answers(&mut self) {
        let until = Instant::now() + START;
        while !answers(&self.url) {
            let ended = self.daemon.try_wait().unwrap();
            if ended.is_some() || Instant::now() > until {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("dockerd does not answer ({ended:?}); it says:\n{log}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The daemon itself, a child of `unshare`.
    fn daemon_pid(&self) -> Option<Pid> {
        let id = self.daemon.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        // In order first, so that containers are taken down; then by force.
        if let Some(pid) = self.daemon_pid() {
            let _ = kill(pid, Signal::SIGTERM);
        }
        let until = Instant::now() + STOP;
        while matches!(self.daemon.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(100));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

//! A Docker engine: the one that runs, or one of our own that leaves nothing behind.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::client::Docker;

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(40);

/// An engine to test on.
pub(crate) enum Engine {
    /// It ran before us and goes on after us.
    Found(Docker),
    /// It lives as long as this value.
    Own(Box<OwnEngine>),
}

impl Engine {
    pub(crate) fn docker(&self) -> &Docker {
        match self {
            Self::Found(docker) => docker,
            Self::Own(own) => &own.docker,
        }
    }
}

/// Takes the engine that answers, or starts one.
pub(crate) fn find_or_start(compose: &'static [&'static str], cache: &Path) -> Result<Engine> {
    let found = Docker::new(None, compose);
    if found.answers() {
        return Ok(Engine::Found(found));
    }
    Ok(Engine::Own(Box::new(OwnEngine::start(compose, cache)?)))
}

/// `dockerd` with its own folders, in its own mount and process namespaces: what it mounts and
/// starts ends with it, also where we are killed.
pub(crate) struct OwnEngine {
    docker: Docker,
    daemon: Child,
    network: NetworkBefore,
    folder: TempDir,
    // Two engines of ours at a time would fight over one bridge.
    _turn: Flock<fs::File>,
}

impl OwnEngine {
    fn start(compose: &'static [&'static str], cache: &Path) -> Result<Self> {
        let turn = fs::File::create(cache.join("docker.lock"))?;
        let turn = Flock::lock(turn, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .context("the lock of the test engine")?;
        let folder = tempfile::Builder::new().prefix("backup-dockerd-").tempdir()?;
        let inside = |name: &str| folder.path().join(name);
        let host = format!("unix://{}", inside("docker.sock").display());
        let network = NetworkBefore::read()?;
        let log = fs::File::create(inside("log"))?;
        let daemon = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg("dockerd")
            .arg("--data-root")
            .arg(inside("data"))
            .arg("--exec-root")
            .arg(inside("exec"))
            .arg("--pidfile")
            .arg(inside("pid"))
            .args(["--host", &host])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for us; it is stopped in order.
            .process_group(0)
            .spawn()
            .context("dockerd cannot be started")?;
        let docker = Docker::new(Some(host), compose);
        let mut own = Self { docker, daemon, network, folder, _turn: turn };
        own.wait_until_it_answers()?;
        Ok(own)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let until = Instant::now() + START;
        while !self.docker.answers() {
            let ended = self.daemon.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                let last: Vec<_> = log.lines().rev().take(8).collect();
                let last: Vec<_> = last.into_iter().rev().collect();
                bail!("dockerd does not answer ({ended:?}); it says:\n{}", last.join("\n"));
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
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
        // In order first, so that containers and networks are taken down; then by force.
        if let Some(pid) = self.daemon_pid() {
            let _ = kill(pid, Signal::SIGTERM);
        }
        let until = Instant::now() + STOP;
        while matches!(self.daemon.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(100));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        if let Err(error) = self.network.restore() {
            eprintln!("the network is not wholly as it was before the engine: {error:#}");
        }
    }
}

/// What an engine changes in this machine's network and does not change back.
struct NetworkBefore {
    rules: Vec<u8>,
    interfaces: BTreeSet<PathBuf>,
    forwarding: String,
}

impl NetworkBefore {
    fn read() -> Result<Self> {
        let told = Command::new("iptables-save").output().context("iptables-save")?;
        ensure!(told.status.success(), "iptables-save ended with {}", told.status);
        let forwarding = fs::read_to_string(FORWARDING)?;
        Ok(Self { rules: told.stdout, interfaces: interfaces()?, forwarding })
    }

    fn restore(&self) -> Result<()> {
        use std::io::Write as _;
        let mut restoring = Command::new("iptables-restore").stdin(Stdio::piped()).spawn()?;
        restoring.stdin.take().context("no standard input")?.write_all(&self.rules)?;
        ensure!(restoring.wait()?.success(), "iptables-restore failed");
        for added in interfaces()?.difference(&self.interfaces) {
            let name = added.file_name().unwrap_or_default();
            let is_ours = name.to_str().is_some_and(|name| {
                name == "docker0" || name.starts_with("br-") || name.starts_with("veth")
            });
            if is_ours {
                // A veth goes with its peer: it may be gone by now.
                let _ = Command::new("ip").args(["link", "delete"]).arg(name).output();
            }
        }
        fs::write(FORWARDING, &self.forwarding)?;
        Ok(())
    }
}

fn interfaces() -> Result<BTreeSet<PathBuf>> {
    Ok(fs::read_dir("/sys/class/net")?.flatten().map(|entry| entry.path()).collect())
}

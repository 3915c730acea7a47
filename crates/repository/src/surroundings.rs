//! What the repository is told of the world: the time, randomness, who works on it.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};

use crate::RepositoryError;

type Shared<F> = Arc<F>;

/// Clock, randomness and the process at work. Cheap to clone.
#[derive(Clone)]
pub struct Surroundings {
    now: Shared<dyn Fn() -> Timestamp + Send + Sync>,
    random: Shared<dyn SecureRandom + Send + Sync>,
    is_alive: Shared<dyn Fn(u32) -> bool + Send + Sync>,
    /// The machine's name, as locks and snapshots carry it.
    pub hostname: String,
    /// Who works, as locks and keys carry it.
    pub username: String,
    /// The process at work, as locks carry it.
    pub pid: u32,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("hostname", &self.hostname)
            .field("username", &self.username)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// This machine and this process.
    pub fn of_this_process() -> Self {
        // What `uname` tells, and what restic compares.
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname");
        let hostname = hostname.map_or("localhost".to_owned(), |name| name.trim().to_owned());
        Self {
            now: Arc::new(Timestamp::now),
            random: Arc::new(SystemRandom::new()),
            is_alive: Arc::new(is_alive),
            hostname,
            username: "backup-orchestrator".to_owned(),
            pid: std::process::id(),
        }
    }

    /// The same with another clock.
    pub fn with_clock(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    /// The same with another way to know which processes of this machine are alive.
    pub fn with_processes(
        mut self,
        is_alive: impl Fn(u32) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.is_alive = Arc::new(is_alive);
        self
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Whether the process `pid` of this machine is alive.
    pub fn is_alive(&self, pid: u32) -> bool {
        (self.is_alive)(pid)
    }

    /// Random bytes that nobody can guess.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], RepositoryError> {
        let mut bytes = [0; N];
        self.random
            .fill(&mut bytes)
            .map_err(|_| RepositoryError::Internal("the system gave no randomness".to_owned()))?;
        Ok(bytes)
    }
}

/// By the signal that does nothing; a process that we may not signal is alive.
fn is_alive(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    pid > 0
        && nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None)
            != Err(nix::errno::Errno::ESRCH)
}

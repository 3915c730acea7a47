//! What the engine is told at start.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use contract::NetPolicy;

/// Bounds and permissions that hold for the whole engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Name of this process among several on one catalog; unique.
    pub instance: String,
    /// Name of this machine, the same after a restart.
    pub host: String,
    /// Folder for what has to be whole before it can be streamed; emptied after each run.
    pub spool: PathBuf,
    /// Folder of what drills restore to, emptied after each; `None` is the spool. Where this
    /// process is root, others have to be able to pass through it: scratch servers do not run as
    /// root.
    pub scratch: Option<PathBuf>,
    /// Variables that programs we start get, and no others of ours; `PATH` is where they are found.
    pub child_env: Vec<(OsString, OsString)>,
    /// Folder of PostgreSQL's tools, one folder `VERSION/bin` for each version.
    pub postgres_home: PathBuf,
    /// Where Docker answers (`unix:///var/run/docker.sock`, `tcp://proxy:2375`); `None` where it
    /// is not to be used.
    pub docker_host: Option<String>,
    /// Whether labels on containers may ask for apps.
    pub labels: bool,
    /// Whether those labels may ask for commands inside their own container.
    pub label_exec: bool,
    /// Whether drills may run commands of one's own, with the rights of this process.
    pub drill_commands: bool,
    /// Whether apps that are not declared in a file may have commands run before and after they are
    /// read.
    pub hooks: bool,
    /// Longest time for one source, where the app says nothing else.
    pub source_timeout: Duration,
    /// Largest export in bytes, where the app says nothing else.
    pub max_size_bytes: u64,
    /// How many runs go on at once in this process.
    pub workers: usize,
    /// How long a worker may be silent before its run is taken over.
    pub lease: Duration,
    /// How often a worker renews its lease.
    pub heartbeat: Duration,
    /// How often the queue, the schedules and the leases are looked at.
    pub tick: Duration,
    /// How many times a failed run is tried again, where the app says nothing else.
    pub retries: u32,
    /// Wait before the first of those; doubles each time.
    pub retry_delay: Duration,
    /// A fire this late counts as caught up rather than on time.
    pub catch_up_after: Duration,
    /// How long an expired snapshot can still be restored before it is deleted.
    pub expire_grace: Duration,
    /// Age at which partial uploads are swept.
    pub orphan_age: Duration,
    /// Which addresses an app may have.
    pub net_policy: NetPolicy,
    /// How long silence from a source or a destination is borne.
    pub idle_timeout: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// rclone's configuration file, where it is not rclone's own default.
    pub rclone_config: Option<PathBuf>,
    /// The rclone program.
    pub rclone_program: PathBuf,
    /// Remote used by rclone destinations that name none (`RCLONE_REMOTE`).
    pub rclone_remote: Option<String>,
    /// Where people allow access to their Google Drive.
    pub google: GoogleUrls,
    /// Folders that local destinations may lie in; empty allows any.
    pub local_roots: Vec<PathBuf>,
    /// Folders that sources of files may lie in; empty allows none: whoever may describe an app
    /// must not read what only this process can.
    pub file_roots: Vec<PathBuf>,
    /// Folders that restores may write into; empty allows none.
    pub restore_roots: Vec<PathBuf>,
    /// Folder of the catalog's own copies on this machine.
    pub catalog_copies: PathBuf,
    /// How often the catalog is copied where something was recorded since; `None` never.
    pub catalog_copy_every: Option<Duration>,
    /// How long settings stay as they are before the catalog is copied because they changed.
    pub catalog_copy_settle: Duration,
    /// How hard the passwords of new repositories are to guess.
    pub repository_kdf: repository::Kdf,
    /// How long is waited for others' locks on a repository.
    pub repository_patience: Duration,
    /// How long what nothing in a repository needs is marked before it is deleted.
    pub repository_grace: jiff::SignedDuration,
    /// How often it is looked at what is wrong, and what is to be sent.
    pub alerts_every: Duration,
    /// Wait before a message that was not taken is tried again; doubles each time, up to an hour.
    pub alert_retry_delay: Duration,
    /// Written into manifests as their maker.
    pub producer: String,
    /// How often archives of WAL are looked after.
    pub wal: WalTimes,
}

/// Google's addresses for OAuth, or of what stands in for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleUrls {
    /// Where a person is asked.
    pub auth: String,
    /// Where codes become tokens.
    pub token: String,
}

impl Default for GoogleUrls {
    fn default() -> Self {
        Self {
            auth: "https://accounts.google.com/o/oauth2/v2/auth".to_owned(),
            token: "https://oauth2.googleapis.com/token".to_owned(),
        }
    }
}

impl GoogleUrls {
    /// The token's address, where it is not Google's.
    pub(crate) fn token_elsewhere(&self) -> Option<String> {
        (*self != Self::default()).then(|| self.token.clone())
    }
}

/// How often archives of WAL are looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalTimes {
    /// How often the beginning of an unfinished segment is stored.
    pub partial: Duration,
    /// How often the destination's listing is held against the catalog, and it is looked whether a
    /// base backup is due.
    pub scan: Duration,
    /// How often it is looked what the server keeps for us.
    pub look: Duration,
    /// How often WAL that nothing needs any more is deleted.
    pub tend: Duration,
    /// How often a row is written where the app asks for that.
    pub beat: Duration,
    /// How old WAL that is not stored may be before that is told.
    pub behind: Duration,
}

impl Default for WalTimes {
    fn default() -> Self {
        Self {
            partial: Duration::from_secs(15),
            scan: Duration::from_secs(60),
            look: Duration::from_secs(30),
            tend: Duration::from_secs(3600),
            beat: Duration::from_secs(60),
            behind: Duration::from_secs(300),
        }
    }
}

impl EngineConfig {
    /// The defaults, for the process `instance`.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            host: "localhost".to_owned(),
            spool: PathBuf::from("spool"),
            scratch: None,
            child_env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into())],
            postgres_home: PathBuf::from("/usr/lib/postgresql"),
            docker_host: None,
            labels: false,
            label_exec: false,
            drill_commands: false,
            hooks: false,
            source_timeout: Duration::from_secs(900),
            max_size_bytes: 20_480 << 20,
            workers: 4,
            lease: Duration::from_secs(20),
            heartbeat: Duration::from_secs(5),
            tick: Duration::from_millis(500),
            retries: 1,
            retry_delay: Duration::from_secs(60),
            catch_up_after: Duration::from_secs(120),
            expire_grace: Duration::from_secs(24 * 3600),
            orphan_age: Duration::from_secs(24 * 3600),
            net_policy: NetPolicy::default(),
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            rclone_config: None,
            rclone_program: PathBuf::from("rclone"),
            rclone_remote: None,
            google: GoogleUrls::default(),
            local_roots: Vec::new(),
            file_roots: Vec::new(),
            restore_roots: Vec::new(),
            catalog_copies: PathBuf::from("catalog-copies"),
            catalog_copy_every: None,
            catalog_copy_settle: Duration::from_secs(300),
            repository_kdf: repository::Kdf::default(),
            repository_patience: Duration::from_secs(60),
            repository_grace: jiff::SignedDuration::from_hours(24),
            alerts_every: Duration::from_secs(15),
            alert_retry_delay: Duration::from_secs(30),
            producer: concat!("backup-orchestrator ", env!("CARGO_PKG_VERSION")).to_owned(),
            wal: WalTimes::default(),
        }
    }
}

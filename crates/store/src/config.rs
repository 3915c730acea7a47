//! Settings of each kind of store, and how one is opened.

use std::{path::PathBuf, sync::Arc, time::Duration};

use secrecy::SecretString;
use strum::{Display, EnumString};

use crate::{
    Azblob, AzblobConfig, Closed, Deadlines, Limits, Local, Prefix, Rclone, Rest, RestConfig, S3,
    Sftp, SftpConfig, Store, StoreError, Webdav, WebdavConfig, deadline::within,
};

/// One request, one chunk, or the silence between two.
const STEP: Duration = Duration::from_secs(60);
/// Making an object durable, listing, sweeping.
const LONG: Duration = Duration::from_secs(600);

/// Which store, and its settings.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// A folder on this machine.
    Local(LocalConfig),
    /// S3 or compatible.
    S3(S3Config),
    /// Azure Blob Storage.
    Azblob(AzblobConfig),
    /// A remote of the rclone program.
    Rclone(RcloneConfig),
    /// A folder of a WebDAV server.
    Webdav(WebdavConfig),
    /// A folder of an SSH server.
    Sftp(SftpConfig),
    /// A server of restic's repositories.
    Rest(RestConfig),
}

/// A folder on this machine.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// The folder.
    pub root: PathBuf,
    /// What folders are called that count as one object each.
    pub closed: Option<Closed>,
}

/// How long what is written to a bucket can be deleted by nobody (S3 Object Lock).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLock {
    /// Who may shorten it.
    pub mode: LockMode,
    /// How long, in days from when an object was written.
    pub days: u32,
    /// Folders whose objects come and go, and are not locked.
    pub except: Vec<Prefix>,
}

/// Who may shorten the time for which an object is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum LockMode {
    /// Whoever has the right to do so (`s3:BypassGovernanceRetention`).
    Governance,
    /// Nobody.
    Compliance,
}

/// S3 or compatible.
#[derive(Debug, Clone, Default)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// Its region; `us-east-1` where none is given.
    pub region: Option<String>,
    /// Address of a compatible service.
    pub endpoint: Option<String>,
    /// Folder inside the bucket.
    pub prefix: Option<String>,
    /// The bucket is part of the path, not of the host name.
    pub path_style: bool,
    /// Storage class of new objects.
    pub storage_class: Option<String>,
    /// Whether, and for how long, what is written is locked.
    pub object_lock: Option<ObjectLock>,
    /// Access key.
    pub access_key_id: Option<SecretString>,
    /// Secret key.
    pub secret_access_key: Option<SecretString>,
    /// Session token of temporary credentials.
    pub session_token: Option<SecretString>,
}

/// A remote of the rclone program.
#[derive(Debug, Clone)]
pub struct RcloneConfig {
    /// The program.
    pub program: PathBuf,
    /// Its configuration file, where it is not rclone's own default.
    pub config_file: Option<PathBuf>,
    /// Name of the remote, without the colon.
    pub remote: String,
    /// Folder inside the remote.
    pub path: String,
    /// Google Drive folder id to be rooted at.
    pub root_folder_id: Option<String>,
    /// Variables for the program: a remote that no file describes (`RCLONE_CONFIG_NAME_…`).
    pub env: Vec<(String, SecretString)>,
}

/// Opens a store with deadlines around it.
pub async fn open(config: StoreConfig) -> Result<Arc<dyn Store>, StoreError> {
    open_within(config, STEP).await
}

/// Opens a store with deadlines around it, and a folder of this machine within `patience`, which
/// is then its deadline for each step: what is mounted there may be gone.
pub async fn open_within(
    config: StoreConfig,
    patience: Duration,
) -> Result<Arc<dyn Store>, StoreError> {
    let (inner, step): (Arc<dyn Store>, _) = match config {
        StoreConfig::Local(local) => {
            let what = format!("opening {}", local.root.display());
            let opened = within(patience, what, Local::open(&local.root)).await?;
            (Arc::new(opened.closing(local.closed)), patience)
        }
        // It has time-outs and retries of its own; this is the last resort.
        StoreConfig::S3(s3) => {
            (Arc::new(S3::open(&s3)?), STEP.max(Limits::default().longest_call()))
        }
        StoreConfig::Azblob(azblob) => {
            (Arc::new(Azblob::open(&azblob)?), STEP.max(Limits::default().longest_call()))
        }
        StoreConfig::Sftp(sftp) => (Arc::new(Sftp::open(&sftp)?), STEP),
        StoreConfig::Webdav(webdav) => (Arc::new(Webdav::open(&webdav)?), STEP),
        StoreConfig::Rest(rest) => {
            (Arc::new(Rest::open(&rest)?), STEP.max(Limits::default().longest_call()))
        }
        StoreConfig::Rclone(rclone) => (Arc::new(Rclone::open(rclone).await?), STEP),
    };
    Ok(Arc::new(Deadlines::new(inner, step, LONG)))
}

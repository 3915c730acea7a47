//! Destinations opened as stores, kept open while they do not change.

mod by_folder;
pub(crate) mod object_lock;
mod presets;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{Destination, DestinationId, DestinationKind, Fact};
use repository::Objects;
use secrecy::SecretString;
use store::{Closed, RcloneConfig, Store, StoreConfig};

use crate::{
    Engine, EngineConfig, EngineError, Inner,
    repositories::is_repository,
    trees::{Host, TreeStore},
    vault::Purpose,
};

/// In trees lie somebody's files, and no objects of ours.
const CLOSED: Option<Closed> = Some(Closed(model::layout::TREE_SUFFIX));

/// A busy disk is slower than a network that is silent.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// Opened stores by destination, with the version that was opened.
#[derive(Default)]
pub(crate) struct StoreCache(Mutex<Opened>);

/// The same for repositories, which are opened once for all who work there: they share a lock.
#[derive(Default)]
pub(crate) struct RepositoryCache(tokio::sync::Mutex<HashMap<DestinationId, (i64, Objects)>>);

type Opened = HashMap<DestinationId, (i64, Arc<dyn Store>)>;

impl Inner {
    /// The store of `destination`, opened or from the cache.
    pub(crate) async fn store_for(
        &self,
        destination: &Destination,
    ) -> Result<Arc<dyn Store>, EngineError> {
        if let Some((version, store)) = self.stores.lock().get(&destination.id)
            && *version == destination.version
        {
            return Ok(Arc::clone(store));
        }
        let store = if is_repository(destination) {
            Arc::new(self.objects_for(destination).await?)
        } else {
            self.open_store(destination).await?
        };
        self.stores.lock().insert(destination.id, (destination.version, Arc::clone(&store)));
        Ok(store)
    }

    /// Where the WAL at `destination` lies: beside a repository, never in it.
    pub(crate) async fn wal_store(
        &self,
        destination: &Destination,
    ) -> Result<Arc<dyn Store>, EngineError> {
        if !is_repository(destination) {
            return self.store_for(destination).await;
        }
        if let Some((version, store)) = self.wal_stores.lock().get(&destination.id)
            && *version == destination.version
        {
            return Ok(Arc::clone(store));
        }
        let store = self.open_plain_store(destination).await?;
        self.wal_stores.lock().insert(destination.id, (destination.version, Arc::clone(&store)));
        Ok(store)
    }

    /// The repository at `destination`, opened or from the cache.
    pub(crate) async fn objects_for(
        &self,
        destination: &Destination,
    ) -> Result<Objects, EngineError> {
        let mut opened = self.repositories.0.lock().await;
        if let Some((version, objects)) = opened.get(&destination.id)
            && *version == destination.version
        {
            return Ok(objects.clone());
        }
        let store = self.open_plain_store(destination).await?;
        let objects = self.open_repository(destination, store).await?;
        opened.insert(destination.id, (destination.version, objects.clone()));
        Ok(objects)
    }

    /// The store of `destination`, opened anew.
    pub(crate) async fn open_store(
        &self,
        destination: &Destination,
    ) -> Result<Arc<dyn Store>, EngineError> {
        let store = self.open_plain_store(destination).await?;
        if is_repository(destination) {
            return Ok(Arc::new(self.open_repository(destination, store).await?));
        }
        Ok(store)
    }

    /// Where the files of `destination` lie, whatever they are.
    pub(crate) async fn open_plain_store(
        &self,
        destination: &Destination,
    ) -> Result<Arc<dyn Store>, EngineError> {
        let setting = |key: &str| destination.settings.get(key).cloned();
        let config = match destination.kind {
            DestinationKind::Local => {
                self.local(setting("path").unwrap_or_default().as_ref(), None)?
            }
            DestinationKind::Tree if setting("host").is_none() => {
                self.local(setting("path").unwrap_or_default().as_ref(), CLOSED)?
            }
            DestinationKind::Tree => self.sftp(destination, CLOSED)?,
            DestinationKind::S3 => StoreConfig::S3(self.s3(destination)?),
            DestinationKind::Sftp => self.sftp(destination, None)?,
            DestinationKind::Webdav => StoreConfig::Webdav(store::WebdavConfig {
                url: setting("url").unwrap_or_default(),
                path: setting("path"),
                username: setting("username"),
                password: self.secret(destination, "password")?,
            }),
            DestinationKind::Rest => StoreConfig::Rest(store::RestConfig {
                url: setting("url").unwrap_or_default(),
                username: setting("username"),
                password: self.secret(destination, "password")?,
            }),
            DestinationKind::B2 => presets::b2(
                &destination.settings,
                self.secret(destination, "application_key_id")?,
                self.secret(destination, "application_key")?,
            )?,
            DestinationKind::Gcs => presets::gcs(
                &destination.settings,
                self.secret(destination, "hmac_key_id")?,
                self.secret(destination, "hmac_secret")?,
            )?,
            DestinationKind::Azblob => StoreConfig::Azblob(store::AzblobConfig {
                account: setting("account").unwrap_or_default(),
                container: setting("container").unwrap_or_default(),
                endpoint: setting("endpoint"),
                prefix: setting("prefix"),
                account_key: self.secret(destination, "account_key")?,
                sas_token: self.secret(destination, "sas_token")?,
            }),
            DestinationKind::Gdrive => {
                let base = self.drive(destination)?;
                if folder_is_drive_id(destination) {
                    let opened = by_folder::open(move |id| {
                        StoreConfig::Rclone(RcloneConfig { root_folder_id: id, ..base.clone() })
                    });
                    return Ok(opened.await?);
                }
                StoreConfig::Rclone(base)
            }
            DestinationKind::Rclone => {
                let remote = setting("remote").or_else(|| self.config.rclone_remote.clone());
                let remote = remote
                    .ok_or_else(|| EngineError::invalid("settings.remote", Fact::NameRemote {}))?;
                let path = setting("path").unwrap_or_default();
                if folder_is_drive_id(destination) {
                    let base = rclone(&self.config, remote, path);
                    let opened = by_folder::open(move |id| {
                        StoreConfig::Rclone(RcloneConfig { root_folder_id: id, ..base.clone() })
                    });
                    return Ok(opened.await?);
                }
                StoreConfig::Rclone(rclone(&self.config, remote, path))
            }
        };
        let patience = self.config.idle_timeout.max(LEAST_PATIENCE);
        let opened = store::open_within(config, patience).await?;
        Ok(match Host::of(self, destination)? {
            Some(host) => Arc::new(TreeStore::new(opened, host, self.config.clone())),
            None => opened,
        })
    }
}

/// Whether an app's folder at `destination` is a Google Drive folder id, not a path.
pub(crate) fn folder_is_drive_id(destination: &Destination) -> bool {
    destination.settings.get("folder_is_drive_id").is_some_and(|value| value == "true")
}

fn rclone(config: &EngineConfig, remote: String, path: String) -> RcloneConfig {
    RcloneConfig {
        program: config.rclone_program.clone(),
        config_file: config.rclone_config.clone(),
        remote,
        path,
        root_folder_id: None,
        env: Vec::new(),
    }
}

impl Engine {
    /// Uses `store` for `destination` until it is edited: for tests that put faults in front of
    /// a real store.
    pub fn use_store(&self, destination: &Destination, store: Arc<dyn Store>) {
        self.0.stores.lock().insert(destination.id, (destination.version, store));
    }
}

impl StoreCache {
    fn lock(&self) -> std::sync::MutexGuard<'_, Opened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn local(&self, path: &Path, closed: Option<Closed>) -> Result<StoreConfig, EngineError> {
        let refuse = |wrong: Fact| Err(EngineError::invalid("settings.path", wrong));
        if !path.is_absolute() || path.components().any(|part| part.as_os_str() == "..") {
            return refuse(Fact::LocalFolder {});
        }
        let roots = &self.config.local_roots;
        if !roots.is_empty() && !roots.iter().any(|root| path.starts_with(root)) {
            let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
            return refuse(Fact::LocalRoots { roots: roots.join(" or ") });
        }
        Ok(StoreConfig::Local(store::LocalConfig { root: path.to_owned(), closed }))
    }

    pub(crate) fn s3(&self, destination: &Destination) -> Result<store::S3Config, EngineError> {
        let setting = |key: &str| destination.settings.get(key).cloned();
        Ok(store::S3Config {
            bucket: setting("bucket").unwrap_or_default(),
            region: setting("region"),
            endpoint: setting("endpoint"),
            prefix: setting("prefix"),
            path_style: setting("path_style").is_none_or(|value| value == "true"),
            storage_class: setting("storage_class"),
            object_lock: object_lock::of(destination)?,
            access_key_id: self.secret(destination, "access_key_id")?,
            secret_access_key: self.secret(destination, "secret_access_key")?,
            session_token: self.secret(destination, "session_token")?,
        })
    }

    fn sftp(
        &self,
        destination: &Destination,
        closed: Option<Closed>,
    ) -> Result<StoreConfig, EngineError> {
        let setting = |key: &str| destination.settings.get(key).cloned().unwrap_or_default();
        let port = destination.settings.get("port").map(|port| port.parse()).transpose();
        let port = port.map_err(|_| EngineError::invalid("settings.port", Fact::GiveNumber {}))?;
        Ok(StoreConfig::Sftp(store::SftpConfig {
            host: setting("host"),
            port,
            username: setting("username"),
            path: setting("path"),
            host_key: setting("host_key"),
            password: self.secret(destination, "password")?,
            private_key: self.secret(destination, "private_key")?,
            passphrase: self.secret(destination, "passphrase")?,
            closed,
        }))
    }

    fn drive(&self, destination: &Destination) -> Result<RcloneConfig, EngineError> {
        let setting = |key: &str| destination.settings.get(key).cloned();
        let config = store::DriveConfig {
            path: setting("path").unwrap_or_default(),
            folder_id: setting("folder_id"),
            team_drive: setting("team_drive"),
            client_id: setting("client_id"),
            client_secret: self.secret(destination, "client_secret")?,
            token: self.secret(destination, "token")?,
            service_account: self.secret(destination, "service_account")?,
            token_url: self.config.google.token_elsewhere(),
        };
        Ok(config.rclone(self.config.rclone_program.clone())?)
    }

    pub(crate) fn secret(
        &self,
        destination: &Destination,
        key: &str,
    ) -> Result<Option<SecretString>, EngineError> {
        let sealed = destination.secrets.get(key);
        Ok(sealed.map(|s| self.vault.open(Purpose::DestinationSecret, s)).transpose()?)
    }
}

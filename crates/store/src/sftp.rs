//! A folder of an SSH server, through SFTP.
//!
//! An object is written under a temporary name, synced where the server can (`fsync@openssh.com`)
//! and renamed, which the protocol does only to a free name. The server must show the host key
//! that the settings tell; keys and passwords stay in memory.

mod session;

use std::{
    io::SeekFrom,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use russh_sftp::{
    client::{error::Error as SftpError, fs::File},
    protocol::{FileAttributes, OpenFlags, StatusCode},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
    sync::Mutex,
};

use crate::{
    ByteStream, Capability, Closed, CreateOptions, Key, Listing, ObjectMeta, Prefix, Store,
    StoreError, StoreErrorKind, Swept, Upload,
    tree::{self, Entry, Tree},
};
use session::{Connection, Target};

/// How much is read at once, in bytes.
const READ_CHUNK: usize = 256 << 10;

/// A folder of an SSH server.
#[derive(Debug, Clone, Default)]
pub struct SftpConfig {
    /// Its name or address.
    pub host: String,
    /// Its port; 22 where none is given.
    pub port: Option<u16>,
    /// Who logs in.
    pub username: String,
    /// The folder; from the login folder where it does not begin with a slash.
    pub path: String,
    /// The server's public key or its `SHA256:…` fingerprint.
    pub host_key: String,
    /// Password.
    pub password: Option<SecretString>,
    /// Private key: what its file has in it. Ed25519 or ECDSA.
    pub private_key: Option<SecretString>,
    /// Passphrase of the private key.
    pub passphrase: Option<SecretString>,
    /// What folders are called that count as one object each.
    pub closed: Option<Closed>,
}

/// Objects as files of an SSH server.
#[derive(Debug, Clone)]
pub struct Sftp {
    target: Arc<Target>,
    /// What the path of every name begins with.
    base: String,
    closed: Option<Closed>,
    connection: Arc<Mutex<Option<Arc<Connection>>>>,
}

/// The text of a private key with its line ends, which fields of forms lose.
pub fn key_in_lines(key: &SecretString) -> SecretString {
    session::in_lines(key)
}

impl Sftp {
    /// Checks the settings. No connection is made.
    pub fn open(config: &SftpConfig) -> Result<Self, StoreError> {
        for (what, text) in [("host", &config.host), ("user name", &config.username)] {
            if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return Err(StoreError::config(format!("the SFTP settings have no {what}")));
            }
        }
        if config.path.chars().any(char::is_control)
            || config.path.split('/').any(|part| part == "..")
        {
            return Err(StoreError::config("the SFTP folder cannot have `..` in it"));
        }
        let passphrase = config.passphrase.as_ref().map(secrecy::ExposeSecret::expose_secret);
        let key = config.private_key.as_ref().map(|key| {
            russh::keys::decode_secret_key(session::in_lines(key).expose_secret(), passphrase)
                .map(Arc::new)
                .map_err(|error| {
                    StoreError::config(format!("the SSH private key cannot be read: {error}"))
                })
        });
        let key = key.transpose()?;
        if key.is_none() && config.password.is_none() {
            return Err(StoreError::config("SFTP needs a private key or a password"));
        }
        let path = config.path.trim_end_matches('/');
        let base = match path {
            "" if config.path.starts_with('/') => "/".to_owned(),
            "" => String::new(),
            path => format!("{path}/"),
        };
        let port = config.port.unwrap_or(22);
        let location = format!("sftp://{}@{}:{port}/{}", config.username, config.host, config.path);
        Ok(Self {
            target: Arc::new(Target {
                host: config.host.clone(),
                port,
                username: config.username.clone(),
                password: config.password.clone(),
                key,
                host_key: session::fingerprint(&config.host_key)?,
                location,
            }),
            base,
            closed: config.closed,
            connection: Arc::default(),
        })
    }

    /// The path of `name` on the server.
    fn path(&self, name: &str) -> String {
        match (self.base.as_str(), name) {
            ("", "") => ".".to_owned(),
            ("/", "") => "/".to_owned(),
            (base, "") => base.trim_end_matches('/').to_owned(),
            (base, name) => format!("{base}{name}"),
        }
    }

    /// The connection, made if there is none that works.
    async fn connected(&self) -> Result<Arc<Connection>, StoreError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_ref().filter(|one| one.is_alive()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(Connection::open(&self.target).await?);
        *kept = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Makes the folder with this path, whose parent is there.
    async fn make(&self, path: &str) -> Result<(), StoreError> {
        let connection = self.connected().await?;
        let Err(error) = connection.sftp.create_dir(path).await else { return Ok(()) };
        // It fails alike where the folder is there and where it cannot be made.
        match connection.sftp.metadata(path).await {
            Ok(found) if found.is_dir() => Ok(()),
            _ => Err(connection.told(&format!("making the folder {path}"), &error)),
        }
    }
}

fn is_absent(error: &SftpError) -> bool {
    matches!(error, SftpError::Status(status) if status.status_code == StatusCode::NoSuchFile)
}

fn entry(name: String, found: &FileAttributes) -> Entry {
    Entry {
        name,
        // What is neither file nor folder is no object.
        is_folder: !found.file_type().is_file(),
        size_bytes: found.size.unwrap_or_default(),
        modified_at: found.modified().ok(),
    }
}

#[async_trait]
impl Tree for Sftp {
    fn location(&self) -> String {
        self.target.location.clone()
    }

    fn closed(&self) -> Option<Closed> {
        self.closed
    }

    async fn entry(&self, name: &str) -> Result<Option<Entry>, StoreError> {
        let connection = self.connected().await?;
        let path = self.path(name);
        let found = if name.is_empty() {
            connection.sftp.metadata(&path).await
        } else {
            connection.sftp.symlink_metadata(&path).await
        };
        match found {
            Ok(found) => Ok(Some(entry(name.to_owned(), &found))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(connection.told(&format!("looking at {path}"), &error)),
        }
    }

    async fn entries(&self, folder: &str) -> Result<Option<Vec<Entry>>, StoreError> {
        let connection = self.connected().await?;
        let path = self.path(folder);
        let found = match connection.sftp.read_dir(&path).await {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(connection.told(&format!("listing {path}"), &error)),
        };
        let entries = found.filter_map(|one| {
            let (last, meta) = (one.file_name(), one.metadata());
            let ours = !last.is_empty() && last != "." && last != ".." && !last.contains('/');
            (ours && (meta.file_type().is_file() || meta.is_dir()))
                .then(|| entry(tree::join(folder, &last), &meta))
        });
        Ok(Some(entries.collect()))
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let connection = self.connected().await?;
        match connection.sftp.remove_file(self.path(name)).await {
            Err(error) if !is_absent(&error) => {
                Err(connection.told(&format!("deleting {name}"), &error))
            }
            _ => Ok(()),
        }
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let connection = self.connected().await?;
        let renamed = connection.sftp.rename(self.path(from), self.path(to)).await;
        renamed.map_err(|error| connection.told(&format!("renaming to {to}"), &error))
    }

    async fn make_folder(&self, folder: &str) -> Result<(), StoreError> {
        if !folder.is_empty() {
            return self.make(&self.path(folder)).await;
        }
        let connection = self.connected().await?;
        let root = self.path("");
        if connection.sftp.metadata(&root).await.is_ok_and(|found| found.is_dir()) {
            return Ok(());
        }
        for (at, _) in self.base.match_indices('/').filter(|(at, _)| *at > 0) {
            self.make(&self.base[..at]).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Sftp {
    fn capability(&self) -> Capability {
        Capability { kind: "sftp", location: self.location(), ranges: true }
    }

    async fn create(&self, key: &Key, _: &CreateOptions) -> Result<Box<dyn Upload>, StoreError> {
        tree::prepare(self, key).await?;
        let partial = key.partial(rand::random());
        let connection = self.connected().await?;
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
        let private = FileAttributes { permissions: Some(0o600), ..FileAttributes::empty() };
        let path = self.path(&partial);
        let file = connection.sftp.open_with_flags_and_attributes(path, flags, private).await;
        let file = match file {
            Ok(file) => file,
            Err(error @ SftpError::Status(_)) if !is_absent(&error) => {
                let what = format!("creating {key}");
                return Err(connection.told_writing(&what, &self.path(""), &error).await);
            }
            Err(error) => {
                let told = connection.told(&format!("creating {key}"), &error);
                return Err(tree::lost_if_absent(self, key, told));
            }
        };
        Ok(Box::new(SftpUpload {
            store: self.clone(),
            key: key.clone(),
            partial,
            open: Some((connection, file)),
            written: 0,
        }))
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let size = tree::stat(self, key).await?.size_bytes;
        let range = range.map_or(0..size, |range| range.start.min(size)..range.end.min(size));
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let connection = self.connected().await?;
        let what = format!("reading {key}");
        let file = connection.sftp.open(self.path(key.as_str())).await;
        let mut file = file.map_err(|error| connection.told(&what, &error))?;
        if range.start > 0 {
            let found = file.seek(SeekFrom::Start(range.start)).await;
            found.map_err(|error| StoreError::io("", &what, &error))?;
        }
        let state = (connection, file, what, range.end - range.start);
        Ok(stream::try_unfold(state, |(connection, mut file, what, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let take = usize::try_from(left).map_or(READ_CHUNK, |left| left.min(READ_CHUNK));
            let mut chunk = BytesMut::with_capacity(take);
            while chunk.len() < take {
                let most = take - chunk.len();
                let read = (&mut file).take(most as u64).read_buf(&mut chunk).await;
                match read {
                    Ok(0) => return Err(gone(&what, &"it ended early")),
                    Ok(_) => {}
                    Err(error) => return Err(gone(&what, &error)),
                }
            }
            let left = left - chunk.len() as u64;
            Ok(Some((chunk.freeze(), (connection, file, what, left))))
        })
        .boxed())
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        tree::stat(self, key).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        tree::list(self, prefix).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        tree::delete(self, key).await
    }

    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        tree::abandon(self, key).await
    }

    async fn sweep(
        &self,
        prefix: &Prefix,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        tree::sweep(self, prefix, older_than, now).await
    }
}

fn gone(what: &str, how: &dyn std::fmt::Display) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("{what}: {how}"))
}

struct SftpUpload {
    store: Sftp,
    key: Key,
    partial: String,
    open: Option<(Arc<Connection>, File)>,
    written: u64,
}

impl SftpUpload {
    /// Closes the file and removes it.
    fn taken(&mut self) -> Option<impl Future<Output = Result<(), StoreError>> + Send + 'static> {
        let (_, file) = self.open.take()?;
        let (store, partial) = (self.store.clone(), self.partial.clone());
        Some(async move {
            drop(file);
            store.remove(&partial).await
        })
    }
}

impl Drop for SftpUpload {
    fn drop(&mut self) {
        if let Some(rest) = self.taken()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(rest);
        }
    }
}

#[async_trait]
impl Upload for SftpUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        let Some((connection, file)) = &mut self.open else {
            return Err(StoreError::internal("an upload was used after it failed"));
        };
        self.written += chunk.len() as u64;
        let Err(error) = file.write_all(&chunk).await else { return Ok(()) };
        let what = format!("writing {}", self.key);
        Err(connection.told_writing(&what, &self.store.path(""), &error).await)
    }

    async fn finish(mut self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        let Some((connection, mut file)) = self.open.take() else {
            return Err(StoreError::internal("an upload was finished after it failed"));
        };
        let (store, key) = (self.store.clone(), self.key.clone());
        let (partial, written) = (self.partial.clone(), self.written);
        // In a task of its own: who stops waiting leaves it whole or removed.
        let finishing = tokio::spawn(async move {
            let what = format!("finishing {key}");
            let mut done = file.flush().await.map_err(|error| error.to_string());
            if done.is_ok() {
                done = file.sync_all().await.map_err(|error| error.to_string());
            }
            let closed = file.close().await.map_err(|error| error.to_string());
            if let Err(how) = done.and(closed) {
                let error = connection.told_writing(&what, &store.path(""), &how).await;
                let _ = store.remove(&partial).await;
                return Err(error);
            }
            tree::place(&store, &key, &partial, written).await
        });
        finishing.await.unwrap_or_else(|error| Err(StoreError::internal(error.to_string())))
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        match self.taken() {
            Some(rest) => rest.await,
            None => Ok(()),
        }
    }
}

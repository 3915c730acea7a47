//! A repository at a store: its files, read and written whole.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use secrecy::SecretString;
use store::{CreateOptions, Key, ObjectMeta, Prefix, Store};

use crate::{
    Config, FileKind, Id, Index, IndexFile, Kdf, KeyFile, MasterKey, RepositoryError, Snapshot,
    Surroundings, Version, compress,
};

pub(crate) const CONFIG: &str = "config";
/// Longest file that is read whole; packs are read in parts.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Longest config or key file.
const MAX_SMALL_BYTES: u64 = 1 << 20;
/// Up to this many bytes, memory is taken for a length that is only claimed.
const TRUSTED_BYTES: u64 = 16 << 20;
/// How many index files are read at once.
const INDEX_READERS: usize = 8;
/// How many keys a password is tried on.
const MAX_KEYS: usize = 50;

/// A repository that is open. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
    surroundings: Surroundings,
    key: MasterKey,
    key_id: Id,
    config: Config,
    version: Version,
}

/// How a repository is made.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Version of the format.
    pub version: Version,
    /// How hard the password is to guess.
    pub kdf: Kdf,
    /// The polynomial by which files are cut: irreducible, of degree 53, best random.
    pub polynomial: u64,
}

/// A file as a listing tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileEntry {
    /// Its id.
    pub id: Id,
    /// Its size as it lies there, in bytes.
    pub size_bytes: u64,
}

/// How the index files were read.
#[derive(Debug, Default)]
pub struct LoadedIndex {
    /// Which blob lies where.
    pub index: Index,
    /// The files it was read from.
    pub files: Vec<Id>,
}

impl Repository {
    /// Makes a repository where there is none.
    pub async fn init(
        store: Arc<dyn Store>,
        password: &SecretString,
        options: &InitOptions,
        surroundings: Surroundings,
    ) -> Result<Self, RepositoryError> {
        let location = store.capability().location;
        let config_key = Key::new(CONFIG).map_err(store::StoreError::from)?;
        match store.stat(&config_key).await {
            Ok(_) => return Err(RepositoryError::AlreadyThere(location)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        let key = MasterKey::generate(&surroundings)?;
        let config =
            Config::new(options.version, Id::new(surroundings.random()?), options.polynomial);
        let mut repository = Self {
            store,
            surroundings,
            key,
            key_id: Id::default(),
            config,
            version: options.version,
        };
        repository.key_id = repository.add_key(password, options.kdf).await?;
        // The config comes last: without it there is no repository.
        let sealed = repository.seal(&repository.config.to_json()?)?;
        match repository.put(&config_key, sealed.into()).await {
            Err(RepositoryError::Store(error)) if error.is_already_exists() => {
                Err(RepositoryError::AlreadyThere(location))
            }
            other => other.map(|()| repository),
        }
    }

    /// Opens a repository with one of its passwords.
    pub async fn open(
        store: Arc<dyn Store>,
        password: &SecretString,
        surroundings: Surroundings,
    ) -> Result<Self, RepositoryError> {
        let location = store.capability().location;
        let config_key = Key::new(CONFIG).map_err(store::StoreError::from)?;
        let sealed = match read_all(store.as_ref(), &config_key, None, MAX_SMALL_BYTES).await {
            Err(RepositoryError::Store(error)) if error.is_not_found() => {
                return Err(RepositoryError::NoRepository(location));
            }
            other => other?,
        };
        let (key, key_id) = find_key(store.as_ref(), password).await?;
        let damaged = |how: String| RepositoryError::Damaged { file: CONFIG.to_owned(), how };
        let json = key.open(sealed).map_err(|e| damaged(e.to_string()))?;
        let config = Config::parse(&json)?;
        let version = config.version()?;
        Ok(Self { store, surroundings, key, key_id, config, version })
    }

    /// What it is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which version of the format it has.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What seals its blobs.
    pub fn key(&self) -> &MasterKey {
        &self.key
    }

    /// The key file that it was opened with.
    pub fn key_id(&self) -> Id {
        self.key_id
    }

    pub(crate) fn set_key_id(&mut self, id: Id) {
        self.key_id = id;
    }

    /// Where it lies.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Clock, randomness and the process at work.
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// `plain`, sealed with a fresh nonce.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, RepositoryError> {
        Ok(self.key.seal(self.surroundings.random()?, plain))
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), RepositoryError> {
        let size = bytes.len() as u64;
        let options = CreateOptions {
            size_hint_bytes: Some(size),
            most_bytes: Some(size),
            ..CreateOptions::default()
        };
        let mut upload = self.store.create(key, &options).await?;
        upload.write(bytes).await?;
        upload.finish().await?;
        Ok(())
    }

    /// Writes a file as it is to lie there. `id` is its SHA-256. One of that name that is there
    /// already is the same.
    pub async fn save(&self, kind: FileKind, id: Id, bytes: Bytes) -> Result<(), RepositoryError> {
        match self.put(&path(kind, &id)?, bytes).await {
            Err(RepositoryError::Store(error)) if error.is_already_exists() => Ok(()),
            other => other,
        }
    }

    /// Compresses, seals and writes JSON as a file of `kind`.
    pub async fn save_json(&self, kind: FileKind, json: &[u8]) -> Result<Id, RepositoryError> {
        let sealed = match self.version {
            Version::V1 => self.seal(json)?,
            Version::V2 => self.seal(&compress::encode_json(json)?)?,
        };
        let id = Id::of(&sealed);
        self.save(kind, id, sealed.into()).await?;
        Ok(id)
    }

    /// Writes an index file; every pack that it tells of has to be durable already.
    pub async fn save_index(&self, file: &IndexFile) -> Result<Id, RepositoryError> {
        self.save_json(FileKind::Index, &file.to_json()?).await
    }

    /// Writes a snapshot; packs and index have to be durable already, and the source proven.
    pub async fn save_snapshot(&self, snapshot: &Snapshot) -> Result<Id, RepositoryError> {
        self.save_json(FileKind::Snapshot, &snapshot.to_json()?).await
    }

    /// Reads a file whole, as it lies there; one whose SHA-256 is not its name is damaged.
    pub async fn load(&self, kind: FileKind, id: &Id) -> Result<Vec<u8>, RepositoryError> {
        let bytes = read_all(self.store.as_ref(), &path(kind, id)?, None, MAX_FILE_BYTES).await?;
        if Id::of(&bytes) != *id {
            return Err(RepositoryError::damaged(kind, id, "its SHA-256 is not its name"));
        }
        Ok(bytes)
    }

    /// Reads the bytes of `range` of a file; all of them or an error.
    pub async fn load_range(
        &self,
        kind: FileKind,
        id: &Id,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, RepositoryError> {
        let length = range.end.saturating_sub(range.start);
        let bytes = read_all(self.store.as_ref(), &path(kind, id)?, Some(range), length).await?;
        if bytes.len() as u64 != length {
            return Err(RepositoryError::damaged(kind, id, "it is shorter than the index says"));
        }
        Ok(bytes)
    }

    /// A pack that is a file of this machine.
    pub(crate) fn pack_here(&self, id: &Id) -> Option<store::Here> {
        self.store.here(&path(FileKind::Pack, id).ok()?)
    }

    /// Reads, opens and decompresses a file of JSON.
    pub async fn load_json(&self, kind: FileKind, id: &Id) -> Result<Vec<u8>, RepositoryError> {
        let sealed = self.load(kind, id).await?;
        let damaged = |how: &dyn ToString| RepositoryError::damaged(kind, id, how.to_string());
        let plain = self.key.open(sealed).map_err(|e| damaged(&e))?;
        compress::decode_json(plain).map_err(|e| damaged(&e))
    }

    /// Reads an index file.
    pub async fn load_index_file(&self, id: &Id) -> Result<IndexFile, RepositoryError> {
        let json = self.load_json(FileKind::Index, id).await?;
        IndexFile::parse(&json).map_err(|e| RepositoryError::damaged(FileKind::Index, id, e))
    }

    /// Reads a snapshot.
    pub async fn load_snapshot(&self, id: &Id) -> Result<Snapshot, RepositoryError> {
        let json = self.load_json(FileKind::Snapshot, id).await?;
        Snapshot::parse(&json).map_err(|e| RepositoryError::damaged(FileKind::Snapshot, id, e))
    }

    /// Every file of a kind, by id; what is there under other names is not ours.
    pub async fn list(&self, kind: FileKind) -> Result<Vec<FileEntry>, RepositoryError> {
        list(self.store.as_ref(), kind).await
    }

    /// The same with all that the listing tells.
    pub(crate) async fn list_with_meta(
        &self,
        kind: FileKind,
    ) -> Result<Vec<(Id, ObjectMeta)>, RepositoryError> {
        let folder = Prefix::new(kind.folder()).map_err(store::StoreError::from)?;
        let all: Vec<_> = self.store.list(&folder).await?.try_collect().await?;
        Ok(all.into_iter().filter_map(|meta| Some((id_of(kind, &meta)?, meta))).collect())
    }

    /// What is known of a file without reading it.
    pub(crate) async fn stat(
        &self,
        kind: FileKind,
        id: &Id,
    ) -> Result<store::ObjectMeta, RepositoryError> {
        Ok(self.store.stat(&path(kind, id)?).await?)
    }

    /// Removes a file; one that is not there is removed already.
    pub async fn remove(&self, kind: FileKind, id: &Id) -> Result<(), RepositoryError> {
        Ok(self.store.delete(&path(kind, id)?).await?)
    }

    /// Reads every index file. Read the list of snapshots before, never after: a snapshot that
    /// comes in between would not find its blobs.
    pub async fn load_index(&self) -> Result<LoadedIndex, RepositoryError> {
        let files: Vec<_> =
            self.list(FileKind::Index).await?.into_iter().map(|file| file.id).collect();
        let mut index = Index::new();
        let mut read = stream::iter(files.clone())
            .map(|id| async move { self.load_index_file(&id).await })
            .buffered(INDEX_READERS);
        while let Some(file) = read.try_next().await? {
            index.load(&file.packs);
        }
        drop(read);
        index.settle();
        Ok(LoadedIndex { index, files })
    }
}

/// The name of a file at the store.
pub(crate) fn path(kind: FileKind, id: &Id) -> Result<Key, RepositoryError> {
    Ok(Key::new(&kind.path(id)).map_err(store::StoreError::from)?)
}

async fn list(store: &dyn Store, kind: FileKind) -> Result<Vec<FileEntry>, RepositoryError> {
    let folder = Prefix::new(kind.folder()).map_err(store::StoreError::from)?;
    let mut listing = store.list(&folder).await?;
    let mut files = Vec::new();
    while let Some(object) = listing.try_next().await? {
        if let Some(id) = id_of(kind, &object) {
            files.push(FileEntry { id, size_bytes: object.size_bytes });
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The id of a file of `kind`; `None` for what is under another name, and not ours.
fn id_of(kind: FileKind, object: &ObjectMeta) -> Option<Id> {
    let name = object.key.as_str();
    let id = name.rsplit('/').next().and_then(|name| name.parse::<Id>().ok());
    id.filter(|id| kind.path(id) == name)
}

async fn find_key(
    store: &dyn Store,
    password: &SecretString,
) -> Result<(MasterKey, Id), RepositoryError> {
    let files = list(store, FileKind::Key).await?;
    let mut damaged = None;
    for file in files.iter().take(MAX_KEYS) {
        let json = read_all(store, &path(FileKind::Key, &file.id)?, None, MAX_SMALL_BYTES).await?;
        let password = password.clone();
        let opened = tokio::task::spawn_blocking(move || KeyFile::parse(&json)?.open(&password));
        match opened.await? {
            Ok(Some(master)) => return Ok((master, file.id)),
            Ok(None) => {}
            Err(error) => damaged = Some(RepositoryError::damaged(FileKind::Key, &file.id, error)),
        }
    }
    Err(damaged.unwrap_or(RepositoryError::WrongPassword { keys: files.len() }))
}

/// Reads an object, or a part of it; more than `most` bytes are an error.
async fn read_all(
    store: &dyn Store,
    key: &Key,
    range: Option<std::ops::Range<u64>>,
    most: u64,
) -> Result<Vec<u8>, RepositoryError> {
    // Lengths come from indexes that may lie: what is taken at once has a limit.
    let expected = range.as_ref().map_or(0, |range| range.end.saturating_sub(range.start));
    let mut stream = store.read(key, range).await?;
    let mut bytes = Vec::with_capacity(usize::try_from(expected.min(TRUSTED_BYTES)).unwrap_or(0));
    while let Some(chunk) = stream.try_next().await? {
        if (bytes.len() + chunk.len()) as u64 > most {
            return Err(RepositoryError::TooLarge {
                what: "a file of the repository",
                bytes: (bytes.len() + chunk.len()) as u64,
                most,
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

//! The way back: the newest good copy of the catalog is found, opened and written into an empty
//! database.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use artifact::{Identities, OpenError};
use catalog::{Catalog, CatalogError};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use model::Destination;
use secrecy::SecretString;
use serde::Deserialize;
use store::{Prefix, Store, StoreError};
use tokio::{io::AsyncWriteExt as _, sync::mpsc};

use super::{
    copies::local_copies,
    key::{Kept, identities, mark_of},
    names::{CopyName, FOLDER},
};
use crate::{Engine, EngineError, Vault};

/// Longest line of a copy; a manifest of a thousand artifacts is far below.
const MAX_LINE: u64 = 64 << 20;

/// Why a copy could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The destination's fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy's fault, or the key's.
    #[error("{0}")]
    Copy(String),
    /// The database's fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The key that was given is none.
    #[error(transparent)]
    Key(#[from] EngineError),
}

impl RebuildError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Catalog(error) => error.is_retryable(),
            Self::Copy(_) | Self::Key(_) => false,
        }
    }
}

/// A copy that was found good.
#[derive(Debug)]
pub struct Fetched {
    /// Its name.
    pub name: CopyName,
    /// Where it lies now.
    pub file: PathBuf,
    /// The `APP_SECRET_KEY` of its catalog.
    pub secret_key: SecretString,
    /// Newer ones that were no good, and why.
    pub passed_over: Vec<String>,
}

#[derive(Deserialize)]
struct Head {
    secret_key: SecretString,
}

/// The newest copy at `store` that `identity` opens and that is whole, put into `folder`; `None`
/// where there is none, with what was wrong with those that are there.
pub async fn fetch_newest(
    store: &dyn Store,
    identity: &SecretString,
    folder: &Path,
) -> Result<(Option<Fetched>, Vec<String>), RebuildError> {
    let own = identities(identity)?;
    let wanted = own.recipients().map(|recipients| mark_of(&recipients)).unwrap_or_default();
    let prefix = Prefix::new(FOLDER).map_err(StoreError::from)?;
    let listed: Vec<_> = match store.list(&prefix).await {
        Ok(listing) => listing.try_collect().await?,
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut names: Vec<_> =
        listed.iter().filter_map(|object| CopyName::of_object(object.key.as_str())).collect();
    names.sort();
    let mut passed_over = Vec::new();
    for name in names.into_iter().rev() {
        if name.key != wanted {
            passed_over.push(format!("{}: it was made for another recovery key", name.file()));
            continue;
        }
        let file = folder.join(name.file());
        let looked = match download(store, &name, &file).await {
            Ok(()) => look(&file, &own).await,
            Err(error) => Err(error),
        };
        match looked {
            Ok(secret_key) => {
                return Ok((Some(Fetched { name, file, secret_key, passed_over }), Vec::new()));
            }
            Err(error) => {
                let _ = tokio::fs::remove_file(&file).await;
                passed_over.push(format!("{}: {error}", name.file()));
            }
        }
    }
    Ok((None, passed_over))
}

/// The same among the copies on this machine, opened with this machine's own secret key.
pub async fn newest_local(
    folder: &Path,
    secret_key: &SecretString,
) -> Result<(Option<Fetched>, Vec<String>), RebuildError> {
    let Some(kept) = Kept::beside(folder) else { return Ok((None, Vec::new())) };
    let own = kept.identities(&Vault::new(secret_key))?;
    let mark = kept.mark()?;
    let mut names = local_copies(folder);
    names.retain(|name| name.key == mark);
    names.sort();
    let mut passed_over = Vec::new();
    for name in names.into_iter().rev() {
        let file = folder.join(name.file());
        match look(&file, &own).await {
            Ok(secret_key) => {
                return Ok((Some(Fetched { name, file, secret_key, passed_over }), Vec::new()));
            }
            Err(error) => passed_over.push(format!("{}: {error}", name.file())),
        }
    }
    Ok((None, passed_over))
}

/// Whether copies of the catalog lie in `folder`.
pub fn has_local(folder: &Path) -> bool {
    !local_copies(folder).is_empty()
}

/// What opens the copies of this machine.
pub fn local_identity(
    folder: &Path,
    secret_key: &SecretString,
) -> Result<Option<SecretString>, RebuildError> {
    let kept = Kept::beside(folder);
    Ok(kept.map(|kept| kept.identity(&Vault::new(secret_key))).transpose()?)
}

/// How many rows of each table a copy has.
pub async fn rows_by_table(
    file: &Path,
    identity: &SecretString,
) -> Result<BTreeMap<String, u64>, RebuildError> {
    #[derive(Deserialize)]
    struct OfTable {
        table: String,
    }
    let (file, own) = (file.to_owned(), identities(identity)?);
    let counting = tokio::task::spawn_blocking(move || {
        let mut rows = BTreeMap::new();
        each_line(&file, &own, |line| {
            if let Ok(row) = serde_json::from_str::<OfTable>(&line) {
                *rows.entry(row.table).or_default() += 1;
            }
            true
        })?;
        Ok(rows)
    });
    counting.await.map_err(|error| RebuildError::Copy(error.to_string()))?
}

/// Writes a copy into the database at `url`: see [`Catalog::restore`].
pub async fn restore_copy(
    file: &Path,
    identity: &SecretString,
    url: &SecretString,
    replace: bool,
    now: Timestamp,
) -> Result<(Catalog, u64), RebuildError> {
    let own = identities(identity)?;
    let (to, lines) = mpsc::channel(256);
    let reading = tokio::task::spawn_blocking({
        let file = file.to_owned();
        move || each_line(&file, &own, |line| to.blocking_send(line).is_ok())
    });
    let restored = Catalog::restore(url, replace, now, lines).await;
    let read = reading.await.map_err(|error| RebuildError::Copy(error.to_string()))?;
    // A copy that cannot be read to its end is the reason, not what the database missed.
    match (restored, read) {
        (Ok(done), Ok(())) => Ok(done),
        (Err(error), Ok(())) => Err(error.into()),
        (_, Err(error)) => Err(error),
    }
}

async fn download(store: &dyn Store, name: &CopyName, to: &Path) -> Result<(), RebuildError> {
    let told = |error: std::io::Error| {
        RebuildError::Store(StoreError::io("writing", &to.to_string_lossy(), &error))
    };
    let object = name.object().map_err(StoreError::from)?;
    let mut options = tokio::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(to).await.map_err(told)?;
    let mut stream = store.read(&object, None).await?;
    while let Some(chunk) = stream.try_next().await? {
        file.write_all(&chunk).await.map_err(told)?;
    }
    file.flush().await.map_err(told)
}

/// Reads all of a copy; gives the secret key in its first line.
async fn look(file: &Path, own: &Identities) -> Result<SecretString, RebuildError> {
    let (file, own) = (file.to_owned(), own.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let (mut first, mut last) = (String::new(), String::new());
        each_line(&file, &own, |line| {
            if first.is_empty() {
                first.clone_from(&line);
            }
            last = line;
            true
        })?;
        if !last.starts_with("{\"end\":true") {
            return Err(RebuildError::Copy("it was cut".to_owned()));
        }
        let head: Head = serde_json::from_str(&first)
            .map_err(|_| RebuildError::Copy("this is no copy of a catalog".to_owned()))?;
        Ok(head.secret_key)
    });
    looking.await.map_err(|error| RebuildError::Copy(error.to_string()))?
}

/// Hands each line to `take` while it wants more.
fn each_line(
    file: &Path,
    own: &Identities,
    mut take: impl FnMut(String) -> bool,
) -> Result<(), RebuildError> {
    let told = |error: std::io::Error| RebuildError::Copy(error.to_string());
    let sealed = BufReader::with_capacity(128 << 10, File::open(file).map_err(told)?);
    let plain = artifact::unseal(sealed, own).map_err(|error| match error {
        OpenError::Locked { reason } => {
            RebuildError::Copy(format!("{reason}: give the recovery key that was printed last"))
        }
        other => RebuildError::Copy(other.to_string()),
    })?;
    let mut plain = BufReader::with_capacity(128 << 10, plain);
    loop {
        let mut line = String::new();
        let read = plain.by_ref().take(MAX_LINE).read_line(&mut line).map_err(told)?;
        if read == 0 {
            return Ok(());
        }
        if !line.ends_with('\n') {
            return Err(RebuildError::Copy("a line of it does not end".to_owned()));
        }
        if !take(line) {
            return Ok(());
        }
    }
}

impl Engine {
    /// The objects at `destination`, for whoever reads copies of the catalog there.
    pub async fn open_destination(
        &self,
        destination: &Destination,
    ) -> Result<Arc<dyn Store>, EngineError> {
        self.0.store_for(destination).await
    }
}

//! An app's archive at its destination: a piece is put once, and read back proven.

use std::{path::Path, sync::Arc};

use artifact::{Identities, Recipients};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use model::{App, AppId, Destination, Fact, WalPiece, WalPieceKind, WalPieceState};
use ring::digest::{Context, SHA256};
use store::{CreateOptions, Key, Prefix, Store, StoreError};
use tokio::{io::AsyncWriteExt as _, time::Instant};

use super::{
    content::Content,
    names::{self, FOLDER, HASH, PieceName},
    pace::{Pace, Spent},
    seal::Sealing,
    unseal,
};
use crate::{Engine, EngineError, ops::recovery_plan::keeps_wal, repositories::is_repository};

/// Plain bytes of a piece. What was handed out counts only once the stream has ended well.
pub type WalStream = BoxStream<'static, Result<Bytes, EngineError>>;

/// Zeros that fill up a segment.
const ZEROS: &[u8] = &[0; 64 << 10];

/// What is to be put, its hash empty where it is not known yet.
pub(crate) type Unhashed = PieceName;

/// What became of a piece that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is durable since now.
    Stored(WalPiece),
    /// It was there already, with the same content.
    AlreadyThere(WalPiece),
}

/// An app's archive.
#[derive(Clone)]
pub(crate) struct Archive {
    pub(crate) app: AppId,
    pub(crate) destination: Destination,
    /// The app's folder there, without slashes around it.
    folder: String,
    pub(crate) store: Arc<dyn Store>,
    recipients: Option<Recipients>,
    identities: Identities,
    pace: Arc<Pace>,
}

impl Engine {
    /// The archive of `app`, opened.
    pub(crate) async fn wal_archive(&self, app: &App) -> Result<Archive, EngineError> {
        let Some(plan) = &app.recovery else {
            return Err(EngineError::refused(Fact::NoWalArchive { app: app.name.to_string() }));
        };
        let binding = app.destinations.iter().find(|one| one.destination_id == plan.destination);
        let folder = binding.map_or("", |binding| binding.folder.trim_matches('/')).to_owned();
        let destination = self.0.catalog.destination(plan.destination).await?;
        if !keeps_wal(&destination) {
            return Err(EngineError::refused(Fact::At {
                place: format!("`{}`", destination.name),
                why: Fact::NoWalThere {}.into(),
            }));
        }
        let store = self.0.wal_store(&destination).await?;
        let (recipients, identities) = if is_repository(&destination) {
            let (recipients, identities) =
                super::keys::of_repository(self, &destination, store.as_ref(), &folder).await?;
            (Some(recipients), identities)
        } else {
            let locked = |failure: model::Failure| EngineError::locked(failure);
            (
                self.0.recipients_of(&destination).map_err(locked)?,
                self.0.identities_of(&destination).map_err(locked)?,
            )
        };
        Ok(Archive {
            app: app.id,
            destination,
            folder,
            store,
            recipients,
            identities,
            pace: Arc::default(),
        })
    }
}

impl Archive {
    /// Where all of it lies.
    pub(crate) fn prefix(&self) -> Result<Prefix, EngineError> {
        let text = self.inside(FOLDER);
        Prefix::new(&text).map_err(|error| {
            EngineError::Store(StoreError::config(format!("`{text}` is no folder: {error}")))
        })
    }

    /// The server is `bytes` ahead of what is put next.
    pub(super) fn behind(&self, bytes: u64, segment_bytes: u64) {
        self.pace.note(bytes, segment_bytes);
    }

    fn inside(&self, path: &str) -> String {
        if self.folder.is_empty() { path.to_owned() } else { format!("{}/{path}", self.folder) }
    }

    /// What `key` is called within the app's folder.
    pub(crate) fn within<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.folder.is_empty() {
            return Some(key);
        }
        key.strip_prefix(&self.folder)?.strip_prefix('/')
    }

    /// Puts a piece and proves that it is there whole. One of the same content is not put twice;
    /// one of other content is refused: [`EngineError::Conflict`].
    pub(crate) async fn put(
        &self,
        engine: &Engine,
        what: &Unhashed,
        content: Content,
    ) -> Result<Put, EngineError> {
        let hash =
            if what.hash.is_empty() { hash(content.clone()).await? } else { what.hash.clone() };
        let name = PieceName { hash, ..what.clone() };
        let known = engine.0.catalog.wal_named(self.app, &name.file).await?;
        let own = |one: &&WalPiece| {
            one.system == name.system.to_string()
                && one.kind == name.kind
                && (name.kind != WalPieceKind::Beginning || one.end.0 == name.end.0)
        };
        let mut before = known.iter().filter(own);
        if let Some(other) = before.clone().find(|one| one.hash != name.hash)
            && name.kind != WalPieceKind::Beginning
        {
            return Err(EngineError::conflict(Fact::WalElseNow {
                file: name.file.clone(),
                there: other.hash.clone(),
                now: name.hash.clone(),
            }));
        }
        if let Some(same) = before.find(|one| one.hash == name.hash) {
            match same.state {
                WalPieceState::Good => return Ok(Put::AlreadyThere(same.clone())),
                WalPieceState::Damaged => self.store.delete(&key(&same.key)?).await?,
                WalPieceState::Missing => {}
            }
        }
        let text = self.inside(&name.path(self.recipients.is_some()));
        let at = key(&text)?;
        match self.upload(&at, content.clone(), &name.hash).await {
            Ok(meta) => {
                let history = match name.kind {
                    WalPieceKind::History => Some(text_of(content).await?),
                    _ => None,
                };
                let modified_at = meta.modified_at.and_then(|at| at.try_into().ok());
                let piece = name.piece(self.app, &text, meta.size_bytes, engine.now());
                let piece = WalPiece { history, modified_at, ..piece };
                engine.0.catalog.put_wal(&piece).await?;
                Ok(Put::Stored(piece))
            }
            Err(EngineError::Store(error)) if error.is_already_exists() => {
                // Put by an earlier try of which nobody has heard.
                self.adopt(engine, &name, &at).await.map(Put::AlreadyThere)
            }
            Err(error) => Err(error),
        }
    }

    async fn upload(
        &self,
        key: &Key,
        mut content: Content,
        hash: &str,
    ) -> Result<store::ObjectMeta, EngineError> {
        let mut upload = self.store.create(key, &CreateOptions::default()).await?;
        let mut spent = Spent::default();
        let sent = async {
            let recipients = self.recipients.clone();
            let mut sealing = if self.pace.is_hurried() {
                Sealing::hurried(recipients)?
            } else {
                Sealing::new(recipients)?
            };
            while let Some(chunk) = content.next().await.map_err(unreadable)? {
                let begun = Instant::now();
                let (on, packed) = sealing.push(chunk).await?;
                sealing = on;
                let compressed = Instant::now();
                for bytes in packed {
                    upload.write(bytes).await?;
                }
                spent.compressing += compressed - begun;
                spent.writing += compressed.elapsed();
            }
            let (packed, sealed) = sealing.finish().await?;
            // Between the network and here it lay in memory or in the spool.
            if hash_text(sealed.plain.sha256.as_bytes()) != hash {
                let how = format!("{key}: what is in the spool is not what came");
                return Err(EngineError::damaged(how));
            }
            for bytes in packed {
                upload.write(bytes).await?;
            }
            Ok::<_, EngineError>(sealed.stored.size_bytes)
        };
        let size_bytes = match sent.await {
            Ok(size_bytes) => size_bytes,
            Err(error) => {
                // What is left of it is swept.
                let _ = upload.abort().await;
                return Err(error);
            }
        };
        let written = Instant::now();
        let meta = upload.finish().await?;
        spent.writing += written.elapsed();
        self.pace.took(spent);
        if meta.size_bytes == size_bytes {
            return Ok(meta);
        }
        let how = format!("has {} bytes there, {size_bytes} were sent", meta.size_bytes);
        // It is not what its name says.
        let _ = self.store.delete(key).await;
        Err(StoreError::mismatch(key, &how).into())
    }

    /// Takes an object into the catalog that was there before; it is read and proven first.
    pub(crate) async fn adopt(
        &self,
        engine: &Engine,
        name: &PieceName,
        key: &Key,
    ) -> Result<WalPiece, EngineError> {
        let meta = self.store.stat(key).await?;
        let mut piece = name.piece(self.app, key.as_str(), meta.size_bytes, engine.now());
        piece.modified_at = meta.modified_at.and_then(|at| at.try_into().ok());
        if name.kind == WalPieceKind::History {
            let bytes = self.small(&piece).await?;
            piece.history = Some(String::from_utf8_lossy(&bytes).into_owned());
        } else {
            self.prove(&piece).await?;
        }
        engine.0.catalog.put_wal(&piece).await?;
        Ok(piece)
    }

    /// Reads all of a piece; an error unless it is what its name says.
    pub(crate) async fn prove(&self, piece: &WalPiece) -> Result<(), EngineError> {
        self.get(piece).await?.try_for_each(|_| async { Ok(()) }).await
    }

    async fn small(&self, piece: &WalPiece) -> Result<Vec<u8>, EngineError> {
        let chunks: Vec<Bytes> = self.get(piece).await?.try_collect().await?;
        Ok(chunks.concat())
    }

    /// The plain bytes of a piece; the stream ends in [`EngineError::Damaged`] where they are not
    /// what was put.
    pub(crate) async fn get(&self, piece: &WalPiece) -> Result<WalStream, EngineError> {
        let stored = self.store.read(&key(&piece.key)?, None).await?;
        let is_encrypted = names::is_encrypted(&piece.key);
        Ok(unseal::open(stored, is_encrypted, self.identities.clone(), piece.clone()))
    }

    /// The same, with zeros after a beginning up to a whole segment.
    pub(crate) async fn get_whole(&self, piece: &WalPiece) -> Result<WalStream, EngineError> {
        let stream = self.get(piece).await?;
        let end = piece.start.0 + piece.segment_bytes;
        let mut missing = match piece.kind {
            WalPieceKind::Segment | WalPieceKind::Beginning => end.saturating_sub(piece.end.0),
            WalPieceKind::History | WalPieceKind::Label => 0,
        };
        let zeros = std::iter::from_fn(move || {
            let now = missing.min(ZEROS.len() as u64);
            missing -= now;
            let now = usize::try_from(now).unwrap_or(0);
            (now > 0).then(|| Ok(Bytes::from_static(&ZEROS[..now])))
        });
        Ok(stream.chain(futures::stream::iter(zeros)).boxed())
    }

    /// Writes a piece into a new file at `path`, a beginning filled up with zeros to a whole
    /// segment. Only a file that was written without an error is to be used.
    pub(crate) async fn fetch_to(&self, piece: &WalPiece, path: &Path) -> Result<(), EngineError> {
        let told = |error: std::io::Error| {
            EngineError::refused(Fact::NotWritable {
                path: path.display().to_string(),
                why: error.to_string(),
            })
        };
        let mut stream = self.get_whole(piece).await?;
        let mut file = tokio::fs::File::create_new(path).await.map_err(told)?;
        while let Some(chunk) = stream.try_next().await? {
            file.write_all(&chunk).await.map_err(told)?;
        }
        file.sync_all().await.map_err(told)
    }

    /// Deletes exactly the object of `piece`, then forgets it.
    pub(crate) async fn delete(
        &self,
        engine: &Engine,
        piece: &WalPiece,
    ) -> Result<(), EngineError> {
        self.store.delete(&key(&piece.key)?).await?;
        Ok(engine.0.catalog.forget_wal(self.app, std::slice::from_ref(&piece.key)).await?)
    }
}

pub(crate) fn key(text: &str) -> Result<Key, EngineError> {
    Key::new(text).map_err(|error| {
        EngineError::Store(StoreError::config(format!("`{text}` cannot be a name: {error}")))
    })
}

fn unreadable(error: std::io::Error) -> EngineError {
    EngineError::Store(StoreError::internal(format!("WAL in the spool cannot be read: {error}")))
}

/// The first hex digits of a content's SHA-256.
async fn hash(mut content: Content) -> Result<String, EngineError> {
    let mut context = Context::new(&SHA256);
    while let Some(chunk) = content.next().await.map_err(unreadable)? {
        // Work for a processor, a few milliseconds for each chunk.
        context = tokio::task::spawn_blocking(move || {
            context.update(&chunk);
            context
        })
        .await
        .map_err(|error| unreadable(std::io::Error::other(error)))?;
    }
    Ok(hash_text(context.finish().as_ref()))
}

/// The first hex digits of a SHA-256.
pub(super) fn hash_text(sha256: &[u8]) -> String {
    let mut text = hex::encode(sha256);
    text.truncate(HASH);
    text
}

async fn text_of(mut content: Content) -> Result<String, EngineError> {
    let mut all = Vec::new();
    while let Some(chunk) = content.next().await.map_err(unreadable)? {
        all.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

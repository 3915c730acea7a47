//! The catalog's own copies: made once, encrypted to the recovery key, put to every destination
//! that wants one, read back, and thinned out.

use std::{
    collections::BTreeMap,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use artifact::{Compression, Digest, Digester, Encrypter, Recipe, Recipients, Sealer};
use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use model::{Destination, DestinationId, EventKind, Fact, Severity};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use store::{CreateOptions, Prefix, Store};
use tokio::{io::AsyncReadExt as _, sync::mpsc};

use super::{
    key::{self, Kept},
    names::{CopyName, FOLDER, too_many},
};
use crate::{Engine, EngineError, durable, stores::folder_is_drive_id};

const SETTING: &str = "catalog_copies";
/// Destinations that want no copy have this set to `true`.
pub(crate) const UNWANTED: &str = "no_catalog_copy";
const CHUNK: usize = 128 << 10;
/// Lines on their way from the database to the file.
const LINES: usize = 256;

/// How the catalog's own copies stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CopiesState {
    /// When the last one was made.
    pub made_at: Option<Timestamp>,
    /// Why the last one could not be made.
    pub problem: Option<String>,
    /// How it stands at each destination, by its id.
    pub places: BTreeMap<DestinationId, PlaceState>,
    /// Tells whether settings have changed since.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub settings_mark: String,
    /// Tells whether anything has been recorded since.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub records_mark: String,
}

/// The newest copy at one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaceState {
    /// When the newest good one was made.
    pub at: Option<Timestamp>,
    /// Its name there.
    pub object: Option<String>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Why the last one is not there.
    pub problem: Option<String>,
}

impl CopiesState {
    /// Everything that is wrong, for one look.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        let places = self.places.values().filter_map(|place| place.problem.as_deref());
        self.problem.as_deref().into_iter().chain(places)
    }
}

/// What was made.
struct Made {
    name: CopyName,
    file: PathBuf,
    digest: Digest,
}

impl Engine {
    /// How the catalog's own copies stand.
    pub async fn catalog_copies(&self) -> Result<CopiesState, EngineError> {
        let text = self.0.catalog.setting(SETTING).await?;
        // What cannot be read tells nothing; the next copy replaces it.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Makes a copy of the catalog now and puts it to every destination that wants one. What fails
    /// is in the answer and raises an event; where no copy could be made at all, the others stay.
    pub async fn copy_catalog(&self) -> Result<CopiesState, EngineError> {
        let before = self.catalog_copies().await?;
        let mut state = CopiesState {
            settings_mark: mark(&self.0.catalog.settings_marks().await?),
            records_mark: mark(&self.0.catalog.record_marks().await?),
            ..before.clone()
        };
        match self.make().await {
            Ok(made) => {
                state.made_at = Some(made.name.at);
                state.problem = None;
                self.put_everywhere(&made, &mut state).await?;
            }
            Err(error) => {
                state.problem = Some(error.to_string());
                state.settings_mark = before.settings_mark.clone();
            }
        }
        let text = serde_json::to_string(&state).unwrap_or_default();
        self.0.catalog.set_setting(SETTING, &text).await?;
        self.tell_problems(&before, &state).await?;
        self.remind_of_kit().await?;
        Ok(state)
    }

    async fn make(&self) -> Result<Made, EngineError> {
        let kept = self.recovery_key().await?;
        let name = CopyName { at: self.now(), key: kept.mark()? };
        let folder = self.0.config.catalog_copies.clone();
        let extra = serde_json::json!({
            "made_at": self.now(),
            "producer": self.0.config.producer,
            "secret_key": self.0.vault.secret_key().expose_secret(),
        });
        let (to, lines) = mpsc::channel(LINES);
        let writing = tokio::task::spawn_blocking({
            let (name, folder) = (name.clone(), folder.clone());
            move || write_file(&folder, &name, &kept, lines)
        });
        let exported = self.0.catalog.export(extra, to).await;
        let written = writing.await.map_err(|error| EngineError::damaged(error.to_string()))?;
        exported?;
        let (file, digest) = written?;
        thin_out_local(&folder, &name.key);
        Ok(Made { name, file, digest })
    }

    async fn put_everywhere(
        &self,
        made: &Made,
        state: &mut CopiesState,
    ) -> Result<(), EngineError> {
        let all = self.0.catalog.all_destinations().await?;
        state.places.retain(|id, _| all.iter().any(|one| one.id == *id && is_wanted(one)));
        for destination in all.iter().filter(|one| is_wanted(one)) {
            let place = state.places.entry(destination.id).or_default();
            match self.put_copy(made, destination).await {
                Ok(object) => {
                    *place = PlaceState {
                        at: Some(made.name.at),
                        object: Some(object),
                        size_bytes: made.digest.size_bytes,
                        problem: None,
                    };
                }
                Err(error) => place.problem = Some(format!("{}: {error}", destination.name)),
            }
        }
        Ok(())
    }

    async fn put_copy(&self, made: &Made, at: &Destination) -> Result<String, EngineError> {
        let store = self.0.store_for(at).await?;
        let object = made.name.object().map_err(store::StoreError::from)?;
        let options = CreateOptions {
            size_hint_bytes: Some(made.digest.size_bytes),
            most_bytes: Some(made.digest.size_bytes),
            tags: vec!["catalog".to_owned()],
        };
        let mut upload = store.create(&object, &options).await?;
        if let Err(error) = send(&made.file, upload.as_mut()).await {
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.finish().await?;
        let mut found = Digester::new();
        let mut stream = store.read(&object, None).await?;
        while let Some(chunk) = stream.try_next().await? {
            found.update(&chunk);
        }
        if found.finish() != made.digest {
            // It is ours, and nobody may take it for good.
            let _ = store.delete(&object).await;
            return Err(store::StoreError::mismatch(&object, "reads back differently").into());
        }
        if !at.append_only
            && let Err(error) = thin_out(store.as_ref(), &made.name.key).await
        {
            tracing::warn!(%error, destination = %at.name, "old copies of the catalog stay");
        }
        Ok(object.to_string())
    }

    /// An event for each problem that was not there before.
    async fn tell_problems(
        &self,
        before: &CopiesState,
        now: &CopiesState,
    ) -> Result<(), EngineError> {
        let kind = EventKind::CatalogCopyFailed;
        if let Some(problem) = now.problem.as_ref().filter(|_| before.problem != now.problem) {
            let told = Fact::CatalogNotCopied { why: problem.clone() };
            self.tell(kind, Severity::Error, None, told).await?;
        }
        for (id, place) in &now.places {
            let known = before.places.get(id).and_then(|place| place.problem.as_ref());
            if let Some(problem) = place.problem.as_ref().filter(|now| known != Some(now)) {
                let told = Fact::CatalogCopyGone { why: problem.clone() };
                self.tell(kind, Severity::Error, Some(*id), told).await?;
            }
        }
        Ok(())
    }
}

/// Whether copies of the catalog go to `destination`.
pub fn is_wanted(destination: &Destination) -> bool {
    let refused = destination.settings.get(UNWANTED).is_some_and(|value| value == "true");
    // Where the first folder of a name is an id of Google's, there is no place for one of ours.
    !refused && !folder_is_drive_id(destination)
}

/// One short text for many lines.
pub(crate) fn mark(lines: &[String]) -> String {
    artifact::Sha256::of(lines.join("\n").as_bytes()).to_string().chars().take(32).collect()
}

/// Writes the lines to the file of local copies, under its name only when whole.
fn write_file(
    folder: &Path,
    name: &CopyName,
    kept: &Kept,
    lines: mpsc::Receiver<String>,
) -> Result<(PathBuf, Digest), EngineError> {
    let told = |error: std::io::Error| {
        EngineError::Store(store::StoreError::io("writing into", &folder.to_string_lossy(), &error))
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(told)?;
    put_private(&folder.join(key::FILE), kept.to_text().as_bytes()).map_err(told)?;
    let path = folder.join(name.file());
    let partial = path.with_added_extension("partial");
    let mut file = private(&partial).map_err(told)?;
    let digest = match seal_lines(&kept.recipients()?, lines, &mut file) {
        Ok(digest) => digest,
        Err(error) => {
            let _ = std::fs::remove_file(&partial);
            return Err(error);
        }
    };
    file.sync_all().map_err(told)?;
    durable::rename(&partial, &path).map_err(told)?;
    Ok((path, digest))
}

fn seal_lines(
    recipients: &Recipients,
    mut lines: mpsc::Receiver<String>,
    file: &mut std::fs::File,
) -> Result<Digest, EngineError> {
    let told = |error: std::io::Error| {
        EngineError::Store(store::StoreError::io("writing", "the copy of the catalog", &error))
    };
    let sealing = |error: artifact::SealError| EngineError::damaged(error.to_string());
    let mut sealer = Sealer::new(Recipe::new(Compression::default())).map_err(sealing)?;
    let mut encrypter = Encrypter::new(recipients).map_err(sealing)?;
    let mut ready: Vec<Bytes> = Vec::new();
    while let Some(line) = lines.blocking_recv() {
        sealer.push(line.into(), &mut |bytes| ready.push(bytes)).map_err(sealing)?;
        encrypt(&mut encrypter, &mut ready, file)?;
    }
    sealer.finish(&mut |bytes| ready.push(bytes)).map_err(sealing)?;
    encrypt(&mut encrypter, &mut ready, file)?;
    let mut last = Vec::new();
    let digest = encrypter.finish(&mut |bytes| last.push(bytes)).map_err(sealing)?;
    last.iter().try_for_each(|bytes| file.write_all(bytes)).map_err(told)?;
    Ok(digest)
}

fn encrypt(
    encrypter: &mut Encrypter,
    ready: &mut Vec<Bytes>,
    file: &mut std::fs::File,
) -> Result<(), EngineError> {
    for bytes in ready.drain(..) {
        let mut written = Ok(());
        encrypter
            .push(&bytes, &mut |out| {
                if written.is_ok() {
                    written = file.write_all(&out);
                }
            })
            .map_err(|error| EngineError::damaged(error.to_string()))?;
        written.map_err(|error| {
            EngineError::Store(store::StoreError::io("writing", "the copy of the catalog", &error))
        })?;
    }
    Ok(())
}

fn private(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn put_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    let partial = path.with_added_extension("partial");
    let mut file = private(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    durable::rename(&partial, path)
}

async fn send(file: &Path, upload: &mut dyn store::Upload) -> Result<(), EngineError> {
    let told = |error: std::io::Error| {
        EngineError::Store(store::StoreError::io("reading", &file.to_string_lossy(), &error))
    };
    let mut file = tokio::fs::File::open(file).await.map_err(told)?;
    loop {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK);
        if file.read_buf(&mut chunk).await.map_err(told)? == 0 {
            return Ok(());
        }
        upload.write(chunk.freeze()).await?;
    }
}

/// Removes what is too old of the copies to `key`.
async fn thin_out(store: &dyn Store, key: &str) -> Result<(), EngineError> {
    let folder = Prefix::new(FOLDER).map_err(store::StoreError::from)?;
    let listed: Vec<_> = store.list(&folder).await?.try_collect().await?;
    let ours = listed.iter().filter_map(|object| CopyName::of_object(object.key.as_str()));
    for old in too_many(ours.filter(|name| name.key == key).collect()) {
        store.delete(&old.object().map_err(store::StoreError::from)?).await?;
    }
    Ok(())
}

/// Copies in the folder of local ones.
pub(crate) fn local_copies(folder: &Path) -> Vec<CopyName> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| CopyName::of_file(entry.file_name().to_str()?)).collect()
}

fn thin_out_local(folder: &Path, key: &str) {
    let mut ours = local_copies(folder);
    ours.retain(|name| name.key == key);
    for old in too_many(ours) {
        if let Err(error) = std::fs::remove_file(folder.join(old.file())) {
            tracing::warn!(%error, "an old copy of the catalog stays");
        }
    }
}

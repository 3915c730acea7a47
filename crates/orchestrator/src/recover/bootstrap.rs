//! `bootstrap`: everything back on a bare machine, from one destination and the recovery key.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use catalog::Catalog;
use engine::{
    DestinationDraft, Engine, EngineConfig, Parts, Reindexed, SystemClock, Vault,
    recovery::{self, Fetched, address, rebuild},
};
use model::{Clock as _, Destination, DestinationKind, Fact, Sentence};
use rand::SeedableRng as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::files::{keep_aside, put_in_place, remove_all, sqlite_url, write_private};
use crate::{
    serve,
    settings::{Settings, private_file, random_secret},
};

/// What was asked for.
pub(crate) struct Request {
    pub(crate) kind: DestinationKind,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, SecretString>,
    /// The recovery key; `None` reads manifests alone.
    pub(crate) identity: Option<SecretString>,
    /// What the destination is called where the catalog does not know it.
    pub(crate) name: String,
    /// Which destination of the restored catalog it is, where its place has another address now.
    pub(crate) known_as: Option<String>,
    pub(crate) force: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumIter)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Step {
    /// The copy is looked for and read.
    Fetch,
    /// It is written into a new catalog.
    Write,
    /// The manifests at its destination are read.
    Manifests,
}

/// What was found at a destination, before anything is changed.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// When the newest good copy of the catalog was made.
    pub(crate) at: jiff::Timestamp,
    /// Rows by table.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Newer copies that cannot be used, and why.
    pub(crate) passed_over: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Done {
    /// When the copy that was used was made.
    pub(crate) copy_of: Option<jiff::Timestamp>,
    /// Rows that came from it.
    pub(crate) rows: u64,
    /// Copies that could not be used, and why.
    pub(crate) passed_over: Vec<String>,
    /// What the destination is called now.
    pub(crate) destination: String,
    /// What its manifests told.
    pub(crate) reindexed: Reindexed,
    /// What was kept aside.
    #[schema(value_type = Vec<String>)]
    pub(crate) kept_aside: Vec<PathBuf>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BootstrapError {
    /// Nothing of ours is there.
    #[error(
        "there is no copy of a catalog there: is it the right place? Snapshots alone are read by \
         `backup-orchestrator bootstrap --manifests-only`"
    )]
    NothingThere,
    /// There are copies, and none can be used.
    #[error(
        "no copy of the catalog there can be used: {0}; give the right key, or --manifests-only \
         for the snapshots alone"
    )]
    NoneUsable(String),
    /// The environment has a key that opens nothing of the copy.
    #[error(
        "APP_SECRET_KEY is another than the one in the copy, which alone opens its secrets: take \
         it out of the environment; the right one is written into the data folder"
    )]
    OtherKey,
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Wrong(Box<Sentence>),
    #[error("{0}")]
    Failed(String),
}

impl From<BootstrapError> for Fact {
    fn from(error: BootstrapError) -> Self {
        match error {
            BootstrapError::NothingThere => Self::NoCatalogCopy {},
            BootstrapError::NoneUsable(why) => Self::NoCopyUsable { why },
            BootstrapError::OtherKey => Self::OtherSecretKey {},
            BootstrapError::Wrong(told) => {
                let Sentence { message, fact } = *told;
                fact.unwrap_or_else(|| Self::said(message))
            }
            BootstrapError::Refused(said) | BootstrapError::Failed(said) => Self::said(said),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> BootstrapError {
    BootstrapError::Failed(error.to_string())
}

fn about(path: &Path) -> impl Fn(std::io::Error) -> BootstrapError {
    move |error| BootstrapError::Failed(format!("{}: {error}", path.display()))
}

/// Looks what there is to come back to. Nothing of the catalog is changed.
pub(crate) async fn look(settings: &Settings, request: &Request) -> Result<Found, BootstrapError> {
    let identity = request.identity.as_ref().ok_or_else(|| failed("there is no key"))?;
    let fetched = fetch(settings, request, identity).await?.ok_or(BootstrapError::NothingThere)?;
    is_same_key(settings, &fetched)?;
    let rows = rebuild::rows_by_table(&fetched.file, identity).await.map_err(failed)?;
    Ok(Found { at: fetched.name.at, rows, passed_over: fetched.passed_over })
}

/// Rebuilds the catalog and the settings of this machine; tells `on_step` how far it is.
pub(crate) async fn bootstrap(
    settings: &Settings,
    request: Request,
    on_step: &(dyn Fn(Step) + Sync),
) -> Result<Done, BootstrapError> {
    on_step(Step::Fetch);
    let data = &settings.data_dir;
    serve::make_folder(data).map_err(failed)?;
    let _lock = serve::lock(data).map_err(|error| BootstrapError::Refused(error.to_string()))?;
    let place = Place::new(settings);
    place.must_be_blank(request.force).await?;

    let mut done = Done {
        copy_of: None,
        rows: 0,
        passed_over: Vec::new(),
        destination: request.name.clone(),
        reindexed: Reindexed::default(),
        kept_aside: Vec::new(),
    };
    let found = match &request.identity {
        Some(identity) => fetch(settings, &request, identity).await?,
        None => None,
    };
    if let Some(found) = &found {
        done.passed_over.clone_from(&found.passed_over);
    }
    on_step(Step::Write);
    // Whole before anything that is there is touched.
    let loaded = match (&found, &request.identity) {
        (Some(found), Some(identity)) => place.load(found, identity).await?,
        _ => None,
    };
    let key = place.settle_key(settings, found.as_ref(), request.force, &mut done)?;
    if let (Some(found), Some(identity)) = (&found, &request.identity) {
        done.copy_of = Some(found.name.at);
        done.rows = match loaded {
            Some(rows) => place.take(rows, &mut done)?,
            None => place.restore(found, identity, request.force, &mut done).await?,
        };
    } else if place.file.is_some() {
        place.move_aside(&mut done)?;
    }
    let catalog = Catalog::open(&place.url, 8).await.map_err(failed)?;
    let engine = engine_on(catalog, &key, settings.engine.clone());
    serve::check_key(&engine).await.map_err(failed)?;
    let from = done
        .copy_of
        .map_or_else(|| model::Fact::ManifestsAlone {}, |at| model::Fact::CopyAndManifests { at });
    engine.hold_after_recovery(from, true).await.map_err(failed)?;
    let destination = settle_destination(&engine, request).await?;
    done.destination = destination.name.to_string();
    on_step(Step::Manifests);
    done.reindexed = engine.reindex(&destination).await.map_err(failed)?;
    Ok(done)
}

/// Where the catalog is to be.
struct Place {
    data: PathBuf,
    /// Its file, where it is SQLite.
    file: Option<PathBuf>,
    url: SecretString,
}

impl Place {
    fn new(settings: &Settings) -> Self {
        let data = settings.data_dir.clone();
        match &settings.database_url {
            Some(url) => Self { data, file: None, url: url.clone() },
            None => {
                let file = data.join(serve::CATALOG);
                Self { data, url: sqlite_url(&file), file: Some(file) }
            }
        }
    }

    async fn must_be_blank(&self, force: bool) -> Result<(), BootstrapError> {
        let what = match &self.file {
            Some(file) if !file.exists() => return Ok(()),
            Some(file) => file.display().to_string(),
            None => "the database that DATABASE_URL names".to_owned(),
        };
        if force {
            return Ok(());
        }
        let refuse = |why: &str| {
            Err(BootstrapError::Refused(format!(
                "{what} {why}: choose another (BACKUP_DATA_DIR, DATABASE_URL), or give --force; \
                 it is kept aside then"
            )))
        };
        match Catalog::open(&self.url, 2).await {
            Ok(catalog) => match catalog.is_blank().await {
                Ok(true) => catalog.close().await.map_err(failed),
                Ok(false) => refuse("holds a catalog already"),
                Err(error) => refuse(&format!("cannot be read ({error})")),
            },
            Err(error) if self.file.is_some() => refuse(&format!("cannot be read ({error})")),
            Err(error) => Err(failed(error)),
        }
    }

    /// The key that opens the catalog's secrets, where `serve` will find it.
    fn settle_key(
        &self,
        settings: &Settings,
        found: Option<&Fetched>,
        force: bool,
        done: &mut Done,
    ) -> Result<SecretString, BootstrapError> {
        let path = self.data.join(serve::SECRET_KEY);
        let Some(found) = found else {
            return match &settings.secret_key {
                Some(key) => Ok(key.clone()),
                None => private_file(&path, random_secret).map(Into::into).map_err(about(&path)),
            };
        };
        let wanted = found.secret_key.expose_secret();
        is_same_key(settings, found)?;
        if settings.secret_key.is_some() {
            return Ok(found.secret_key.clone());
        }
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim() == wanted => return Ok(found.secret_key.clone()),
            Ok(_) if force || self.file.as_ref().is_none_or(|file| !file.exists()) => {
                let kept = keep_aside(&path, "before-bootstrap", SystemClock.now());
                done.kept_aside.extend(kept.map_err(about(&path))?);
            }
            Ok(_) => {
                return Err(BootstrapError::Refused(format!(
                    "{} holds another key: give --force; it is kept aside then",
                    path.display()
                )));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(about(&path)(error)),
        }
        write_private(&path, wanted).map_err(about(&path))?;
        Ok(found.secret_key.clone())
    }

    /// Writes the copy into a file of its own, where the catalog is one; gives its rows.
    async fn load(
        &self,
        found: &Fetched,
        identity: &SecretString,
    ) -> Result<Option<u64>, BootstrapError> {
        let Some(new) = self.new_file() else { return Ok(None) };
        remove_all(&new).map_err(about(&new))?;
        let (catalog, rows) = recovery::restore_copy(
            &found.file,
            identity,
            &sqlite_url(&new),
            true,
            SystemClock.now(),
        )
        .await
        .map_err(failed)?;
        catalog.close().await.map_err(failed)?;
        Ok(Some(rows))
    }

    /// Puts the file that was written in the catalog's place.
    fn take(&self, rows: u64, done: &mut Done) -> Result<u64, BootstrapError> {
        if let (Some(file), Some(new)) = (&self.file, self.new_file()) {
            self.move_aside(done)?;
            put_in_place(&new, file).map_err(about(file))?;
        }
        Ok(rows)
    }

    fn new_file(&self) -> Option<PathBuf> {
        self.file.as_ref().map(|file| file.with_added_extension("restoring"))
    }

    /// Writes the copy into a database that is no file of ours.
    async fn restore(
        &self,
        found: &Fetched,
        identity: &SecretString,
        force: bool,
        done: &mut Done,
    ) -> Result<u64, BootstrapError> {
        let now = SystemClock.now();
        if force {
            self.save_rows(done).await?;
        }
        let (catalog, rows) = recovery::restore_copy(&found.file, identity, &self.url, force, now)
            .await
            .map_err(failed)?;
        catalog.close().await.map_err(failed)?;
        Ok(rows)
    }

    fn move_aside(&self, done: &mut Done) -> Result<(), BootstrapError> {
        let Some(file) = &self.file else { return Ok(()) };
        let kept = keep_aside(file, "before-bootstrap", SystemClock.now());
        done.kept_aside.extend(kept.map_err(about(file))?);
        Ok(())
    }

    /// What the database holds now, as lines of JSON: its secrets stay sealed.
    async fn save_rows(&self, done: &mut Done) -> Result<(), BootstrapError> {
        let catalog = Catalog::open(&self.url, 2).await.map_err(failed)?;
        if catalog.is_blank().await.map_err(failed)? {
            return catalog.close().await.map_err(failed);
        }
        let time = SystemClock.now().as_second();
        let path = self.data.join(format!("catalog.before-bootstrap-{time}.jsonl"));
        let (to, mut lines) = tokio::sync::mpsc::channel::<String>(256);
        let writing = tokio::task::spawn_blocking({
            let path = path.clone();
            move || {
                use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
                let mut options = std::fs::OpenOptions::new();
                let file = options.write(true).create_new(true).mode(0o600).open(path)?;
                let mut file = std::io::BufWriter::new(file);
                while let Some(line) = lines.blocking_recv() {
                    file.write_all(line.as_bytes())?;
                }
                file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
            }
        });
        catalog.export(serde_json::json!({}), to).await.map_err(failed)?;
        writing.await.map_err(failed)?.map_err(about(&path))?;
        done.kept_aside.push(path);
        catalog.close().await.map_err(failed)
    }
}

/// The newest good copy at the destination; `None` where none was ever put there.
async fn fetch(
    settings: &Settings,
    request: &Request,
    identity: &SecretString,
) -> Result<Option<Fetched>, BootstrapError> {
    // The destination is opened by an engine of its own, which forgets everything.
    let catalog = Catalog::open(&"sqlite::memory:".into(), 1).await.map_err(failed)?;
    let engine = engine_on(catalog, &random_secret().into(), settings.engine.clone());
    let destination = engine.add_destination(draft(request)).await.map_err(wrong)?;
    let store = engine.open_destination(&destination).await.map_err(failed)?;
    let folder = &settings.engine.catalog_copies;
    serve::make_folder(folder).map_err(failed)?;
    let (found, passed_over) =
        rebuild::fetch_newest(store.as_ref(), identity, folder).await.map_err(failed)?;
    match found {
        Some(found) => Ok(Some(found)),
        None if passed_over.is_empty() => Ok(None),
        None => Err(BootstrapError::NoneUsable(passed_over.join("; "))),
    }
}

/// Errs where the environment names another key than the one that opens the copy's secrets.
fn is_same_key(settings: &Settings, found: &Fetched) -> Result<(), BootstrapError> {
    let given = settings.secret_key.as_ref().map(SecretString::expose_secret);
    if given.is_none_or(|given| given == found.secret_key.expose_secret()) {
        return Ok(());
    }
    Err(BootstrapError::OtherKey)
}

fn engine_on(catalog: Catalog, key: &SecretString, config: EngineConfig) -> Engine {
    Engine::new(Parts {
        catalog,
        clock: Arc::new(SystemClock),
        vault: Vault::new(key),
        config,
        wording: Arc::new(engine::PlainWording),
        rng: rand::rngs::StdRng::from_rng(&mut rand::rng()),
    })
}

fn wrong(error: engine::EngineError) -> BootstrapError {
    match error {
        engine::EngineError::Invalid(_) => BootstrapError::Wrong(Box::new(error.sentence())),
        other => failed(other),
    }
}

fn draft(request: &Request) -> DestinationDraft {
    DestinationDraft {
        name: request.name.clone(),
        kind: request.kind.to_string(),
        settings: request.settings.clone(),
        secrets: request.secrets.clone(),
        ..DestinationDraft::default()
    }
}

/// The destination as the catalog has it: the one that lies there, or a new one.
async fn settle_destination(
    engine: &Engine,
    request: Request,
) -> Result<Destination, BootstrapError> {
    let all = engine.catalog().all_destinations().await.map_err(failed)?;
    let found = match &request.known_as {
        Some(name) => {
            let by_name = |one: &&Destination| one.name.as_str().eq_ignore_ascii_case(name);
            let known: Vec<_> = all.iter().map(|one| one.name.to_string()).collect();
            Some(all.iter().find(by_name).ok_or_else(|| {
                let known = known.join(", ");
                let told = format!("--destination: the catalog has no `{name}`; it has {known}");
                BootstrapError::Wrong(Box::new(told.into()))
            })?)
        }
        None => all.iter().find(|one| {
            one.kind == request.kind && address::is_same_place(&one.settings, &request.settings)
        }),
    };
    let Some(found) = found else {
        return engine.add_destination(draft(&request)).await.map_err(wrong);
    };
    let moved = request.known_as.is_some();
    if found.managed_by.is_some() || (request.secrets.is_empty() && !moved) {
        return Ok(found.clone());
    }
    let mut settings = found.settings.clone();
    if moved {
        settings.extend(request.settings);
    }
    // What was given has just worked; what the copy holds may be older.
    let draft = DestinationDraft {
        name: found.name.to_string(),
        kind: String::new(),
        settings,
        secrets: request.secrets,
        forget_secrets: Vec::new(),
        append_only: found.append_only,
        verify_every_days: found.verify_every_days,
    };
    engine.edit_destination(found.id, found.version, draft).await.map_err(wrong)
}

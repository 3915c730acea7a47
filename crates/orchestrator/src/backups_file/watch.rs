//! The file while the server runs: looked at again and again, brought about when it changes.
//!
//! It is read and compared, not waited for: on bind mounts no change is told, and a time and size
//! may stay as they were. A changed file is used once it has been the same for two looks, so that
//! one half written is not. One that is wrong changes nothing: what was declared before stays.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use engine::{DeclareError, Engine, Reconciled};
use jiff::Timestamp;
use model::{Event, EventId, EventKind, Fact, ManagedBy, Severity};
use ring::digest::{Context, SHA256};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{Declaration, Finding, Variables, read_small, stack_env_of};
use crate::settings::Environment;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Most faults in one event or log line.
const TOLD: usize = 20;

/// Where the file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConfigState {
    /// There is no file.
    None,
    /// What it declares is so.
    InForce,
    /// It cannot be used; what it declared before is in force.
    Rejected,
    /// It is right but could not be brought about yet; it is tried again.
    Waiting,
}

/// `backups.yml` as the server sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Config)]
pub(crate) struct ConfigShown {
    /// Where it stands.
    pub(crate) state: ConfigState,
    /// The file.
    pub(crate) file: Option<String>,
    /// The file of its variables.
    pub(crate) stack_env: Option<String>,
    /// When it was last brought about.
    pub(crate) applied_at: Option<Timestamp>,
    /// What is to be said about it, with line numbers.
    pub(crate) findings: Vec<Finding>,
    /// What it changed when it was last brought about.
    pub(crate) last_change: Option<Reconciled>,
}

/// The file that this server follows. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct BackupsFile(Arc<Inner>);

struct Inner {
    engine: Engine,
    environment: Environment,
    /// Where it may be: the first that is there.
    candidates: Vec<PathBuf>,
    /// Somebody said where it is: then it has to be there.
    is_named: bool,
    shown: Mutex<ConfigShown>,
}

/// What a look remembers for the next.
#[derive(Default)]
struct Memory {
    /// What was read last.
    seen: Option<Vec<u8>>,
    /// What has been dealt with.
    settled: Option<Vec<u8>>,
    /// Files of secrets that the file names.
    files: Vec<PathBuf>,
    /// What was told last, so that it is told once.
    told: String,
    has_looked: bool,
}

/// The file and its variables as they are now.
struct Found {
    file: PathBuf,
    stack_env: PathBuf,
    text: String,
    variables: String,
    digest: Vec<u8>,
}

impl BackupsFile {
    /// The file of `BACKUPS_FILE`, or `backups.yml` in the working folder or in `/config`.
    pub(crate) fn new(engine: Engine, environment: &Environment) -> Self {
        let named = environment.get("BACKUPS_FILE").filter(|path| !path.is_empty());
        let candidates = match named {
            Some(path) => vec![PathBuf::from(path)],
            None => vec![PathBuf::from("backups.yml"), PathBuf::from("/config/backups.yml")],
        };
        let shown = ConfigShown {
            state: ConfigState::None,
            file: None,
            stack_env: None,
            applied_at: None,
            findings: Vec::new(),
            last_change: None,
        };
        Self(Arc::new(Inner {
            engine,
            environment: environment.clone(),
            candidates,
            is_named: named.is_some(),
            shown: Mutex::new(shown),
        }))
    }

    /// How it stands.
    pub(crate) fn shown(&self) -> ConfigShown {
        self.0.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings it about now and after each change, until `shutdown`. The first look is over when
    /// `ready` is told.
    pub(crate) async fn follow(
        self,
        ready: tokio::sync::oneshot::Sender<()>,
        shutdown: CancellationToken,
    ) {
        let mut memory = Memory::default();
        memory = self.look(memory).await;
        let _ = ready.send(());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            memory = self.look(memory).await;
        }
    }

    async fn look(&self, mut memory: Memory) -> Memory {
        let is_first = !std::mem::replace(&mut memory.has_looked, true);
        let (inner, files) = (Arc::clone(&self.0), memory.files.clone());
        let found = tokio::task::spawn_blocking(move || inner.find(&files)).await;
        let found = match found {
            Ok(Ok(Some(found))) => found,
            Ok(Ok(None)) => {
                self.missing(&mut memory).await;
                return memory;
            }
            Ok(Err(finding)) => {
                self.reject(&mut memory, None, vec![finding]).await;
                return memory;
            }
            Err(_) => return memory,
        };
        let is_same = memory.seen.as_ref() == Some(&found.digest);
        let is_settled = memory.settled.as_ref() == Some(&found.digest);
        memory.seen = Some(found.digest.clone());
        if is_settled || !(is_same || is_first) {
            return memory;
        }
        self.bring_about(&found, &mut memory).await;
        memory
    }

    async fn bring_about(&self, found: &Found, memory: &mut Memory) {
        let variables = Variables::new(&self.0.environment, &found.variables);
        let folder = found.file.parent().unwrap_or(Path::new("")).to_owned();
        let text = found.text.clone();
        let parse = move || Declaration::parse(&text, &variables, &folder);
        let Ok(parsed) = tokio::task::spawn_blocking(parse).await else { return };
        let declaration = match parsed {
            Ok(declaration) => declaration,
            Err(findings) => {
                memory.settled = Some(found.digest.clone());
                return self.reject(memory, Some(found), findings).await;
            }
        };
        if memory.files != declaration.files {
            memory.files.clone_from(&declaration.files);
            // What they say belongs to the digest from now on.
            let (inner, files) = (Arc::clone(&self.0), memory.files.clone());
            let again = tokio::task::spawn_blocking(move || inner.find(&files)).await;
            memory.seen = match again {
                Ok(Ok(Some(again))) => Some(again.digest),
                _ => None,
            };
        }
        match self.0.engine.reconcile(ManagedBy::File, &declaration.declared).await {
            Ok(told) => {
                memory.settled.clone_from(&memory.seen);
                memory.told.clear();
                self.accept(found, declaration.warnings, told).await;
            }
            Err(DeclareError::Wrong(wrong)) => {
                memory.settled.clone_from(&memory.seen);
                let mut findings = declaration.locate(wrong);
                findings.extend(declaration.warnings);
                self.reject(memory, Some(found), findings).await;
            }
            Err(error) => {
                if !error.is_retryable() {
                    memory.settled.clone_from(&memory.seen);
                }
                let finding = Finding::error("", &error);
                self.show(ConfigState::Waiting, Some(found), vec![finding]);
                let file = found.file.display().to_string();
                let told = Fact::DeclaredWaits { file, why: error.to_string() };
                self.tell(memory, EventKind::ConfigRejected, Severity::Warning, told).await;
            }
        }
    }

    async fn accept(&self, found: &Found, warnings: Vec<Finding>, told: Reconciled) {
        let file = found.file.display().to_string();
        for warning in &warnings {
            tracing::warn!("{}", warning.told(&file));
        }
        self.show(ConfigState::InForce, Some(found), warnings);
        let now = self.0.engine.now();
        let declared = declared(&told).map(|what| Fact::Declared { file, what: what.into() });
        {
            let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.applied_at = Some(now);
            if declared.is_some() {
                shown.last_change = Some(told);
            }
        }
        if let Some(declared) = declared {
            tracing::info!("{declared}");
            self.event(EventKind::ConfigApplied, Severity::Info, declared).await;
        }
    }

    async fn reject(&self, memory: &mut Memory, found: Option<&Found>, findings: Vec<Finding>) {
        let file = found.map_or_else(|| self.0.name(), |found| found.file.clone());
        let file = file.display().to_string();
        let lines: Vec<_> =
            findings.iter().filter(|one| one.is_error()).map(|one| one.told(&file)).collect();
        let mut why = lines.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
        if lines.len() > TOLD {
            why = format!("{why}; and {} more", lines.len() - TOLD);
        }
        self.show(ConfigState::Rejected, found, findings);
        let told = Fact::DeclaredStays { why: why.replace('\n', "; ") };
        self.tell(memory, EventKind::ConfigRejected, Severity::Error, told).await;
    }

    /// A file that was there and is not any more, or that somebody named, is a fault; else there
    /// is just none.
    async fn missing(&self, memory: &mut Memory) {
        memory.seen = None;
        memory.settled = None;
        let was_there = self.shown().file.is_some();
        if self.0.is_named || was_there || self.declares_something().await {
            let finding = Finding::error("", "there is no such file");
            self.reject(memory, None, vec![finding]).await;
        }
    }

    async fn declares_something(&self) -> bool {
        let catalog = self.0.engine.catalog();
        let apps = catalog.all_apps().await.unwrap_or_default();
        let channels = catalog.alert_channels().await.unwrap_or_default();
        let routes = catalog.alert_routes().await.unwrap_or_default();
        let all = apps.iter().map(|one| one.managed_by);
        let all = all.chain(channels.iter().map(|one| one.managed_by));
        all.chain(routes.iter().map(|one| one.managed_by)).any(|by| by == Some(ManagedBy::File))
    }

    fn show(&self, state: ConfigState, found: Option<&Found>, findings: Vec<Finding>) {
        let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.state = state;
        shown.findings = findings;
        if let Some(found) = found {
            shown.file = Some(found.file.display().to_string());
            shown.stack_env = Some(found.stack_env.display().to_string());
        } else if shown.file.is_none() {
            shown.file = Some(self.0.name().display().to_string());
        }
    }

    /// Tells what was not told last.
    async fn tell(&self, memory: &mut Memory, kind: EventKind, severity: Severity, told: Fact) {
        let text = told.to_string();
        if memory.told == text {
            return;
        }
        tracing::error!("{text}");
        self.event(kind, severity, told).await;
        memory.told = text;
    }

    async fn event(&self, kind: EventKind, severity: Severity, told: Fact) {
        let engine = &self.0.engine;
        let at = engine.now();
        let event = Event {
            id: engine.with_rng(|rng| EventId::generate(at, rng)),
            at,
            kind,
            severity,
            app_id: None,
            run_id: None,
            snapshot_id: None,
            destination_id: None,
            sentence: told.into(),
        };
        if let Err(error) = engine.catalog().append_events(&[event]).await {
            tracing::warn!(%error, "an event about backups.yml is not written");
        }
    }
}

impl Inner {
    fn name(&self) -> PathBuf {
        self.candidates.first().cloned().unwrap_or_default()
    }

    /// Reads what is there; `files` are the further ones whose words count.
    fn find(&self, files: &[PathBuf]) -> Result<Option<Found>, Finding> {
        let wrong = |path: &Path, error: std::io::Error| {
            Finding::error("", format!("{} cannot be read: {error}", path.display()))
        };
        for file in &self.candidates {
            let Some(text) = read_small(file).map_err(|error| wrong(file, error))? else {
                continue;
            };
            let stack_env = stack_env_of(file, &self.environment);
            let variables = read_small(&stack_env).map_err(|error| wrong(&stack_env, error))?;
            let variables = variables.unwrap_or_default();
            let mut digest = Context::new(&SHA256);
            let further = files.iter().map(|path| read_small(path).ok().flatten());
            let further: Vec<_> = further.map(Option::unwrap_or_default).collect();
            for part in [&text, &variables].into_iter().chain(&further) {
                digest.update(&part.len().to_le_bytes());
                digest.update(part.as_bytes());
            }
            let digest = digest.finish().as_ref().to_vec();
            return Ok(Some(Found { file: file.clone(), stack_env, text, variables, digest }));
        }
        Ok(None)
    }
}

/// What has changed, in words; `None` where nothing has.
fn declared(told: &Reconciled) -> Option<Fact> {
    let names = |names: &[String]| names.join(", ");
    let parts = [
        (&told.added, Fact::DeclaredAdded { names: names(&told.added) }),
        (&told.changed, Fact::DeclaredChanged { names: names(&told.changed) }),
        (&told.released, Fact::DeclaredNoMore { names: names(&told.released) }),
    ];
    parts
        .into_iter()
        .filter_map(|(names, told)| (!names.is_empty()).then_some(told))
        .reduce(Fact::also)
}

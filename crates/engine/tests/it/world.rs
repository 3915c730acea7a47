//! A whole engine in a temporary folder, with one app and one or two local destinations.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use catalog::{Catalog, RunQuery};
use engine::{
    AppDraft, BindingDraft, DestinationDraft, Engine, EngineConfig, Parts, RunRequest, SourceDraft,
    SystemClock, Vault,
};
use futures::TryStreamExt as _;
use model::{App, Clock, CopyState, Run, RunState, Snapshot, retention::RetentionPolicy};
use rand::SeedableRng as _;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::app_server::{AppServer, Export};

pub(crate) const TOKEN: &str = "canary-token-of-the-app";

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) server: AppServer,
    pub(crate) app: App,
    pub(crate) folder: TempDir,
    shutdown: CancellationToken,
}

/// Settings under which tests end in seconds.
pub(crate) fn quick(instance: &str) -> EngineConfig {
    let mut config = EngineConfig::new(instance);
    config.net_policy.allow_loopback = true;
    config.tick = Duration::from_millis(20);
    config.idle_timeout = Duration::from_millis(700);
    config.source_timeout = Duration::from_secs(4);
    config.retries = 0;
    config.lease = Duration::from_secs(3);
    config.heartbeat = Duration::from_millis(200);
    config.max_size_bytes = 64 << 20;
    config.expire_grace = Duration::ZERO;
    config.repository_kdf = repository::Kdf { log_n: 10, r: 8, p: 1 };
    config.repository_patience = Duration::from_secs(1);
    if let Some(homes) = std::env::var_os("POSTGRES_HOME") {
        config.postgres_home = homes.into();
    }
    config
}

pub(crate) async fn open(folder: &Path, config: EngineConfig, clock: Arc<dyn Clock>) -> Engine {
    let url = format!("sqlite://{}?mode=rwc", folder.join("catalog.sqlite").display());
    open_at(&url.into(), config, clock).await
}

/// A further engine on the data of a world.
pub(crate) async fn serving(folder: &Path, instance: &str) -> Engine {
    let mut config = quick(instance);
    config.spool = folder.join("spool");
    config.source_timeout = Duration::from_secs(60);
    open(folder, config, Arc::new(SystemClock)).await
}

/// A source as somebody describes it.
pub(crate) fn source(
    name: &str,
    kind: &str,
    settings: &[(&str, &str)],
    secrets: &[(&str, &str)],
) -> SourceDraft {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    SourceDraft {
        name: name.to_owned(),
        kind: kind.to_owned(),
        settings: settings.iter().map(owned).collect(),
        secrets: secrets.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect(),
        ..SourceDraft::default()
    }
}

/// A local destination.
pub(crate) fn local(name: &str, path: &Path) -> DestinationDraft {
    DestinationDraft {
        name: name.to_owned(),
        kind: "local".to_owned(),
        settings: BTreeMap::from([("path".to_owned(), path.display().to_string())]),
        ..DestinationDraft::default()
    }
}

/// What opens the repositories of tests.
pub(crate) const REPOSITORY_PASSWORD: &str = "a password of tests";

/// A local destination that is a repository.
pub(crate) fn repository(name: &str, path: &Path) -> DestinationDraft {
    let mut draft = local(name, path);
    draft.settings.insert("layout".to_owned(), "repository".to_owned());
    draft.secrets.insert("repository_password".to_owned(), REPOSITORY_PASSWORD.into());
    draft
}

pub(crate) async fn open_at(
    url: &SecretString,
    config: EngineConfig,
    clock: Arc<dyn Clock>,
) -> Engine {
    Engine::new(Parts {
        catalog: Catalog::open(url, 4).await.unwrap(),
        clock,
        vault: Vault::new(&"a secret key for tests".into()),
        config,
        wording: Arc::new(engine::PlainWording),
        rng: rand::rngs::StdRng::from_rng(&mut rand::rng()),
    })
}

impl World {
    pub(crate) async fn new(destinations: &[&str]) -> Self {
        Self::with(destinations, quick("one")).await
    }

    pub(crate) async fn with(destinations: &[&str], config: EngineConfig) -> Self {
        Self::at(destinations, config, Arc::new(SystemClock)).await
    }

    pub(crate) async fn at(
        destinations: &[&str],
        config: EngineConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let world = Self::asleep(destinations, config, clock).await;
        world.start();
        world
    }

    /// A world in which nothing happens before [`Self::start`].
    pub(crate) async fn asleep(
        destinations: &[&str],
        config: EngineConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path(), config, clock).await;
        Self::inside(folder, engine, destinations).await
    }

    /// A world on the catalog at `url`, asleep.
    pub(crate) async fn on(
        url: &SecretString,
        destinations: &[&str],
        config: EngineConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = open_at(url, config, clock).await;
        Self::inside(folder, engine, destinations).await
    }

    async fn inside(folder: TempDir, engine: Engine, destinations: &[&str]) -> Self {
        for name in destinations {
            let path = folder.path().join(name);
            let draft =
                if *name == "repository" { repository(name, &path) } else { local(name, &path) };
            engine.add_destination(draft).await.unwrap();
        }
        let server = AppServer::start(TOKEN, Export::Trailers(sample(1))).await;
        let draft = AppDraft {
            name: "shop".to_owned(),
            url: server.url(),
            token: Some(TOKEN.into()),
            destinations: destinations
                .iter()
                .map(|name| BindingDraft {
                    destination: (*name).to_owned(),
                    folder: "apps/shop".to_owned(),
                    // Runs of one minute would all have the same name.
                    template: Some("{app}_{YYYYMMDD_HHMMSS}_{run}".to_owned()),
                    ..BindingDraft::default()
                })
                .collect(),
            ..AppDraft::default()
        };
        let app = engine.register_app(draft).await.unwrap();
        Self { engine, server, app, folder, shutdown: CancellationToken::new() }
    }

    /// Changes one bit in the middle of the snapshot's first object.
    pub(crate) fn damage(&self, snapshot: &Snapshot) {
        let object = self.folder.path().join("disk").join(&snapshot.copies[0].objects[0].key);
        let mut bytes = std::fs::read(&object).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&object, &bytes).unwrap();
    }

    /// A world at work whose app `direct` has `sources`, and one destination, `disk`.
    pub(crate) async fn reading(sources: Vec<SourceDraft>, config: EngineConfig) -> Self {
        Self::reading_to("disk", sources, config).await
    }

    /// The same with another destination, such as `repository`.
    pub(crate) async fn reading_to(
        destination: &str,
        sources: Vec<SourceDraft>,
        config: EngineConfig,
    ) -> Self {
        Self::reading_by(destination, sources, config, Arc::new(SystemClock)).await
    }

    /// The same with another clock.
    pub(crate) async fn reading_by(
        destination: &str,
        sources: Vec<SourceDraft>,
        mut config: EngineConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        config.source_timeout = Duration::from_secs(60);
        let folder = tempfile::tempdir().unwrap();
        config.spool = folder.path().join("spool");
        let engine = open(folder.path(), config, clock).await;
        let mut world = Self::inside(folder, engine, &[destination]).await;
        let draft = AppDraft {
            name: "direct".to_owned(),
            sources,
            destinations: vec![BindingDraft {
                destination: destination.to_owned(),
                folder: "apps/shop".to_owned(),
                template: Some("{app}_{YYYYMMDD_HHMMSS}_{run}".to_owned()),
                ..BindingDraft::default()
            }],
            ..AppDraft::default()
        };
        world.app = world.engine.register_app(draft).await.unwrap();
        world.start();
        world
    }

    pub(crate) fn start(&self) {
        let (engine, shutdown) = (self.engine.clone(), self.shutdown.clone());
        tokio::spawn(async move { engine.serve(shutdown).await });
    }

    /// Changes the app as it is in the catalog.
    pub(crate) async fn change_app(&self, change: impl FnOnce(&mut App)) {
        let mut app = self.engine.catalog().app(self.app.id).await.unwrap();
        change(&mut app);
        self.engine.catalog().update_app(&app, self.engine.now()).await.unwrap();
    }

    /// Stops working; what is under way is left.
    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Keeps one snapshot of the app; gives how many were deleted.
    pub(crate) async fn expired_to_one(&self) -> usize {
        let one = RetentionPolicy { keep_last: Some(1), ..RetentionPolicy::default() };
        self.change_app(|app| app.retention = one).await;
        let before = self.engine.catalog().snapshots_of_app(self.app.id).await.unwrap();
        let run = self.expire().await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
        let states = self.states(&before).await;
        states.iter().filter(|state| **state == CopyState::Expired).count()
    }

    /// Applies retention.
    pub(crate) async fn expire(&self) -> Run {
        let run = self.engine.expire_now(self.app.id).await.unwrap();
        self.ended(&run).await
    }

    /// How a snapshot's first copy is.
    pub(crate) async fn state(&self, snapshot: &Snapshot) -> CopyState {
        self.engine.catalog().snapshot(snapshot.id).await.unwrap().copies[0].state
    }

    pub(crate) async fn states(&self, snapshots: &[Snapshot]) -> Vec<CopyState> {
        let mut states = Vec::new();
        for one in snapshots {
            states.push(self.state(one).await);
        }
        states
    }

    pub(crate) async fn back_up(&self) -> Run {
        let run = self.engine.run_now(&self.app, &RunRequest::default()).await.unwrap();
        self.ended(&run).await
    }

    pub(crate) async fn ended(&self, run: &Run) -> Run {
        for _ in 0..1_500 {
            let run = self.engine.catalog().run(run.id).await.unwrap();
            if run.state.is_terminal() {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the run did not end");
    }

    /// Waits until nothing is queued or under way.
    pub(crate) async fn quiet(&self) {
        for _ in 0..1_500 {
            if self.engine.catalog().active_runs().await.unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the queue did not empty");
    }

    /// Waits until nothing begun and given up is left anywhere.
    pub(crate) async fn wait_out_leftovers(&self) {
        for _ in 0..500 {
            if self.engine.catalog().runs_with_leftovers().await.unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("what a run gave up is still there");
    }

    pub(crate) async fn good_snapshot(&self) -> Snapshot {
        let run = self.back_up().await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
        self.quiet().await;
        self.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap()
    }

    pub(crate) async fn restored(&self, snapshot: &Snapshot) -> Vec<u8> {
        self.restored_part(snapshot, snapshot.artifacts[0].source.as_str()).await
    }

    /// The bytes of one of its artifacts.
    pub(crate) async fn restored_part(&self, snapshot: &Snapshot, artifact: &str) -> Vec<u8> {
        let stream = self.engine.read_artifact(snapshot, artifact, None).await.unwrap();
        let chunks: Vec<_> = stream.try_collect().await.unwrap();
        chunks.concat()
    }

    /// Names of all files at a destination, unfinished ones included.
    pub(crate) fn files(&self, destination: &str) -> Vec<PathBuf> {
        let folder = self.folder.path().join(destination).join("apps/shop");
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    pub(crate) async fn everything_told(&self) -> String {
        let runs = self.engine.catalog().runs(RunQuery { limit: 500, ..RunQuery::default() });
        let mut told = String::new();
        for run in runs.await.unwrap() {
            told += &serde_json::to_string(&run).unwrap();
            let log = self.engine.catalog().log_after(run.id, 0, 10_000).await.unwrap();
            told += &serde_json::to_string(&log).unwrap();
        }
        told
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Bytes that compress somewhat, different for each `seed`.
pub(crate) fn sample(seed: u32) -> Vec<u8> {
    (0..300_000_u32).flat_map(|n| (n.wrapping_mul(seed + 7) >> 5).to_le_bytes()).collect()
}

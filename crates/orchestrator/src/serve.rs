//! The server: data folder, catalog, engine, API.

use std::{
    net::SocketAddr, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc, time::Duration,
};

use anyhow::{Context as _, bail};
use catalog::{Backend, Catalog};
use engine::{Engine, EngineConfig, Parts, SystemClock, Vault, vault::Purpose};
use jiff::Timestamp;
use model::{Clock as _, SealedSecret};
use nix::fcntl::{Flock, FlockArg};
use rand::SeedableRng as _;
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::{self, Accounts},
    backups_file::BackupsFile,
    recover::{self, WayBack},
    router,
    settings::{Environment, Settings, private_file, random_secret},
    web,
};

const KEY_CHECK: &str = "vault_key_check";
/// The catalog's file in the data folder.
pub(crate) const CATALOG: &str = "catalog.sqlite";
/// The file of the key that secrets are sealed with, where the environment names none.
pub(crate) const SECRET_KEY: &str = "secret.key";

/// The data folder's contents, opened; nobody else uses it meanwhile.
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    pub(crate) accounts: Accounts,
    /// What the catalog was rebuilt from, where it had to be.
    rebuilt_from: Option<model::Fact>,
    _lock: Flock<std::fs::File>,
}

/// Makes what is missing in the data folder, and opens the rest.
pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Opened> {
    let data = settings.data_dir.clone();
    make_folder(&data)?;
    let lock = lock(&data)?;
    let key = match &settings.secret_key {
        Some(key) => key.clone(),
        None => private_file(&data.join(SECRET_KEY), random_secret)?.into(),
    };
    let token = private_file(&data.join("cli.token"), random_secret)?;
    // A container has another name after each upgrade; what it owes is still its own.
    let host = private_file(&data.join("host"), || settings.engine.host.clone())?;
    let (catalog, rebuilt_from) = match &settings.database_url {
        Some(url) => (Catalog::open(url, 8).await?, None),
        None => {
            let (file, copies) = (data.join(CATALOG), &settings.engine.catalog_copies);
            recover::open_catalog(&file, copies, &key, SystemClock.now()).await?
        }
    };
    let engine = Engine::new(Parts {
        catalog,
        clock: Arc::new(SystemClock),
        vault: Vault::new(&key),
        config: EngineConfig { host, ..settings.engine.clone() },
        wording: Arc::new(web::Words::new(settings)),
        rng: rand::rngs::StdRng::from_rng(&mut rand::rng()),
    });
    check_key(&engine).await?;
    if let Some(from) = &rebuilt_from {
        engine.hold_after_recovery(from.clone(), false).await?;
    }
    let accounts = Accounts::new(accounts::Parts {
        engine: engine.clone(),
        local_token: token.into(),
        data_dir: data,
        trust_proxy: settings.trust_proxy,
        oidc: settings.oidc.clone(),
    });
    Ok(Opened { engine, accounts, rebuilt_from, _lock: lock })
}

/// Serves until SIGTERM or Ctrl-C, then drains.
pub(crate) async fn serve(settings: Settings, environment: &Environment) -> anyhow::Result<()> {
    let opened = open(&settings).await?;
    serve_opened(opened, Arc::new(settings), environment).await
}

/// The same with a data folder that is open already.
pub(crate) async fn serve_opened(
    opened: Opened,
    settings: Arc<Settings>,
    environment: &Environment,
) -> anyhow::Result<()> {
    let started_at = SystemClock.now();
    let way_back = Arc::new(WayBack::default());
    let listener = tokio::net::TcpListener::bind((settings.address.as_str(), settings.port))
        .await
        .with_context(|| format!("{}:{} cannot be listened on", settings.address, settings.port))?
        .into_std()?;
    let mut next =
        round(opened, &listener, &settings, environment, (&way_back, started_at)).await?;
    while let Some(request) = next {
        recover_meanwhile(&listener, &settings, &way_back, request).await?;
        let opened = open(&settings).await?;
        next = round(opened, &listener, &settings, environment, (&way_back, started_at)).await?;
    }
    Ok(())
}

/// Rebuilds the catalog; whoever asks meanwhile is told how far it is.
async fn recover_meanwhile(
    listener: &std::net::TcpListener,
    settings: &Settings,
    way_back: &Arc<WayBack>,
    request: recover::Request,
) -> anyhow::Result<()> {
    tracing::info!("the catalog is rebuilt from a destination: pages wait");
    let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
    let done = CancellationToken::new();
    let closing = done.clone();
    let router = router::while_recovering(Arc::clone(way_back));
    let telling = tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { closing.cancelled().await })
            .await
    });
    way_back.perform(settings, request).await;
    done.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), telling).await;
    Ok(())
}

/// Serves what was opened until it is to end, or to come back with another catalog.
async fn round(
    opened: Opened,
    listener: &std::net::TcpListener,
    settings: &Arc<Settings>,
    environment: &Environment,
    (way_back, started_at): (&Arc<WayBack>, Timestamp),
) -> anyhow::Result<Option<recover::Request>> {
    let Opened { engine, accounts, rebuilt_from, _lock } = opened;
    let data = &settings.data_dir;
    let backend = engine.catalog().backend();
    if backend == Backend::Sqlite {
        engine.take_over_at_start().await?;
    }
    let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
    let address = listener.local_addr()?;
    let shown = format!("http://localhost:{}", address.port());
    if let Some(login) = accounts.add_first_user(&settings.first_user, &shown).await? {
        // To the terminal alone: a log is kept and read by others.
        eprintln!("{}", login.told(&shown));
    }
    std::fs::write(data.join("address"), format!("http://127.0.0.1:{}\n", address.port()))?;
    let catalog = match backend {
        Backend::Sqlite => "SQLite in the data folder",
        Backend::Postgres => "the PostgreSQL that DATABASE_URL names",
    };
    tracing::info!("listening on {address}; data in {}, catalog on {catalog}", data.display());

    let shutdown = CancellationToken::new();
    let backups_file = BackupsFile::new(engine.clone(), environment);
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    tokio::spawn(backups_file.clone().follow(ready, shutdown.clone()));
    // Schedules of the file are there before the first one fires.
    let _ = is_ready.await;
    let working = tokio::spawn({
        let (engine, shutdown) = (engine.clone(), shutdown.clone());
        let is_demo = settings.demo;
        async move { if is_demo { shutdown.cancelled().await } else { engine.serve(shutdown).await } }
    });
    if rebuilt_from.is_some() {
        tokio::spawn(read_manifests(engine.clone()));
    }
    let catalog = engine.catalog().clone();
    let router = router::router(router::Parts {
        engine,
        accounts,
        backups_file,
        settings: Arc::clone(settings),
        way_back: Arc::clone(way_back),
        started_at,
        closing: shutdown.clone(),
    });
    let closing = shutdown.clone();
    let serving = tokio::spawn(async move {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service)
            .with_graceful_shutdown(async move { closing.cancelled().await })
            .await
    });
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let next = tokio::select! {
        _ = terminate.recv() => None,
        _ = tokio::signal::ctrl_c() => None,
        request = way_back.wanted() => Some(request),
    };
    tracing::info!("stopping: runs under way are recorded and queued again");
    shutdown.cancel();
    working.await?;
    // A client that follows a log must not hold the process.
    let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
    if next.is_some() {
        catalog.close().await?;
    }
    Ok(next)
}

/// What the copy of the catalog did not know is still told at the destinations.
async fn read_manifests(engine: Engine) {
    let all = match engine.catalog().all_destinations().await {
        Ok(all) => all,
        Err(error) => return tracing::error!(%error, "the destinations cannot be read"),
    };
    for destination in all {
        if let Err(error) = engine.reindex(&destination).await {
            let name = &destination.name;
            tracing::warn!("`{name}` is not read: {error}; later: reindex {name}");
        }
    }
}

/// A folder that only its owner may enter.
pub(crate) fn make_folder(folder: &Path) -> anyhow::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// One process for one data folder: two would end each other's runs.
pub(crate) fn lock(data: &Path) -> anyhow::Result<Flock<std::fs::File>> {
    let file = std::fs::File::create(data.join("lock"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err(_) => bail!(
            "another orchestrator uses {}: stop it, or set BACKUP_DATA_DIR to another folder",
            data.display()
        ),
    }
}

/// Proves that the key is the one the catalog was written with, before anything is sealed anew.
pub(crate) async fn check_key(engine: &Engine) -> anyhow::Result<()> {
    match engine.catalog().setting(KEY_CHECK).await? {
        Some(sealed) => {
            let opened =
                engine.vault().open(Purpose::KeyCheck, &SealedSecret::from_ciphertext(sealed))?;
            anyhow::ensure!(opened.expose_secret() == "ok", "the key check is damaged");
        }
        None => {
            let sealed =
                engine.with_rng(|rng| engine.vault().seal(Purpose::KeyCheck, &"ok".into(), rng));
            engine.catalog().set_setting(KEY_CHECK, sealed.ciphertext()).await?;
        }
    }
    Ok(())
}

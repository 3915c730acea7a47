//! Destinations whose setting `layout` is `repository`: what runs write there becomes snapshots of a
//! repository in restic's format.
//!
//! It compresses, deduplicates and encrypts by itself, so it is handed plain bytes. To everything
//! else it is a store like any other.

mod rotation;
mod state;

use std::sync::Arc;

use model::{Destination, DestinationKind, Fact};
use repository::{
    InitOptions, Objects, ObjectsOptions, Repository, RepositoryError, Surroundings, Version,
    chunk::Polynomial, write::WriteOptions,
};
use secrecy::{ExposeSecret as _, SecretString};
use store::{Store, StoreError};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::rotation::chosen;
pub use self::state::{
    RepositoryCheck, RepositoryFreed, RepositoryLocked, RepositoryState, RepositoryStatistics,
};
use crate::{Engine, EngineError, Inner};

/// The setting that chooses.
pub(crate) const LAYOUT: &str = "layout";
/// What it is for a repository; without it, artifacts are objects.
pub(crate) const REPOSITORY: &str = "repository";
/// The secret that opens the repository.
pub(crate) const PASSWORD: &str = "repository_password";

/// How many packs are on their way at once to where each takes a while.
const UPLOADS_FAR_AWAY: usize = 4;

/// Whether `destination` is a repository.
pub fn is_repository(destination: &Destination) -> bool {
    destination.settings.get(LAYOUT).is_some_and(|layout| layout == REPOSITORY)
}

impl Inner {
    /// The repository at `destination`, whose files lie in `store`.
    pub(crate) async fn open_repository(
        &self,
        destination: &Destination,
        store: Arc<dyn Store>,
    ) -> Result<Objects, EngineError> {
        let password = self.repository_password(destination)?;
        let opened = Repository::open(store, &password, self.surroundings()).await;
        Ok(self.objects(destination, opened.map_err(|error| told(destination, error))?))
    }

    /// Makes the repository at `destination`, if there is none.
    pub(crate) async fn make_repository(
        &self,
        destination: &Destination,
    ) -> Result<(), EngineError> {
        let store = self.open_plain_store(destination).await?;
        let password = self.repository_password(destination)?;
        match Repository::open(Arc::clone(&store), &password, self.surroundings()).await {
            Ok(_) => return Ok(()),
            Err(RepositoryError::NoRepository(_)) => {}
            Err(error) => return Err(told(destination, error)),
        }
        let surroundings = self.surroundings();
        let mut seeds = std::iter::from_fn(|| surroundings.random().ok().map(u64::from_le_bytes));
        // Without randomness `init` fails.
        let polynomial =
            Polynomial::random(|| seeds.next().unwrap_or(0x003D_A335_8B4D_C173)).bits();
        let options =
            InitOptions { version: Version::V2, kdf: self.config.repository_kdf, polynomial };
        Repository::init(store, &password, &options, surroundings.clone())
            .await
            .map(drop)
            .map_err(|error| told(destination, error))
    }

    /// This process, by the engine's clock.
    fn surroundings(&self) -> Surroundings {
        let clock = Arc::clone(&self.clock);
        Surroundings::of_this_process().with_clock(move || clock.now())
    }

    fn repository_password(&self, destination: &Destination) -> Result<SecretString, EngineError> {
        let password = self.secret(destination, PASSWORD)?;
        password.filter(|word| !word.expose_secret().is_empty()).ok_or_else(|| {
            EngineError::invalid(format!("secrets.{PASSWORD}"), Fact::RepositoryPassword {})
        })
    }

    fn objects(&self, destination: &Destination, repository: Repository) -> Objects {
        let uploads = match destination.kind {
            DestinationKind::Local => WriteOptions::default().uploads,
            _ => UPLOADS_FAR_AWAY,
        };
        let options = ObjectsOptions {
            hostname: self.config.host.clone(),
            program: self.config.producer.clone(),
            write: WriteOptions { uploads, ..WriteOptions::default() },
            patience: self.config.repository_patience,
            ..ObjectsOptions::default()
        };
        Objects::new(repository, options)
    }
}

impl Engine {
    /// The repository at `destination`; an error where there is none.
    pub(crate) async fn repository_at(
        &self,
        destination: &Destination,
    ) -> Result<Objects, EngineError> {
        if !is_repository(destination) {
            return Err(EngineError::refused(Fact::NotRepository {
                destination: destination.name.to_string(),
            }));
        }
        self.0.objects_for(destination).await
    }
}

/// Does on a thread of its own what reads all of a repository, until it is done or nobody waits
/// for it any more.
pub(crate) async fn apart<T, F>(
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<T, RepositoryError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, RepositoryError>>,
{
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => Err(RepositoryError::LockLost("nobody waits".to_owned())),
                done = work() => done,
            }
        })
    });
    done.await?
}

/// An error of the repository at `destination`.
pub(crate) fn told(destination: &Destination, error: RepositoryError) -> EngineError {
    match error {
        RepositoryError::WrongPassword { keys } => {
            let why = Fact::NoKeyOpens { keys: keys as u64 }.into();
            let wrong = Fact::Of { what: destination.name.to_string(), why };
            EngineError::invalid(format!("secrets.{PASSWORD}"), wrong)
        }
        other => EngineError::Store(StoreError::from(other)),
    }
}

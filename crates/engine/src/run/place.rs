//! The destinations of a run: each with its store, its names and its own outcome.

use std::{collections::BTreeMap, sync::Arc};

use artifact::{Recipients, Restart, manifest::Encryption};
use model::{
    App, Binding, Destination, DestinationOutcome, Failure, FailureCode, Name, RunState, Stage,
    StoredObject,
};
use store::{Key, Store};

use super::{RunContext, failure};
use crate::repositories::is_repository;

/// One destination of a run.
pub(crate) struct Place {
    pub(crate) binding: Binding,
    pub(crate) destination: Destination,
    /// `Err` once it failed here; the run goes on elsewhere.
    pub(crate) store: Result<Arc<dyn Store>, Failure>,
    /// To whom its objects are encrypted, if they are.
    pub(crate) recipients: Option<Recipients>,
    /// Whether it takes bytes as the source sent them, and makes of them what it needs.
    pub(crate) takes_plain: bool,
    /// What has been committed here so far.
    pub(crate) objects: Vec<StoredObject>,
    /// Where reading of what was committed can begin, by source.
    pub(crate) restarts: BTreeMap<Name, Arc<[Restart]>>,
    /// Key of the manifest, once it is written.
    pub(crate) manifest_key: Option<String>,
    pub(crate) bytes_written: Arc<std::sync::atomic::AtomicU64>,
}

impl Place {
    /// Opens the destinations of `app`. One that cannot be opened is there as failed.
    pub(crate) async fn open_all(context: &RunContext, app: &App) -> Result<Vec<Self>, Failure> {
        let catalog = &context.engine.0.catalog;
        let mut places = Vec::with_capacity(app.destinations.len());
        for binding in &app.destinations {
            let destination = catalog
                .destination(binding.destination_id)
                .await
                .map_err(|error| failure::of_catalog(&error))?;
            let inner = &context.engine.0;
            let opened =
                inner.store_for(&destination).await.map_err(|error| failure::of_engine(&error));
            let (store, recipients) = match inner.recipients_of(&destination) {
                Ok(recipients) => (opened, recipients),
                Err(failure) => (Err(failure), None),
            };
            let place = Self {
                binding: binding.clone(),
                takes_plain: is_repository(&destination),
                destination,
                store,
                recipients,
                objects: Vec::new(),
                restarts: BTreeMap::new(),
                manifest_key: None,
                bytes_written: Arc::default(),
            };
            if let Err(failure) = &place.store {
                context.journal.error(format!("{}: {}", place.destination.name, failure.message));
            }
            context.journal.watch(place.destination.id, &place.bytes_written);
            place.record(context, Stage::Export).await?;
            places.push(place);
        }
        if places.is_empty() {
            return Err(Failure::new(
                FailureCode::ConfigurationChanged,
                format!("`{}` has no destination: edit the app and choose one", app.name),
            ));
        }
        Ok(places)
    }

    pub(crate) fn is_well(&self) -> bool {
        self.store.is_ok()
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.store.as_ref().err()
    }

    /// Notes that this destination failed; nothing more is sent to it.
    pub(crate) fn fail(&mut self, context: &RunContext, failure: Failure) {
        context.journal.error(format!("{}: {}", self.destination.name, failure.message));
        self.store = Err(failure);
    }

    /// How its objects are encrypted.
    pub(crate) fn encryption(&self) -> Encryption {
        encryption_for(self.recipients.as_ref())
    }

    /// `name` inside the app's folder at this destination.
    pub(crate) fn key(&self, name: &str) -> Result<Key, Failure> {
        in_folder(&self.destination, &self.binding.folder, name)
    }

    /// Writes how it stands here.
    pub(crate) async fn record(&self, context: &RunContext, stage: Stage) -> Result<(), Failure> {
        let state = match (&self.store, &self.manifest_key) {
            (Err(_), _) => RunState::Failed,
            (Ok(_), Some(_)) => RunState::Succeeded,
            (Ok(_), None) => RunState::Running,
        };
        self.write(context, stage, state).await
    }

    /// Writes that the run ended here without a snapshot.
    pub(crate) async fn record_end(
        &self,
        context: &RunContext,
        stage: Stage,
        state: RunState,
    ) -> Result<(), Failure> {
        self.write(context, stage, state).await
    }

    async fn write(
        &self,
        context: &RunContext,
        stage: Stage,
        state: RunState,
    ) -> Result<(), Failure> {
        let outcome = DestinationOutcome {
            run_id: context.run.id,
            destination_id: self.destination.id,
            stage,
            state,
            bytes_written: self.bytes_written.load(std::sync::atomic::Ordering::Relaxed),
            failure: self.failure().cloned(),
        };
        context
            .engine
            .0
            .catalog
            .outcome(&outcome, context.lease_token)
            .await
            .map_err(|error| failure::of_catalog(&error))
    }
}

/// How objects for `recipients` are encrypted.
pub(crate) fn encryption_for(recipients: Option<&Recipients>) -> Encryption {
    if recipients.is_some() { Encryption::Age } else { Encryption::None }
}

/// `name` inside `folder` as a key.
pub(crate) fn in_folder(
    destination: &Destination,
    folder: &str,
    name: &str,
) -> Result<Key, Failure> {
    let folder = folder.trim_matches('/');
    let text = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    Key::new(&text).map_err(|error| {
        Failure::new(
            FailureCode::DestinationConfig,
            format!("`{text}` cannot be an object's name at `{}`: {error}", destination.name),
        )
    })
}

//! Partial uploads that nobody will finish: swept by age.

use std::{collections::BTreeSet, time::Duration};

use model::{Destination, DestinationKind, Event, EventId, EventKind, Fact, Severity};
use store::{Prefix, Store, Swept};
use tokio_util::sync::CancellationToken;

use crate::{Engine, EngineError, timekeeping};

/// How often destinations are swept.
const EVERY: Duration = Duration::from_secs(6 * 3600);

/// Sweeps every destination now and then until `shutdown`.
pub(crate) async fn sweep_regularly(engine: &Engine, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = engine.sweep_all().await {
            tracing::warn!(%error, "the destinations cannot be swept; trying again later");
        }
    }
}

impl Engine {
    /// Sweeps partial uploads older than the configured age at every destination; gives how
    /// many were removed. Only what bears our marks of an unfinished upload is touched.
    pub async fn sweep_all(&self) -> Result<usize, EngineError> {
        if timekeeping::look(self).await?.is_distrusted(self.now()) {
            tracing::warn!("the clock has just jumped: no unfinished upload is called old");
            return Ok(0);
        }
        let mut count = 0;
        for destination in self.0.catalog.all_destinations().await? {
            let store = match self.0.store_for(&destination).await {
                Ok(store) => store,
                Err(error) => {
                    tracing::warn!(%error, destination = %destination.name, "not swept");
                    continue;
                }
            };
            match self.sweep(&destination, store.as_ref()).await {
                Ok(swept) if swept.is_empty() => {}
                Ok(swept) => {
                    count += swept.len();
                    let event = Event {
                        id: self.new_id(EventId::generate),
                        at: self.now(),
                        kind: EventKind::OrphansSwept,
                        severity: Severity::Info,
                        app_id: None,
                        run_id: None,
                        snapshot_id: None,
                        destination_id: Some(destination.id),
                        sentence: Fact::UploadsSwept {
                            count: swept.len() as u64,
                            destination: destination.name.to_string(),
                        }
                        .into(),
                    };
                    self.0.catalog.append_events(&[event]).await?;
                }
                Err(error) => {
                    tracing::warn!(%error, destination = %destination.name, "not swept");
                }
            }
        }
        Ok(count)
    }

    /// Sweeps all of a destination; at S3, where a whole bucket may be shared and is left alone,
    /// also the folder of each app.
    async fn sweep(
        &self,
        destination: &Destination,
        store: &dyn Store,
    ) -> Result<Vec<Swept>, EngineError> {
        let (age, now) = (self.0.config.orphan_age, self.now().into());
        let mut swept = store.sweep(&Prefix::root(), age, now).await?;
        let in_buckets = [DestinationKind::S3, DestinationKind::B2, DestinationKind::Gcs];
        if in_buckets.contains(&destination.kind) {
            let apps = self.0.catalog.all_apps().await?;
            let bindings = apps.iter().flat_map(|app| &app.destinations);
            let folders: BTreeSet<&str> = bindings
                .filter(|binding| binding.destination_id == destination.id)
                .map(|binding| binding.folder.trim_matches('/'))
                .collect();
            for folder in folders.into_iter().filter_map(|folder| Prefix::new(folder).ok()) {
                swept.extend(store.sweep(&folder, age, now).await?);
            }
        }
        Ok(swept)
    }
}

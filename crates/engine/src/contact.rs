//! Whether destinations answer: asked seldom, in the background, for whoever watches them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use jiff::Timestamp;
use model::{Destination, DestinationId, DestinationKind};
use store::Key;

use crate::{Engine, EngineError};

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(300);
/// How long a destination has to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Destinations asked at once.
const AT_ONCE: usize = 4;

/// What destinations answered.
#[derive(Default)]
pub(crate) struct Contacts(Mutex<HashMap<DestinationId, Known>>);

struct Known {
    version: i64,
    asked_at: Instant,
    contact: Option<Contact>,
}

/// Whether a destination answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// When it was asked.
    pub at: Timestamp,
    /// It answered, and let us look for an object.
    pub answered: bool,
}

impl Engine {
    /// What is known of whether `destinations` answer. Those that were not asked for five minutes
    /// are asked meanwhile; nobody waits for them.
    pub fn contacts(&self, destinations: &[Destination]) -> HashMap<DestinationId, Contact> {
        let mut known = self.lock_contacts();
        known.retain(|id, _| destinations.iter().any(|one| one.id == *id));
        let mut due = Vec::new();
        for one in destinations {
            let before = known.get(&one.id).filter(|before| before.version == one.version);
            if before.is_none_or(|before| before.asked_at.elapsed() >= FRESH) {
                let contact = before.and_then(|before| before.contact);
                let asked = Known { version: one.version, asked_at: Instant::now(), contact };
                known.insert(one.id, asked);
                due.push(one.clone());
            }
        }
        if !due.is_empty() {
            tokio::spawn(ask(self.clone(), due));
        }
        known.iter().filter_map(|(id, known)| Some((*id, known.contact?))).collect()
    }

    fn lock_contacts(&self) -> std::sync::MutexGuard<'_, HashMap<DestinationId, Known>> {
        self.0.contacts.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `destination` lets us look for an object, which need not be there.
    async fn reach(&self, destination: &Destination) -> Result<(), EngineError> {
        if let Some(folder) = folder_here(destination) {
            // Opening it would make the folder of a disk that is not mounted.
            let looked = tokio::fs::read_dir(folder).await;
            return Ok(looked
                .map(drop)
                .map_err(|error| store::StoreError::io("listing", folder, &error))?);
        }
        let store = self.0.open_plain_store(destination).await?;
        // The one name that every kind of store can look for.
        let Ok(key) = Key::new("config") else { return Ok(()) };
        match store.stat(&key).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

async fn ask(engine: Engine, destinations: Vec<Destination>) {
    let engine = &engine;
    futures::stream::iter(&destinations)
        .for_each_concurrent(AT_ONCE, |one| async move {
            let asked = tokio::time::timeout(PATIENCE, engine.reach(one)).await;
            let answered = matches!(asked, Ok(Ok(())));
            if let Ok(Err(error)) = asked {
                tracing::debug!(%error, destination = %one.name, "does not answer");
            }
            let contact = Contact { at: engine.now(), answered };
            if let Some(known) = engine.lock_contacts().get_mut(&one.id)
                && known.version == one.version
            {
                known.contact = Some(contact);
            }
        })
        .await;
}

/// The folder of a destination on this machine.
fn folder_here(destination: &Destination) -> Option<&String> {
    let path = destination.settings.get("path");
    match destination.kind {
        DestinationKind::Local => path,
        DestinationKind::Tree if !destination.settings.contains_key("host") => path,
        _ => None,
    }
}

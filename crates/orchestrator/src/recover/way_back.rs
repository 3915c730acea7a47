//! A recovery that was asked for by a page: the server leaves, the catalog is rebuilt as `bootstrap`
//! does it, and the server comes back with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::bootstrap::{BootstrapError, Done, Found, Request, Step, bootstrap, look};
use crate::settings::{Settings, random_secret};

/// What is asked for, and how far it is.
#[derive(Default)]
pub(crate) struct WayBack {
    state: Mutex<State>,
    wanted: Notify,
}

#[derive(Default)]
struct State {
    /// What was looked at and may begin, by a word that nobody can guess.
    found: Option<(String, Request)>,
    /// What is to begin, or has.
    begun: Option<String>,
    request: Option<Request>,
    told: Option<Told>,
}

/// How far a recovery is.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// It goes on.
    Running(Step),
    /// It is done.
    Done(Box<Done>),
    /// It failed.
    Failed(BootstrapError),
}

impl WayBack {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks what there is, and keeps what was asked for under a word: no page shows it again.
    pub(crate) async fn look(
        &self,
        settings: &Settings,
        request: Request,
    ) -> Result<(String, Found), BootstrapError> {
        let found = look(settings, &request).await?;
        let word = random_secret();
        self.state().found = Some((word.clone(), request));
        Ok((word, found))
    }

    /// Lets what was looked at begin; `false` where it is not known any more.
    pub(crate) fn begin(&self, word: &str) -> bool {
        let mut state = self.state();
        let Some((_, request)) = state.found.take_if(|(known, _)| known == word) else {
            return false;
        };
        state.begun = Some(word.to_owned());
        state.told = Some(Told::Running(Step::Fetch));
        state.request = Some(request);
        drop(state);
        self.wanted.notify_one();
        true
    }

    /// How far the one of this word is; `None` for any other word.
    pub(crate) fn told(&self, word: &str) -> Option<Told> {
        let state = self.state();
        state.told.clone().filter(|_| state.begun.as_deref() == Some(word))
    }

    /// Waits until one is to begin.
    pub(crate) async fn wanted(&self) -> Request {
        loop {
            if let Some(request) = self.state().request.take() {
                return request;
            }
            self.wanted.notified().await;
        }
    }

    /// Does it; the data folder must not be in use.
    pub(crate) async fn perform(&self, settings: &Settings, request: Request) {
        let step = |step| self.state().told = Some(Told::Running(step));
        let told = match bootstrap(settings, request, &step).await {
            Ok(done) => Told::Done(Box::new(done)),
            Err(error) => Told::Failed(error),
        };
        self.state().told = Some(told);
    }
}

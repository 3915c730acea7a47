//! How the loops of this process go: what only it can know of itself.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::Engine;

/// A loop that has not gone round for so long stands still.
const STILL: Duration = Duration::from_secs(60);

/// What the loops note.
#[derive(Default)]
pub(crate) struct Pulse(Mutex<State>);

#[derive(Default)]
struct State {
    looked_at: Option<Instant>,
    fires: u64,
    lateness: Duration,
    last_lateness: Duration,
}

/// How schedules are served by this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// How long ago schedules were last looked at; `None` where nobody looks yet.
    pub looked_ago: Option<Duration>,
    /// Fires served since the start.
    pub fires: u64,
    /// How late they were, together.
    pub lateness: Duration,
    /// How late the last one was.
    pub last_lateness: Duration,
}

impl Pace {
    /// Whether schedules were looked at a short while ago.
    pub fn goes_on(&self) -> bool {
        self.looked_ago.is_some_and(|ago| ago < STILL)
    }
}

impl Pulse {
    /// Schedules are looked at now.
    pub(crate) fn look(&self) {
        self.lock().looked_at = Some(Instant::now());
    }

    /// A fire was served so late.
    pub(crate) fn fired(&self, lateness: Duration) {
        let mut state = self.lock();
        state.fires += 1;
        state.lateness = state.lateness.saturating_add(lateness);
        state.last_lateness = lateness;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// How schedules are served by this process.
    pub fn pace(&self) -> Pace {
        let state = self.0.pulse.lock();
        Pace {
            looked_ago: state.looked_at.map(|at| at.elapsed()),
            fires: state.fires,
            lateness: state.lateness,
            last_lateness: state.last_lateness,
        }
    }
}

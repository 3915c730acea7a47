//! What a run tells while it goes on: log lines and progress, kept in the catalog.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use catalog::{Catalog, CatalogError, Progress};
use jiff::Timestamp;
use model::{Clock, DestinationId, Failure, LogLevel, RunId, RunState, Stage};
use tracing::Span;

/// How often lines and progress are written while a run goes on.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_millis(400);

/// Longest log line, in characters.
const MAX_LINE: usize = 2_000;

/// Collects a run's lines and counters; [`Journal::flush`] writes them.
pub(crate) struct Journal {
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    run_id: RunId,
    lease_token: i64,
    state: Mutex<State>,
    /// Keeps flushes in order.
    flushing: tokio::sync::Mutex<()>,
    bytes_read: AtomicU64,
    bytes_expected: AtomicU64,
    /// Of the run, for what the server's log tells of it.
    span: Span,
}

struct State {
    stage: Stage,
    /// Lasts as long as the stage.
    stage_span: Span,
    lines: Vec<(Timestamp, LogLevel, Stage, String)>,
    written: Vec<Written>,
}

/// What a destination has taken, and what was told of it last.
struct Written {
    destination: DestinationId,
    bytes: Arc<AtomicU64>,
    told: u64,
}

impl Journal {
    pub(crate) fn new(
        catalog: Catalog,
        clock: Arc<dyn Clock>,
        run_id: RunId,
        lease_token: i64,
    ) -> Self {
        Self {
            catalog,
            clock,
            run_id,
            lease_token,
            state: Mutex::new(State {
                stage: Stage::Queued,
                stage_span: Span::none(),
                lines: Vec::new(),
                written: Vec::new(),
            }),
            flushing: tokio::sync::Mutex::default(),
            bytes_read: AtomicU64::new(0),
            bytes_expected: AtomicU64::new(0),
            span: Span::current(),
        }
    }

    /// Marks that the run has entered `stage`.
    pub(crate) async fn enter(&self, stage: Stage) -> Result<(), CatalogError> {
        let span = tracing::info_span!(parent: &self.around(), "stage", stage = %stage);
        {
            let mut state = self.lock();
            state.stage = stage;
            state.stage_span = span;
        }
        self.catalog.enter_stage(self.run_id, self.lease_token, stage, self.clock.now()).await
    }

    /// The step of the run that this thread is at, else the run.
    fn around(&self) -> Span {
        let here = Span::current();
        if here.is_none() { self.span.clone() } else { here }
    }

    /// Marks that the run has left its last stage.
    pub(crate) fn leave(&self) {
        self.lock().stage_span = Span::none();
    }

    pub(crate) fn stage(&self) -> Stage {
        self.lock().stage
    }

    pub(crate) fn info(&self, message: impl AsRef<str>) {
        self.log(LogLevel::Info, message.as_ref());
    }

    pub(crate) fn warn(&self, message: impl AsRef<str>) {
        self.log(LogLevel::Warn, message.as_ref());
    }

    pub(crate) fn error(&self, message: impl AsRef<str>) {
        self.log(LogLevel::Error, message.as_ref());
    }

    /// The last line: how the run ended.
    pub(crate) fn log_end(&self, level: LogLevel, state: RunState, failure: Option<&Failure>) {
        match failure {
            Some(failure) => self.log(level, &format!("{state}: {}", failure.message)),
            None => self.log(level, &state.to_string()),
        }
    }

    fn log(&self, level: LogLevel, message: &str) {
        // One line is one line: what a source says cannot forge others or move the cursor.
        let message: String =
            message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_LINE).collect();
        let at = self.clock.now();
        let stage = self.stage();
        // Its steps are in the run's own log; the server's has what went wrong.
        self.around().in_scope(|| match level {
            LogLevel::Debug | LogLevel::Info => tracing::debug!(%stage, "{message}"),
            LogLevel::Warn => tracing::warn!(%stage, "{message}"),
            LogLevel::Error => tracing::error!(%stage, "{message}"),
        });
        self.lock().lines.push((at, level, stage, message));
    }

    pub(crate) fn add_bytes(&self, count: usize) {
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn expect_bytes(&self, count: u64) {
        self.bytes_expected.fetch_add(count, Ordering::Relaxed);
    }

    /// Tells of what `destination` takes from now on.
    pub(crate) fn watch(&self, destination: DestinationId, bytes: &Arc<AtomicU64>) {
        let bytes = Arc::clone(bytes);
        self.lock().written.push(Written { destination, bytes, told: 0 });
    }

    fn newly_written(&self) -> Vec<(DestinationId, u64)> {
        let mut state = self.lock();
        let newer = state.written.iter_mut().filter_map(|one| {
            let now = one.bytes.load(Ordering::Relaxed);
            (std::mem::replace(&mut one.told, now) != now).then_some((one.destination, now))
        });
        newer.collect()
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Writes what has been collected. Lines that could not be written stay for the next time.
    pub(crate) async fn flush(&self) -> Result<(), CatalogError> {
        let _in_order = self.flushing.lock().await;
        let (stage, lines) = {
            let mut state = self.lock();
            (state.stage, std::mem::take(&mut state.lines))
        };
        if !lines.is_empty()
            && let Err(error) = self.catalog.append_log(self.run_id, &lines).await
        {
            self.lock().lines.splice(0..0, lines);
            return Err(error);
        }
        let expected = self.bytes_expected.load(Ordering::Relaxed);
        let progress = Progress {
            stage,
            bytes_read: self.bytes_read(),
            bytes_expected: (expected > 0).then_some(expected),
            written: self.newly_written(),
        };
        self.catalog.progress(self.run_id, self.lease_token, &progress).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

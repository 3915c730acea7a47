//! A whole app as one restorable point: it is brought to stand still while its sources are read,
//! what it is made of is noted, and it goes on whatever becomes of the run.

pub(crate) mod code;
pub(crate) mod containers;
mod grade;
pub(crate) mod hooks;
mod notes;
mod prepared;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use model::{
    App, AppState, Artifact, Failure, QuiesceMode, SnapshotKind, Source, VolumeSnapshot,
    whole::QUIESCE_SECS,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{RunContext, StopReason};
use crate::{
    docker,
    duty::Owed,
    source::{
        self,
        volume::users::{self, Held, Meanwhile},
    },
};

pub(crate) use prepared::Prepared;

/// An app that stands still, as far as its plan asks for it.
pub(crate) struct Standstill {
    state: AppState,
    /// Its commands before brought it to an orderly state, or it was shut down.
    orderly: bool,
    /// Nothing of it writes as long as it waits.
    still: bool,
    waiting: Arc<Mutex<Waiting>>,
    ended: CancellationToken,
}

/// What waits for us.
struct Waiting {
    held: Held,
    /// Commands after, the first one last.
    post: Vec<Owed>,
    since: Option<Instant>,
    paused: Duration,
    cut_short: bool,
    troubles: Vec<String>,
    failure: Option<Failure>,
}

impl Standstill {
    /// Notes what the app is made of, and brings it to stand still. A failure leaves nothing that
    /// waits.
    pub(crate) async fn begin(context: &RunContext, app: &App) -> Result<Self, Failure> {
        let plan = &app.quiesce;
        let mut state =
            AppState { mode: plan.mode, deploy: context.run.deploy.clone(), ..AppState::default() };
        state.code = code::noted(context, app).await?;
        let known = containers::of_app(context, app).await?;
        state.containers = notes::containers(context, &known).await;
        let waiting = Waiting {
            held: Held::nobody(),
            post: Vec::new(),
            since: None,
            paused: Duration::ZERO,
            cut_short: false,
            troubles: Vec::new(),
            failure: None,
        };
        let mut begun = Self {
            state,
            orderly: false,
            still: false,
            waiting: Arc::new(Mutex::new(waiting)),
            ended: CancellationToken::new(),
        };
        if plan.mode != QuiesceMode::None {
            context
                .journal
                .enter(model::Stage::Quiesce)
                .await
                .map_err(|error| super::failure::of_catalog(&error))?;
        }
        if let Err(failure) = begun.quiesce(context, app, known).await {
            if let Err(trouble) = begun.release(context).await {
                context.journal.warn(&trouble.message);
            }
            return Err(failure);
        }
        begun.state.database_wal_position = notes::positions(context, app).await;
        Ok(begun)
    }

    async fn quiesce(
        &mut self,
        context: &RunContext,
        app: &App,
        known: Vec<containers::Known>,
    ) -> Result<(), Failure> {
        let plan = &app.quiesce;
        if plan.mode == QuiesceMode::None {
            return Ok(());
        }
        // All of these are owed before the first of those before: the app may need them whatever
        // these have done.
        for hook in plan.post.iter().rev() {
            let owed = hooks::owe(context, app, hook).await?;
            self.waiting.lock().await.post.push(owed);
        }
        let mut all_went = true;
        for hook in &plan.pre {
            if let Err(failure) = hooks::run(context, app, hook).await {
                context.keep_going()?;
                if !context.run.lenient {
                    return Err(failure);
                }
                context.journal.warn(format!("{}; it is read all the same", failure.message));
                all_went = false;
            }
        }
        if plan.holds() {
            self.hold(context, app, known).await?;
        }
        let is_stopped = plan.mode == QuiesceMode::Stop && self.still;
        self.orderly = all_went && !plan.pre.is_empty() || is_stopped;
        self.limit(context, plan.max_secs.unwrap_or(QUIESCE_SECS));
        Ok(())
    }

    /// Pauses or stops the app's containers.
    async fn hold(
        &mut self,
        context: &RunContext,
        app: &App,
        known: Vec<containers::Known>,
    ) -> Result<(), Failure> {
        let stops = app.quiesce.mode == QuiesceMode::Stop;
        if known.is_empty() {
            // Snapshots of file systems are worth something alone.
            let may_be_none = app.quiesce.mode == QuiesceMode::Filesystem || context.run.lenient;
            return if may_be_none { Ok(()) } else { Err(containers::none(app)) };
        }
        let docker = docker::connect(&context.engine.0.config).await?;
        self.still = true;
        let mut waiting = self.waiting.lock().await;
        waiting.since = Some(Instant::now());
        for one in known {
            let Some(user) = one.running else { continue };
            // Who has been paused by somebody writes nothing, and is left so.
            if user.is_paused() {
                continue;
            }
            let why = user.why_not_stopped().filter(|_| stops || user.is_restarting());
            let meanwhile =
                if stops || user.is_restarting() { Meanwhile::Stop } else { Meanwhile::Pause };
            let done = match why {
                Some(why) => Err(containers::not_stopped(why)),
                None => users::hold_one(context, &docker, user, meanwhile, &mut waiting.held).await,
            };
            if let Err(failure) = done {
                if !context.run.lenient || context.keep_going().is_err() {
                    return Err(failure);
                }
                context.journal.warn(format!("{}; it is read all the same", failure.message));
                self.still = false;
            }
        }
        Ok(())
    }

    /// Lets the app go on after `secs`, whether it was read by then or not.
    fn limit(&self, context: &RunContext, secs: u64) {
        let (waiting, ended, context) =
            (Arc::clone(&self.waiting), self.ended.clone(), context.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(secs)) => {}
            }
            let mut waiting = waiting.lock().await;
            if ended.is_cancelled() {
                return;
            }
            waiting.cut_short = true;
            let told = format!(
                "the app has stood still for {secs} s, its longest time (`quiesce.max_secs`): it \
                 goes on while it is read"
            );
            context.journal.warn(&told);
            waiting.troubles.push(told);
            waiting.let_go(&context).await;
        });
    }

    /// Lets the app go on while what is left of it is read; [`Self::release`] tells how that went.
    pub(crate) async fn go_on(&mut self, context: &RunContext) {
        self.ended.cancel();
        self.waiting.lock().await.let_go(context).await;
    }

    /// Lets the app go on. What could not be done is tried again after the run.
    pub(crate) async fn release(&mut self, context: &RunContext) -> Result<(), Failure> {
        self.ended.cancel();
        let mut waiting = self.waiting.lock().await;
        waiting.let_go(context).await;
        waiting.failure.take().map_or(Ok(()), Err)
    }

    /// Takes a snapshot of the file system that `source` is on, to be read from later; `false` where
    /// there is none.
    pub(crate) async fn stand(
        &mut self,
        context: &RunContext,
        app: &App,
        source: &Source,
    ) -> Result<bool, Failure> {
        let name = &source.name;
        match source::standing(context, app, source).await {
            Ok(Some(basis)) => {
                if let Some((kind, id)) = basis.ids() {
                    let (kind, at) = (kind.to_owned(), context.engine.now());
                    let snapshot = VolumeSnapshot { kind, id, at };
                    self.state.volume_snapshots.insert(name.to_string(), snapshot);
                }
                context.prepared.put(name.clone(), basis);
                Ok(true)
            }
            Ok(None) => {
                context.journal.info(format!("`{name}` is on no file system with snapshots"));
                Ok(false)
            }
            Err(failure) => {
                context.keep_going()?;
                let why = failure.message;
                context.journal.warn(format!("`{name}` is read without a snapshot: {why}"));
                Ok(false)
            }
        }
    }

    /// What was noted, and how far `artifacts` belong together; after everything was read.
    pub(crate) async fn told(
        mut self,
        app: &App,
        artifacts: &[Artifact],
    ) -> (AppState, Vec<String>) {
        let mut waiting = self.waiting.lock().await;
        self.state.cut_short = waiting.cut_short;
        self.state.paused_ms = u64::try_from(waiting.paused.as_millis()).unwrap_or(u64::MAX);
        let troubles = std::mem::take(&mut waiting.troubles);
        drop(waiting);
        let seen = grade::Seen { orderly: self.orderly, still: self.still };
        grade::judge(&mut self.state, app, artifacts, seen);
        (self.state, troubles)
    }
}

impl Waiting {
    async fn let_go(&mut self, context: &RunContext) {
        let troubles = self.held.release(context).await;
        self.troubles.extend(troubles.into_iter().map(|one| one.message));
        if let Some(since) = self.since.take() {
            self.paused = since.elapsed();
        }
        if context.stop_reason() == Some(StopReason::LeaseLost) {
            return;
        }
        while let Some(owed) = self.post.pop() {
            if let Err(failure) = context.settle_told(owed).await {
                context.journal.warn(&failure.message);
                self.failure.get_or_insert(failure);
            }
        }
    }
}

/// Which deployment or commit a snapshot was taken before.
pub(crate) fn is_before(snapshot: &model::Snapshot, wanted: &str) -> bool {
    let is_of = |text: Option<&String>| text.is_some_and(|text| text == wanted);
    let begins = |text: Option<&String>| {
        wanted.len() >= 7 && text.is_some_and(|text| text.starts_with(&wanted.to_ascii_lowercase()))
    };
    let deploy = snapshot.app_state.as_ref().and_then(|state| state.deploy.as_ref());
    snapshot.kind == SnapshotKind::PreDeploy
        && (wanted == "latest" || is_of(deploy) || begins(snapshot.git_commit.as_ref()))
}

//! One app's archive, looked after by whoever holds the right to: WAL comes, and what follows.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use model::{
    App, ArchiveStanding, EventKind, Fact, RecoveryPlan, RunKind, RunState, Sentence, Severity,
    Size, SnapshotKind, Trigger, WalPiece, WalWay,
};
use replication::{Lsn, SystemId, Timeline};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    address,
    archive::Archive,
    archiver, asked, beside, heartbeat, hole,
    index::Outline,
    names::{PieceName, told as position},
    retention, scan, slot, stream, taken, told, window,
};
use crate::{Engine, EngineError, run::failure};

/// How long the right to look after an archive holds.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
const RENEW: Duration = Duration::from_secs(8);
/// How often it is written how the archive stands.
const STAND_EVERY: Duration = Duration::from_secs(2);
/// A server that was not heard for so long is not live.
const SILENCE: SignedDuration = SignedDuration::from_secs(90);
/// Pause after the archive cannot be opened.
const PAUSE: Duration = Duration::from_secs(5);
/// A base backup that failed is asked for again after so many looks.
const BASE_AGAIN: u32 = 10;
/// How much sooner a slot is looked at again that keeps half of what it may.
const HURRY: u32 = 6;
/// Most moments at which the server's end is remembered.
const SAMPLES: usize = 4_096;

/// An app whose archive is looked after.
pub(super) struct Work {
    pub(super) engine: Engine,
    pub(super) app: App,
    pub(super) plan: RecoveryPlan,
    pub(super) archive: Archive,
    /// Rung when the slot is to be let go of.
    pub(super) release: Notify,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    standing: ArchiveStanding,
    live: Option<(SystemId, Timeline)>,
    /// When the server's end was first seen to be there.
    ends: VecDeque<(Lsn, Timestamp)>,
    streams: bool,
    /// Where the last hole began in what is handed over, that no base backup followed yet.
    hole: Option<model::Lsn>,
    /// When the destination was last listed, and how many objects there were.
    listed: Option<(tokio::time::Instant, u64)>,
}

/// Looks after the archive of `app` until `stop`, while no one else does.
pub(super) async fn look_after(engine: Engine, app: App, stop: CancellationToken) {
    let owner = engine.0.config.instance.clone();
    loop {
        let taken = engine.0.catalog.take_receiver(app.id, &owner, engine.now(), LEASE).await;
        let Ok(Some(token)) = taken else {
            if paused(&stop, RENEW).await {
                return;
            }
            continue;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = renew(&engine, &app, &owner, token) => {}
            error = work(&engine, &app, token) => {
                let trouble = Fact::WalShut { why: failure::of_engine(&error).into() };
                let before = engine.0.catalog.wal_standing(app.id).await.ok().flatten();
                let standing = ArchiveStanding {
                    is_live: false,
                    trouble: Some(trouble.into()),
                    ..before.unwrap_or_default()
                };
                // The catalog may be what is away.
                let _ = engine.0.catalog.set_wal_standing(app.id, &standing).await;
                // The server keeps WAL for us all the while.
                if let Err(error) = let_go(&engine, &app).await {
                    tracing::debug!(%error, "the slot cannot be looked at");
                }
            }
        }
        // Where this fails the right runs out by itself.
        let _ = engine.0.catalog.leave_receiver(app.id, token).await;
        if stop.is_cancelled() || paused(&stop, PAUSE.min(engine.0.config.wal.scan)).await {
            return;
        }
    }
}

async fn paused(stop: &CancellationToken, length: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(length) => false,
    }
}

/// Renews the right; ends when it is lost.
async fn renew(engine: &Engine, app: &App, owner: &str, token: i64) {
    let mut renewed = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(RENEW).await;
        match engine.0.catalog.take_receiver(app.id, owner, engine.now(), LEASE).await {
            Ok(Some(same)) if same == token => renewed = tokio::time::Instant::now(),
            // The catalog is away: go on until the right would have run out.
            Err(_) if renewed.elapsed() < LEASE.unsigned_abs() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Everything that is done for an archive; ends only with what stands against it.
async fn work(engine: &Engine, app: &App, token: i64) -> EngineError {
    let opened = async {
        let plan = app.recovery.clone().ok_or_else(|| {
            EngineError::refused(format!("`{}` has no archive of WAL any more", app.name))
        })?;
        let archive = engine.wal_archive(app).await?;
        // Nothing comes before it is known what is there.
        let scanned = scan::scan(engine, &archive).await?;
        tell_of_lost(engine, app, &scanned.lost).await?;
        let standing = engine.0.catalog.wal_standing(app.id).await?.unwrap_or_default();
        let seen = Seen {
            standing: ArchiveStanding { is_live: false, trouble: None, ..standing },
            listed: Some((tokio::time::Instant::now(), scanned.objects)),
            ..Seen::default()
        };
        Ok::<_, EngineError>(Arc::new(Work {
            engine: engine.clone(),
            app: app.clone(),
            plan,
            archive,
            release: Notify::new(),
            seen: Mutex::new(seen),
        }))
    };
    let work = match opened.await {
        Ok(work) => work,
        Err(error) => return error,
    };
    let streams = work.plan.way == WalWay::Stream;
    let times = engine.0.config.wal;
    // One is read out of memory, the other is asked of the server.
    let stand_every = if streams { STAND_EVERY.min(times.scan) } else { times.look };
    let stream = async {
        if streams {
            stream::stream(&work).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = stream => EngineError::refused("receiving ended".to_owned()),
        () = every(engine.0.config.wal.scan, || tend(&work, token)) => ended(),
        () = every(stand_every, || write(&work)) => ended(),
        () = watch_slot(&work), if streams => ended(),
        () = every(engine.0.config.wal.beat, || beat(&work)), if work.plan.heartbeat => ended(),
    }
}

fn ended() -> EngineError {
    EngineError::refused("looking after the archive ended".to_owned())
}

/// Does something again and again; what it cannot do now it tries again.
async fn every<F: Future<Output = Result<(), EngineError>>>(
    length: Duration,
    mut act: impl FnMut() -> F,
) {
    let mut ticks = tokio::time::interval(length);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = act().await {
            tracing::warn!(%error, "an archive of WAL cannot be looked after now; trying again");
        }
    }
}

impl Work {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands against it now.
    pub(super) fn trouble(&self, what: impl Into<Sentence>) {
        self.seen().standing.trouble = Some(what.into());
    }

    /// WAL of this cluster comes.
    pub(super) fn live(&self, system: SystemId, timeline: Timeline) {
        let mut seen = self.seen();
        seen.live = Some((system, timeline));
        seen.standing.trouble = None;
    }

    /// A piece is durable.
    pub(super) fn stored(&self, what: &PieceName) {
        let mut seen = self.seen();
        seen.standing.trouble = None;
        let is_older = |live: (SystemId, Timeline)| live.0 == what.system && live.1 > what.timeline;
        if what.end > Lsn(0) && !seen.live.is_some_and(is_older) {
            seen.live = Some((what.system, what.timeline));
        }
    }

    /// How the stream stands.
    pub(super) fn stand(&self, now: replication::Standing) {
        let at = self.engine.now();
        let mut seen = self.seen();
        seen.streams = now.is_streaming;
        if !now.is_streaming {
            return;
        }
        let standing = &mut seen.standing;
        standing.heard_at = now.heard.map(|_| at);
        standing.said_at = now.said;
        standing.server_at = Some(position(now.server));
        // Before the first receipt it says where receiving began, which is stored.
        standing.stored_to = Some(position(now.durable));
        if seen.ends.back().is_none_or(|(end, _)| *end < now.server) {
            if seen.ends.len() == SAMPLES {
                // Fewer of the later ones: the oldest tells the lag.
                seen.ends.pop_back();
            }
            seen.ends.push_back((now.server, at));
        }
        while seen.ends.front().is_some_and(|(end, _)| *end <= now.durable) {
            seen.ends.pop_front();
        }
    }

    /// How many bytes the server is ahead of `at`, by its last word.
    pub(super) fn ahead_of(&self, at: Lsn) -> u64 {
        self.seen().standing.server_at.map_or(0, |end| end.0.saturating_sub(at.0))
    }

    /// How it stands, for people.
    fn standing(&self) -> ArchiveStanding {
        let now = self.engine.now();
        let mut seen = self.seen();
        let lag = seen.ends.front().map_or(0, |(_, since)| now.duration_since(*since).as_secs());
        let streams = seen.streams;
        let standing = &mut seen.standing;
        standing.lag_secs = u64::try_from(lag).unwrap_or(0);
        let is_heard = standing.heard_at.is_some_and(|at| now.duration_since(at) < SILENCE);
        standing.is_live = streams && is_heard;
        standing.clone()
    }
}

/// Writes how it stands, and tells where it falls behind or goes on.
async fn write(work: &Work) -> Result<(), EngineError> {
    let (engine, app) = (&work.engine, &work.app);
    if work.plan.way == WalWay::Push {
        return handed_over(work).await;
    }
    let standing = work.standing();
    engine.0.catalog.set_wal_standing(app.id, &standing).await?;
    let silent = standing
        .heard_at
        .map_or(0, |at| u64::try_from(engine.now().duration_since(at).as_secs()).unwrap_or(0));
    let late = if standing.is_live { standing.lag_secs } else { silent.max(standing.lag_secs) };
    let name = app.name.to_string();
    let behind = engine.0.config.wal.behind.as_secs();
    if late >= behind {
        let why = standing.trouble.unwrap_or_else(|| Fact::NothingComes {}.into());
        let fact = Fact::WalLate { app: name, minutes: late / 60, why: why.into() };
        told::begins(engine, app.id, EventKind::WalBehind, Severity::Error, fact).await?;
    } else if standing.is_live
        && late * 5 <= behind
        && told::over(engine, app.id, EventKind::WalBehind).await?
    {
        let back = Fact::WalBack { app: name };
        engine.tell_of_wal(app.id, EventKind::WalResumed, Severity::Info, back).await?;
    }
    Ok(())
}

/// The same where the server hands its WAL over: an idle server hands over nothing, so what counts
/// is what it says of its archiver.
async fn handed_over(work: &Work) -> Result<(), EngineError> {
    let (engine, app) = (&work.engine, &work.app);
    let asked = asked(engine, app)?;
    let now = engine.now();
    let looked = archiver::look(&asked).await;
    let is_received = beside::is_there(engine, app.id).await?;
    let mut standing = engine.0.catalog.wal_standing(app.id).await?.unwrap_or_default();
    match &looked {
        Ok(found) => {
            standing.heard_at = Some(now);
            standing.said_at = Some(found.said);
            standing.server_at = Some(found.at);
            standing.is_live = found.failing.is_none();
            standing.trouble = found
                .failing
                .as_ref()
                .map(|file| Fact::ArchiveCommandFails { file: file.clone() }.into());
            let mut seen = work.seen();
            let end = Lsn(found.at.0);
            if seen.ends.back().is_none_or(|(last, _)| *last < end) && seen.ends.len() < SAMPLES {
                seen.ends.push_back((end, now));
            }
            let stored = Lsn(standing.stored_to.map_or(0, |at| at.0));
            while seen.ends.front().is_some_and(|(end, _)| *end <= stored) {
                seen.ends.pop_front();
            }
            let lag =
                seen.ends.front().map_or(0, |(_, since)| now.duration_since(*since).as_secs());
            standing.lag_secs = u64::try_from(lag).unwrap_or(0);
            // A receiver hands over what there is every few seconds.
            if is_received && standing.lag_secs >= engine.0.config.wal.behind.as_secs() {
                standing.is_live = false;
                standing.trouble = Some(Fact::ReceiverSilent {}.into());
            }
        }
        Err(failure) => {
            standing.is_live = false;
            standing.trouble = Some(failure.clone().into());
        }
    }
    engine.0.catalog.set_wal_standing(app.id, &standing).await?;
    let name = app.name.to_string();
    if let (false, Some(why)) = (standing.is_live, standing.trouble) {
        if standing.lag_secs >= engine.0.config.wal.behind.as_secs() {
            let fact =
                Fact::WalLate { app: name, minutes: standing.lag_secs / 60, why: why.into() };
            told::begins(engine, app.id, EventKind::WalBehind, Severity::Error, fact).await?;
        }
    } else if told::over(engine, app.id, EventKind::WalBehind).await? {
        let back = Fact::WalBack { app: name };
        engine.tell_of_wal(app.id, EventKind::WalResumed, Severity::Info, back).await?;
    }
    Ok(())
}

/// Looks at the slot again and again, more often the less room is left.
async fn watch_slot(work: &Work) {
    let length = work.engine.0.config.wal.look;
    loop {
        let length = match look_at_slot(work).await {
            Ok(true) => length / HURRY,
            Ok(false) => length,
            Err(error) => {
                tracing::warn!(%error, "a slot cannot be looked at now; trying again");
                length
            }
        };
        tokio::time::sleep(length).await;
    }
}

/// What the server keeps for us, and lets go of it before its disk fills; whether it keeps half of
/// what it may already.
async fn look_at_slot(work: &Work) -> Result<bool, EngineError> {
    let asked = asked(&work.engine, &work.app)?;
    let Ok(look) = slot::look(&asked).await else {
        // The stream itself tells of a server that is away.
        return Ok(false);
    };
    let most = look.most(&work.plan);
    {
        let mut seen = work.seen();
        let standing = &mut seen.standing;
        standing.kept_bytes = look.kept.as_ref().map(|kept| kept.bytes);
        standing.slot_status = look.kept.as_ref().map(|kept| kept.status.clone());
        standing.kept_limit = Some(most);
        standing.free_bytes = look.free();
    }
    let Some(kept) = look.kept else { return Ok(false) };
    let (engine, app) = (&work.engine, work.app.id);
    let name = work.app.name.to_string();
    let (bytes, limit) = (Size(kept.bytes), Size(most));
    if kept.bytes > most {
        // Whoever streams from it has to leave it first.
        work.release.notify_one();
        return Ok(true);
    }
    if kept.bytes > most / 4 * 3 {
        let fact = Fact::WalKept { app: name, kept: bytes, most: limit };
        told::begins(engine, app, EventKind::WalBehind, Severity::Warning, fact).await?;
    }
    Ok(kept.bytes > most / 2)
}

/// Lets go of the slot, where it still keeps too much, and tells of it. Nobody streams from it now.
pub(super) async fn let_go(engine: &Engine, app: &App) -> Result<(), EngineError> {
    let Some(plan) = app.recovery.as_ref().filter(|plan| plan.way == WalWay::Stream) else {
        return Ok(());
    };
    let asked = asked(engine, app)?;
    let look = slot::look(&asked).await.map_err(super::ops::refused)?;
    let most = look.most(plan);
    let Some(kept) = look.kept.filter(|kept| kept.bytes > most) else { return Ok(()) };
    let settings = address::of(&asked).await.map_err(super::ops::refused)?;
    let released = slot::release(&settings, &slot::name(app.id)).await;
    released.map_err(|error| EngineError::refused(error.to_string()))?;
    let (kept, most) = (Size(kept.bytes), Size(most));
    let fact = Fact::SlotLetGo { app: app.name.to_string(), kept, most };
    engine.tell_of_wal(app.id, EventKind::SlotReleased, Severity::Error, fact).await
}

async fn beat(work: &Work) -> Result<(), EngineError> {
    let asked = asked(&work.engine, &work.app)?;
    heartbeat::beat(&asked, work.plan.window_days).await.map_err(super::ops::refused)
}

/// Looks whether all is there that should be, what is not needed, and whether a base is due.
async fn tend(work: &Work, token: i64) -> Result<(), EngineError> {
    let (engine, app) = (&work.engine, &work.app);
    let may_delete = is_time(engine, app).await?;
    let listed = work.seen().listed;
    let every = engine.0.config.wal.scan;
    // The look that comes a blink too early is the one that was meant.
    let is_due = listed
        .is_none_or(|(since, objects)| since.elapsed() + every / 10 >= scan::pause(objects, every));
    // Nothing is deleted but on what a listing has just shown.
    if is_due || may_delete {
        let began = tokio::time::Instant::now();
        let scanned = scan::scan(engine, &work.archive).await?;
        work.seen().listed = Some((began, scanned.objects));
        taken::note(engine, app.id, work.plan.destination, scanned.bytes).await?;
        tell_of_lost(engine, app, &scanned.lost).await?;
        if may_delete && scanned.lost.is_empty() {
            engine.0.catalog.set_setting(&tended(app), &engine.now().to_string()).await?;
            retention::apply(engine, app, &work.plan, &work.archive, token).await?;
            sweep_beginnings(work).await?;
        }
    }
    if work.plan.way == WalWay::Push {
        let before = work.seen().hole;
        let hole = hole::look(engine, app, before).await?;
        work.seen().hole = hole;
    }
    let held = engine.recovery_hold().await?.is_some_and(|hold| hold.schedules);
    if !held && base_is_due(work).await? {
        engine.base_run(app, Trigger::Schedule).await?;
    }
    Ok(())
}

/// Tells of pieces that a listing has shown to be gone or altered.
pub(super) async fn tell_of_lost(
    engine: &Engine,
    app: &App,
    lost: &[WalPiece],
) -> Result<(), EngineError> {
    let Some(first) = lost.first() else { return Ok(()) };
    let fact = Fact::WalLost {
        app: app.name.to_string(),
        name: first.name.clone(),
        count: lost.len() as u64,
    };
    engine.tell_of_wal(app.id, EventKind::WalGap, Severity::Error, fact).await
}

/// Where it is kept when what is not needed was last deleted.
fn tended(app: &App) -> String {
    format!("wal_tended/{}", app.id)
}

/// Whether what is not needed was last deleted long enough ago.
async fn is_time(engine: &Engine, app: &App) -> Result<bool, EngineError> {
    let every = SignedDuration::try_from(engine.0.config.wal.tend).unwrap_or(SignedDuration::MAX);
    let last = engine.0.catalog.setting(&tended(app)).await?;
    let last: Option<Timestamp> = last.and_then(|text| text.parse().ok());
    Ok(last.is_none_or(|last| engine.now().duration_since(last).abs() >= every))
}

/// Deletes beginnings that were replaced while that could not be done.
async fn sweep_beginnings(work: &Work) -> Result<(), EngineError> {
    let mut names = BTreeSet::new();
    let take = |piece: WalPiece| {
        if piece.kind == model::WalPieceKind::Beginning {
            names.insert(piece.name);
        }
    };
    work.engine.0.catalog.each_wal(work.app.id, take).await?;
    for name in names {
        stream::tidy(&work.engine, &work.archive, &name).await?;
    }
    Ok(())
}

/// Whether a base backup is wanted now: the first, the next, or one from which on WAL is whole.
async fn base_is_due(work: &Work) -> Result<bool, EngineError> {
    let (engine, app) = (&work.engine, &work.app);
    let streams = work.plan.way == WalWay::Stream;
    let live = work.seen().live;
    if streams && live.is_none() {
        return Ok(false);
    }
    let now = engine.now();
    if asked_lately(engine, app, now).await? {
        return Ok(false);
    }
    let bases = engine.wal_bases(app.id).await?;
    let outline = Outline::load(engine, app.id).await?;
    let current = live.or_else(|| outline.end().map(|end| (end.system, end.timeline)));
    let Some((system, timeline)) = current else { return Ok(bases.is_empty()) };
    let newest = bases.iter().rev().find(|base| base.facts.system == system.to_string());
    let Some(newest) = newest else { return Ok(true) };
    let every = SignedDuration::from_hours(i64::from(work.plan.base_every_hours));
    if now.duration_since(newest.at) >= every || newest.facts.timeline != timeline.number() {
        return Ok(true);
    }
    // A hole after the newest base: what comes behind it leads nowhere.
    let Some(end) = outline.stored.of(system, timeline).and_then(replication::Ranges::end) else {
        return Ok(false);
    };
    // Pieces may become durable out of their order; only below what was acknowledged is it a hole.
    let acknowledged = work.seen().standing.stored_to.filter(|_| streams);
    let end = acknowledged.map_or(position(end), |stored| stored.min(position(end)));
    Ok(window::end(newest, &outline).is_none_or(|reached| reached < end))
}

/// Whether a base backup waits or goes on, or was tried a short while ago.
async fn asked_lately(engine: &Engine, app: &App, now: Timestamp) -> Result<bool, EngineError> {
    let active = engine.0.catalog.active_runs().await?;
    if active.iter().any(|run| run.app_id == Some(app.id) && super::is_base(run)) {
        return Ok(true);
    }
    let query = catalog::RunQuery { app_id: Some(app.id), limit: 50, ..Default::default() };
    let runs = engine.0.catalog.runs(query).await?;
    let last = runs.iter().find(|run| {
        run.kind == RunKind::Backup
            && run.snapshot_kind == SnapshotKind::Base
            && run.state != RunState::Succeeded
    });
    let pause = SignedDuration::try_from(engine.0.config.wal.scan * BASE_AGAIN);
    let pause = pause.unwrap_or(SignedDuration::MAX);
    Ok(last.is_some_and(|run| now.duration_since(run.queued_at).abs() < pause))
}

//! WAL as the server writes it, into the archive; acknowledged only once it is durable there.

use std::{sync::Arc, time::Duration};

use model::{EventKind, Fact, Sentence, Severity, WalPieceKind};
use replication::{
    Connection, Error, Event, Piece, Problem, Receipt, Receiver, ReceiverOptions, SegmentSize,
    SystemId,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{
    address,
    archive::{self, Archive, Put},
    asked,
    content::Content,
    index::Outline,
    names::PieceName,
    receive::{self, Work},
    scan, slot, told,
};
use crate::{Engine, EngineError, run::failure};

/// Segments on their way to the destination at once.
const AT_ONCE: usize = 2;
/// Bytes of segments in memory: two of the usual size have no room in it and wait in the spool, from
/// where they are read while they are still in the page cache.
const MEMORY: u64 = 8 << 20;
/// First and longest pause after something failed.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// How often beginnings are stored where none of them can be deleted.
const SELDOM: Duration = Duration::from_secs(300);

/// Receives without an end, connection after connection.
pub(super) async fn stream(work: &Arc<Work>) {
    let mut pause = PAUSE;
    // Whether to begin where the slot does, since what came before is not to be had.
    let mut anew = false;
    loop {
        let began = tokio::time::Instant::now();
        let ended = once(work, anew).await;
        if began.elapsed() > LONGEST {
            pause = PAUSE;
        }
        let why = match ended {
            Ended::Released => {
                release(work).await;
                continue;
            }
            Ended::Failed(why) => why,
            Ended::Lost(error) => match after(work, &error).await {
                Ok(next) => {
                    anew = next;
                    address::failure(&error).into()
                }
                Err(trouble) => told_of(&trouble),
            },
        };
        work.trouble(Fact::WalStopped { why: why.into() });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = work.release.notified() => release(work).await,
        }
        pause = (pause * 2).min(LONGEST);
    }
}

async fn release(work: &Work) {
    if let Err(error) = receive::let_go(&work.engine, &work.app).await {
        work.trouble(Fact::SlotStays { why: told_of(&error).into() });
        tokio::time::sleep(PAUSE).await;
    }
}

/// Why receiving ended.
enum Ended {
    /// The server or the way to it.
    Lost(Error),
    /// Something on our side.
    Failed(Sentence),
    /// The slot was let go of.
    Released,
}

impl From<EngineError> for Ended {
    fn from(error: EngineError) -> Self {
        Self::Failed(told_of(&error))
    }
}

/// Why something failed, as a sentence.
fn told_of(error: &EngineError) -> Sentence {
    failure::of_engine(error).into()
}

/// What stands against a piece.
fn not_stored(what: &PieceName, error: &EngineError) -> Fact {
    Fact::WalNotStored { name: what.file.clone(), why: told_of(error).into() }
}

/// One connection, from where the archive ends.
async fn once(work: &Arc<Work>, anew: bool) -> Ended {
    match connected(work, anew).await {
        Ok(ended) | Err(ended) => ended,
    }
}

async fn connected(work: &Arc<Work>, anew: bool) -> Result<Ended, Ended> {
    let asked = asked(&work.engine, &work.app)?;
    let failed = |failure: model::Failure| Ended::Failed(failure.into());
    let settings = address::of(&asked).await.map_err(failed)?;
    let slot = slot::name(work.app.id);
    slot::ensure(&settings, &slot).await.map_err(Ended::Lost)?;
    let start = if anew { None } else { Outline::load(&work.engine, work.app.id).await?.end() };
    let times = work.engine.0.config.wal;
    let is_kept = work.archive.destination.append_only;
    let (events, taken) = mpsc::channel(AT_ONCE);
    let mut receiver = Receiver::new(
        ReceiverOptions {
            slot: Some(slot.clone()),
            start,
            memory: MEMORY,
            spool: Some(work.engine.0.config.spool.clone()),
            prefix_every: Some(if is_kept { times.partial.max(SELDOM) } else { times.partial }),
            ..ReceiverOptions::default()
        },
        events,
    );
    let mut standing = receiver.standing();
    let follow = async {
        loop {
            let now = *standing.borrow_and_update();
            work.stand(now);
            if standing.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        error = receiver.run(&settings) => Ok(Ended::Lost(error)),
        () = keep(work, taken) => Ok(Ended::Failed("the WAL is not kept any more".into())),
        () = follow => Ok(Ended::Failed("the stream is not followed any more".into())),
        // Dropped, so that the slot is free to be dropped.
        () = work.release.notified() => Ok(Ended::Released),
    }
}

/// What follows from the end of a connection; whether to begin anew where the slot does.
async fn after(work: &Work, error: &Error) -> Result<bool, EngineError> {
    let app = work.app.name.to_string();
    let why = error.to_string();
    let tell = |fact: Fact| {
        told::tell_once(&work.engine, work.app.id, EventKind::WalGap, Severity::Error, fact)
    };
    match error {
        Error::OtherCluster { .. } | Error::Diverged { .. } => {
            tell(Fact::WalElsewhere { app, why }).await?;
            Ok(true)
        }
        Error::Server(said) => match said.problem {
            Problem::WalRemoved => {
                tell(Fact::WalRemoved { app, why }).await?;
                Ok(true)
            }
            Problem::SlotLost => {
                let asked = asked(&work.engine, &work.app)?;
                let settings = address::of(&asked).await.map_err(super::ops::refused)?;
                // One that is lost is of no more use; the next connection makes another.
                let name = slot::name(work.app.id);
                slot::release(&settings, &name).await.map_err(refused)?;
                Ok(false)
            }
            _ => Ok(false),
        },
        _ => Ok(false),
    }
}

fn refused(error: Error) -> EngineError {
    EngineError::refused(error.to_string())
}

/// Takes what the receiver hands out.
async fn keep(work: &Arc<Work>, mut taken: mpsc::Receiver<Event>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    let mut of: Option<(SystemId, SegmentSize)> = None;
    while let Some(event) = taken.recv().await {
        while under_way.try_join_next().is_some() {}
        match event {
            Event::Started { system, size, timeline, .. } => {
                of = Some((system, size));
                work.live(system, timeline);
            }
            Event::Segment(piece) | Event::Tail(piece) => {
                let Some(of) = of else { continue };
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
                let work = Arc::clone(work);
                under_way.spawn(async move {
                    let (what, content, receipt) = parts(piece, of);
                    until_kept(&work, &what, content, receipt).await;
                    drop(permit);
                });
            }
            Event::Prefix(piece) => {
                let Some(of) = of else { continue };
                let work = Arc::clone(work);
                under_way.spawn(async move {
                    let (what, content, receipt) = parts(piece, of);
                    match work.archive.put(&work.engine, &what, content).await {
                        Ok(_) => {
                            receipt.durable();
                            work.stored(&what);
                            tidy_or_warn(&work.engine, &work.archive, &what.file).await;
                        }
                        // It costs nothing: the next one is longer.
                        Err(error) => work.trouble(not_stored(&what, &error)),
                    }
                });
            }
            Event::History { history, bytes, receipt } => {
                let Some((system, size)) = of.or(known(work).await) else {
                    // The first connection: the server is asked again once it streams.
                    receipt.durable();
                    continue;
                };
                let what = PieceName {
                    system,
                    size,
                    timeline: history.timeline(),
                    kind: WalPieceKind::History,
                    file: history.timeline().history_name(),
                    start: replication::Lsn(0),
                    end: replication::Lsn(0),
                    hash: String::new(),
                    last_commit: None,
                };
                until_kept(work, &what, Content::small(bytes), receipt).await;
            }
        }
    }
}

/// Who the server is, where a history comes before the first word of the stream.
async fn known(work: &Work) -> Option<(SystemId, SegmentSize)> {
    let asked = asked(&work.engine, &work.app).ok()?;
    let settings = address::of(&asked).await.ok()?;
    let mut connection = Connection::open(&settings).await.ok()?;
    let system = connection.identify().await.ok()?.system;
    let size = connection.segment_size().await.ok()?;
    connection.close().await;
    Some((system, size))
}

fn parts(piece: Piece, (system, size): (SystemId, SegmentSize)) -> (PieceName, Content, Receipt) {
    let Piece { filled, name, receipt } = piece;
    let hash = archive::hash_text(&filled.sha256);
    let kind = if filled.whole { WalPieceKind::Segment } else { WalPieceKind::Beginning };
    let what = PieceName {
        system,
        size,
        timeline: filled.timeline,
        kind,
        file: name,
        start: filled.start,
        end: filled.end,
        hash,
        last_commit: filled.commits.map(|commits| commits.last),
    };
    (what, Content::Received(filled.body), receipt)
}

/// Puts a piece, however long its destination is away; the receipt is given only then. What clashes
/// with what is stored is given back, since it will not go away by itself; and what is not what came
/// any more, to come again.
async fn until_kept(work: &Work, what: &PieceName, content: Content, receipt: Receipt) {
    let mut pause = PAUSE;
    loop {
        work.archive.behind(work.ahead_of(what.end), what.size.bytes());
        match work.archive.put(&work.engine, what, content.clone()).await {
            Ok(Put::Stored(_) | Put::AlreadyThere(_)) => break,
            Err(EngineError::Conflict(why)) => {
                let app = work.app.name.to_string();
                let fact = Fact::WalOther { app, why };
                work.trouble(fact.clone());
                let (kind, severity) = (EventKind::WalGap, Severity::Error);
                let told = told::tell_once(&work.engine, work.app.id, kind, severity, fact).await;
                if let Err(error) = told {
                    tracing::warn!(%error, "an event of an archive of WAL cannot be written");
                }
                return;
            }
            Err(error) => {
                work.trouble(not_stored(what, &error));
                if matches!(error, EngineError::Damaged(_)) {
                    return;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
    receipt.durable();
    work.stored(what);
    tidy_or_warn(&work.engine, &work.archive, &what.file).await;
}

pub(super) async fn tidy_or_warn(engine: &Engine, archive: &Archive, file: &str) {
    if let Err(error) = tidy(engine, archive, file).await {
        tracing::warn!(%error, file, "an older beginning of a segment stays for now");
    }
}

/// Deletes the beginnings of a segment that something longer has replaced.
pub(super) async fn tidy(
    engine: &Engine,
    archive: &Archive,
    file: &str,
) -> Result<(), EngineError> {
    if archive.destination.append_only {
        return Ok(());
    }
    let named = engine.0.catalog.wal_named(archive.app, file).await?;
    for piece in named.iter().filter(|piece| scan::is_replaced(piece, &named)) {
        archive.delete(engine, piece).await?;
    }
    Ok(())
}

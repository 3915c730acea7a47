//! Sends messages: each once, in order for each channel, again and again while a channel is away.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use catalog::{CatalogError, Claimed};
use jiff::SignedDuration;
use model::{
    Alert, AlertChange, AlertChannel, ChannelId, ChannelKind, ChannelTry, Delivery, DeliveryId,
    DeliveryState, Event, EventId, EventKind, Fact, Sentence, Severity,
};
use rand::RngExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{DigestEntry, Notice, Untaken};
use crate::{Engine, EngineError};

/// Channels that are written to at once.
const AT_ONCE: usize = 8;
/// How long a sender may take for a message; more than any channel takes.
const LEASE: SignedDuration = SignedDuration::from_secs(120);
/// Longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Longest wait that a channel may ask for.
const MOST_ASKED: Duration = Duration::from_secs(24 * 3_600);
/// Tries of a message before it is given up: at the waits above, three days. Counted, not timed: a
/// clock that leaps gives up nothing.
const TRIES: u32 = 79;
/// Tries of one that the channel says it will never take, which is as often a wrong setting: a day.
const TRIES_REJECTED: u32 = 31;
/// How often channels that want to hear that all is well do.
const BEAT_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// How long messages under way get at shutdown.
const FINISH: Duration = Duration::from_secs(5);
/// How long the outcome is tried to be written while the catalog refuses, and how often.
const WRITE_FOR: u32 = 100;
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Sends what is queued until `shutdown`.
pub(super) async fn send(engine: &Engine, shutdown: CancellationToken) {
    let mut sender = Sender::default();
    while !shutdown.is_cancelled() {
        if let Err(error) = sender.begin(engine).await {
            tracing::warn!(%error, "messages cannot be sent now; trying again");
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = sender.under_way.join_next() => {}
            () = engine.0.delivery_bell.notified() => {}
            () = tokio::time::sleep(engine.0.config.alerts_every) => {}
        }
    }
    // What is cut off is sent again, under the same id.
    let drained = async { while sender.under_way.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FINISH, drained).await;
}

#[derive(Default)]
struct Sender {
    under_way: JoinSet<()>,
    /// The newest token of each message under way. A clock that leaps ends a lease early: then it
    /// is taken again here, and not sent a second time.
    tokens: HashMap<DeliveryId, Weak<AtomicI64>>,
}

impl Sender {
    async fn begin(&mut self, engine: &Engine) -> Result<(), EngineError> {
        let catalog = &engine.0.catalog;
        self.tokens.retain(|_, token| token.strong_count() > 0);
        for channel in catalog.alert_channels().await? {
            if channel.enabled
                && channel.kind == ChannelKind::Healthchecks
                && catalog.is_beat_due(channel.id, engine.now(), BEAT_EVERY).await?
            {
                let engine = engine.clone();
                self.under_way.spawn(async move { beat(&engine, &channel).await });
            }
        }
        while self.under_way.len() < AT_ONCE {
            let Some(claimed) = catalog.claim_delivery(engine.now(), LEASE).await? else { break };
            let Claimed { delivery, token } = claimed;
            if let Some(known) = self.tokens.get(&delivery.id).and_then(Weak::upgrade) {
                known.store(token, Ordering::SeqCst);
                continue;
            }
            let token = Arc::new(AtomicI64::new(token));
            self.tokens.insert(delivery.id, Arc::downgrade(&token));
            let engine = engine.clone();
            self.under_way.spawn(async move {
                if let Err(error) = work(&engine, delivery, &token).await {
                    tracing::warn!(%error, "a message waits");
                }
            });
        }
        Ok(())
    }
}

/// One try of one message.
async fn work(engine: &Engine, delivery: Delivery, token: &AtomicI64) -> Result<(), EngineError> {
    let channel = engine.0.catalog.alert_channel(delivery.channel_id).await?;
    let attempts = delivery.attempts + 1;
    let ended = |state, wrong| {
        let ended_at = Some(engine.now());
        Delivery { state, attempts, ended_at, ..delivery.clone() }.tried(wrong)
    };
    let mut events = Vec::new();
    let next = if channel.enabled {
        let notice = notice(engine, &channel, &delivery).await?;
        let id = delivery.id.to_string();
        match engine.send_notice(&channel, id, delivery.created_at, &notice).await {
            Ok(()) => ended(DeliveryState::Sent, None),
            Err(untaken) if attempts >= most(&untaken) => {
                let why = untaken.sentence();
                events.push(undelivered(engine, &channel, &delivery, why.clone()));
                ended(DeliveryState::Failed, Some(why))
            }
            Err(untaken) => {
                let (wait, now) = (wait(engine, attempts, &untaken), engine.now());
                let not_before = now.saturating_add(wait).unwrap_or(now);
                let wrong = Some(untaken.sentence());
                Delivery { attempts, not_before, ..delivery }.tried(wrong)
            }
        }
    } else {
        ended(DeliveryState::Failed, Some(Fact::ChannelOff {}.into()))
    };
    let tried = ChannelTry::new(engine.now(), next.wrong());
    // Written again and again: what was sent and not noted would be sent twice.
    for _ in 0..WRITE_FOR {
        let held = token.load(Ordering::SeqCst);
        let claimed = Claimed { delivery: next.clone(), token: held };
        match engine.0.catalog.note_delivery(&claimed, &tried, &events).await {
            // It was taken again here meanwhile.
            Err(CatalogError::Stale { .. }) if token.load(Ordering::SeqCst) != held => {}
            // Else somebody else has it, or the channel was removed.
            Ok(()) | Err(CatalogError::Stale { .. }) => break,
            Err(error) if error.is_retryable() => tokio::time::sleep(WRITE_EVERY).await,
            Err(error) => return Err(error.into()),
        }
    }
    // The next one of this channel may go.
    engine.0.delivery_bell.notify_one();
    Ok(())
}

fn most(untaken: &Untaken) -> u32 {
    match untaken {
        Untaken::Sending(error) if error.is_transient() => TRIES,
        _ => TRIES_REJECTED,
    }
}

/// After as many tries as that.
fn wait(engine: &Engine, attempts: u32, untaken: &Untaken) -> Duration {
    let first = engine.0.config.alert_retry_delay;
    let doubled = first.saturating_mul(2_u32.saturating_pow((attempts - 1).min(20))).min(LONGEST);
    // Many that failed together do not come together again.
    let spread = engine.with_rng(|rng| doubled.mul_f64(rng.random_range(0.8..1.2)));
    let asked = match untaken {
        Untaken::Sending(error) => error.retry_after(),
        Untaken::Settings(_) => None,
    };
    spread.min(LONGEST).max(asked.unwrap_or_default().min(MOST_ASKED))
}

/// What a message tells, of the alerts as they are now.
async fn notice(
    engine: &Engine,
    channel: &AlertChannel,
    delivery: &Delivery,
) -> Result<Notice, EngineError> {
    let mut entries = Vec::new();
    for item in &delivery.items {
        let alert = engine.0.catalog.alert(item.alert_id).await?;
        entries.push(DigestEntry { change: item.change, alert });
    }
    let notice = if entries.len() == 1 && !delivery.digest {
        let DigestEntry { change, alert } = entries.remove(0);
        match change {
            AlertChange::Opened => Notice::Opened(alert),
            AlertChange::Lasts => Notice::Lasts(alert),
            AlertChange::Closed => Notice::Closed(alert),
        }
    } else {
        Notice::Digest(entries)
    };
    // One check for many conditions is well only when all of them are.
    if channel.kind == ChannelKind::Healthchecks && notice.level() == notify::Level::Recovery {
        let open = open_at(engine, channel.id).await?;
        if !open.is_empty() {
            return Ok(Notice::Heartbeat(open));
        }
    }
    Ok(notice)
}

/// Open alerts that a channel heard of.
async fn open_at(engine: &Engine, id: ChannelId) -> Result<Vec<Alert>, EngineError> {
    let mut open = engine.0.catalog.open_alerts().await?;
    open.retain(|alert| alert.told.iter().any(|told| told.channel_id == id));
    Ok(open)
}

/// Tells a channel that we are there, and whether all is well. One that is missed is what such a
/// channel is for.
async fn beat(engine: &Engine, channel: &AlertChannel) {
    let sent = async {
        let notice = Notice::Heartbeat(open_at(engine, channel.id).await?);
        let id = engine.new_id(model::DeliveryId::generate).to_string();
        engine.send_notice(channel, id, engine.now(), &notice).await
    };
    let wrong = sent.await.err().map(|untaken| untaken.sentence());
    let tried = ChannelTry::new(engine.now(), wrong);
    if let Err(error) = engine.0.catalog.note_channel_try(channel.id, &tried).await {
        tracing::warn!(%error, "what came of a ping cannot be noted");
    }
}

/// Tells on the pages that a message was given up.
fn undelivered(
    engine: &Engine,
    channel: &AlertChannel,
    delivery: &Delivery,
    why: Sentence,
) -> Event {
    let told = Fact::AlertUndelivered {
        channel: channel.name.to_string(),
        why: why.into(),
        at: delivery.created_at,
    };
    Event {
        id: engine.new_id(EventId::generate),
        at: engine.now(),
        kind: EventKind::AlertUndelivered,
        severity: Severity::Error,
        app_id: None,
        run_id: None,
        snapshot_id: None,
        destination_id: None,
        sentence: told.into(),
    }
}

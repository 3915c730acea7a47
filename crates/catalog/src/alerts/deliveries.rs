//! Messages: written with what they tell, held, leased by a sender, and ended once.

use jiff::{SignedDuration, Timestamp};
use model::{ChannelId, ChannelTry, Delivery, DeliveryId, DeliveryState, Event, Fact};
use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::{channels::note_try, ours};
use crate::{
    Backend, Catalog, CatalogError,
    sql::{all_of, count, doc, execute, json, micros, moment, row, rows},
};

/// No message is put off for longer by us, so what waits longer waits for a clock that was ahead.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(25);
/// The same for what is held: a weekly digest's week.
const LONGEST_HOLD: SignedDuration = SignedDuration::from_hours(24 * 8);

/// Which messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryQuery {
    /// To this channel only.
    pub channel_id: Option<ChannelId>,
    /// In this state only.
    pub state: Option<DeliveryState>,
    /// How many to leave out, from the newest.
    pub offset: u64,
    /// How many; at most 500.
    pub limit: u64,
}

/// A message in the hands of a sender.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The message.
    pub delivery: Delivery,
    /// Grows with every taking: who holds an old one can write nothing.
    pub token: i64,
}

const COLUMNS: &str = "doc, state, not_before";

impl Catalog {
    /// Messages, newest first.
    pub async fn deliveries(&self, query: DeliveryQuery) -> Result<Vec<Delivery>, CatalogError> {
        let mut values: Vec<Value> =
            vec![count(query.limit.clamp(1, 500)).into(), count(query.offset).into()];
        let mut only = Vec::new();
        if let Some(channel) = query.channel_id {
            values.push(channel.to_string().into());
            only.push(format!("channel_id = ${}", values.len()));
        }
        if let Some(state) = query.state {
            values.push(state.to_string().into());
            only.push(format!("state = ${}", values.len()));
        }
        let only = all_of(&only);
        let select = format!(
            "SELECT {COLUMNS} FROM delivery {only} ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2"
        );
        rows(&self.db, &select, values).await?.iter().map(read).collect()
    }

    /// Held messages whose time has come, oldest first.
    pub async fn held_until(&self, now: Timestamp) -> Result<Vec<Delivery>, CatalogError> {
        let select = format!(
            "SELECT {COLUMNS} FROM delivery WHERE state = 'held' AND (not_before <= $1 OR not_before > $2) ORDER BY created_at, id LIMIT 5000"
        );
        let ahead = now.saturating_add(LONGEST_HOLD).unwrap_or(Timestamp::MAX);
        let values = vec![micros(now).into(), micros(ahead).into()];
        rows(&self.db, &select, values).await?.iter().map(read).collect()
    }

    /// Puts `merged` in the place of held messages; errs with [`CatalogError::Stale`] and writes
    /// nothing where somebody else has taken one of them.
    pub async fn release_held(
        &self,
        held: &[DeliveryId],
        merged: &Delivery,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        for id in held {
            let delete = "DELETE FROM delivery WHERE id = $1 AND state = 'held'";
            let done = execute(&write.tx, delete, vec![id.to_string().into()]).await?;
            ours(done.rows_affected(), id)?;
        }
        insert(&write.tx, merged).await?;
        write.commit().await
    }

    /// Takes a message that is to be sent now, for `lease`. A channel's messages go one after the
    /// other, in the order in which they were written; no two senders get the same.
    pub async fn claim_delivery(
        &self,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Option<Claimed>, CatalogError> {
        let after = |length| now.saturating_add(length).unwrap_or(Timestamp::MAX);
        let due = || -> Vec<Value> { vec![micros(now).into(), micros(after(LONGEST_WAIT)).into()] };
        // What a lease or a wait of a clock ahead holds is held by nobody.
        let sql = format!(
            "SELECT {COLUMNS}, id, lease_token FROM delivery WHERE state = 'queued' \
             AND (not_before <= $1 OR not_before > $2) \
             AND (lease_expires_at IS NULL OR lease_expires_at <= $1 OR lease_expires_at > $2) \
             AND NOT EXISTS (SELECT 1 FROM delivery earlier WHERE earlier.channel_id = delivery.channel_id \
             AND earlier.state = 'queued' AND (earlier.created_at < delivery.created_at \
             OR earlier.created_at = delivery.created_at AND earlier.id < delivery.id)) \
             ORDER BY not_before, id LIMIT 1"
        );
        // Looking is free, writing is not.
        if row(&self.db, &sql, due()).await?.is_none() {
            return Ok(None);
        }
        let write = self.write().await?;
        let skip_locked = match self.backend() {
            Backend::Postgres => " FOR UPDATE SKIP LOCKED",
            Backend::Sqlite => "",
        };
        let select = format!("{sql}{skip_locked}");
        let Some(found) = row(&write.tx, &select, due()).await? else { return Ok(None) };
        let delivery = read(&found)?;
        let token: i64 = found.try_get("", "lease_token")?;
        let update = "UPDATE delivery SET lease_token = lease_token + 1, lease_expires_at = $1 WHERE id = $2 AND state = 'queued' AND lease_token = $3";
        let values =
            vec![micros(after(lease)).into(), delivery.id.to_string().into(), token.into()];
        if execute(&write.tx, update, values).await?.rows_affected() != 1 {
            return Ok(None);
        }
        write.commit().await?;
        Ok(Some(Claimed { delivery, token: token + 1 }))
    }

    /// Writes what came of a try by whoever holds the message, with what is told of it.
    pub async fn note_delivery(
        &self,
        claimed: &Claimed,
        tried: &ChannelTry,
        events: &[Event],
    ) -> Result<(), CatalogError> {
        let Claimed { delivery, token } = claimed;
        let write = self.write().await?;
        let update = "UPDATE delivery SET state = $1, not_before = $2, lease_expires_at = NULL, doc = $3 WHERE id = $4 AND lease_token = $5 AND state = 'queued'";
        let values = vec![
            delivery.state.to_string().into(),
            micros(delivery.not_before).into(),
            json(delivery)?.into(),
            delivery.id.to_string().into(),
            (*token).into(),
        ];
        ours(execute(&write.tx, update, values).await?.rows_affected(), delivery.id)?;
        note_try(&write.tx, delivery.channel_id, tried).await?;
        crate::events::insert(&write.tx, events).await?;
        write.commit().await
    }

    /// Lets what waits for its next try at a channel be tried now.
    pub async fn hurry_deliveries(
        &self,
        channel: ChannelId,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let update = "UPDATE delivery SET not_before = $1 WHERE channel_id = $2 AND state = 'queued' AND not_before > $1";
        execute(&write.tx, update, vec![micros(now).into(), channel.to_string().into()]).await?;
        write.commit().await
    }
}

/// The oldest that were sent or given up, where they are older than a moment, or not among the newest
/// so many.
const OLD: &str = "SELECT id FROM delivery WHERE state IN ('sent', 'failed') AND (created_at < $1 \
                   OR created_at < (SELECT MIN(created_at) FROM (SELECT created_at FROM delivery \
                   ORDER BY created_at DESC LIMIT $2) newest)) ORDER BY created_at, id LIMIT $3";

impl Catalog {
    /// Forgets messages that were sent or given up: those of before `before`, and those beyond the
    /// newest `kept`; `most` at once. Tells how many there were.
    pub async fn forget_deliveries(
        &self,
        before: Timestamp,
        kept: u64,
        most: u64,
    ) -> Result<u64, CatalogError> {
        let values = || -> Vec<Value> {
            vec![micros(before).into(), count(kept).into(), count(most).into()]
        };
        // Looking is free, writing is not.
        if row(&self.db, OLD, values()).await?.is_none() {
            return Ok(0);
        }
        let write = self.write().await?;
        let delete = format!("DELETE FROM delivery WHERE id IN ({OLD})");
        let gone = execute(&write.tx, &delete, values()).await?.rows_affected();
        write.commit().await?;
        Ok(gone)
    }
}

/// Gives up everything that waits for a channel.
pub(super) async fn give_up_all<C: ConnectionTrait>(
    on: &C,
    channel: ChannelId,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let select = format!(
        "SELECT {COLUMNS} FROM delivery WHERE channel_id = $1 AND state IN ('held', 'queued')"
    );
    for found in &rows(on, &select, vec![channel.to_string().into()]).await? {
        let given_up =
            Delivery { state: DeliveryState::Failed, ended_at: Some(now), ..read(found)? };
        let given_up = given_up.tried(Some(Fact::ChannelGone {}.into()));
        let update =
            "UPDATE delivery SET state = $1, lease_token = lease_token + 1, doc = $2 WHERE id = $3";
        let values = vec![
            given_up.state.to_string().into(),
            json(&given_up)?.into(),
            given_up.id.to_string().into(),
        ];
        execute(on, update, values).await?;
    }
    Ok(())
}

pub(super) async fn insert<C: ConnectionTrait>(on: &C, one: &Delivery) -> Result<(), CatalogError> {
    let insert = "INSERT INTO delivery (id, channel_id, route_id, state, not_before, created_at, lease_token, doc) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)";
    let values = vec![
        one.id.to_string().into(),
        one.channel_id.to_string().into(),
        one.route_id.to_string().into(),
        one.state.to_string().into(),
        micros(one.not_before).into(),
        micros(one.created_at).into(),
        json(one)?.into(),
    ];
    execute(on, insert, values).await.map(drop)
}

/// The columns are the newer word.
fn read(row: &QueryResult) -> Result<Delivery, CatalogError> {
    let delivery: Delivery = doc(row)?;
    let state: String = row.try_get("", "state")?;
    let state = state
        .parse()
        .map_err(|error: strum::ParseError| CatalogError::Corrupt(error.to_string()))?;
    Ok(Delivery { state, not_before: moment(row.try_get("", "not_before")?)?, ..delivery })
}

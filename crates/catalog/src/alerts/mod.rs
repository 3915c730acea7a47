//! Alerts: what is and was wrong, and what begins and ends together with the messages that tell it.

mod channels;
mod deliveries;
mod routes;
mod seen;

use jiff::Timestamp;
use model::{Alert, AlertId, AppId, Delivery, Event, EventId, RunId};
use sea_orm::{ConnectionTrait, Value};

pub use deliveries::{Claimed, DeliveryQuery};
pub use seen::{DamagedCopies, PlaceEvidence};

use crate::{
    Catalog, CatalogError,
    sql::{all_of, count, doc, execute, json, micros, row, rows},
};

/// Which alerts.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlertQuery {
    /// Of this app only.
    pub app_id: Option<AppId>,
    /// Shown by this run only.
    pub run_id: Option<RunId>,
    /// Those that last only.
    pub open: bool,
    /// How many to leave out.
    pub offset: u64,
    /// How many; at most 500.
    pub limit: u64,
}

/// What changes at once: all of it or, where somebody else was quicker with a part, nothing.
#[derive(Debug, Clone, Default)]
pub struct AlertChanges {
    /// Alerts that begin. Moments are closed already.
    pub opened: Vec<Alert>,
    /// Alerts that end, with their end.
    pub closed: Vec<Alert>,
    /// Alerts that last and were told again.
    pub told: Vec<Alert>,
    /// Events that are dealt with.
    pub events: Vec<EventId>,
    /// Messages about it.
    pub deliveries: Vec<Delivery>,
}

impl AlertChanges {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty()
            && self.closed.is_empty()
            && self.told.is_empty()
            && self.events.is_empty()
            && self.deliveries.is_empty()
    }
}

impl Catalog {
    /// Alerts, those that last first, then the newest first.
    pub async fn alerts(&self, query: AlertQuery) -> Result<Vec<Alert>, CatalogError> {
        let mut values: Vec<Value> =
            vec![count(query.limit.clamp(1, 500)).into(), count(query.offset).into()];
        let mut only = Vec::new();
        if let Some(app) = query.app_id {
            values.push(app.to_string().into());
            only.push(format!("app_id = ${}", values.len()));
        }
        if let Some(run) = query.run_id {
            values.push(run.to_string().into());
            only.push(format!("run_id = ${}", values.len()));
        }
        if query.open {
            only.push("closed_at IS NULL".to_owned());
        }
        let only = all_of(&only);
        let select = format!(
            "SELECT doc FROM alert {only} ORDER BY CASE WHEN closed_at IS NULL THEN 0 ELSE 1 END, opened_at DESC, id DESC LIMIT $1 OFFSET $2"
        );
        rows(&self.db, &select, values).await?.iter().map(doc).collect()
    }

    /// Every alert that lasts.
    pub async fn open_alerts(&self) -> Result<Vec<Alert>, CatalogError> {
        let select = "SELECT doc FROM alert WHERE closed_at IS NULL ORDER BY opened_at, id";
        rows(&self.db, select, vec![]).await?.iter().map(doc).collect()
    }

    /// An alert.
    pub async fn alert(&self, id: AlertId) -> Result<Alert, CatalogError> {
        let select = "SELECT doc FROM alert WHERE id = $1";
        let found = row(&self.db, select, vec![id.to_string().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("alert", id))?)
    }

    /// Events that are told as alerts and that nobody has dealt with, oldest first.
    pub async fn events_to_tell(&self, limit: u64) -> Result<Vec<Event>, CatalogError> {
        let select = "SELECT doc FROM event WHERE id IN (SELECT event_id FROM alert_inbox) ORDER BY at, id LIMIT $1";
        rows(&self.db, select, vec![count(limit).into()]).await?.iter().map(doc).collect()
    }

    /// Writes changes; errs with [`CatalogError::Stale`] and writes nothing where somebody else has
    /// written one of them.
    pub async fn change_alerts(&self, changes: &AlertChanges) -> Result<(), CatalogError> {
        let write = self.write().await?;
        for event in &changes.events {
            let delete = "DELETE FROM alert_inbox WHERE event_id = $1";
            let done = execute(&write.tx, delete, vec![event.to_string().into()]).await?;
            ours(done.rows_affected(), event)?;
        }
        for alert in &changes.opened {
            let insert = "INSERT INTO alert (id, alert_key, app_id, run_id, opened_at, closed_at, doc) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
            let values = vec![
                alert.id.to_string().into(),
                alert.key().into(),
                alert.app_id.map(|id| id.to_string()).into(),
                alert.run_id.map(|id| id.to_string()).into(),
                micros(alert.opened_at).into(),
                alert.closed_at.map(micros).into(),
                json(alert)?.into(),
            ];
            ours(execute(&write.tx, insert, values).await?.rows_affected(), alert.id)?;
        }
        for alert in changes.closed.iter().chain(&changes.told) {
            let update =
                "UPDATE alert SET closed_at = $1, doc = $2 WHERE id = $3 AND closed_at IS NULL";
            let values = vec![
                alert.closed_at.map(micros).into(),
                json(alert)?.into(),
                alert.id.to_string().into(),
            ];
            ours(execute(&write.tx, update, values).await?.rows_affected(), alert.id)?;
        }
        for delivery in &changes.deliveries {
            deliveries::insert(&write.tx, delivery).await?;
        }
        write.commit().await
    }

    /// Takes or keeps the turn at `name` for `owner`: one at a time has it, until it gives it back
    /// or is silent for `lease`. A turn that ends more than a day from now is of a clock that was
    /// ahead.
    pub async fn hold_turn(
        &self,
        name: &str,
        owner: &str,
        now: Timestamp,
        lease: jiff::SignedDuration,
    ) -> Result<bool, CatalogError> {
        let expires = now.saturating_add(lease).unwrap_or(Timestamp::MAX);
        let ahead = now.saturating_add(jiff::SignedDuration::from_hours(24));
        let write = self.write().await?;
        let sql = "INSERT INTO turn (name, owner, expires_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at WHERE turn.owner = excluded.owner OR turn.expires_at <= $4 OR turn.expires_at > $5";
        let values = vec![
            name.into(),
            owner.into(),
            micros(expires).into(),
            micros(now).into(),
            micros(ahead.unwrap_or(Timestamp::MAX)).into(),
        ];
        let held = execute(&write.tx, sql, values).await?.rows_affected() == 1;
        write.commit().await?;
        Ok(held)
    }

    /// Gives the turn at `name` back.
    pub async fn yield_turn(&self, name: &str, owner: &str) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let delete = "DELETE FROM turn WHERE name = $1 AND owner = $2";
        execute(&write.tx, delete, vec![name.into(), owner.into()]).await?;
        write.commit().await
    }
}

/// Errs unless one row was written.
fn ours(written: u64, what: impl ToString) -> Result<(), CatalogError> {
    if written == 1 { Ok(()) } else { Err(CatalogError::Stale { name: what.to_string() }) }
}

/// Remembers events that are told as alerts, in the transaction that writes them.
pub(crate) async fn note_events<C: ConnectionTrait>(
    on: &C,
    events: &[Event],
) -> Result<(), CatalogError> {
    let told = events.iter().filter(|event| model::AlertKind::of_event(event.kind).is_some());
    for event in told {
        let sql = "INSERT INTO alert_inbox (event_id) VALUES ($1) ON CONFLICT DO NOTHING";
        execute(on, sql, vec![event.id.to_string().into()]).await?;
    }
    Ok(())
}

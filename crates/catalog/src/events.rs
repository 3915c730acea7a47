//! Events.

use model::{AppId, Event};
use sea_orm::{ConnectionTrait, Value};

use crate::{
    Catalog, CatalogError,
    sql::{count, doc, execute, json, micros, rows},
};

/// Which events.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventQuery {
    /// Of this app only.
    pub app_id: Option<AppId>,
    /// How many, newest first; at most 500.
    pub limit: u64,
}

impl Catalog {
    /// Adds events.
    pub async fn append_events(&self, events: &[Event]) -> Result<(), CatalogError> {
        let write = self.write().await?;
        insert(&write.tx, events).await?;
        write.commit().await
    }

    /// Events, newest first.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<Event>, CatalogError> {
        let mut values: Vec<Value> = vec![count(query.limit.clamp(1, 500)).into()];
        let only = query.app_id.map_or("", |app| {
            values.push(app.to_string().into());
            "WHERE app_id = $2"
        });
        let select = format!("SELECT doc FROM event {only} ORDER BY at DESC, id DESC LIMIT $1");
        rows(&self.db, &select, values).await?.iter().map(doc).collect()
    }
}

pub(crate) async fn insert<C: ConnectionTrait>(
    on: &C,
    events: &[Event],
) -> Result<(), CatalogError> {
    for event in events {
        let sql = "INSERT INTO event (id, at, app_id, kind, doc) VALUES ($1, $2, $3, $4, $5)";
        let values = vec![
            event.id.to_string().into(),
            micros(event.at).into(),
            event.app_id.map(|id| id.to_string()).into(),
            event.kind.to_string().into(),
            json(event)?.into(),
        ];
        execute(on, sql, values).await?;
    }
    crate::alerts::note_events(on, events).await
}

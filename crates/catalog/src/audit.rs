//! The audit log: appended to, read, never changed.

use jiff::Timestamp;
use model::{AuditEntry, AuditId};
use sea_orm::Value;

use crate::{
    Catalog, CatalogError,
    sql::{count, doc, execute, json, micros, plain, rows},
};

/// Which entries of the audit log.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// By this user, token or program only.
    pub who: Option<String>,
    /// Only what is called so (`app.remove`), or belongs to it (`app`).
    pub action: Option<String>,
    /// Not before this moment.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// Only those that come after this one in the list.
    pub after: Option<(Timestamp, AuditId)>,
    /// How many to leave out.
    pub offset: u64,
    /// How many, newest first; at most 500.
    pub limit: u64,
}

impl Catalog {
    /// Adds an entry.
    pub async fn append_audit(&self, entry: &AuditEntry) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let insert = "INSERT INTO audit (id, at, who, doc) VALUES ($1, $2, $3, $4)";
        let values = vec![
            entry.id.to_string().into(),
            micros(entry.at).into(),
            entry.who.clone().into(),
            json(entry)?.into(),
        ];
        execute(&write.tx, insert, values).await?;
        write.commit().await
    }

    /// Entries, newest first.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, CatalogError> {
        let mut values: Vec<Value> =
            vec![count(query.limit.clamp(1, 500)).into(), count(query.offset).into()];
        let mut which = Vec::new();
        let mut value = |one: Value| {
            values.push(one);
            values.len()
        };
        if let Some(who) = &query.who {
            which.push(format!("who = ${}", value(who.clone().into())));
        }
        if let Some(action) = &query.action {
            // The closing quote tells a name from the beginning of a longer one.
            let text = serde_json::to_string(action)?;
            let name = plain(text.get(1..text.len() - 1).unwrap_or_default());
            let (own, below) = (
                value(format!("%\"action\":\"{name}\"%").into()),
                value(format!("%\"action\":\"{name}.%").into()),
            );
            which.push(format!("(doc LIKE ${own} ESCAPE '!' OR doc LIKE ${below} ESCAPE '!')"));
        }
        if let Some(from) = query.from {
            which.push(format!("at >= ${}", value(micros(from).into())));
        }
        if let Some(to) = query.to {
            which.push(format!("at < ${}", value(micros(to).into())));
        }
        if let Some((at, id)) = query.after {
            let (at, id) = (value(micros(at).into()), value(id.to_string().into()));
            which.push(format!("(at < ${at} OR (at = ${at} AND id < ${id}))"));
        }
        let only =
            if which.is_empty() { String::new() } else { format!("WHERE {}", which.join(" AND ")) };
        let select =
            format!("SELECT doc FROM audit {only} ORDER BY at DESC, id DESC LIMIT $1 OFFSET $2");
        rows(&self.db, &select, values).await?.iter().map(doc).collect()
    }
}

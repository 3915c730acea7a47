//! The audit log: appended to, read, never changed.

use model::AuditEntry;
use sea_orm::Value;

use crate::{
    Catalog, CatalogError,
    sql::{count, doc, execute, json, micros, rows},
};

/// Which entries of the audit log.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// By this user, token or program only.
    pub who: Option<String>,
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
        let only = query.who.as_ref().map_or("", |who| {
            values.push(who.clone().into());
            "WHERE who = $3"
        });
        let select =
            format!("SELECT doc FROM audit {only} ORDER BY at DESC, id DESC LIMIT $1 OFFSET $2");
        rows(&self.db, &select, values).await?.iter().map(doc).collect()
    }
}

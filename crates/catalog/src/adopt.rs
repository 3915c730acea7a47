//! What a destination's manifests tell, taken into the index: added where it was unknown, put
//! right where it differs, never removed.

use std::collections::{HashMap, HashSet};

use model::{AppId, CopyState, DestinationId, Snapshot, SnapshotId, StoredCopy};
use sea_orm::{ConnectionTrait, Value};

use crate::{
    Catalog, CatalogError,
    snapshots::{insert_all, insert_copies, write_copy},
    sql::{doc, list, rows},
};

/// What became of a snapshot that was found at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// It was unknown.
    New,
    /// Its copy there was unknown.
    NewCopy,
    /// Its copy there is in another state than was known.
    Changed(CopyState),
    /// Nothing new.
    Known,
    /// Its copy there is known under another manifest.
    Elsewhere,
    /// The run that makes it goes on.
    Busy,
}

fn ids(found: &[Snapshot], id: impl Fn(&Snapshot) -> String) -> Vec<Value> {
    found.iter().map(|one| id(one).into()).collect()
}

async fn texts<C: ConnectionTrait>(
    on: &C,
    sql: &str,
    values: Vec<Value>,
) -> Result<HashSet<String>, CatalogError> {
    let found = rows(on, sql, values).await?;
    found.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

impl Catalog {
    /// Takes in snapshots that were found at `destination`, each with its copy there as its only
    /// one; tells in order what became of each. At most some hundreds at once.
    pub async fn adopt(
        &self,
        destination: DestinationId,
        found: &[Snapshot],
    ) -> Result<Vec<Adoption>, CatalogError> {
        let write = self.write().await?;
        let marks = list(1, found.len());
        let snapshot_ids = ids(found, |one| one.id.to_string());
        let known = texts(
            &write.tx,
            &format!("SELECT id FROM snapshot WHERE id IN ({marks})"),
            snapshot_ids.clone(),
        )
        .await?;
        let busy = texts(
            &write.tx,
            &format!("SELECT id FROM run WHERE state IN ('queued', 'running') AND id IN ({marks})"),
            ids(found, |one| one.run_id.to_string()),
        )
        .await?;
        let select = format!(
            "SELECT snapshot_id, doc FROM snapshot_copy WHERE snapshot_id IN ({marks}) AND destination_id = ${}",
            found.len() + 1
        );
        let mut values = snapshot_ids;
        values.push(destination.to_string().into());
        let mut copies: HashMap<String, StoredCopy> = HashMap::new();
        for row in rows(&write.tx, &select, values).await? {
            copies.insert(row.try_get("", "snapshot_id")?, doc(&row)?);
        }
        let mut told = Vec::with_capacity(found.len());
        let (mut new, mut new_copies) = (Vec::new(), Vec::new());
        let mut met = HashSet::new();
        for one in found {
            let id = one.id.to_string();
            let Some(copy) = one.copies.first() else {
                told.push(Adoption::Elsewhere);
                continue;
            };
            told.push(if busy.contains(&one.run_id.to_string()) {
                Adoption::Busy
            } else if !copies.contains_key(&id) && !met.insert(one.id) {
                Adoption::Elsewhere
            } else if !known.contains(&id) {
                new.push(one);
                Adoption::New
            } else if let Some(known) = copies.get(&id) {
                self.compare(&write.tx, one.id, known, copy).await?
            } else {
                new_copies.push((one, copy));
                Adoption::NewCopy
            });
        }
        insert_all(&write.tx, &new).await?;
        insert_copies(&write.tx, &new_copies).await?;
        write.commit().await?;
        Ok(told)
    }

    async fn compare<C: ConnectionTrait>(
        &self,
        on: &C,
        id: SnapshotId,
        known: &StoredCopy,
        found: &StoredCopy,
    ) -> Result<Adoption, CatalogError> {
        if known.manifest_key != found.manifest_key {
            return Ok(Adoption::Elsewhere);
        }
        let state = match (known.state, found.state) {
            (
                CopyState::Good | CopyState::Expiring,
                bad @ (CopyState::Missing | CopyState::Damaged),
            ) => bad,
            (CopyState::Missing, CopyState::Good) if known.expiring_since.is_some() => {
                CopyState::Expiring
            }
            (CopyState::Missing, CopyState::Good) => CopyState::Good,
            _ => return Ok(Adoption::Known),
        };
        write_copy(on, id, &StoredCopy { state, ..known.clone() }).await?;
        Ok(Adoption::Changed(state))
    }

    /// Copies at `destination` that should be there, by snapshot, from the one after `after` on.
    pub async fn copies_at(
        &self,
        destination: DestinationId,
        after: Option<SnapshotId>,
        limit: u32,
    ) -> Result<Vec<(SnapshotId, StoredCopy)>, CatalogError> {
        let select = "SELECT snapshot_id, doc FROM snapshot_copy WHERE destination_id = $1 AND snapshot_id > $2 AND state NOT IN ('expired', 'deleting') ORDER BY snapshot_id LIMIT $3";
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let values = vec![destination.to_string().into(), after.into(), i64::from(limit).into()];
        rows(&self.db, select, values)
            .await?
            .iter()
            .map(|row| {
                let id: String = row.try_get("", "snapshot_id")?;
                let id = id
                    .parse()
                    .map_err(|e: model::id::ParseIdError| CatalogError::Corrupt(e.to_string()))?;
                Ok((id, doc(row)?))
            })
            .collect()
    }

    /// Notes that a copy was found in another state, unless it has changed since it was read.
    pub async fn found_copy(
        &self,
        id: SnapshotId,
        known: &StoredCopy,
        state: CopyState,
    ) -> Result<bool, CatalogError> {
        let write = self.write().await?;
        let select = "SELECT 1 FROM snapshot_copy WHERE snapshot_id = $1 AND destination_id = $2 AND state = $3";
        let values = vec![
            id.to_string().into(),
            known.destination_id.to_string().into(),
            known.state.to_string().into(),
        ];
        let same = !rows(&write.tx, select, values).await?.is_empty();
        if same {
            write_copy(&write.tx, id, &StoredCopy { state, ..known.clone() }).await?;
        }
        write.commit().await?;
        Ok(same)
    }

    /// Every app that the catalog has ever had, removed ones too.
    pub async fn known_apps(&self) -> Result<HashSet<AppId>, CatalogError> {
        let found = rows(&self.db, "SELECT id FROM app", vec![]).await?;
        found
            .iter()
            .map(|row| {
                let id: String = row.try_get("", "id")?;
                id.parse()
                    .map_err(|e: model::id::ParseIdError| CatalogError::Corrupt(e.to_string()))
            })
            .collect()
    }
}

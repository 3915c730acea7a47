//! How all apps stand, in one question: a list of a thousand is looked at often.

use std::sync::Arc;

use jiff::Timestamp;
use model::{App, RunState};

use crate::{
    Catalog, CatalogError,
    runs::ENDED,
    snapshots::NEWEST_GOOD,
    sql::{moment, parsed, rows},
};

/// How an app stands.
#[derive(Debug, Clone)]
pub struct AppStanding {
    /// The app.
    pub app: Arc<App>,
    /// How its last backup run ended, where one has.
    pub last_end: Option<RunState>,
    /// Its newest snapshot with a good copy that is no base backup.
    pub newest: Option<NewestGood>,
    /// Up to when its schedule was served.
    pub last_fire: Option<Timestamp>,
}

/// The newest snapshot of an app that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestGood {
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Whether one of its copies is damaged or missing.
    pub is_harmed: bool,
}

impl Catalog {
    /// How every app that is not removed stands, by name.
    pub async fn standings(&self) -> Result<Vec<AppStanding>, CatalogError> {
        let select = format!(
            "SELECT a.id, a.doc, f.at, (SELECT state FROM run WHERE app_id = a.id AND kind = 'backup' AND {ENDED} ORDER BY queued_at DESC, id DESC LIMIT 1), s.taken_at, (SELECT COUNT(*) FROM snapshot_copy WHERE snapshot_id = s.id AND state IN ('damaged', 'missing')) \
             FROM app a LEFT JOIN last_fire f ON f.app_id = a.id LEFT JOIN snapshot s ON s.id = ({NEWEST_GOOD}) WHERE a.removed_at IS NULL ORDER BY a.name_key"
        );
        let found = rows(&self.db, &select, vec![]).await?;
        let text =
            |row: &sea_orm::QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        let texts = found.iter().map(text).collect::<Result<_, sea_orm::DbErr>>()?;
        let apps = self.known.read(texts)?.into_iter();
        apps.zip(&found)
            .map(|(app, row)| {
                let ended: Option<String> = row.try_get_by_index(3)?;
                let taken: Option<i64> = row.try_get_by_index(4)?;
                let is_harmed = row.try_get_by_index::<i64>(5)? > 0;
                let newest = taken.map(moment).transpose()?;
                Ok(AppStanding {
                    app,
                    last_end: ended.map(|text| parsed(&text)).transpose()?,
                    newest: newest.map(|taken_at| NewestGood { taken_at, is_harmed }),
                    last_fire: row.try_get_by_index::<Option<i64>>(2)?.map(moment).transpose()?,
                })
            })
            .collect()
    }
}

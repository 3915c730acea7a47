//! How all apps stand, in one question: a list of a thousand is looked at often.

use std::sync::Arc;

use jiff::Timestamp;
use model::{App, RunState};

use crate::{
    Catalog, CatalogError,
    runs::ENDED,
    snapshots::NEWEST_GOOD,
    sql::{gathered, moment, parsed, split},
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
        let columns = [
            "a.name_key",
            "a.id",
            "a.doc",
            "f.at",
            &format!(
                "(SELECT state FROM run WHERE app_id = a.id AND kind = 'backup' AND {ENDED} ORDER BY queued_at DESC, id DESC LIMIT 1)"
            ),
            "s.taken_at",
            "(SELECT COUNT(*) FROM snapshot_copy WHERE app_id = a.id AND snapshot_id = s.id AND state IN ('damaged', 'missing'))",
        ];
        let from = format!(
            "app a LEFT JOIN last_fire f ON f.app_id = a.id LEFT JOIN snapshot s ON s.id = ({NEWEST_GOOD}) WHERE a.removed_at IS NULL"
        );
        let found = gathered(&self.db, &columns, &from).await?;
        let found = split::<7>(&found)?;
        let texts = found.iter().map(|[_, id, doc, ..]| (*id, *doc));
        let apps = self.known.read(texts)?.into_iter();
        apps.zip(&found)
            .map(|(app, [_, _, _, fire, ended, taken, harmed])| {
                let is_harmed = parsed::<i64>(harmed)? > 0;
                let newest = some(taken, |at| moment(parsed(at)?))?;
                Ok(AppStanding {
                    app,
                    last_end: some(ended, parsed)?,
                    newest: newest.map(|taken_at| NewestGood { taken_at, is_harmed }),
                    last_fire: some(fire, |at| moment(parsed(at)?))?,
                })
            })
            .collect()
    }
}

/// What `read` makes of a text, where there is one.
fn some<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, CatalogError>,
) -> Result<Option<T>, CatalogError> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

//! What an app needs beside a server that is at a moment.

use model::{App, Artifact, DrillItem, Failure, Moment, Snapshot, SnapshotKind};

use super::Stage;
use crate::{
    run::{RunContext, failure},
    target,
};

impl Stage {
    /// What the app needs beside the server `base`, which came back as `item` says: of the last
    /// snapshot before its moment, or else of the first after it.
    pub(crate) async fn beside(
        &self,
        context: &RunContext,
        app: &App,
        base: &Artifact,
        item: &DrillItem,
    ) -> Result<Vec<(Snapshot, Artifact)>, Failure> {
        if !item.is_proof() {
            return Ok(Vec::new());
        }
        let order = context.run.restore.as_ref().and_then(|order| order.moment.as_ref());
        let wanted = order.and_then(|order| match order.moment {
            Moment::Time { at } => Some(at),
            _ => None,
        });
        let landed = item.landing.as_ref().and_then(|landing| landing.last_commit_at);
        let moment = wanted.or(landed).unwrap_or_else(|| context.engine.now());
        let server = target::source_of(app, base);
        let is_needed = |artifact: &Artifact| {
            self.needs(app, artifact)
                && !server.is_some_and(|server| target::is_of(server, &artifact.source))
        };
        let all = context.engine.0.catalog.snapshots_of_app(app.id).await;
        let mut all = all.map_err(|error| failure::of_catalog(&error))?;
        all.retain(|one| {
            one.kind != SnapshotKind::Base
                && one.artifacts.iter().any(is_needed)
                && one.copies.iter().any(|copy| copy.state.is_restorable())
        });
        let before = all.iter().filter(|one| one.taken_at <= moment).max_by_key(|one| one.taken_at);
        let Some(nearest) = before.or(all.iter().min_by_key(|one| one.taken_at)) else {
            return Ok(Vec::new());
        };
        let artifacts = nearest.artifacts.iter().filter(|artifact| is_needed(artifact));
        let found: Vec<_> = artifacts.map(|one| (nearest.clone(), one.clone())).collect();
        let names: Vec<_> = found.iter().map(|(_, one)| format!("`{}`", one.source)).collect();
        context.journal.info(format!(
            "the app needs {} as well: of the snapshot of {:.0}",
            names.join(", "),
            nearest.taken_at
        ));
        Ok(found)
    }
}

//! What is asked of an app's archive: how it stands, a base backup now, a named moment.

use jiff::SignedDuration;
use model::{
    App, AppId, Event, EventId, EventKind, Fact, RecoveryState, RestorePoint, Run, RunId, RunKind,
    RunState, Sentence, Severity, Snapshot, SnapshotKind, Trigger, WalPiece, WalPieceState,
};

use super::{
    asked,
    index::Index,
    window::{self, BaseAt, Quiet},
};
use crate::{Engine, EngineError, run::backup, source::postgres};

/// A word of the server holds for what was committed so long before it.
pub(super) const MARGIN: SignedDuration = SignedDuration::from_secs(1);
/// Longest name of a restore point, as PostgreSQL takes it.
const MAX_NAME: usize = 63;

impl Engine {
    /// Everything that is known of an app's point-in-time recovery.
    pub async fn recovery_state(&self, app: AppId) -> Result<RecoveryState, EngineError> {
        let catalog = &self.0.catalog;
        // Before the pieces: what was acknowledged then is among them.
        let standing = catalog.wal_standing(app).await?.unwrap_or_default();
        let (mut index, mut stored_bytes) = (Index::default(), 0);
        let take = |piece: WalPiece| {
            if piece.state != WalPieceState::Missing {
                stored_bytes += piece.stored_bytes;
            }
            index.add(piece);
        };
        catalog.each_wal(app, take).await?;
        let bases = self.wal_bases(app).await?;
        let quiet = standing
            .stored_to
            .zip(standing.said_at)
            .filter(|(stored, _)| standing.server_at.is_none_or(|server| server <= *stored))
            // What was committed while the word was on its way is not known yet.
            .map(|(at, said)| Quiet { at, heard: said.saturating_sub(MARGIN).unwrap_or(said) });
        let (windows, mut gaps) = window::draw(&bases, &index, quiet);
        if let Some(stored) = standing.stored_to {
            window::without_pending(&mut gaps, &index, stored);
        }
        let mut restore_points = catalog.restore_points(app).await?;
        restore_points.retain(|point| {
            windows.iter().any(|window| {
                window.system == point.system && window.start <= point.at && point.at <= window.end
            })
        });
        Ok(RecoveryState { standing, windows, gaps, restore_points, stored_bytes })
    }

    /// The base backups of `app` that can be read, oldest first.
    pub(crate) async fn wal_bases(&self, app: AppId) -> Result<Vec<BaseAt>, EngineError> {
        let snapshots = self.0.catalog.snapshots_of_app(app).await?;
        let mut bases: Vec<_> = snapshots.iter().filter_map(base_at).collect();
        bases.sort_by_key(|base| base.at);
        Ok(bases)
    }

    /// Queues a base backup now; one that waits already is given instead.
    pub async fn queue_base(&self, app: AppId) -> Result<Run, EngineError> {
        let app = self.0.catalog.app(app).await?;
        asked(self, &app)?;
        self.base_run(&app, Trigger::Manual).await
    }

    pub(crate) async fn base_run(&self, app: &App, trigger: Trigger) -> Result<Run, EngineError> {
        let waiting = self.0.catalog.active_runs().await?.into_iter().find(|run| {
            run.app_id == Some(app.id)
                && run.kind == RunKind::Backup
                && run.snapshot_kind == SnapshotKind::Base
                && run.state == RunState::Queued
                && !run.cancel_requested
        });
        if let Some(waiting) = waiting {
            return Ok(waiting);
        }
        let id = self.new_id(RunId::generate);
        self.queue(Run {
            snapshot_kind: SnapshotKind::Base,
            ..backup::queued(id, Some(app.id), RunKind::Backup, trigger, self.now())
        })
        .await
    }

    /// Gives the moment a name, in the server's WAL and here.
    pub async fn make_restore_point(
        &self,
        app: AppId,
        name: &str,
    ) -> Result<RestorePoint, EngineError> {
        let app = self.0.catalog.app(app).await?;
        let asked = asked(self, &app)?;
        let name = name.trim();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
            return Err(EngineError::invalid("name", Fact::PointName {}));
        }
        let known = self.0.catalog.restore_points(app.id).await?;
        if known.iter().any(|point| point.name == name) {
            return Err(EngineError::conflict(Fact::PointIsThere {
                app: app.name.to_string(),
                name: name.to_owned(),
            }));
        }
        let point = postgres::wal::restore_point(&asked, name).await.map_err(refused)?;
        self.0.catalog.add_restore_point(app.id, &point).await?;
        Ok(point)
    }

    /// Writes an event of an app's archive.
    pub(crate) async fn tell_of_wal(
        &self,
        app: AppId,
        kind: EventKind,
        severity: Severity,
        sentence: impl Into<Sentence>,
    ) -> Result<(), EngineError> {
        let event = Event {
            id: self.new_id(EventId::generate),
            at: self.now(),
            kind,
            severity,
            app_id: Some(app),
            run_id: None,
            snapshot_id: None,
            destination_id: None,
            sentence: sentence.into(),
        };
        Ok(self.0.catalog.append_events(&[event]).await?)
    }
}

/// The base that a snapshot is, where it is one and can be read.
pub(crate) fn base_at(snapshot: &Snapshot) -> Option<BaseAt> {
    let artifact = snapshot.artifacts.iter().find(|artifact| artifact.base.is_some())?;
    let can_be_read = snapshot.copies.iter().any(|copy| copy.state.is_restorable());
    let at = artifact.ended_at.unwrap_or(snapshot.taken_at);
    let facts = artifact.base.clone().filter(|_| can_be_read)?;
    Some(BaseAt { snapshot: snapshot.id, facts, at })
}

/// A failure of the server as the answer to whoever asked.
pub(crate) fn refused(failure: model::Failure) -> EngineError {
    EngineError::refused(failure)
}

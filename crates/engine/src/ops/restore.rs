//! Asking for restores.

use std::path::PathBuf;

use catalog::Enqueued;
use model::{
    App, Fact, Preflight, RestoreOrder, RestoreReport, RestoreTarget, Run, RunId, RunKind,
    Selection, Snapshot, SnapshotId, SnapshotKind, Trigger, WholeOrder,
};
use serde::{Deserialize, Serialize};

use super::validate;
use crate::{
    Engine, EngineError, FieldError,
    run::{
        backup,
        restore::{BEHIND, look},
        whole,
    },
};

/// Most parts that one restore may name.
const MAX_PARTS: usize = 10_000;

/// What somebody asks of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreRequest {
    /// `app` (in the place of what it has), `beside` (a new database, volume or folder) or
    /// `folder` (files on the orchestrator's machine).
    pub to: String,
    /// What the new one is called, for `beside`.
    pub name: Option<String>,
    /// An absolute path, for `folder`.
    pub path: Option<String>,
    /// Artifacts, and parts of them; empty is everything.
    pub only: Vec<PartRequest>,
    /// The destination to read from, by name; left out: whichever has a good copy.
    pub from: Option<String>,
    /// The app's name, where something would be replaced.
    pub confirm: Option<String>,
    /// The app as a whole: stopped, its code checked out as it was, and started again. Only for
    /// `app`, with all of its parts.
    pub whole: bool,
    /// With `whole`: its code stays as it is.
    pub without_code: bool,
    /// With `whole`: changes to its code that are in no commit are set aside.
    pub set_code_aside: bool,
    /// Do not take a snapshot of the app before it is replaced.
    pub without_undo: bool,
}

/// A part of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartRequest {
    /// The artifact's name.
    pub artifact: String,
    /// Files and folders inside it; empty is all.
    pub paths: Vec<String>,
    /// Tables inside it, as `schema.table`; empty is all.
    pub tables: Vec<String>,
}

/// A base backup alone is no state of a server: it comes back to a moment.
fn refuse_base(snapshot: &Snapshot) -> Result<(), EngineError> {
    if !snapshot.is_base() {
        return Ok(());
    }
    Err(EngineError::refused(Fact::BaseAlone {}))
}

impl Engine {
    /// What a restore would meet; changes nothing.
    pub async fn preflight(
        &self,
        snapshot: SnapshotId,
        request: &RestoreRequest,
    ) -> Result<Preflight, EngineError> {
        let order = self.order(request).await?;
        let (snapshot, app) = self.restorable(snapshot).await?;
        refuse_base(&snapshot)?;
        self.look(&app, &snapshot, &order).await
    }

    /// Queues a restore. Where it replaces something, the app's name has to be given, and a
    /// snapshot of what is there is taken first unless that was refused.
    pub async fn restore_now(
        &self,
        snapshot: SnapshotId,
        request: &RestoreRequest,
    ) -> Result<Run, EngineError> {
        let mut order = self.order(request).await?;
        let (snapshot, app) = self.restorable(snapshot).await?;
        refuse_base(&snapshot)?;
        let seen = self.look(&app, &snapshot, &order).await?;
        if let Some(blocked) =
            seen.checks.iter().find(|check| check.level == model::PreflightLevel::Blocked)
        {
            return Err(EngineError::refused(blocked.sentence.clone()));
        }
        if let Some(wanted) = &seen.confirm {
            if request.confirm.as_deref().map(str::trim) != Some(wanted) {
                let what: Vec<_> =
                    seen.items.iter().filter_map(|i| i.replaces.as_deref()).collect();
                return Err(EngineError::refused(Fact::ConfirmReplaced {
                    what: what.join(", "),
                    app: wanted.clone(),
                }));
            }
            order.overwrite = true;
        }
        let id = self.new_id(RunId::generate);
        let now = self.now();
        let mut run = Run {
            snapshot_id: Some(snapshot.id),
            restore: Some(order.clone()),
            ..backup::queued(id, Some(app.id), RunKind::Restore, Trigger::Manual, now)
        };
        if order.overwrite && order.target == RestoreTarget::App && !request.without_undo {
            let undo = Run {
                snapshot_kind: SnapshotKind::Manual,
                // What has to be gone back from may not do as it is told.
                lenient: true,
                label: Some(format!("before restoring {:.0}", snapshot.taken_at)),
                ..backup::queued(
                    self.new_id(RunId::generate),
                    Some(app.id),
                    RunKind::Backup,
                    Trigger::Manual,
                    now,
                )
            };
            run.after = Some(undo.id);
            run.not_before = now.saturating_add(BEHIND).unwrap_or(now);
            self.queue(undo).await?;
        }
        self.queue(run).await
    }

    /// The newest snapshot of `app` that can be restored and was taken before a deployment: that of a
    /// commit (7 digits of it or more), of a label, or whichever was `latest`.
    pub async fn before_deploy(&self, app: &App, deploy: &str) -> Result<Snapshot, EngineError> {
        let deploy = deploy.trim();
        let all = self.0.catalog.snapshots_of_app(app.id).await?;
        let is_it = |one: &Snapshot| {
            whole::is_before(one, deploy)
                && one.copies.iter().any(|copy| copy.state.is_restorable())
        };
        let newest = all.into_iter().filter(is_it).max_by_key(|one| (one.taken_at, one.id));
        newest.ok_or_else(|| EngineError::NotFound {
            what: "snapshot from before the deployment",
            name: deploy.chars().take(64).collect(),
        })
    }

    /// What came of a restore, as far as it is.
    pub async fn restore_report(&self, run: RunId) -> Result<Option<RestoreReport>, EngineError> {
        Ok(self.0.catalog.report(run).await?)
    }

    async fn look(
        &self,
        app: &App,
        snapshot: &Snapshot,
        order: &RestoreOrder,
    ) -> Result<Preflight, EngineError> {
        let looked = look::look(self, app, snapshot, order, "preflight").await;
        let mut seen = looked.map_err(EngineError::refused)?;
        let all = self.0.catalog.snapshots_of_app(app.id).await?;
        let proven = all.iter().find_map(|one| {
            let proof = one.proof.as_ref().filter(|proof| proof.passed)?;
            (one.size_bytes() > 0).then(|| proof.took_secs / one.size_bytes() as f64)
        });
        // A figure for people; what it rounds away does not matter.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let estimate = proven.map(|rate| (rate * seen.size_bytes as f64).ceil().max(1.0) as u64);
        seen.estimate_secs = estimate;
        Ok(seen)
    }

    async fn restorable(&self, id: SnapshotId) -> Result<(Snapshot, App), EngineError> {
        let snapshot = self.0.catalog.snapshot(id).await?;
        let app = self.0.catalog.app(snapshot.app_id).await?;
        Ok((snapshot, app))
    }

    async fn order(&self, request: &RestoreRequest) -> Result<RestoreOrder, EngineError> {
        let mut errors = Vec::new();
        let target = match request.to.as_str() {
            "app" => Some(RestoreTarget::App),
            "beside" => {
                let name = request.name.as_deref().unwrap_or_default();
                validate::name("name", name, &mut errors).map(|name| RestoreTarget::Beside { name })
            }
            "folder" => match request.path.as_deref().map(str::trim) {
                Some(path) if path.starts_with('/') && !path.contains('\0') => {
                    Some(RestoreTarget::Folder { path: PathBuf::from(path) })
                }
                _ => {
                    errors.push(FieldError::new("path", Fact::AbsolutePath {}));
                    None
                }
            },
            _ => {
                errors.push(FieldError::new(
                    "to",
                    Fact::OneOfThese { words: "app, beside, folder".to_owned() },
                ));
                None
            }
        };
        let parts: usize =
            request.only.iter().map(|part| part.paths.len() + part.tables.len() + 1).sum();
        if parts > MAX_PARTS {
            errors.push(FieldError::new("only", Fact::AtMostParts { count: MAX_PARTS as u64 }));
        }
        let mut only = Vec::new();
        for (n, part) in request.only.iter().enumerate() {
            let field = format!("only[{n}].artifact");
            if let Some(artifact) = validate::name(&field, &part.artifact, &mut errors) {
                let (paths, tables) = (part.paths.clone(), part.tables.clone());
                only.push(Selection { artifact, paths, tables });
            }
        }
        let (Some(target), true) = (target, errors.is_empty()) else {
            return Err(EngineError::Invalid(errors));
        };
        let from = match request.from.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => Some(self.0.catalog.destination_by_name(name).await?.id),
            None => None,
        };
        let (without_code, set_aside) = (request.without_code, request.set_code_aside);
        let whole = request.whole.then_some(WholeOrder { without_code, set_aside });
        Ok(RestoreOrder {
            target,
            only,
            from,
            overwrite: false,
            whole,
            moment: None,
            undoes: None,
            given_up: None,
        })
    }

    pub(crate) async fn queue(&self, run: Run) -> Result<Run, EngineError> {
        match self.0.catalog.enqueue(&run).await? {
            Enqueued::New => {
                self.0.queue_bell.notify_one();
                Ok(run)
            }
            // Only fires of a schedule can be there twice, and this is none.
            Enqueued::Duplicate => Err(EngineError::conflict(Fact::QueuedAlready {})),
        }
    }
}

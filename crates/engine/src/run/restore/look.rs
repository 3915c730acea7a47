//! What a restore would meet.

use artifact::{Dump, Identities};
use model::{
    App, Artifact, Fact, Failure, Name, Preflight, PreflightCheck, PreflightItem, PreflightLevel,
    RestoreOrder, Sentence, Snapshot,
};

use super::{candidates, chosen};
use crate::{
    Engine,
    run::plain::Plain,
    target::{
        self, Aim,
        version::{HEAD, Version},
    },
};

/// How long the beginning of a dump may take to come.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Where `artifact` is to go.
pub(crate) fn aim<'a>(
    engine: &'a Engine,
    app: &'a App,
    snapshot: &'a Snapshot,
    order: &'a RestoreOrder,
    tag: &'a str,
    artifact: &'a Artifact,
) -> Aim<'a> {
    Aim {
        engine,
        app,
        source: target::source_of(app, artifact),
        artifact,
        selection: order.only.iter().find(|one| one.artifact == artifact.source),
        target: &order.target,
        moment: order.moment.as_ref(),
        undoes: order.undoes,
        is_one_of_many: chosen(snapshot, order).count() > 1,
        tag,
    }
}

/// Looks at every artifact and at the copies. Changes nothing; what stands against the restore is
/// among the checks.
pub(crate) async fn look(
    engine: &Engine,
    app: &App,
    snapshot: &Snapshot,
    order: &RestoreOrder,
    tag: &str,
) -> Result<Preflight, Failure> {
    let mut seen = Preflight::default();
    for one in &order.only {
        if !snapshot.artifacts.iter().any(|artifact| artifact.source == one.artifact) {
            let lost = Fact::NoSuchArtifact { artifact: one.artifact.to_string() };
            seen.checks.push(check(None, PreflightLevel::Blocked, lost));
        }
    }
    let mut artifacts: Vec<_> = chosen(snapshot, order).collect();
    // Roles own what comes after them.
    artifacts.sort_by_key(|artifact| {
        artifact.format.as_deref().and_then(Dump::of) != Some(Dump::PgRoles)
    });
    for artifact in artifacts {
        let name = Some(artifact.source.clone());
        let aim = aim(engine, app, snapshot, order, tag, artifact);
        let looked = match target::target(&aim) {
            Ok(target) => target.look(&aim).await,
            Err(failure) => Err(failure),
        };
        seen.size_bytes += artifact.size_bytes;
        match looked {
            Ok(looked) => {
                if let Some(server) = &looked.server
                    && let Some(dumped) = dumped(engine, snapshot, order, artifact).await
                {
                    let (level, message) = dumped.loaded_into(server);
                    seen.checks.push(check(name.clone(), level, message));
                }
                for (level, sentence) in looked.checks {
                    seen.checks.push(check(name.clone(), level, sentence));
                }
                seen.items.push(PreflightItem {
                    artifact: artifact.source.clone(),
                    target: looked.target,
                    replaces: looked.replaces,
                    size_bytes: artifact.size_bytes,
                });
            }
            Err(failure) => {
                seen.checks.push(check(name, PreflightLevel::Blocked, failure));
            }
        }
    }
    super::app::look(engine, app, snapshot, order, &mut seen.checks).await?;
    copies(engine, snapshot, order, &mut seen).await?;
    if seen.items.iter().any(|item| item.replaces.is_some()) {
        seen.confirm = Some(app.name.to_string());
    }
    Ok(seen)
}

/// The server that a dump was taken from, as the beginning of its likeliest copy tells.
async fn dumped(
    engine: &Engine,
    snapshot: &Snapshot,
    order: &RestoreOrder,
    artifact: &Artifact,
) -> Option<Version> {
    let copy = candidates(snapshot, order.from).into_iter().next()?;
    let head = async {
        let destination = engine.0.catalog.destination(copy.destination_id).await.ok()?;
        let store = engine.0.store_for(&destination).await.ok()?;
        let identities = if copy.is_encrypted() {
            engine.0.identities_of(&destination).ok()?
        } else {
            Identities::default()
        };
        let mut bytes = Plain::read(store, &copy, artifact, &identities).ok()?;
        let mut head = Vec::new();
        while head.len() < HEAD
            && let Ok(Some(chunk)) = bytes.chunk().await
        {
            head.extend_from_slice(&chunk);
        }
        Some(head)
    };
    // What it would tell is worth no long wait.
    Version::of_dump(&tokio::time::timeout(PATIENCE, head).await.ok()??)
}

/// Whether there is a copy that can be read.
async fn copies(
    engine: &Engine,
    snapshot: &Snapshot,
    order: &RestoreOrder,
    seen: &mut Preflight,
) -> Result<(), Failure> {
    let mut readable = 0;
    for copy in candidates(snapshot, order.from) {
        let destination = engine
            .0
            .catalog
            .destination(copy.destination_id)
            .await
            .map_err(|error| crate::run::failure::of_catalog(&error))?;
        let destination_name = destination.name.to_string();
        if copy.is_encrypted()
            && let Err(failure) = engine.0.identities_of(&destination)
        {
            let locked = Fact::CopyLocked { destination: destination_name, why: failure.into() };
            seen.checks.push(check(None, PreflightLevel::Warning, locked));
            continue;
        }
        readable += 1;
        let there = match copy.verified_at {
            Some(at) => Fact::CopyReread { destination: destination_name, at },
            None => Fact::CopyNotReread { destination: destination_name },
        };
        seen.checks.push(check(None, PreflightLevel::Good, there));
    }
    if readable == 0 {
        seen.checks.push(check(None, PreflightLevel::Blocked, Fact::NoGoodCopy {}));
    }
    Ok(())
}

fn check(
    artifact: Option<Name>,
    level: PreflightLevel,
    sentence: impl Into<Sentence>,
) -> PreflightCheck {
    PreflightCheck { artifact, level, sentence: sentence.into() }
}

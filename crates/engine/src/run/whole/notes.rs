//! What an app was made of: where its databases' logs were, and its containers' images.

use std::{collections::BTreeMap, time::Duration};

use model::{App, ContainerState, DirectKind, SourceKind, WalPosition};

use super::containers::Known;
use crate::{
    docker,
    run::RunContext,
    source::{direct::Asked, postgres::wal},
};

/// How long a server may take to tell its position: the app waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the log of each PostgreSQL source is, where it tells.
pub(super) async fn positions(context: &RunContext, app: &App) -> BTreeMap<String, WalPosition> {
    let mut all = BTreeMap::new();
    for source in &app.sources {
        let SourceKind::Direct(direct) = &source.kind else { continue };
        if direct.what != DirectKind::Postgres {
            continue;
        }
        let asked = Asked { engine: &context.engine, app, source, direct };
        let told = tokio::select! {
            biased;
            _ = context.stopped() => return all,
            told = tokio::time::timeout(PATIENCE, wal::position(&asked)) => told,
        };
        match told {
            Ok(Ok(position)) => {
                let (name, lsn) = (&source.name, &position.lsn);
                context.journal.info(format!("`{name}`: the server's log is at {lsn}"));
                all.insert(name.to_string(), position);
            }
            Ok(Err(failure)) => {
                let (name, why) = (&source.name, failure.message);
                context.journal.info(format!("`{name}`: where its log is, is not noted: {why}"));
            }
            Err(_) => {
                let name = &source.name;
                context
                    .journal
                    .info(format!("`{name}`: its server does not tell where its log is"));
            }
        }
    }
    all
}

/// The containers with their images.
pub(super) async fn containers(context: &RunContext, known: &[Known]) -> Vec<ContainerState> {
    let mut all = Vec::with_capacity(known.len());
    let docker = docker::connect(&context.engine.0.config).await.ok();
    for one in known {
        let image_id = one.inspected.image.clone().unwrap_or_default();
        let told = match &docker {
            Some(docker) => docker.inspect_image(&image_id).await.ok(),
            None => None,
        };
        let config = one.inspected.config.as_ref();
        all.push(ContainerState {
            name: one.name.clone(),
            image: config.and_then(|config| config.image.clone()).unwrap_or_default(),
            digest: told.and_then(|told| told.repo_digests.into_iter().flatten().next()),
            image_id,
            running: one.running.is_some(),
        });
    }
    all
}

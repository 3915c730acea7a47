//! The tree before this one: what did not change since is shared with it.

use std::{path::PathBuf, sync::Arc};

use artifact::Identities;
use model::{DestinationId, Failure, Name};
use store::{Key, Store};
use tokio::{fs::File, io::AsyncWriteExt as _};

use super::{Work, work};
use crate::run::{RunContext, failure, plain::Plain};

/// A tree, and its listing as a file of ours.
pub(crate) struct Previous {
    pub(crate) tree: Key,
    pub(crate) listing: PathBuf,
}

/// The last tree of `source` at the destination, if it is believed good. After one that was found
/// damaged comes one that shares nothing.
pub(crate) async fn find(
    context: &RunContext,
    at: DestinationId,
    store: &Arc<dyn Store>,
    source: &Name,
    work: &Work,
) -> Result<Option<Previous>, Failure> {
    let Some(app) = context.run.app_id else { return Ok(None) };
    let snapshots = context.engine.0.catalog.snapshots_of_app(app).await;
    let snapshots = snapshots.map_err(|error| failure::of_catalog(&error))?;
    let copies = snapshots.iter().filter_map(|snapshot| {
        let artifact = snapshot.artifacts.iter().find(|artifact| artifact.source == *source)?;
        let copy = snapshot.copies.iter().find(|copy| copy.destination_id == at)?;
        let object = copy.objects.iter().find(|object| object.source == *source)?;
        let tree = object.tree.as_ref()?;
        Some((snapshot.taken_at, artifact, copy, tree))
    });
    let Some((_, artifact, copy, tree)) = copies.max_by_key(|(at, ..)| *at) else {
        return Ok(None);
    };
    if !copy.state.is_restorable() {
        context.journal.info(format!("{tree} is not believed good: everything is copied anew"));
        return Ok(None);
    }
    let Ok(tree) = Key::new(tree) else { return Ok(None) };
    let listing = work.file("previous");
    let plain = Plain::read(Arc::clone(store), copy, artifact, &Identities::default());
    let read = match plain {
        Ok(plain) => fetch(plain, &listing).await,
        Err(error) => Err(error.failure()),
    };
    match read {
        Ok(()) => Ok(Some(Previous { tree, listing })),
        Err(failure) => {
            context.journal.warn(format!(
                "the listing of {tree} cannot be read ({}): everything is copied anew",
                failure.message
            ));
            Ok(None)
        }
    }
}

/// Writes all of `plain`, which is proven when this succeeds.
pub(crate) async fn fetch(mut plain: Plain, to: &std::path::Path) -> Result<(), Failure> {
    let told = |error: std::io::Error| work::failed(to, &error);
    let mut file = File::create(to).await.map_err(told)?;
    while let Some(chunk) = plain.chunk().await.map_err(|error| error.failure())? {
        file.write_all(&chunk).await.map_err(told)?;
    }
    file.flush().await.map_err(told)
}

//! Fetches a tree's listing, proven, and compares the tree with it.

use std::{path::PathBuf, sync::Arc};

use artifact::Identities;
use model::{Artifact, Destination, Failure, FailureCode, StoredCopy};
use store::{Key, Store};

use super::{Host, Work, check, previous};
use crate::{
    Engine,
    run::{failure, plain::Plain},
};

/// Proves the tree of `artifact`; gives where it is and the file with its listing.
pub(crate) async fn prove(
    engine: &Engine,
    destination: &Destination,
    (store, copy, artifact): (&Arc<dyn Store>, &StoredCopy, &Artifact),
    tree: &str,
    work: &Work,
    progress: impl Fn(u64) + Send,
) -> Result<(Host, Key, PathBuf), Failure> {
    let host = Host::of(&engine.0, destination).map_err(|error| failure::of_engine(&error))?;
    let (Some(host), Ok(tree)) = (host, Key::new(tree)) else {
        let message = format!("{tree} is no tree of `{}`", destination.name);
        return Err(Failure::new(FailureCode::Internal, message));
    };
    let listing = work.file("listing");
    let plain = Plain::read(Arc::clone(store), copy, artifact, &Identities::default());
    previous::fetch(plain.map_err(|error| error.failure())?, &listing).await?;
    check::verify(&host, &engine.0.config, &tree, &listing, work, progress).await?;
    Ok((host, tree, listing))
}

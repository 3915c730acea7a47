//! Fetches a tree's listing, proven, and compares the tree with it.

use std::{path::PathBuf, sync::Arc};

use artifact::Identities;
use model::{Artifact, Destination, Failure, FailureCode, StoredCopy};
use store::{Key, Store};

use super::{Host, Work, check, part, previous};
use crate::{
    Engine,
    run::{failure, plain::Plain},
};

/// A tree, or a part of one, that is as its listing says.
pub(crate) struct Proven {
    pub(super) host: Host,
    pub(super) tree: Key,
    /// What of it was looked at; empty is all.
    pub(super) part: PathBuf,
    /// The file that lists exactly that.
    pub(super) listing: PathBuf,
}

/// Proves the tree of `artifact`, or of it what is at and below the path `only`.
pub(crate) async fn prove(
    engine: &Engine,
    destination: &Destination,
    (store, copy, artifact): (&Arc<dyn Store>, &StoredCopy, &Artifact),
    tree: &str,
    only: &str,
    work: &Work,
    progress: impl Fn(u64) + Send,
) -> Result<Proven, Failure> {
    let host = Host::of(&engine.0, destination).map_err(|error| failure::of_engine(&error))?;
    let (Some(host), Ok(tree)) = (host, Key::new(tree)) else {
        let message = format!("{tree} is no tree of `{}`", destination.name);
        return Err(Failure::new(FailureCode::Internal, message));
    };
    let listing = work.file("listing");
    let plain = Plain::read(Arc::clone(store), copy, artifact, &Identities::default());
    previous::fetch(plain.map_err(|error| error.failure())?, &listing).await?;
    let (part, listing) = if only.is_empty() {
        (PathBuf::new(), listing)
    } else {
        part::of(&listing, only, work).await?
    };
    let proven = Proven { host, tree, part, listing };
    check::verify(&proven, &engine.0.config, work, progress).await?;
    Ok(proven)
}

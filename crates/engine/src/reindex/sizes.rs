//! The objects at a destination: what each weighs, and which are manifests.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use model::layout::MANIFEST_SUFFIX;
use ring::digest::{SHA256, digest};
use store::{Prefix, Store};

use crate::{EngineError, recovery::names};

/// Half of the SHA-256 of a name. Two hundred thousand names would be most of the memory that
/// reading manifests takes; nobody can find two names with the same half.
type Short = [u8; 16];

/// Objects with their sizes in bytes, and the names of manifests.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    of: HashMap<Short, u64>,
    manifests: Vec<Box<str>>,
}

impl Sizes {
    /// Every object at `store` that is not of the catalog's own copies.
    pub(super) async fn listed(store: &dyn Store) -> Result<Self, EngineError> {
        let mut listing = store.list(&Prefix::root()).await?;
        let mut sizes = Self::default();
        while let Some(object) = listing.try_next().await? {
            if !names::is_ours(object.key.as_str()) {
                sizes.add(object.key.as_str(), object.size_bytes);
            }
        }
        Ok(sizes)
    }

    fn add(&mut self, key: &str, size_bytes: u64) {
        if key.ends_with(MANIFEST_SUFFIX) {
            self.manifests.push(key.into());
        }
        self.of.insert(short(key), size_bytes);
    }

    /// The size of the object called `key`; `None` where there is none.
    pub(super) fn get(&self, key: &str) -> Option<u64> {
        self.of.get(&short(key)).copied()
    }

    /// The names of the manifests, which are given once.
    pub(super) fn take_manifests(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.manifests)
    }
}

fn short(key: &str) -> Short {
    let mut short = Short::default();
    short.copy_from_slice(&digest(&SHA256, key.as_bytes()).as_ref()[..16]);
    short
}

//! Snapshots of file systems that were taken while the app stood still, until their source is read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use model::Name;

use crate::source::files::basis::Basis;

/// By the name of the stream that is read from it.
#[derive(Clone, Default)]
pub(crate) struct Prepared(Arc<Mutex<HashMap<Name, Basis>>>);

impl Prepared {
    pub(crate) fn put(&self, of: Name, basis: Basis) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(of, basis);
    }

    /// The one for `of`, for whoever ends it.
    pub(crate) fn take(&self, of: &Name) -> Option<Basis> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(of)
    }
}

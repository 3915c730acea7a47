//! Documents that were read before: lists of all apps are asked for often, and change seldom.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use model::App;

use crate::CatalogError;

/// Every app by its id, with the text that it was read from.
#[derive(Debug, Default)]
pub(crate) struct KnownApps(Mutex<HashMap<String, (String, Arc<App>)>>);

impl KnownApps {
    /// The apps of `texts`, by id as the database has them now. The text itself is compared: a
    /// version comes again where a database was put back from a backup.
    pub(crate) fn read<'a>(
        &self,
        texts: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<Arc<App>>, CatalogError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::with_capacity(texts.len());
        let mut all = Vec::with_capacity(texts.len());
        for (id, text) in texts {
            let (id, held) = match known.remove_entry(id) {
                Some((id, held)) if held.0 == text => (id, held),
                _ => (id.to_owned(), (text.to_owned(), Arc::new(serde_json::from_str(text)?))),
            };
            all.push(Arc::clone(&held.1));
            next.insert(id, held);
        }
        *known = next;
        Ok(all)
    }
}

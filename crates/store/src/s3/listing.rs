//! Listings. OpenDAL reads an HTML page or an error that came with 200 as the end of the list;
//! here only a whole answer that says it is the last one is.

use std::collections::VecDeque;

use futures::StreamExt as _;
use serde::Deserialize;

use super::requests::Requests;
use crate::{Key, Listing, ObjectMeta, StoreError, StoreErrorKind};

/// An answer to `ListObjectsV2`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    is_truncated: bool,
    #[serde(default)]
    next_continuation_token: String,
    #[serde(default)]
    contents: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    size: u64,
    last_modified: Option<jiff::Timestamp>,
}

enum Next {
    First,
    After(String),
    End,
}

struct Reading {
    requests: Requests,
    prefix: String,
    /// What comes before a key of ours: the root and a slash.
    root: String,
    found: VecDeque<Entry>,
    next: Next,
}

/// Every object whose key begins with `prefix`; names that cannot be ours are other people's.
pub(super) fn list(requests: Requests, prefix: String, root: String) -> Listing {
    let reading = Reading { requests, prefix, root, found: VecDeque::new(), next: Next::First };
    futures::stream::try_unfold(reading, |mut reading| async move {
        loop {
            while let Some(entry) = reading.found.pop_front() {
                let name = entry.key.strip_prefix(&reading.root);
                if let Some(Ok(key)) = name.map(Key::new) {
                    let meta = ObjectMeta {
                        key,
                        size_bytes: entry.size,
                        modified_at: entry.last_modified.map(Into::into),
                        sha256: None,
                    };
                    return Ok(Some((meta, reading)));
                }
            }
            if let Next::End = reading.next {
                return Ok(None);
            }
            reading.turn().await?;
        }
    })
    .boxed()
}

impl Reading {
    /// Reads the next page.
    async fn turn(&mut self) -> Result<(), StoreError> {
        let mut query = vec![("list-type", "2"), ("prefix", self.prefix.as_str())];
        if let Next::After(token) = &self.next {
            query.push(("continuation-token", token));
        }
        let page: Page = self.requests.document("ListBucketResult", &query).await?;
        let token = page.next_continuation_token;
        let next = match &self.next {
            _ if !page.is_truncated => Next::End,
            Next::After(before) if *before == token => return Err(self.stuck()),
            _ if token.is_empty() => return Err(self.stuck()),
            _ => Next::After(token),
        };
        (self.next, self.found) = (next, page.contents.into());
        Ok(())
    }

    fn stuck(&self) -> StoreError {
        let what = format!("listing {}: more is promised, and there is no next page", self.prefix);
        StoreError::new(StoreErrorKind::Unavailable, what)
    }
}

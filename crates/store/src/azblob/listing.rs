//! Listings: only a whole answer that says it is the last one ends them.

use std::collections::VecDeque;

use futures::StreamExt as _;
use http::Method;
use serde::Deserialize;

use super::requests::{Ask, Requests};
use crate::{Key, Listing, ObjectMeta, StoreError};

/// An answer to `List Blobs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    blobs: Blobs,
    /// Always there; empty on the last page.
    next_marker: String,
}

#[derive(Debug, Default, Deserialize)]
struct Blobs {
    #[serde(rename = "Blob", default)]
    found: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    name: Name,
    properties: Properties,
}

#[derive(Debug, Deserialize)]
struct Name {
    /// Names that XML cannot hold; ours can be held.
    #[serde(rename = "@Encoded", default)]
    encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Debug, Deserialize)]
struct Properties {
    #[serde(rename = "Content-Length")]
    size: u64,
    #[serde(rename = "Last-Modified")]
    modified: Option<String>,
    /// Accounts with folders list them, too.
    #[serde(rename = "ResourceType", default)]
    kind: String,
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

/// Every object whose name begins with `prefix`; names that cannot be ours are other people's.
pub(super) fn list(requests: Requests, prefix: String, root: String) -> Listing {
    let reading = Reading { requests, prefix, root, found: VecDeque::new(), next: Next::First };
    futures::stream::try_unfold(reading, |mut reading| async move {
        loop {
            while let Some(entry) = reading.found.pop_front() {
                if entry.name.encoded || entry.properties.kind == "directory" {
                    continue;
                }
                let name = entry.name.text.strip_prefix(&reading.root);
                if let Some(Ok(key)) = name.map(Key::new) {
                    let modified = entry.properties.modified.as_deref();
                    let meta = ObjectMeta {
                        key,
                        size_bytes: entry.properties.size,
                        modified_at: modified.and_then(super::time),
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
        let mut ask = Ask { method: Method::GET, ..Ask::default() };
        ask.query.push(("restype", "container".to_owned()));
        ask.query.push(("comp", "list".to_owned()));
        if !self.prefix.is_empty() {
            ask.query.push(("prefix", self.prefix.clone()));
        }
        if let Next::After(marker) = &self.next {
            ask.query.push(("marker", marker.clone()));
        }
        let page: Page = self.requests.document("EnumerationResults", &ask).await?;
        let next = match &self.next {
            _ if page.next_marker.is_empty() => Next::End,
            Next::After(before) if *before == page.next_marker => {
                let how = format!("listing {}: its pages do not go on", self.prefix);
                return Err(self.requests.broken(&how));
            }
            _ => Next::After(page.next_marker),
        };
        (self.next, self.found) = (next, page.blobs.found.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_that_tells_how_it_goes_on_is_one() {
        let page = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
            ServiceEndpoint=\"https://a/\" ContainerName=\"c\"><Prefix>a</Prefix><Blobs><Blob>\
            <Name>a/1&amp;2</Name><Properties><Last-Modified>Fri, 20 Nov 2026 10:00:00 GMT\
            </Last-Modified><Etag>0x8</Etag><Content-Length>7</Content-Length>\
            <BlobType>BlockBlob</BlobType></Properties><OrMetadata /></Blob><Blob>\
            <Name Encoded=\"true\">a%01</Name><Properties><Content-Length>1</Content-Length>\
            </Properties></Blob></Blobs><NextMarker>more</NextMarker></EnumerationResults>";
        let read = |body: &str| crate::xml::parsed::<Page>("EnumerationResults", body);
        let whole = read(page).unwrap();
        assert_eq!(whole.blobs.found[0].name.text, "a/1&2");
        assert_eq!(whole.blobs.found[0].properties.size, 7);
        assert!(whole.blobs.found[1].name.encoded);
        assert_eq!(whole.next_marker, "more");
        let last = page.replace("<NextMarker>more</NextMarker>", "<NextMarker />");
        assert_eq!(read(&last).unwrap().next_marker, "");
        assert!(read(&page.replace("<NextMarker>more</NextMarker>", "")).is_err());
        let empty = "<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>";
        assert!(read(empty).unwrap().blobs.found.is_empty());
        assert!(read("<EnumerationResults><NextMarker /></EnumerationResults>").is_err());
    }
}

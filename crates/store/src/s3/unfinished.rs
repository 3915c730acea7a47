//! Uploads that were begun and never ended, with the parts that they keep. OpenDAL knows only
//! those that it has begun itself.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::requests::Requests;
use crate::{StoreError, StoreErrorKind};

/// Most pages that are read.
const MAX_PAGES: usize = 1_000;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Begun {
    pub(super) key: String,
    upload_id: String,
    initiated: jiff::Timestamp,
}

/// An answer to `ListMultipartUploads`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(rename = "Upload", default)]
    uploads: Vec<Begun>,
}

impl Begun {
    /// Whether it was begun at least `age` before `now`.
    pub(super) fn is_older_than(&self, age: Duration, now: SystemTime) -> bool {
        now.duration_since(self.initiated.into()).is_ok_and(|since| since >= age)
    }
}

/// Those whose key begins with `prefix`.
pub(super) async fn list(requests: &Requests, prefix: &str) -> Result<Vec<Begun>, StoreError> {
    let mut found = Vec::new();
    let mut after: Option<(String, String)> = None;
    for _ in 0..MAX_PAGES {
        let mut query = vec![("uploads", ""), ("prefix", prefix)];
        if let Some((key, id)) = &after {
            query.extend([("key-marker", key.as_str()), ("upload-id-marker", id.as_str())]);
        }
        let page: Page = requests.document("ListMultipartUploadsResult", &query).await?;
        // A service may not know about prefixes; what is not asked for must not be aborted.
        found.extend(page.uploads.into_iter().filter(|begun| begun.key.starts_with(prefix)));
        let next = (page.next_key_marker, page.next_upload_id_marker);
        if !page.is_truncated {
            return Ok(found);
        }
        if next.0.is_empty() || after.as_ref() == Some(&next) {
            break;
        }
        after = Some(next);
    }
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        format!("{prefix}: the list of unfinished uploads does not end"),
    ))
}

/// Ends one, so that its parts are freed. One that is gone already is no error.
pub(super) async fn abort(requests: &Requests, begun: &Begun) -> Result<(), StoreError> {
    requests.delete(&begun.key, &[("uploadId", &begun.upload_id)]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let page = "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"x\"><Bucket>b</Bucket>\
            <Upload><Key>a/1&amp;2</Key><UploadId>u1</UploadId><Initiated>2026-11-20T10:00:00.000Z\
            </Initiated></Upload><IsTruncated>true</IsTruncated><Upload><Key>a/3</Key><UploadId>u2\
            </UploadId><Initiated>2026-11-20T10:00:00Z</Initiated></Upload><NextKeyMarker>a/3\
            </NextKeyMarker><NextUploadIdMarker>u2</NextUploadIdMarker></ListMultipartUploadsResult>";
        let page: Page = quick_xml::de::from_str(page).unwrap();
        let keys: Vec<_> = page.uploads.iter().map(|begun| begun.key.as_str()).collect();
        assert_eq!((keys, page.is_truncated), (vec!["a/1&2", "a/3"], true));
        let at = SystemTime::from(page.uploads[0].initiated);
        let hour = Duration::from_secs(3_600);
        assert!(page.uploads[0].is_older_than(hour, at + hour));
        assert!(!page.uploads[0].is_older_than(hour, at));
        assert!(!page.uploads[0].is_older_than(Duration::ZERO, at - hour));
    }
}

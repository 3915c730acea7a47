//! What a WebDAV server answers to `PROPFIND`.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

/// Asks for what an entry needs.
pub(super) const QUESTION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <d:propfind xmlns:d=\"DAV:\"><d:prop><d:resourcetype/><d:getcontentlength/>\
    <d:getlastmodified/></d:prop></d:propfind>";

#[derive(Debug, Deserialize)]
struct Multistatus {
    #[serde(rename = "response", default)]
    responses: Vec<Response>,
}

#[derive(Debug, Deserialize)]
struct Response {
    href: String,
    #[serde(rename = "propstat", default)]
    propstats: Vec<Propstat>,
}

#[derive(Debug, Deserialize)]
struct Propstat {
    prop: Prop,
    #[serde(default)]
    status: String,
}

#[derive(Debug, Deserialize)]
struct Prop {
    getcontentlength: Option<String>,
    getlastmodified: Option<String>,
    resourcetype: Option<ResourceType>,
}

#[derive(Debug, Deserialize)]
struct ResourceType {
    collection: Option<serde::de::IgnoredAny>,
}

/// One resource that an answer tells of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Its decoded path on the server, without slashes around it.
    pub(super) path: String,
    pub(super) is_folder: bool,
    pub(super) size_bytes: u64,
    pub(super) modified_at: Option<SystemTime>,
}

/// The resources in `body`. What is no whole answer is an error, never a shorter list.
pub(super) fn parsed(body: &str) -> Result<Vec<Told>, String> {
    let whole = body.trim_end();
    if !whole.ends_with("multistatus>") && !whole.ends_with("multistatus/>") {
        let begin: String = body.chars().filter(|c| !c.is_control()).take(100).collect();
        return Err(format!("its answer is no whole list: {begin}"));
    }
    let answer: Multistatus =
        quick_xml::de::from_str(body).map_err(|error| format!("its list: {error}"))?;
    answer.responses.into_iter().map(told).collect()
}

fn told(response: Response) -> Result<Told, String> {
    let path = path_of(&response.href)?;
    let prop = response
        .propstats
        .into_iter()
        .find(|one| one.status.is_empty() || one.status.contains(" 200"))
        .map(|one| one.prop)
        .ok_or_else(|| format!("it tells nothing about {path}"))?;
    let is_folder = prop.resourcetype.is_some_and(|kind| kind.collection.is_some());
    let size_bytes = match prop.getcontentlength.map(|text| text.trim().parse()) {
        Some(Ok(size)) => size,
        _ if is_folder => 0,
        _ => return Err(format!("it tells no size of {path}")),
    };
    let modified_at = prop.getlastmodified.and_then(|text| {
        jiff::fmt::rfc2822::parse(text.trim()).ok().map(|at| at.timestamp().into())
    });
    Ok(Told { path, is_folder, size_bytes, modified_at })
}

/// The decoded path in `href`, which is a whole address or its path alone.
fn path_of(href: &str) -> Result<String, String> {
    let path = match href.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => href,
    };
    let path =
        percent_decode_str(path).decode_utf8().map_err(|error| format!("{href}: {error}"))?;
    Ok(path.trim_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">\
        <D:response><D:href>/dav/app/</D:href><D:propstat><D:prop><D:resourcetype>\
        <D:collection xmlns:D=\"DAV:\"/></D:resourcetype></D:prop>\
        <D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop>\
        <D:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>\
        </D:response><D:response><D:href>https://host/dav/app/a%20b%26.x</D:href><D:propstat>\
        <D:prop><D:getcontentlength>7</D:getcontentlength><D:getlastmodified>Fri, 20 Nov 2026 \
        10:00:00 GMT</D:getlastmodified><D:resourcetype/></D:prop>\
        <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>";

    #[test]
    fn a_folder_is_read() {
        let found = parsed(FOLDER).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].path.as_str(), found[0].is_folder), ("dav/app", true));
        assert_eq!((found[1].path.as_str(), found[1].size_bytes), ("dav/app/a b&.x", 7));
        assert!(found[1].modified_at.is_some());
    }

    #[test]
    fn what_is_no_whole_list_is_an_error() {
        for cut in [FOLDER.len() / 2, FOLDER.len() - 20, 60, 0] {
            assert!(parsed(&FOLDER[..cut]).is_err(), "{cut} bytes were a list");
        }
        assert!(parsed("<html>Sign in</html>").is_err());
        assert!(parsed(&FOLDER.replace("<D:getcontentlength>7", "<D:getcontentlength>x")).is_err());
    }
}

//! The stylesheet, the script and the pictures, carried in the binary.

use std::{collections::HashMap, sync::LazyLock};

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

const FILES: &[(&str, &str, &[u8])] = &[
    ("app.css", "text/css; charset=utf-8", include_bytes!("../../static/app.css")),
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("../../static/app.js")),
    ("icons.svg", "image/svg+xml", include_bytes!("../../static/icons.svg")),
    ("favicon.svg", "image/svg+xml", include_bytes!("../../static/favicon.svg")),
];

/// Addresses with a mark of the content: a new version is a new address, and an old one may be
/// kept for ever.
static ADDRESSES: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let address = |(name, _, bytes): &(&'static str, &str, &[u8])| {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        (*name, format!("/static/{}/{name}", hex::encode(&digest.as_ref()[..6])))
    };
    FILES.iter().map(address).collect()
});

/// The address of the file `name`.
pub(crate) fn address(name: &str) -> &'static str {
    ADDRESSES.get(name).map_or("", String::as_str)
}

pub(super) async fn serve(Path((mark, name)): Path<(String, String)>) -> Response {
    let wanted = format!("/static/{mark}/{name}");
    let found = FILES.iter().find(|(name, _, _)| address(name) == wanted);
    let Some((_, media, bytes)) = found else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = (*bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    response
}

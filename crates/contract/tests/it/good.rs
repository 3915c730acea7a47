//! Answers as the contract tells, byte by byte.

use ring::digest::{SHA256, digest};

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// Bytes that no two places have alike.
pub(crate) fn artifact(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

pub(crate) const NAMING: &str = "Content-Type: application/octet-stream\r\n\
     Content-Disposition: attachment; filename=\"shop.dump\"\r\n\
     X-Format: pg_dump_Fc\r\n";

/// `200` with size and checksum in headers.
pub(crate) fn spooled(bytes: &[u8]) -> Vec<u8> {
    let size = bytes.len();
    let mut reply = format!(
        "HTTP/1.1 200 OK\r\n{NAMING}Content-Length: {size}\r\nX-Checksum-SHA256: {}\r\n\
         X-Size: {size}\r\n\r\n",
        sha256(bytes)
    )
    .into_bytes();
    reply.extend_from_slice(bytes);
    reply
}

/// The head of a `200` whose size and checksum follow in trailers.
pub(crate) fn streamed_head() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\n{NAMING}Transfer-Encoding: chunked\r\n\
         Trailer: X-Checksum-SHA256, X-Size\r\n\r\n"
    )
    .into_bytes()
}

pub(crate) fn chunks(bytes: &[u8], each: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for part in bytes.chunks(each) {
        coded.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        coded.extend_from_slice(part);
        coded.extend_from_slice(b"\r\n");
    }
    coded
}

/// The last chunk and the trailers.
pub(crate) fn end(size: usize, sha256: &str) -> Vec<u8> {
    format!("0\r\nX-Checksum-SHA256: {sha256}\r\nX-Size: {size}\r\n\r\n").into_bytes()
}

/// `200` with size and checksum in trailers.
pub(crate) fn streamed(bytes: &[u8], each: usize) -> Vec<u8> {
    [streamed_head(), chunks(bytes, each), end(bytes.len(), &sha256(bytes))].concat()
}

/// The rest of an artifact from `from` on.
pub(crate) fn part(bytes: &[u8], from: usize) -> Vec<u8> {
    let (size, rest) = (bytes.len(), &bytes[from..]);
    let mut reply = format!(
        "HTTP/1.1 206 Partial Content\r\n{NAMING}Content-Length: {}\r\n\
         Content-Range: bytes {from}-{}/{size}\r\nX-Checksum-SHA256: {}\r\nX-Size: {size}\r\n\r\n",
        rest.len(),
        size - 1,
        sha256(bytes)
    )
    .into_bytes();
    reply.extend_from_slice(rest);
    reply
}

pub(crate) fn json(status: &str, body: &serde_json::Value) -> Vec<u8> {
    with_body(status, "application/json", &body.to_string())
}

pub(crate) fn with_body(status: &str, media: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

pub(crate) fn problem(status: &str, detail: &str) -> Vec<u8> {
    let (code, title) = status.split_once(' ').unwrap();
    let code: u16 = code.parse().unwrap();
    let problem = contract::Problem {
        title: title.to_owned(),
        status: code,
        detail: Some(detail.to_owned()),
    };
    let body = serde_json::to_string(&problem).unwrap();
    with_body(status, "application/problem+json", &body)
}

pub(crate) fn empty(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

pub(crate) fn accepted() -> Vec<u8> {
    let job = serde_json::json!({
        "job_id": "1", "status_url": "/backup/jobs/1", "download": "/backup/jobs/1/artifact",
    });
    json("202 Accepted", &job)
}

pub(crate) fn job(state: &str) -> Vec<u8> {
    json("200 OK", &serde_json::json!({ "job_id": "1", "state": state, "progress": 0.5 }))
}

/// Capabilities of an app that takes artifacts back.
pub(crate) fn restoring() -> Vec<u8> {
    let found = serde_json::json!({
        "version": "v1", "types": ["db"], "est_seconds": 1, "est_size": 1, "restore": true,
    });
    json("200 OK", &found)
}

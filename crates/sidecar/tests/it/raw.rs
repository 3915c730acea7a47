//! Requests without the contract's client: what a stranger sees.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::sidecar::{Sidecar, TOKEN};

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// Sends a request on a connection of its own.
pub(crate) async fn send(
    sidecar: &Sidecar,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> http::Response<Incoming> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "sidecar")
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap()
}

pub(crate) async fn get(sidecar: &Sidecar, path: &str, headers: &[(&str, &str)]) -> Answer {
    read(send(sidecar, Method::GET, path, headers, &Value::Null).await).await
}

pub(crate) async fn delete(sidecar: &Sidecar, path: &str) -> Answer {
    read(send(sidecar, Method::DELETE, path, &[], &Value::Null).await).await
}

pub(crate) async fn export(sidecar: &Sidecar, body: Value) -> Answer {
    read(send(sidecar, Method::POST, "/backup/export", &[], &body).await).await
}

async fn read(response: http::Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

/// Sends an import on a connection of its own.
pub(crate) async fn import(sidecar: &Sidecar, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post("/backup/import")
        .header(header::HOST, "sidecar")
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body));
    read(sender.send_request(request.body(body).unwrap()).await.unwrap()).await
}

/// Sends a part of what `X-Size` tells and goes away.
pub(crate) async fn cut(sidecar: &Sidecar, headers: &[(&str, &str)], part: &[u8]) {
    use std::fmt::Write as _;
    use tokio::io::AsyncWriteExt as _;
    let mut head =
        format!("POST /backup/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
        if *name == "x-size" {
            write!(head, "content-length: {value}\r\n").unwrap();
        }
    }
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    stream.write_all(part).await.unwrap();
    stream.shutdown().await.unwrap();
}

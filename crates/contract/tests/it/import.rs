//! Imports: what is sent, and what servers make of it, well or badly.

use std::{io, time::Duration};

use bytes::Bytes;
use contract::{
    ContractClient, ContractError, Declared, ImportReport, ImportRequest, ImportTarget, Limits,
};
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::{
    good,
    server::{Server, Step, TOKEN, limits, loopback},
};

/// An import of `artifact`, in the place of what is there.
pub(crate) fn request(artifact: &[u8]) -> ImportRequest {
    let mut sha256 = [0; 32];
    hex::decode_to_slice(good::sha256(artifact), &mut sha256).unwrap();
    ImportRequest {
        declared: Declared { size_bytes: artifact.len() as u64, sha256 },
        format: Some("pg_dump_Fc".to_owned()),
        target: ImportTarget::Replace,
        run_id: Some("restore-1".to_owned()),
    }
}

type Chunks = Vec<io::Result<Bytes>>;

fn chunks(bytes: &[u8]) -> Chunks {
    bytes.chunks(10_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect()
}

pub(crate) async fn send(
    client: &ContractClient,
    request: &ImportRequest,
    artifact: &[u8],
) -> Result<ImportReport, ContractError> {
    send_chunks(client, request, chunks(artifact)).await
}

async fn send_chunks(
    client: &ContractClient,
    request: &ImportRequest,
    chunks: Chunks,
) -> Result<ImportReport, ContractError> {
    let sent = client.import(request, stream::iter(chunks), CancellationToken::new()).await;
    sent.inspect_err(|error| {
        assert!(!format!("{error} {error:?}").contains(TOKEN), "the token is in: {error}");
    })
}

/// A server that takes artifacts back, and answers so.
async fn answering(reply: Vec<u8>) -> Server {
    Server::start(move |asked| {
        vec![Step::Send(match asked.line().as_str() {
            "GET /backup/capabilities" => good::restoring(),
            _ => reply.clone(),
        })]
    })
    .await
}

fn posted(server: &Server) -> usize {
    server.lines().iter().filter(|line| *line == "POST /backup/import").count()
}

#[tokio::test]
async fn an_artifact_arrives_whole_and_told() {
    let server = answering(good::json("200 OK", &serde_json::json!({}))).await;
    for size in [0, 1, 300_000] {
        let artifact = good::artifact(size);
        let mut wanted = request(&artifact);
        send(&server.client(), &wanted, &artifact).await.unwrap();
        wanted.target = ImportTarget::Beside("shop-old".to_owned());
        (wanted.format, wanted.run_id) = (None, None);
        send(&server.client(), &wanted, &artifact).await.unwrap();
        let asked = server.asked();
        let [.., first, _, second] = asked.as_slice() else { panic!("too few requests") };
        for one in [first, second] {
            assert_eq!(one.body, artifact);
            assert!(one.is_authorized());
            assert_eq!(one.header("content-length"), Some(size.to_string()));
            assert_eq!(one.header("x-size"), Some(size.to_string()));
            assert_eq!(one.header("x-checksum-sha256"), Some(good::sha256(&artifact)));
        }
        assert_eq!(first.header("x-target").as_deref(), Some("replace"));
        assert_eq!(first.header("x-format").as_deref(), Some("pg_dump_Fc"));
        assert_eq!(first.header("x-run-id").as_deref(), Some("restore-1"));
        assert_eq!(second.header("x-target").as_deref(), Some("beside:shop-old"));
        assert_eq!((second.header("x-format"), second.header("x-run-id")), (None, None));
    }
}

#[tokio::test]
async fn what_is_not_whole_and_right_never_ends() {
    let server = answering(good::empty("200 OK")).await;
    let artifact = good::artifact(50_000);
    let mut flipped = artifact.clone();
    flipped[40_000] ^= 1;
    let mut cut = chunks(&artifact[..30_000]);
    cut.push(Err(io::Error::other("the copy is damaged")));
    let mut damaged_at_its_end = chunks(&artifact);
    damaged_at_its_end.push(Err(io::Error::other("the copy is damaged")));
    for (wrong, why) in [
        (chunks(&flipped), "SHA-256"),
        (chunks(&artifact[..49_999]), "1 bytes before its end"),
        (chunks(&[&artifact[..], b"x"].concat()), "more bytes"),
        (cut, "the copy is damaged"),
        (damaged_at_its_end, "the copy is damaged"),
        (vec![Err(io::Error::other("no first byte"))], "no first byte"),
    ] {
        let error = send_chunks(&server.client(), &request(&artifact), wrong).await.unwrap_err();
        assert!(matches!(&error, ContractError::Unreadable(told) if told.contains(why)), "{error}");
    }
    // The server notes a request only when it has all of it.
    assert_eq!(posted(&server), 0);
}

#[tokio::test]
async fn an_app_that_takes_nothing_back_is_sent_nothing() {
    let server = Server::start(|_| {
        let found = serde_json::json!({ "version": "v1", "types": [], "restore": false });
        vec![Step::Send(good::json("200 OK", &found))]
    })
    .await;
    let error = send(&server.client(), &request(b"x"), b"x").await.unwrap_err();
    assert!(matches!(error, ContractError::NotOffered { .. }), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(posted(&server), 0);
}

#[tokio::test]
async fn the_token_before_a_rotation_is_known_before_the_artifact_goes() {
    let server = Server::start(|asked| {
        vec![Step::Send(match asked.line().as_str() {
            _ if !asked.is_authorized() => good::empty("401 Unauthorized"),
            "GET /backup/capabilities" => good::restoring(),
            _ => good::empty("200 OK"),
        })]
    })
    .await;
    let rotated = ContractClient::new(server.url(), "new".into(), loopback(), limits()).unwrap();
    let error = send(&rotated, &request(b"x"), b"x").await.unwrap_err();
    assert!(matches!(error, ContractError::Unauthorized { .. }), "{error}");
    send(&rotated.with_previous_token(TOKEN.into()), &request(b"x"), b"x").await.unwrap();
    assert_eq!(posted(&server), 1);
}

#[tokio::test]
async fn what_servers_answer_is_told() {
    for (reply, expected) in [
        (good::problem("409 Conflict", "an export is under way"), "busy (409)"),
        (good::empty("401 Unauthorized"), "401"),
        (good::problem("422 Unprocessable Content", "nothing was changed"), "nothing was changed"),
        (good::problem("500 Internal Server Error", TOKEN), "[token]"),
        (
            b"HTTP/1.1 307 X\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "redirects",
        ),
        (good::with_body("202 Accepted", "application/json", "{}"), "job_id"),
        (
            good::json(
                "202 Accepted",
                &serde_json::json!({
                    "job_id": "1", "status_url": "http://127.0.0.1:1/x",
                }),
            ),
            "another origin",
        ),
        (b"SSH-2.0-x\r\n".to_vec(), "does not keep to the contract"),
        (Vec::new(), "cannot be reached"),
    ] {
        let server = answering(reply).await;
        let error = send(&server.client(), &request(b"x"), b"x").await.unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn reports_are_cleaned() {
    let report = serde_json::json!({
        "message": format!("a\u{1b}[2J{TOKEN}"), "kept": "x".repeat(5_000),
        "notes": vec!["n"; 100], "later": { "x": 1 },
    });
    let server = answering(good::json("200 OK", &report)).await;
    let report = send(&server.client(), &request(b"x"), b"x").await.unwrap();
    assert_eq!(report.message.as_deref(), Some("a[2J[token]"));
    assert_eq!((report.kept.unwrap().len(), report.notes.len()), (1_000, 20));
    for other in [
        good::with_body("200 OK", "text/html", "<html>done</html>"),
        good::with_body("200 OK", "application/json", "[1]"),
        good::empty("200 OK"),
    ] {
        let server = answering(other).await;
        let report = send(&server.client(), &request(b"x"), b"x").await.unwrap();
        assert_eq!(report, ImportReport::default());
    }
}

#[tokio::test]
async fn jobs_are_watched_to_their_end() {
    let job = |ends: &'static str| async move {
        Server::start(move |asked| {
            vec![Step::Send(match (asked.line().as_str(), asked.nth) {
                ("GET /backup/capabilities", _) => good::restoring(),
                ("POST /backup/import", _) => good::json(
                    "202 Accepted",
                    &serde_json::json!({ "job_id": "1", "status_url": "/backup/jobs/1" }),
                ),
                ("GET /backup/jobs/1", 0) => good::job("running"),
                ("GET /backup/jobs/1", _) => good::json(
                    "200 OK",
                    &serde_json::json!({ "job_id": "1", "state": ends, "message": "told" }),
                ),
                _ => good::empty("204 No Content"),
            })]
        })
        .await
    };
    let server = job("succeeded").await;
    let report = send(&server.client(), &request(b"x"), b"x").await.unwrap();
    assert_eq!(report.message.as_deref(), Some("told"));
    for ends in ["failed", "cancelled"] {
        let server = job(ends).await;
        let error = send(&server.client(), &request(b"x"), b"x").await.unwrap_err();
        assert!(matches!(&error, ContractError::ImportFailed(_)), "{error}");
        assert!(!error.is_retryable());
    }
    // One that does not end is cancelled with its run.
    let server = job("running").await;
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
    });
    let wanted = request(b"x");
    let error = server.client().import(&wanted, stream::iter(chunks(b"x")), cancel).await;
    assert!(matches!(error, Err(ContractError::Cancelled)), "{error:?}");
    assert!(server.lines().contains(&"DELETE /backup/jobs/1".to_owned()));
}

/// A server that reads no body: the capabilities, and then `reply` to the head of the import.
async fn hasty(reply: Option<&'static [u8]>) -> url::Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for nth in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap() == 0 {
                    break;
                }
            }
            let reply = if nth == 0 { Some(good::restoring()) } else { reply.map(<[u8]>::to_vec) };
            if let Some(reply) = reply {
                stream.write_all(&reply).await.unwrap();
            }
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                drop(stream);
            });
        }
    });
    format!("http://127.0.0.1:{port}").parse().unwrap()
}

#[tokio::test]
async fn a_server_that_has_not_read_everything_has_not_restored_it() {
    // More than sockets hold.
    let artifact = good::artifact(24 << 20);
    let limits = Limits { max_size_bytes: 64 << 20, ..limits() };
    let to = |url| ContractClient::new(url, TOKEN.into(), loopback(), limits.clone()).unwrap();
    for reply in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let error = send(&to(hasty(Some(reply)).await), &request(&artifact), &artifact).await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains("before it had the whole"), "{error}");
    }
    let refusal = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n";
    let error = send(&to(hasty(Some(refusal)).await), &request(&artifact), &artifact).await;
    assert!(matches!(error, Err(ContractError::Busy { .. })), "{error:?}");
    // One that reads nothing more is given up.
    let error = send(&to(hasty(None).await), &request(&artifact), &artifact).await.unwrap_err();
    assert!(error.to_string().contains("takes no more bytes"), "{error}");
    // One that has read everything may take its time.
    let server = Server::start(|asked| match asked.line().as_str() {
        "GET /backup/capabilities" => vec![Step::Send(good::restoring())],
        _ => vec![Step::Pause(Duration::from_millis(2_500)), Step::Send(good::empty("200 OK"))],
    })
    .await;
    send(&to(server.url()), &request(b"x"), b"x").await.unwrap();
}

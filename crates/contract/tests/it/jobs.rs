//! F8: exports that are jobs, and downloads that are cut.

use std::time::{Duration, Instant};

use contract::{ContractError, ExportRequest, Limits};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    good::{self, artifact, sha256},
    server::{Server, Step, export, limits, refused},
};

const EXPORT: &str = "POST /backup/export";
const STATUS: &str = "GET /backup/jobs/1";
const DOWNLOAD: &str = "GET /backup/jobs/1/artifact";
const CANCEL: &str = "DELETE /backup/jobs/1";

fn send(bytes: Vec<u8>) -> Vec<Step> {
    vec![Step::Send(bytes)]
}

/// A server whose job is looked at as `status` tells.
async fn job(status: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Server {
    Server::start(move |asked| match asked.line().as_str() {
        EXPORT => send(good::accepted()),
        STATUS => status(asked.nth),
        DOWNLOAD => send(good::spooled(&artifact(1_000))),
        CANCEL => send(good::empty("204 No Content")),
        _ => send(good::empty("404 Not Found")),
    })
    .await
}

fn count(server: &Server, line: &str) -> usize {
    server.lines().iter().filter(|found| *found == line).count()
}

#[tokio::test]
async fn a_job_is_watched_to_its_end_and_downloaded() {
    let states = ["queued", "running", "running", "succeeded"];
    let server = job(move |nth| send(good::job(states[nth.min(3)]))).await;
    let (came, done) = export(&server.client()).await;
    assert_eq!(came, artifact(1_000));
    assert!(done.unwrap().outcome().unwrap().verified_by_source);
    assert_eq!(server.lines(), [EXPORT, STATUS, STATUS, STATUS, STATUS, DOWNLOAD]);
    assert!(server.asked().iter().all(crate::server::Asked::is_authorized));
}

#[tokio::test]
async fn a_job_that_never_ends_is_cancelled_at_the_deadline() {
    let server = job(|nth| send(good::job(["queued", "running"][nth % 2]))).await;
    let short = Limits { total_timeout: Duration::from_millis(600), ..limits() };
    let started = Instant::now();
    let (_, error) = refused(&server.client_within(short)).await;
    assert!(matches!(error, ContractError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(4));
    assert_eq!(count(&server, CANCEL), 1);
    assert!(server.asked().last().unwrap().is_authorized());
}

#[tokio::test]
async fn a_job_that_failed_says_why() {
    let body = json!({ "job_id": "1", "state": "failed", "message": "disk\u{1b}[31m full" });
    let server = job(move |_| send(good::json("200 OK", &body))).await;
    let (_, error) = refused(&server.client()).await;
    assert_eq!(error.to_string(), "the app's export failed: disk[31m full");
    let server = job(|_| send(good::job("cancelled"))).await;
    let (_, error) = refused(&server.client()).await;
    assert!(error.to_string().contains("cancelled"), "{error}");
}

#[tokio::test]
async fn a_job_that_is_gone_ends_at_once_and_is_cancelled() {
    let server = job(|_| send(good::empty("404 Not Found"))).await;
    let (_, error) = refused(&server.client()).await;
    assert!(matches!(error, ContractError::Status { status: 404, .. }), "{error}");
    assert_eq!(count(&server, STATUS), 1);
    assert_eq!(count(&server, CANCEL), 1);
}

#[tokio::test]
async fn a_state_or_document_that_is_none_ends_at_once() {
    for body in [r#"{"job_id":"1","state":"looping"}"#, "[]", "<html>", r#"{"job_id":"1"}"#] {
        let server = job(move |_| send(good::with_body("200 OK", "application/json", body))).await;
        let (_, error) = refused(&server.client()).await;
        assert!(matches!(error, ContractError::Protocol { .. }), "{body}: {error}");
        assert_eq!(count(&server, CANCEL), 1);
    }
}

#[tokio::test]
async fn a_few_failed_looks_are_borne_and_many_are_not() {
    let server = job(|nth| match nth {
        0 | 2 | 4 => send(good::empty("500 Internal Server Error")),
        1 | 3 => vec![Step::Reset],
        _ => send(good::job("succeeded")),
    })
    .await;
    let (_, error) = refused(&server.client()).await;
    assert!(matches!(error, ContractError::Status { status: 500, .. }), "{error}");
    assert_eq!((count(&server, STATUS), count(&server, CANCEL)), (5, 1));

    let server = job(|nth| match nth {
        0 | 1 | 3 | 4 => send(good::empty("502 Bad Gateway")),
        2 => send(good::job("running")),
        _ => send(good::job("succeeded")),
    })
    .await;
    let (came, done) = export(&server.client()).await;
    done.unwrap();
    assert_eq!(came.len(), 1_000);
}

#[tokio::test]
async fn urls_of_another_origin_are_never_asked() {
    let elsewhere = Server::exporting(send(good::job("succeeded"))).await;
    let foreign = elsewhere.url().to_string();
    for text in [
        foreign.clone(),
        foreign.replace("http:", ""),
        format!("/\\127.0.0.1:{}/", elsewhere.port),
        format!("http://app@127.0.0.1:{}/", elsewhere.port),
        "http://169.254.169.254/latest".to_owned(),
        "file:///etc/passwd".to_owned(),
        "backup/jobs/1".to_owned(),
        String::new(),
    ] {
        let given = text.clone();
        let status = Server::start(move |asked| match asked.line().as_str() {
            EXPORT => send(good::json(
                "202 Accepted",
                &json!({ "job_id": "1", "status_url": given, "download": "/d" }),
            )),
            _ => send(good::job("succeeded")),
        })
        .await;
        let (_, error) = refused(&status.client()).await;
        assert!(matches!(error, ContractError::Protocol { .. }), "{text}: {error}");
        assert_eq!(status.lines(), [EXPORT]);

        let given = text.clone();
        let download = Server::start(move |asked| match asked.line().as_str() {
            EXPORT => send(good::json(
                "202 Accepted",
                &json!({ "job_id": "1", "status_url": "/backup/jobs/1", "download": given }),
            )),
            _ => send(good::job("succeeded")),
        })
        .await;
        let (_, error) = refused(&download.client()).await;
        assert!(matches!(error, ContractError::Protocol { .. }), "{text}: {error}");
        assert_eq!(download.lines(), [EXPORT, CANCEL], "the job of {text} goes on");
    }
    assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.lines());
}

#[tokio::test]
async fn urls_of_the_same_origin_may_be_absolute() {
    let server = Server::start(move |asked| {
        let host = asked.header("host").unwrap();
        match asked.line().as_str() {
            EXPORT => send(good::json(
                "202 Accepted",
                &json!({
                    "job_id": "1",
                    "status_url": format!("http://{host}/backup/jobs/1?of=1"),
                    "download": format!("http://{host}/backup/jobs/1/artifact"),
                }),
            )),
            DOWNLOAD => send(good::spooled(b"abc")),
            _ => send(good::job("succeeded")),
        }
    })
    .await;
    let (came, done) = export(&server.client()).await;
    done.unwrap();
    assert_eq!(came, b"abc");
    assert_eq!(server.lines()[1], "GET /backup/jobs/1?of=1");
}

#[tokio::test]
async fn a_huge_retry_after_is_clamped() {
    let later = |body: Vec<u8>, told: &str| {
        let text = String::from_utf8(body).unwrap();
        text.replacen("\r\n", &format!("\r\nRetry-After: {told}\r\n"), 1).into_bytes()
    };
    for told in ["999999999", "99999999999999999999999", "-1", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let server = Server::start(move |asked| match (asked.line().as_str(), asked.nth) {
            (EXPORT, _) => send(later(good::accepted(), told)),
            (STATUS, 0) => send(later(good::job("running"), told)),
            (STATUS, _) => send(good::job("succeeded")),
            (DOWNLOAD, _) => send(good::spooled(b"abc")),
            _ => send(good::empty("404 Not Found")),
        })
        .await;
        // The longest wait of this client is 200 ms.
        let started = Instant::now();
        let (came, done) = export(&server.client()).await;
        done.unwrap();
        assert_eq!(came, b"abc");
        assert!(started.elapsed() < Duration::from_secs(3), "{told}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn cancelling_cancels_the_job() {
    let server = job(|_| send(good::job("running"))).await;
    let cancel = CancellationToken::new();
    let (client, asked) = (server.client(), cancel.clone());
    let waiting =
        tokio::spawn(async move { client.open(&ExportRequest::default(), asked).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(200)).await;
    cancel.cancel();
    assert!(matches!(waiting.await.unwrap(), Err(ContractError::Cancelled)));
    assert_eq!(count(&server, CANCEL), 1);
}

#[tokio::test]
async fn a_download_that_does_not_begin_cancels_the_job() {
    let server = Server::start(|asked| match asked.line().as_str() {
        EXPORT => send(good::accepted()),
        STATUS => send(good::job("succeeded")),
        _ => send(good::empty("410 Gone")),
    })
    .await;
    let (_, error) = refused(&server.client()).await;
    assert!(matches!(error, ContractError::Status { status: 410, .. }), "{error}");
    assert_eq!(count(&server, CANCEL), 1);
}

/// A server whose download is cut; `rest` answers the ranges that follow.
async fn cut(
    bytes: Vec<u8>,
    at: usize,
    rest: impl Fn(usize, usize) -> Vec<Step> + Send + Sync + 'static,
) -> Server {
    Server::start(move |asked| match asked.line().as_str() {
        EXPORT => send(good::accepted()),
        STATUS => send(good::job("succeeded")),
        DOWNLOAD => match asked.header("range") {
            None => {
                let whole = good::spooled(&bytes);
                let head = whole.len() - bytes.len();
                vec![Step::Send(whole[..head + at].to_vec()), Step::Reset]
            }
            Some(range) => {
                let from = range.trim_start_matches("bytes=").trim_end_matches('-');
                rest(asked.nth, from.parse().unwrap())
            }
        },
        _ => send(good::empty("204 No Content")),
    })
    .await
}

#[tokio::test]
async fn a_cut_download_goes_on_by_range_without_another_export() {
    let bytes = artifact(300_000);
    let whole = bytes.clone();
    let server = cut(bytes.clone(), 100_000, move |nth, from| {
        let part = good::part(&whole, from);
        let head = part.len() - (whole.len() - from);
        match nth {
            // The first two ranges are cut too, the third comes whole.
            1 | 2 => vec![Step::Send(part[..head + 50_000].to_vec()), Step::Reset],
            _ => send(part),
        }
    })
    .await;
    let (came, done) = export(&server.client()).await;
    let download = done.unwrap();
    assert_eq!(came, bytes);
    let outcome = download.outcome().unwrap();
    assert_eq!(outcome.sha256, sha256(&bytes));
    assert!(outcome.verified_by_source);
    assert_eq!(count(&server, EXPORT), 1, "it was exported again");
    let ranges: Vec<_> = server.asked().iter().filter_map(|asked| asked.header("range")).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert!(ranges.iter().all(|range| range != "bytes=0-"), "{ranges:?}");
}

#[tokio::test]
async fn a_part_may_come_in_chunks_with_the_trailers_of_the_whole() {
    let bytes = artifact(10_000);
    let whole = bytes.clone();
    let server = cut(bytes.clone(), 4_000, move |_, from| {
        let head = String::from_utf8(good::streamed_head()).unwrap().replace(
            "200 OK",
            &format!("206 Partial Content\r\nContent-Range: bytes {from}-9999/10000"),
        );
        let end = good::end(10_000, &sha256(&whole));
        send([head.into_bytes(), good::chunks(&whole[from..], 1_000), end].concat())
    })
    .await;
    let (came, done) = export(&server.client()).await;
    done.unwrap();
    assert_eq!(came, bytes);
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_is_asked_again() {
    let bytes = artifact(10_000);
    let whole = bytes.clone();
    let server = cut(bytes.clone(), 4_000, move |nth, from| match nth {
        1 => vec![Step::Reset],
        2 => send(good::empty("503 Service Unavailable")),
        _ => send(good::part(&whole, from)),
    })
    .await;
    let (came, done) = export(&server.client()).await;
    done.unwrap();
    assert_eq!(came, bytes);
    assert_eq!(count(&server, EXPORT), 1);
}

#[tokio::test]
async fn a_download_that_is_cut_for_ever_is_given_up() {
    let server = cut(artifact(10_000), 4_000, |_, _| vec![Step::Reset]).await;
    let (came, error) = refused(&server.client()).await;
    assert!(error.is_retryable(), "{error}");
    assert!(came.len() <= 4_000);
    assert!(count(&server, DOWNLOAD) < 10);
}

#[tokio::test]
async fn a_silent_download_goes_on_too() {
    let bytes = artifact(10_000);
    let whole = bytes.clone();
    let server = Server::start(move |asked| match asked.line().as_str() {
        EXPORT => send(good::accepted()),
        STATUS => send(good::job("succeeded")),
        _ if asked.header("range").is_some() => {
            let range = asked.header("range").unwrap();
            let from = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
            send(good::part(&whole, from))
        }
        _ => {
            let reply = good::spooled(&whole);
            vec![Step::Send(reply[..reply.len() - 5_000].to_vec()), Step::Hang]
        }
    })
    .await;
    let (came, done) = export(&server.client()).await;
    done.unwrap();
    assert_eq!(came, bytes);
}

#[tokio::test]
async fn ranges_that_are_not_the_rest_are_refused() {
    let bytes = artifact(10_000);
    let of = |text: &str, replies: &str, body: &[u8]| {
        let mut reply = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n{replies}{text}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        reply.extend_from_slice(body);
        reply
    };
    let rest = &bytes[4_000..];
    for (what, reply) in [
        ("no Content-Range", of("X-A: b", "", rest)),
        ("from elsewhere", of("Content-Range: bytes 3999-9999/10000", "", rest)),
        ("of another size", of("Content-Range: bytes 4000-9999/10001", "", rest)),
        ("the whole", good::spooled(&bytes)),
        ("416", good::empty("416 Range Not Satisfiable")),
        ("404", good::empty("404 Not Found")),
        ("other bytes", of("Content-Range: bytes 4000-9999/10000", "", &artifact(6_000))),
        ("too many", of("Content-Range: bytes 4000-9999/10000", "", &[rest, b"x"].concat())),
    ] {
        let server = cut(bytes.clone(), 4_000, move |_, _| send(reply.clone())).await;
        let (came, error) = refused(&server.client()).await;
        assert!(came.len() <= 10_000, "{what}");
        assert!(!matches!(error, ContractError::Timeout { .. }), "{what}: {error}");
        assert_eq!(count(&server, EXPORT), 1, "{what}");
    }
}

#[tokio::test]
async fn a_download_that_is_not_what_it_declared_is_not_gone_on_with() {
    let bytes = artifact(10_000);
    let mut flipped = bytes.clone();
    flipped[5_000] ^= 1;
    let reply = good::spooled(&bytes);
    let reply = [&reply[..reply.len() - bytes.len()], &flipped].concat();
    let server = Server::start(move |asked| match asked.line().as_str() {
        EXPORT => send(good::accepted()),
        STATUS => send(good::job("succeeded")),
        _ => send(reply.clone()),
    })
    .await;
    let (_, error) = refused(&server.client()).await;
    assert!(matches!(error, ContractError::Mismatch(_)), "{error}");
    assert_eq!(count(&server, DOWNLOAD), 1);
}

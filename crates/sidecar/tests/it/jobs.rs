//! Exports as jobs, and exports that are joined.

use std::{
    os::unix::fs::PermissionsExt as _,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use contract::{ContractError, Prefer};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    exports::{captured, dump},
    raw::{self, Answer},
    sidecar::{Sidecar, TOKEN, lives, until},
};

fn numbers(last: &str) -> Vec<u8> {
    Command::new("seq").args(["1", last]).output().unwrap().stdout
}

async fn started(sidecar: &Sidecar, request: Value) -> (String, String) {
    let answer = raw::export(sidecar, request).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let retry: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=300).contains(&retry));
    let told = answer.json();
    let path = |name: &str| told[name].as_str().unwrap().to_owned();
    assert!(path("status_url").starts_with('/') && path("download").starts_with('/'));
    (path("status_url"), path("download"))
}

/// Waits until the job is no longer under way.
async fn ended(sidecar: &Sidecar, status: &str) -> Value {
    for _ in 0..400 {
        let told = raw::get(sidecar, status, &[]).await.json();
        if !matches!(told["state"].as_str(), Some("queued" | "running")) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the job never ended");
}

fn is_problem(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["status"], status.as_u16());
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_was_cut() {
    let sidecar = Sidecar::start(&captured("seq 1 600000"), &[]).await;
    let expected = numbers("600000");
    let (status, download) = started(&sidecar, json!({ "prefer": "async" })).await;
    let told = ended(&sidecar, &status).await;
    assert_eq!((&told["state"], &told["progress"]), (&json!("succeeded"), &json!(1.0)));
    assert_eq!(told["bytes"], expected.len());
    let [file] = &sidecar.spooled()[..] else { panic!("one file is spooled") };
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o400);

    let cut = raw::send(&sidecar, Method::GET, &download, &[], &Value::Null).await;
    assert_eq!(cut.status(), StatusCode::OK);
    assert_eq!(cut.headers()["x-size"], expected.len().to_string());
    let checksum = hex::encode(ring::digest::digest(&ring::digest::SHA256, &expected));
    assert_eq!(cut.headers()["x-checksum-sha256"], checksum);
    let etag = cut.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(etag, format!("\"{checksum}\""));
    let mut body = cut.into_body();
    let mut got = Vec::new();
    while got.len() < 1_000_000 {
        got.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    drop(body);

    let range = format!("bytes={}-", got.len());
    let rest = raw::get(&sidecar, &download, &[("range", &range), ("if-range", &etag)]).await;
    assert_eq!(rest.status, StatusCode::PARTIAL_CONTENT);
    let told = format!("bytes {}-{}/{}", got.len(), expected.len() - 1, expected.len());
    assert_eq!(rest.header("content-range"), told);
    got.extend_from_slice(&rest.body);
    assert!(got == expected, "the parts make the whole");

    let middle = raw::get(&sidecar, &download, &[("range", "bytes=5-9")]).await;
    assert_eq!((middle.status, &middle.body[..]), (StatusCode::PARTIAL_CONTENT, &expected[5..10]));
    let other = [("range", "bytes=5-9"), ("if-range", "\"another\"")];
    let whole = raw::get(&sidecar, &download, &other).await;
    assert_eq!((whole.status, whole.body.len()), (StatusCode::OK, expected.len()));
    let beyond = format!("bytes={}-", expected.len());
    let beyond = raw::get(&sidecar, &download, &[("range", &beyond)]).await;
    is_problem(&beyond, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", expected.len()));

    assert_eq!(raw::delete(&sidecar, &status).await.status, StatusCode::NO_CONTENT);
    until("the artifact is removed", || sidecar.spooled().is_empty()).await;
    for path in [&status, &download] {
        is_problem(&raw::get(&sidecar, path, &[]).await, StatusCode::NOT_FOUND);
    }
}

/// Passes connections on, and cuts the first `cuts` of them that give more than `limit` bytes.
async fn cutting_proxy(to: u16, cuts: usize, limit: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let made = Arc::clone(&made);
            tokio::spawn(async move {
                let server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(
                    async move { tokio::io::copy(&mut from_client, &mut to_server).await },
                );
                let (mut passed, mut buffer) = (0, vec![0; 64 << 10]);
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    passed += count;
                    if passed > limit && made.load(Ordering::SeqCst) < cuts {
                        made.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    if to_client.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, count)
}

#[tokio::test]
async fn the_contracts_client_comes_through_cuts() {
    let sidecar = Sidecar::start(&captured("seq 1 900000"), &[]).await;
    let (port, cuts) = cutting_proxy(sidecar.port, 3, 1_500_000).await;
    let client = Sidecar::client_at(port, TOKEN);
    assert!(client.capabilities().await.unwrap().is_async);
    let got = Sidecar::whole(&client, Some(Prefer::Async)).await.unwrap();
    assert!(got == numbers("900000"));
    assert_eq!(cuts.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn to_cancel_ends_every_process() {
    let command = "echo $$ > shell; sleep 300 & echo $! > child; seq 1 100000; wait";
    let config = json!({ "command": command, "capture_stdout": true, "post": "touch post" });
    let sidecar = Sidecar::start(&dump(&config), &[]).await;
    let (status, download) = started(&sidecar, json!({ "prefer": "async" })).await;
    let (shell, child) = (sidecar.path().join("shell"), sidecar.path().join("child"));
    until("the command is under way", || child.metadata().is_ok_and(|meta| meta.len() > 0)).await;
    assert!(lives(&shell) && lives(&child));
    let running = raw::get(&sidecar, &status, &[]).await;
    assert_eq!(running.json()["state"], "running");
    assert!(running.headers.contains_key("retry-after"));
    let early = raw::get(&sidecar, &download, &[]).await;
    is_problem(&early, StatusCode::CONFLICT);
    let other = raw::export(&sidecar, json!({ "prefer": "async" })).await;
    is_problem(&other, StatusCode::CONFLICT);

    assert_eq!(raw::delete(&sidecar, &status).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ended(&sidecar, &status).await["state"], "cancelled");
    until("no process is left", || !lives(&shell) && !lives(&child)).await;
    assert!(sidecar.path().join("post").exists());
    until("no file is left", || sidecar.spooled().is_empty()).await;
    is_problem(&raw::get(&sidecar, &download, &[]).await, StatusCode::GONE);
    assert_eq!(raw::delete(&sidecar, &status).await.status, StatusCode::NO_CONTENT);
    is_problem(&raw::get(&sidecar, &status, &[]).await, StatusCode::NOT_FOUND);
    is_problem(&raw::delete(&sidecar, &status).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_nobody_fetches_expires() {
    let folder = tempfile::tempdir().unwrap();
    let server = json!({ "server": { "job_ttl_secs": 2 } });
    let sidecar = Sidecar::start_in(folder, &captured("seq 1 1000"), &[], &server).await;
    let (status, download) = started(&sidecar, json!({ "prefer": "async" })).await;
    assert_eq!(ended(&sidecar, &status).await["state"], "succeeded");
    assert_eq!(raw::get(&sidecar, &download, &[]).await.body, numbers("1000"));
    assert_eq!(sidecar.spooled().len(), 1, "it stays for a download that was cut");
    until("the file is removed", || sidecar.spooled().is_empty()).await;
    is_problem(&raw::get(&sidecar, &status, &[]).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_same_run_is_exported_once() {
    let command = "echo x >> times; sleep 1; seq 1 50000";
    let sidecar = Sidecar::start(&captured(command), &[]).await;
    let times = || std::fs::read_to_string(sidecar.path().join("times")).unwrap().lines().count();
    let run = |prefer: &str| json!({ "run_id": "run-1", "prefer": prefer });
    let (status, _) = started(&sidecar, run("async")).await;
    let (again, download) = started(&sidecar, run("async")).await;
    assert_eq!(status, again);
    let streamed = raw::export(&sidecar, run("stream")).await;
    is_problem(&streamed, StatusCode::CONFLICT);
    assert!(streamed.json()["detail"].as_str().unwrap().contains("run_id"));
    let unlike = json!({ "run_id": "run-1", "prefer": "async", "drive_folder_id": "other" });
    let unlike = raw::export(&sidecar, unlike).await;
    is_problem(&unlike, StatusCode::UNPROCESSABLE_ENTITY);

    // To spool joins what is under way; afterwards, every way gives the result.
    let expected = numbers("50000");
    for prefer in ["spool", "stream", "spool"] {
        let answer = raw::export(&sidecar, run(prefer)).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, expected.len()));
        assert_eq!(answer.header("x-size"), expected.len().to_string());
    }
    assert_eq!(raw::get(&sidecar, &download, &[]).await.body, expected);
    assert_eq!(times(), 1);
    let other = raw::export(&sidecar, json!({ "run_id": "run-2", "prefer": "spool" })).await;
    assert_eq!((other.status, times()), (StatusCode::OK, 2));

    // A run that is streamed cannot be joined.
    let body = json!({ "run_id": "run-3" });
    let first = raw::send(&sidecar, Method::POST, "/backup/export", &[], &body).await;
    for prefer in ["stream", "spool", "async"] {
        let body = json!({ "run_id": "run-3", "prefer": prefer });
        is_problem(&raw::export(&sidecar, body).await, StatusCode::CONFLICT);
    }
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), expected);
}

#[tokio::test]
async fn a_failure_says_why_without_secrets() {
    let command =
        "echo x >> times; echo \"login $APP_PASSWORD at $DATABASE_URL refused\" >&2; exit 3";
    let config = json!({
        "command": command, "capture_stdout": true, "env": { "APP_PASSWORD": "canary-of-env" },
    });
    let environment = [("DATABASE_URL", "postgresql://app:canary-of-url@db/app")];
    let sidecar = Sidecar::start(&dump(&config), &environment).await;
    let run = json!({ "prefer": "async", "run_id": "run-1" });
    let (status, download) = started(&sidecar, run.clone()).await;
    let told = ended(&sidecar, &status).await;
    assert_eq!(told["state"], "failed");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("refused") && message.contains('3'), "{message}");
    let answers = [
        raw::get(&sidecar, &download, &[]).await,
        raw::export(&sidecar, json!({ "prefer": "spool" })).await,
    ];
    for answer in &answers {
        is_problem(answer, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let client = sidecar.client(TOKEN);
    let error = Sidecar::whole(&client, Some(Prefer::Async)).await.unwrap_err();
    assert!(matches!(error, ContractError::JobFailed(_)), "{error}");
    // A failed run may be tried again under its id.
    let (second, _) = started(&sidecar, run).await;
    assert_ne!(second, status);
    ended(&sidecar, &second).await;

    let mut said = format!("{told}{error}");
    for answer in &answers {
        said.push_str(&String::from_utf8_lossy(&answer.body));
    }
    said.push_str(&sidecar.stop());
    assert!(said.contains("[secret]"));
    for canary in ["canary-of-env", "canary-of-url", TOKEN] {
        assert!(!said.contains(canary), "{canary} is told");
    }
}

#[tokio::test]
async fn a_client_that_no_longer_waits_ends_a_spooled_export() {
    let command = "echo $$ > pid; seq 1 1000; sleep 300";
    let sidecar = Sidecar::start(&captured(command), &[]).await;
    let body = json!({ "prefer": "spool" });
    let asking = raw::send(&sidecar, Method::POST, "/backup/export", &[], &body);
    let late = tokio::time::timeout(Duration::from_secs(1), asking).await;
    assert!(late.is_err());
    let pid = sidecar.path().join("pid");
    until("the command ends with its client", || pid.exists() && !lives(&pid)).await;
    until("no file is left", || sidecar.spooled().is_empty()).await;
}

#[tokio::test]
async fn job_routes_want_the_token() {
    let sidecar = Sidecar::start(&captured("seq 1 10"), &[]).await;
    let (status, download) = started(&sidecar, json!({ "prefer": "async" })).await;
    ended(&sidecar, &status).await;
    for (method, path) in
        [(Method::GET, &status), (Method::DELETE, &status), (Method::GET, &download)]
    {
        let request = http::Request::builder().method(method).uri(path).header("host", "sidecar");
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    assert_eq!(raw::get(&sidecar, &download, &[]).await.body, numbers("10"));
    let bad = raw::export(&sidecar, json!({ "run_id": "x".repeat(300) })).await;
    is_problem(&bad, StatusCode::UNPROCESSABLE_ENTITY);
}

//! F7: slow bytes, silence, connections that break.

use std::time::{Duration, Instant};

use contract::{ContractError, ExportRequest, Limits};
use tokio_util::sync::CancellationToken;

use crate::{
    good::{self, artifact},
    server::{Server, Step, export, limits, refused},
};

#[tokio::test]
async fn silence_after_the_headers_ends_at_the_idle_deadline() {
    let server = Server::exporting(vec![Step::Send(good::streamed_head()), Step::Hang]).await;
    let started = Instant::now();
    let (_, error) = refused(&server.client()).await;
    assert!(
        matches!(&error, ContractError::Timeout { what, .. } if what.contains("silence")),
        "{error}"
    );
    assert!(error.is_retryable());
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn silence_before_the_headers_ends_at_the_total_deadline() {
    let server = Server::exporting(vec![Step::Hang]).await;
    let short = Limits { total_timeout: Duration::from_millis(500), ..limits() };
    let started = Instant::now();
    let (_, error) = refused(&server.client_within(short)).await;
    assert!(matches!(error, ContractError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_drip_that_is_never_idle_ends_at_the_total_deadline() {
    let server = Server::exporting(vec![
        Step::Send(good::streamed_head()),
        Step::Drip(good::chunks(b"x", 1), Duration::from_millis(50)),
    ])
    .await;
    let short = Limits { total_timeout: Duration::from_secs(1), ..limits() };
    let started = Instant::now();
    let (came, error) = refused(&server.client_within(short)).await;
    assert!(
        matches!(&error, ContractError::Timeout { what, .. } if what.contains("export")),
        "{error}"
    );
    assert!(!came.is_empty());
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_drip_below_the_least_rate_ends_long_before() {
    let server = Server::exporting(vec![
        Step::Send(good::streamed_head()),
        Step::Drip(good::chunks(b"x", 1), Duration::from_millis(50)),
    ])
    .await;
    let judged = Limits {
        total_timeout: Duration::from_secs(60),
        min_bytes_per_sec: 1_000,
        min_rate_after: Duration::from_millis(300),
        ..limits()
    };
    let started = Instant::now();
    let (_, error) = refused(&server.client_within(judged)).await;
    assert!(error.to_string().contains("bytes a second"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn chunk_lines_without_bytes_are_silence() {
    let server = Server::exporting(vec![
        Step::Send([good::streamed_head(), b"5;".to_vec()].concat()),
        Step::Drip(b"x".to_vec(), Duration::from_millis(50)),
    ])
    .await;
    let started = Instant::now();
    let (came, _) = refused(&server.client()).await;
    assert!(came.is_empty());
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_reset_in_the_body_is_a_cut() {
    let bytes = artifact(100_000);
    for reply in [good::spooled(&bytes), good::streamed(&bytes, 10_000)] {
        let half = reply[..reply.len() / 2].to_vec();
        let server = Server::exporting(vec![Step::Send(half), Step::Reset]).await;
        let (_, error) = refused(&server.client()).await;
        assert!(matches!(error, ContractError::Truncated { .. }), "{error}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_head_is_unreachable() {
    for steps in [vec![], vec![Step::Reset], vec![Step::Send(b"HTTP/1.1 200".to_vec())]] {
        let server = Server::exporting(steps).await;
        let (_, error) = refused(&server.client()).await;
        assert!(matches!(error, ContractError::Unreachable { .. }), "{error}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn neighbours_of_a_slow_server_are_not_slow() {
    let slow = Server::exporting(vec![
        Step::Send(good::streamed_head()),
        Step::Drip(good::chunks(b"x", 1), Duration::from_millis(50)),
    ])
    .await;
    let bytes = artifact(1 << 20);
    let quick = Server::exporting(vec![Step::Send(good::streamed(&bytes, 1 << 16))]).await;
    let (slow_client, quick_client) = (slow.client(), quick.client());
    let waiting = tokio::spawn(async move { refused(&slow_client).await });
    let started = Instant::now();
    let (came, done) = export(&quick_client).await;
    done.unwrap();
    assert_eq!(came.len(), bytes.len());
    assert!(!waiting.is_finished());
    assert!(started.elapsed() < Duration::from_secs(4));
    waiting.abort();
}

#[tokio::test]
async fn pauses_below_the_idle_deadline_are_borne() {
    let bytes = artifact(1_000);
    let whole = good::streamed(&bytes, 100);
    let mut steps = Vec::new();
    for part in whole.chunks(200) {
        steps.push(Step::Send(part.to_vec()));
        steps.push(Step::Pause(Duration::from_millis(100)));
    }
    let server = Server::exporting(steps).await;
    let (came, done) = export(&server.client()).await;
    done.unwrap();
    assert_eq!(came, bytes);
}

#[tokio::test]
async fn cancelling_while_it_waits_ends_at_once() {
    let server = Server::exporting(vec![Step::Hang]).await;
    let cancel = CancellationToken::new();
    let client = server.client();
    let asked = cancel.clone();
    let waiting =
        tokio::spawn(async move { client.open(&ExportRequest::default(), asked).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    cancel.cancel();
    let ended = waiting.await.unwrap();
    assert!(matches!(ended, Err(ContractError::Cancelled)));
    assert!(started.elapsed() < Duration::from_secs(1));
}

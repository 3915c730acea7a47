//! Ends of the sidecar itself: asked for, and not.

use std::time::Duration;

use contract::{ContractError, ExportRequest};
use http::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    exports::{captured, dump},
    raw,
    sidecar::{Sidecar, TOKEN, lives, until},
};

#[tokio::test]
async fn a_killed_sidecar_breaks_the_stream() {
    let command = "echo $$ > pid; exec seq 1 99999999999";
    let sidecar = Sidecar::start(&captured(command), &[]).await;
    let client = sidecar.client(TOKEN);
    let mut stream =
        client.open(&ExportRequest::default(), CancellationToken::new()).await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    sidecar.signal("KILL");
    let error = loop {
        match stream.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cut stream passed for a whole one"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ContractError::Truncated { .. }) && error.is_retryable(), "{error}");
    assert!(stream.outcome().is_none());
    // Its commands have nobody to write to.
    let pid = sidecar.path().join("pid");
    until("the orphaned command ends", || !lives(&pid)).await;
}

#[tokio::test]
async fn leftovers_of_a_killed_sidecar_are_removed() {
    let strategy = dump(&json!({ "command": "seq 1 10 > \"$SIDE_CAR_TEMP_DUMP\"; sleep 1" }));
    let sidecar = Sidecar::start(&strategy, &[]).await;
    let answer = raw::export(&sidecar, json!({ "prefer": "async" })).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    until("a file is there", || sidecar.spooled().len() == 1).await;
    let dump = sidecar.path().join("temp.dump");
    until("the dump is there", || dump.exists()).await;
    sidecar.signal("KILL");
    let (folder, _) = sidecar.ended().await;
    assert!(dump.exists());
    let sidecar = Sidecar::start_in(folder, &strategy, &[], &json!({})).await;
    assert!(sidecar.spooled().is_empty() && !dump.exists());
    assert_eq!(sidecar.export(None).await.unwrap(), b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
}

#[tokio::test]
async fn sigterm_ends_what_is_under_way_and_leaves_nothing() {
    let config = json!({
        "command": "echo $$ > pid; seq 1 100000; sleep 300", "capture_stdout": true, "post": "touch post",
    });
    let sidecar = Sidecar::start(&dump(&config), &[]).await;
    let answer = raw::export(&sidecar, json!({ "prefer": "async" })).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let pid = sidecar.path().join("pid");
    until("the command is under way", || pid.metadata().is_ok_and(|meta| meta.len() > 0)).await;
    sidecar.signal("TERM");
    let begun = std::time::Instant::now();
    let (folder, log) = sidecar.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!lives(&folder.path().join("pid")) && folder.path().join("post").exists());
    let left = std::fs::read_dir(folder.path().join(".backup-sidecar")).unwrap().count();
    assert_eq!(left, 0, "{log}");
    assert!(!log.contains(TOKEN));
}

#[tokio::test]
async fn sigterm_lets_a_short_stream_end() {
    let sidecar = Sidecar::start(&captured("seq 1 10; sleep 2; seq 11 20"), &[]).await;
    let client = sidecar.client(TOKEN);
    let mut stream =
        client.open(&ExportRequest::default(), CancellationToken::new()).await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    sidecar.signal("TERM");
    while stream.chunk().await.unwrap().is_some() {}
    assert!(stream.outcome().unwrap().verified_by_source);
    sidecar.ended().await;
}

#[tokio::test]
async fn sigterm_breaks_a_long_stream() {
    let command = "echo $$ > pid; while true; do seq 1 1000; sleep 0.05; done";
    let sidecar = Sidecar::start(&captured(command), &[]).await;
    let client = sidecar.client(TOKEN);
    let mut stream =
        client.open(&ExportRequest::default(), CancellationToken::new()).await.unwrap();
    sidecar.signal("TERM");
    let begun = std::time::Instant::now();
    while let Ok(chunk) = stream.chunk().await {
        assert!(chunk.is_some(), "a cut stream passed for a whole one");
    }
    let (folder, _) = sidecar.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    until("the command ends", || !lives(&folder.path().join("pid"))).await;
}

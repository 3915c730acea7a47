//! Exports of each strategy, as they should be and as they should not.

use std::process::Command;

use contract::{ContractError, ExportRequest, Prefer};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::sidecar::{Sidecar, TOKEN, lives, until};

pub(crate) fn dump(config: &Value) -> Value {
    json!({
        "type": "database_dump",
        "artifact": { "filename": "app.dump", "format": "raw" },
        "config": config,
    })
}

pub(crate) fn captured(command: &str) -> Value {
    dump(&json!({ "command": command, "capture_stdout": true }))
}

#[tokio::test]
async fn standard_output_comes_streamed_and_spooled() {
    let sidecar = Sidecar::start(&captured("seq 1 200000"), &[]).await;
    let expected = Command::new("seq").args(["1", "200000"]).output().unwrap().stdout;
    for prefer in [None, Some(Prefer::Stream), Some(Prefer::Spool)] {
        assert_eq!(sidecar.export(prefer).await.unwrap(), expected, "{prefer:?}");
    }
    let found = sidecar.client(TOKEN).capabilities().await.unwrap();
    assert_eq!((found.types, found.est_size), (vec!["db".to_owned()], Some(10)));
}

#[tokio::test]
async fn a_file_at_the_temporary_path_comes_and_is_removed() {
    let config = json!({
        "pre": "echo before > pre.txt",
        "commands": ["cat pre.txt > \"$SIDE_CAR_TEMP_DUMP\"", "echo \"$SIDE_CAR_STRATEGY\" >> \"$SIDE_CAR_TEMP_DUMP\""],
        "post": ["rm pre.txt"],
    });
    let sidecar = Sidecar::start(&dump(&config), &[]).await;
    assert_eq!(sidecar.export(None).await.unwrap(), b"before\ndatabase_dump\n");
    assert!(!sidecar.path().join("temp.dump").exists());
    assert!(!sidecar.path().join("pre.txt").exists());
}

#[tokio::test]
async fn a_command_that_fails_is_no_export() {
    for command in ["seq 1 100000; exit 1", "seq 1 100000; kill -9 $$", "false | gzip", "true"] {
        let sidecar = Sidecar::start(&captured(command), &[]).await;
        assert!(sidecar.export(None).await.is_err(), "streamed: {command}");
        let spooled = sidecar.export(Some(Prefer::Spool)).await;
        assert!(
            matches!(spooled, Err(ContractError::Status { status: 500, .. })),
            "spooled: {command}"
        );
        assert!(!sidecar.stop().contains(TOKEN));
    }
}

#[tokio::test]
async fn the_token_decides_and_one_export_goes_at_a_time() {
    let sidecar = Sidecar::start(&captured("sleep 2; echo done"), &[]).await;
    for wrong in ["wrong-token", "", "canary-token-of-the-sidecar2"] {
        let refused = sidecar.client(wrong).capabilities().await;
        assert!(matches!(refused, Err(ContractError::Unauthorized { .. })), "{wrong:?}");
    }
    let client = sidecar.client(TOKEN);
    let first = client.open(&ExportRequest::default(), CancellationToken::new()).await.unwrap();
    let second = client.open(&ExportRequest::default(), CancellationToken::new()).await;
    assert!(matches!(second, Err(ContractError::Busy { status: 409, .. })));
    drop(first);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_commands() {
    let command = "echo $$ > pid; while true; do seq 1 1000; sleep 0.05; done";
    let config = json!({ "command": command, "capture_stdout": true, "post": "touch post" });
    let sidecar = Sidecar::start(&dump(&config), &[]).await;
    let client = sidecar.client(TOKEN);
    let mut stream =
        client.open(&ExportRequest::default(), CancellationToken::new()).await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let pid = sidecar.path().join("pid");
    assert!(lives(&pid));
    drop(stream);
    until("the command ends with its client", || !lives(&pid)).await;
    // What `pre` began is ended all the same.
    until("`post` has run", || sidecar.path().join("post").exists()).await;
}

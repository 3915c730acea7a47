//! Commands: how their artifact comes, and what every exit status counts for.

use std::time::{Duration, Instant};

use contract::ExportRequest;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::sidecar::{Sidecar, TOKEN};

fn custom(config: Value) -> Value {
    json!({
        "type": "custom",
        "artifact": { "filename": "app.bin", "format": "raw" },
        "config": config,
    })
}

async fn start(config: Value) -> Sidecar {
    Sidecar::start(&custom(config), &[]).await
}

#[tokio::test]
async fn a_named_pipe_is_read_while_it_is_written() {
    let commands = json!({
        "commands": [
            "test -p \"$SIDE_CAR_TEMP_DUMP\"; seq 1 300000 > \"$SIDE_CAR_TEMP_DUMP\"",
            "sleep 0.2; echo end | tee \"$SIDE_CAR_TEMP_DUMP\" > /dev/null",
        ],
        "fifo": true,
    });
    let sidecar = start(commands).await;
    let mut expected: Vec<u8> = Vec::new();
    for n in 1..=300_000 {
        expected.extend(format!("{n}\n").bytes());
    }
    expected.extend(b"end\n");
    for _ in 0..2 {
        assert!(sidecar.export(None).await.unwrap() == expected);
        assert!(!sidecar.path().join("temp.dump").exists());
    }
}

#[tokio::test]
async fn a_named_pipe_hangs_nobody() {
    let commands = [
        // It never opens the pipe.
        "true",
        "exit 3",
        // It writes and then fails.
        "seq 1 100000 > \"$SIDE_CAR_TEMP_DUMP\"; exit 1",
        "seq 1 100000 > \"$SIDE_CAR_TEMP_DUMP\"; kill -9 $$",
        // It replaces the pipe with a file, which nobody reads.
        "rm \"$SIDE_CAR_TEMP_DUMP\"; echo x > \"$SIDE_CAR_TEMP_DUMP\"",
    ];
    for command in commands {
        let sidecar = start(json!({ "command": command, "fifo": true })).await;
        let begun = Instant::now();
        assert!(sidecar.export(None).await.is_err(), "{command}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{command}");
    }
}

#[tokio::test]
async fn what_follows_runs_whatever_happens() {
    let fine = "echo artifact";
    for (pre, command, post, is_well) in [
        ("true", fine, "true", true),
        ("false", fine, "true", false),
        ("true", "echo artifact; exit 1", "true", false),
        ("true", "kill -TERM $$", "true", false),
        ("true", fine, "exit 7", false),
        ("true", fine, "kill -9 $$", false),
        // The first of several lines fails.
        ("true", "false\necho artifact", "true", false),
    ] {
        let config = json!({
            "pre": [pre], "command": command, "capture_stdout": true,
            "post": [post, "echo $SIDE_CAR_STRATEGY >> post.txt"],
        });
        let sidecar = start(config).await;
        let made = sidecar.export(None).await;
        assert_eq!(made.is_ok(), is_well, "{pre}; {command}; {post}");
        let ran = std::fs::read_to_string(sidecar.path().join("post.txt")).unwrap();
        assert_eq!(ran, "custom\n", "{pre}; {command}; {post}");
    }
}

#[tokio::test]
async fn what_follows_runs_when_the_client_goes_away() {
    let config = json!({
        "command": "while true; do seq 1 1000; sleep 0.05; done", "capture_stdout": true,
        "post": "sleep 0.3; echo done > post.txt",
    });
    let sidecar = start(config).await;
    let mut stream = sidecar
        .client(TOKEN)
        .open(&ExportRequest::default(), CancellationToken::new())
        .await
        .unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    drop(stream);
    for _ in 0..400 {
        if sidecar.path().join("post.txt").exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("`post` did not run");
}

#[tokio::test]
async fn a_process_that_is_left_behind_holds_nothing_up() {
    let config = json!({
        "pre": "setsid sleep 30 & echo $! > pid",
        "command": "echo artifact", "capture_stdout": true,
        "post": "kill $(cat pid)",
    });
    let sidecar = start(config).await;
    let begun = Instant::now();
    assert_eq!(sidecar.export(None).await.unwrap(), b"artifact\n");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn no_secret_is_inherited_or_told() {
    let config = json!({
        "command": "echo \"[$BACKUP_API_TOKEN$BACKUP_API_TOKEN_PREVIOUS$OTHER_NAME]\"; \
                    echo \"$DB_PASSWORD $DATABASE_URL $INNER\" >&2; exit 3",
        "capture_stdout": true,
        "env": { "INNER": "${DB_PASSWORD}", "PLAIN": "plain" },
    });
    let environment = [
        ("BACKUP_API_TOKEN_PREVIOUS", "canary-token-of-before"),
        ("OTHER_NAME", TOKEN),
        ("DB_PASSWORD", "canary-password"),
        ("DATABASE_URL", "postgresql://me:canary%2Durl@db/app"),
    ];
    let sidecar = Sidecar::start(&custom(config), &environment).await;
    let told = sidecar.export(Some(contract::Prefer::Spool)).await.unwrap_err().to_string();
    let log = sidecar.stop();
    assert!(log.contains("exit code 3"), "{log}");
    for text in [&told, &log] {
        assert!(!text.contains("canary-"), "{text}");
    }

    let config = json!({
        "command": "env | grep -c canary || true", "capture_stdout": true,
    });
    let environment = [("OTHER_NAME", TOKEN), ("BACKUP_API_TOKEN_PREVIOUS", "canary-before")];
    let sidecar = Sidecar::start(&custom(config), &environment).await;
    assert_eq!(sidecar.export(None).await.unwrap(), b"0\n");
}

#[tokio::test]
async fn the_token_before_a_rotation_is_accepted() {
    let config = json!({ "command": "sleep 0.3; echo artifact", "capture_stdout": true });
    let previous = "canary-token-of-before";
    let environment = [("BACKUP_API_TOKEN_PREVIOUS", previous)];
    let sidecar = Sidecar::start(&custom(config.clone()), &environment).await;
    for token in [TOKEN, previous] {
        let client = sidecar.client(token);
        client.capabilities().await.unwrap();
        let mut stream =
            client.open(&ExportRequest::default(), CancellationToken::new()).await.unwrap();
        while stream.chunk().await.unwrap().is_some() {}
        assert!(stream.outcome().unwrap().verified_by_source);
    }
    assert!(sidecar.client("canary-token-of-beforf").capabilities().await.is_err());
    // An empty one is none.
    let sidecar = Sidecar::start(&custom(config), &[("BACKUP_API_TOKEN_PREVIOUS", "")]).await;
    assert!(sidecar.client("").capabilities().await.is_err());
    assert!(sidecar.client(previous).capabilities().await.is_err());
}

//! The demonstration: pages with a made-up history, of which nothing is left.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_made_up_history_is_shown_and_gone() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new(env!("CARGO_BIN_EXE_backup-orchestrator"))
        .args(["demo", "--port", &port.to_string(), "--apps", "14", "--days", "40"])
        .env("TMPDIR", folder.path())
        .env("APP_ADMIN_PASS", "a-password-of-this-test")
        // Neither counts.
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
        .env("BACKUP_DATA_DIR", "/proc/nowhere")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let base = format!("http://127.0.0.1:{port}");
    let login = json!({ "user": "demo", "password": "a-password-of-this-test" });
    let until = Instant::now() + Duration::from_secs(60);
    let cookie = loop {
        let sent = client.post(format!("{base}/api/v1/session")).json(&login).send().await;
        if let Ok(answer) = sent
            && let Some(cookie) = answer.headers().get("set-cookie")
        {
            break cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        assert!(Instant::now() < until, "no login");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let get = async |path: &str| {
        let asked = client.get(format!("{base}{path}")).header("cookie", &cookie);
        asked.send().await.unwrap().text().await.unwrap()
    };
    let overview: Value = serde_json::from_str(&get("/api/v1/overview").await).unwrap();
    assert_eq!(overview["total"], 14, "{overview}");
    assert!(
        overview["failed"].as_u64().unwrap() > 0 && overview["protected"].as_u64().unwrap() > 5
    );
    let page = get("/").await;
    assert!(page.contains("made up") && page.contains("shop-2"), "{page}");
    let snapshots: Value = serde_json::from_str(&get("/api/v1/snapshots").await).unwrap();
    let id = snapshots[0]["id"].as_str().unwrap();
    assert!(get(&format!("/snapshots/{id}")).await.contains("pg_dump"));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left");
}

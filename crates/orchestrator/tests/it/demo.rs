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
    let ask = async |path: &str| serde_json::from_str::<Value>(&get(path).await).unwrap();
    let snapshots = ask("/api/v1/apps/shop/snapshots").await;
    let of_kind = |kind: &str| {
        let found = snapshots.as_array().unwrap().iter().find(|one| one["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} in {snapshots}"))["id"].as_str().unwrap()
    };
    let page = get(&format!("/snapshots/{}", of_kind("automatic"))).await;
    assert!(page.contains("pg_dump") && page.contains("uploads.tar"), "{page}");
    let page = get(&format!("/snapshots/{}", of_kind("pre-deploy"))).await;
    assert!(page.contains("release 2."), "{page}");
    // Only what can be compared is offered, the newest first.
    let at = |id: &str| {
        let one = snapshots.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap();
        let taken_at: jiff::Timestamp = one["taken_at"].as_str().unwrap().parse().unwrap();
        (taken_at, one["kind"] == "base")
    };
    for kind in ["automatic", "base"] {
        let page = get(&format!("/snapshots/{}", of_kind(kind))).await;
        let offered = page.split("<select id=\"from\"").nth(1).unwrap();
        let offered = offered.split("</select>").next().unwrap().split("<option value=\"").skip(1);
        let offered: Vec<_> = offered.map(|one| one.split('"').next().unwrap()).map(at).collect();
        assert!(offered.len() > 3, "{kind}: {offered:?}");
        assert!(offered.iter().all(|(_, is_base)| *is_base == (kind == "base")), "{kind}");
        assert!(offered.is_sorted_by(|one, next| one.0 >= next.0), "{kind}: {offered:?}");
    }
    // Those that nobody has proven come first, then those proven longest ago.
    let drills = ask("/api/v1/drills").await;
    let drills = drills.as_array().unwrap();
    assert_eq!(drills.len(), 14);
    let of = |at: &str, one: &Value| one["proven"][at].as_str().map(str::to_owned);
    let moment = |one: &Value| of("at", one).map(|at| at.parse::<jiff::Timestamp>().unwrap());
    let enabled: Vec<_> = drills.iter().filter(|one| one["enabled"] == true).collect();
    assert!(drills.iter().take(enabled.len()).all(|one| one["enabled"] == true), "{drills:?}");
    let quiet: Vec<_> = enabled.iter().filter(|one| one["last"]["state"] != "failed").collect();
    assert!(quiet.iter().any(|one| of("at", one).is_some()), "{drills:?}");
    assert!(quiet.is_sorted_by_key(|one| moment(one)), "{drills:?}");
    let now = jiff::Timestamp::now();
    let due = |one: &Value| one["next_due"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    // But for those that have not been backed up lately.
    let later = enabled.iter().filter(|one| !one["last"].is_null() && due(one) > now).count();
    assert!(later > enabled.len() / 2, "{drills:?}");
    let page = get("/drills").await;
    for one in drills {
        assert!(page.contains(&format!("/apps/{}#drills", one["app"].as_str().unwrap())), "{page}");
    }
    // What is wrong is told of, and the shop comes back to any moment of a week.
    let alerts = ask("/api/v1/alerts").await;
    assert_eq!(alerts.as_array().map(Vec::len), Some(3), "{alerts}");
    let moments = ask("/api/v1/apps/shop/recovery").await;
    assert_eq!(moments["windows"].as_array().map(Vec::len), Some(1), "{moments}");
    assert_eq!(moments["gaps"], json!([]));
    let page = get("/apps/shop/recovery").await;
    assert!(page.contains("10 GiB at most") && page.contains("212 GiB are free"), "{page}");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left");
}

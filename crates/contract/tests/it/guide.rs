//! The example server of `docs/contract.md`, as it is written there.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use contract::check::{CheckState, Checker};
use url::Url;

use crate::{
    import,
    server::{TOKEN, export, limits, loopback},
};

const GUIDE: &str = include_str!("../../../../docs/contract.md");

/// The text between the fences of the only example in Python.
fn example() -> &'static str {
    let mut fenced = GUIDE.split("```python\n");
    let after = fenced.nth(1).expect("the guide has an example in Python");
    assert!(fenced.next().is_none(), "the guide has two examples in Python");
    after.split("```").next().unwrap()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The example over a folder, and its address; `None` where this machine has no Python.
async fn start(folder: &std::path::Path) -> Option<(Running, Url)> {
    let found = Command::new("python3").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "python3 is missing");
        eprintln!("skipped: there is no python3 here");
        return None;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new("python3")
        .args(["-c", example()])
        .env("BACKUP_FOLDER", folder)
        .env("BACKUP_TOKEN", TOKEN)
        .env("PORT", port.to_string())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Some((running, Url::parse(&format!("http://127.0.0.1:{port}")).unwrap()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the example does not listen");
}

fn limits_of_a_real_server() -> contract::Limits {
    contract::Limits { idle_timeout: Duration::from_secs(10), max_size_bytes: 64 << 20, ..limits() }
}

#[tokio::test]
async fn the_example_server_of_the_guide_passes_every_check() {
    let folder = tempfile::tempdir().unwrap();
    // Larger than what sockets hold, so that a cut is seen by the server.
    std::fs::write(folder.path().join("rows"), crate::good::artifact(12 << 20)).unwrap();
    let Some((_running, url)) = start(folder.path()).await else { return };
    let limits =
        contract::Limits { total_timeout: Duration::from_secs(60), ..limits_of_a_real_server() };
    let report = Checker::new(url, TOKEN.into(), loopback(), limits).unwrap().run().await;
    assert!(report.is_conforming(), "{:#?}", report.checks);
    // Jobs and spooling are offers; the example makes neither.
    for check in &report.checks {
        let may_skip = check.id.starts_with("job-") || check.id == "spool";
        assert!(check.state == CheckState::Passed || may_skip, "{check:?}");
    }
}

#[tokio::test]
async fn the_example_server_takes_back_what_it_gave() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("files");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("rows"), "as it was").unwrap();
    let Some((_running, url)) = start(&folder).await else { return };
    let limits = limits_of_a_real_server();
    let client = contract::ContractClient::new(url, TOKEN.into(), loopback(), limits).unwrap();
    let (artifact, done) = export(&client).await;
    done.unwrap();
    std::fs::write(folder.join("rows"), "changed").unwrap();
    std::fs::write(folder.join("more"), "new").unwrap();

    // It knows one target only.
    let mut beside = import::request(&artifact);
    beside.target = contract::ImportTarget::Beside("other".to_owned());
    let error = import::send(&client, &beside, &artifact).await.unwrap_err();
    assert!(matches!(error, contract::ContractError::Status { status: 422, .. }), "{error}");
    assert_eq!(std::fs::read_to_string(folder.join("rows")).unwrap(), "changed");

    import::send(&client, &import::request(&artifact), &artifact).await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("rows")).unwrap(), "as it was");
    assert!(!folder.join("more").exists());
    assert!(home.path().join("files.old/more").exists());
}

#[tokio::test]
async fn the_example_server_breaks_the_framing_where_its_command_fails() {
    let Some((_running, url)) = start(std::path::Path::new("/no-such-folder-here")).await else {
        return;
    };
    let client =
        contract::ContractClient::new(url, TOKEN.into(), loopback(), limits_of_a_real_server())
            .unwrap();
    let error = export(&client).await.1.err().unwrap();
    assert!(matches!(error, contract::ContractError::Truncated { .. }), "{error}");
}

#[test]
fn the_guide_names_what_the_contract_names() {
    for name in [
        "/healthz",
        "/backup/capabilities",
        "/backup/export",
        "/backup/import",
        "X-Checksum-SHA256",
        "X-Size",
        "X-Format",
        "X-Target",
        "X-Run-Id",
        "Trailer",
        "Retry-After",
        "Content-Range",
        "contract check",
    ] {
        assert!(GUIDE.contains(name), "{name} is missing");
    }
    let lines = example().lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 70, "the example has {lines} lines");
}

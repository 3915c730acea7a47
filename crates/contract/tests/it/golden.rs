//! The wire, byte by byte, as kept in `golden/`. `UPDATE_GOLDEN=1` writes the files anew.

use std::path::PathBuf;

use contract::{
    Capabilities, ContractError, ExportRequest, ImportAccepted, ImportReport, JobAccepted,
    JobState, JobStatus, Prefer,
};
use tokio_util::sync::CancellationToken;

use crate::{
    good, import,
    server::{Asked, Server, Step, export, limits},
};

/// What every kept artifact is: short, and with bytes that no text has.
const ARTIFACT: &[u8] = b"PGDMP\x01\x0e\x00 the rows of the shop\r\n\r\n0\r\n\r\n\xff\xfe";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

pub(crate) fn kept(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("golden/{name}: {error}"))
}

/// Writes a file anew where that is asked for.
pub(crate) fn update(name: &str, bytes: &[u8]) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(name), bytes).unwrap();
    }
}

/// Compares with what is kept.
pub(crate) fn same(name: &str, bytes: &[u8]) {
    update(name, bytes);
    let kept = kept(name);
    assert!(
        kept == bytes,
        "golden/{name} differs; kept:\n{}\nnow:\n{}",
        String::from_utf8_lossy(&kept),
        String::from_utf8_lossy(bytes)
    );
}

/// A request with the host that the files have.
fn request(server: &Server, asked: &Asked) -> Vec<u8> {
    let text = String::from_utf8(asked.raw.clone()).unwrap();
    text.replace(&format!("127.0.0.1:{}", server.port), "shop:8080").into_bytes()
}

#[tokio::test]
async fn requests_are_the_same_bytes_as_ever() {
    let server = Server::start(|asked| match (asked.line().as_str(), asked.nth) {
        ("GET /backup/capabilities", _) => vec![Step::Send(capabilities())],
        ("POST /backup/export", _) => vec![Step::Send(good::accepted())],
        ("GET /backup/jobs/1", 0) => vec![Step::Send(good::job("succeeded"))],
        ("GET /backup/jobs/1/artifact", 0) => {
            let whole = good::spooled(ARTIFACT);
            vec![Step::Send(whole[..whole.len() - 10].to_vec()), Step::Reset]
        }
        ("GET /backup/jobs/1/artifact", _) => {
            vec![Step::Send(good::part(ARTIFACT, ARTIFACT.len() - 10))]
        }
        ("GET /healthz", _) => vec![Step::Send(good::empty("200 OK"))],
        _ => vec![Step::Send(good::empty("404 Not Found"))],
    })
    .await;
    let client = server.client();
    client.health().await.unwrap();
    client.capabilities().await.unwrap();
    let wanted = ExportRequest {
        r#type: Some("db".to_owned()),
        drive_folder_id: Some("folder".to_owned()),
        run_id: Some("01K000000000000000000000RU".to_owned()),
        prefer: Some(Prefer::Async),
    };
    let mut download = client.open(&wanted, CancellationToken::new()).await.unwrap();
    while download.chunk().await.unwrap().is_some() {}
    // The second job is gone at its first look, and is cancelled.
    client.open(&ExportRequest::default(), CancellationToken::new()).await.err().unwrap();
    let asked = server.asked();
    let names = [
        "request-health.http",
        "request-capabilities.http",
        "request-export.http",
        "request-job-status.http",
        "request-download.http",
        "request-download-range.http",
        "request-export-default.http",
        "request-job-status.http",
        "request-job-cancel.http",
    ];
    assert_eq!(asked.len(), names.len(), "{:?}", server.lines());
    for (name, asked) in names.iter().zip(&asked) {
        same(name, &request(&server, asked));
    }
}

fn capabilities() -> Vec<u8> {
    let body = Capabilities {
        version: "v1".to_owned(),
        types: vec!["db".to_owned()],
        est_seconds: Some(30),
        est_size: Some(1_048_576),
        formats: vec!["pg_dump_Fc".to_owned()],
        restore: false,
        is_async: true,
        streaming: true,
        app: Some("shop".to_owned()),
        strategy: Some("database_dump".to_owned()),
        max_concurrent: Some(1),
    };
    good::with_body("200 OK", "application/json", &serde_json::to_string(&body).unwrap())
}

fn accepted() -> Vec<u8> {
    let job = JobAccepted {
        job_id: "1".to_owned(),
        status_url: "/backup/jobs/1".to_owned(),
        download: "/backup/jobs/1/artifact".to_owned(),
    };
    good::with_body("202 Accepted", "application/json", &serde_json::to_string(&job).unwrap())
}

fn status(state: JobState, progress: f64) -> Vec<u8> {
    let status = JobStatus {
        job_id: "1".to_owned(),
        state,
        progress: Some(progress),
        bytes: Some(4_096),
        message: None,
    };
    good::with_body("200 OK", "application/json", &serde_json::to_string(&status).unwrap())
}

#[test]
fn replies_are_the_same_bytes_as_ever() {
    same("reply-capabilities.http", &capabilities());
    same("reply-export-headers.http", &good::spooled(ARTIFACT));
    same("reply-export-trailers.http", &good::streamed(ARTIFACT, 16));
    same("reply-accepted.http", &accepted());
    same("reply-job-running.http", &status(JobState::Running, 0.25));
    same("reply-job-succeeded.http", &status(JobState::Succeeded, 1.0));
    same("reply-download-range.http", &good::part(ARTIFACT, 20));
    same("reply-unauthorized.http", &good::empty("401 Unauthorized"));
    same("reply-busy.http", &good::problem("409 Conflict", "another export is under way"));
    same("reply-imported.http", &imported());
    same("reply-import-accepted.http", &import_accepted());
    let told = "its SHA-256 is not that of its header; nothing was changed";
    same("reply-import-refused.http", &good::problem("422 Unprocessable Content", told));
}

fn imported() -> Vec<u8> {
    let report = ImportReport {
        message: Some("shop is restored".to_owned()),
        kept: Some("database shop_before_1".to_owned()),
        notes: vec!["sessions were ended".to_owned()],
    };
    good::with_body("200 OK", "application/json", &serde_json::to_string(&report).unwrap())
}

fn import_accepted() -> Vec<u8> {
    let job = ImportAccepted { job_id: "1".to_owned(), status_url: "/backup/jobs/1".to_owned() };
    good::with_body("202 Accepted", "application/json", &serde_json::to_string(&job).unwrap())
}

#[tokio::test]
async fn imports_are_the_same_bytes_as_ever() {
    let server = Server::start(|asked| match (asked.line().as_str(), asked.nth) {
        ("GET /backup/capabilities", _) => vec![Step::Send(good::restoring())],
        ("POST /backup/import", 0) => vec![Step::Send(kept("reply-imported.http"))],
        ("POST /backup/import", 1) => vec![Step::Send(kept("reply-import-accepted.http"))],
        ("POST /backup/import", _) => vec![Step::Send(kept("reply-import-refused.http"))],
        _ => vec![Step::Send(kept("reply-job-succeeded.http"))],
    })
    .await;
    let (client, wanted) = (server.client(), import::request(ARTIFACT));
    let report = import::send(&client, &wanted, ARTIFACT).await.unwrap();
    assert_eq!(report.kept.as_deref(), Some("database shop_before_1"));
    assert_eq!(report.notes, ["sessions were ended"]);
    import::send(&client, &wanted, ARTIFACT).await.unwrap();
    let error = import::send(&client, &wanted, ARTIFACT).await.unwrap_err();
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    let asked = server.asked();
    let sent = asked.iter().find(|asked| asked.line() == "POST /backup/import").unwrap();
    let text = sent.raw[..sent.raw.len() - sent.body.len()].to_vec();
    let head = request(&server, &Asked { raw: text, ..sent.clone() });
    same("request-import.http", &[head, sent.body.clone()].concat());
}

async fn replying(name: &str) -> Server {
    Server::exporting(vec![Step::Send(kept(name))]).await
}

#[tokio::test]
async fn the_client_reads_the_kept_replies() {
    let found = replying("reply-capabilities.http").await.client().capabilities().await.unwrap();
    assert_eq!(
        (found.types, found.est_size, found.is_async),
        (vec!["db".to_owned()], Some(1 << 20), true)
    );
    for name in ["reply-export-headers.http", "reply-export-trailers.http"] {
        let (came, done) = export(&replying(name).await.client()).await;
        assert_eq!(came, ARTIFACT, "{name}");
        let download = done.unwrap();
        assert_eq!(download.meta().file_name, "shop.dump");
        assert!(download.outcome().unwrap().verified_by_source);
    }
    let error = export(&replying("reply-unauthorized.http").await.client()).await.1.err().unwrap();
    assert!(matches!(error, ContractError::Unauthorized { .. }), "{error}");
    let error = export(&replying("reply-busy.http").await.client()).await.1.err().unwrap();
    assert!(matches!(error, ContractError::Busy { status: 409, .. }), "{error}");
}

#[tokio::test]
async fn the_client_follows_the_kept_job() {
    let server = Server::start(|asked| {
        let name = match (asked.line().as_str(), asked.nth, asked.header("range").is_some()) {
            ("POST /backup/export", ..) => "reply-accepted.http",
            ("GET /backup/jobs/1", 0, _) => "reply-job-running.http",
            ("GET /backup/jobs/1", ..) => "reply-job-succeeded.http",
            (_, _, true) => "reply-download-range.http",
            _ => {
                // Cut at byte 20.
                let whole = kept("reply-export-headers.http");
                let cut = whole.len() - ARTIFACT.len() + 20;
                return vec![Step::Send(whole[..cut].to_vec()), Step::Reset];
            }
        };
        vec![Step::Send(kept(name))]
    })
    .await;
    let (came, done) = export(&server.client_within(limits())).await;
    assert_eq!(came, ARTIFACT);
    assert!(done.unwrap().outcome().unwrap().verified_by_source);
    assert_eq!(server.asked().last().unwrap().header("range").as_deref(), Some("bytes=20-"));
}

//! The checker passes an app that keeps to the contract, and names what another does wrong.

use std::time::Duration;

use contract::{
    Limits, NetPolicy,
    check::{CheckReport, CheckState, Checker},
};
use futures::StreamExt as _;

use crate::{
    app::{self, Defect},
    good,
    server::{Server, Step, TOKEN, limits, loopback},
};

const ALL: [&str; 22] = [
    "health",
    "token-missing",
    "token-wrong",
    "capabilities",
    "not-found",
    "method-not-allowed",
    "unusable-request",
    "export",
    "file-name",
    "checksum-placement",
    "unknown-members",
    "spool",
    "job-accepted",
    "job-run-id",
    "job-status",
    "job-download",
    "job-range",
    "job-cancel",
    "concurrent-exports",
    "abort",
    "import-token",
    "import-refusals",
];

fn checker(server: &Server) -> Checker {
    let limits = Limits {
        total_timeout: Duration::from_secs(4),
        idle_timeout: Duration::from_secs(2),
        ..limits()
    };
    Checker::new(server.url(), TOKEN.into(), loopback(), limits)
        .unwrap()
        .with_settle_time(Duration::from_secs(3))
}

async fn check(defect: Defect) -> CheckReport {
    let server = app::start(defect).await;
    let report = checker(&server).run().await;
    let ids: Vec<_> = report.checks.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(ids, ALL, "{defect:?}");
    assert_eq!(report.passed + report.failed + report.skipped, ALL.len());
    let text = format!("{report:?} {}", serde_json::to_string(&report).unwrap());
    assert!(!text.contains(TOKEN), "{defect:?}: the token is in {text}");
    for check in &report.checks {
        assert_eq!(check.advice.is_some(), check.state == CheckState::Failed, "{check:?}");
        assert!(!check.detail.is_empty());
    }
    report
}

fn in_state(report: &CheckReport, state: CheckState) -> Vec<&str> {
    report.checks.iter().filter(|c| c.state == state).map(|c| c.id.as_str()).collect()
}

#[tokio::test]
async fn an_app_that_keeps_to_the_contract_passes_everything() {
    let report = check(Defect::None).await;
    let passed = in_state(&report, CheckState::Passed);
    assert_eq!(passed, ALL, "{:#?}", report.checks);
    assert!(report.is_conforming());
}

/// Each defect, the checks that must fail for it, and those that cannot be asked then.
const DEFECTS: [(Defect, &[&str]); 42] = [
    (Defect::HealthWantsToken, &["health"]),
    (Defect::OldHttp, &["health"]),
    (Defect::NoTokenNeeded, &["token-missing", "token-wrong", "import-token"]),
    (Defect::TalkativeRefusal, &["token-missing", "token-wrong"]),
    (Defect::PrefixOfToken, &["token-wrong"]),
    (Defect::OtherVersion, &["capabilities"]),
    (Defect::NoEstimates, &["capabilities"]),
    (Defect::NegativeEstimate, &["capabilities"]),
    (Defect::CapabilitiesAsText, &["capabilities"]),
    (Defect::PageForUnknown, &["not-found"]),
    (Defect::OkForUnknown, &["not-found"]),
    (Defect::GetExports, &["method-not-allowed"]),
    (Defect::AnythingIsAnExport, &["unusable-request"]),
    (Defect::RefusalWithoutDocument, &["unusable-request"]),
    (Defect::WrongChecksum, &["export", "concurrent-exports", "abort"]),
    (Defect::NoFinalChunk, &["export", "concurrent-exports", "abort"]),
    (Defect::EmptyArtifact, &["export"]),
    (Defect::NoFileName, &["file-name"]),
    (Defect::EvilFileName, &["file-name"]),
    (Defect::NoTrailerHeader, &["checksum-placement"]),
    (Defect::StreamingUnsaid, &["checksum-placement"]),
    (Defect::StrictMembers, &["unknown-members"]),
    (Defect::SpoolCorrupt, &["spool"]),
    (Defect::AsyncUnserved, &["job-accepted"]),
    (Defect::ForeignJob, &["job-accepted"]),
    (Defect::RunIdForgotten, &["job-run-id"]),
    (Defect::ProgressTwo, &["job-status"]),
    (Defect::OtherJob, &["job-status"]),
    (Defect::JobFails, &["job-status"]),
    (Defect::JobNeverEnds, &["job-status"]),
    (Defect::DownloadCorrupt, &["job-download"]),
    (Defect::DownloadTrailers, &["job-download"]),
    (Defect::RangeIgnored, &["job-range"]),
    (Defect::RangeWrong, &["job-range"]),
    (Defect::CancelIgnored, &["job-cancel"]),
    (Defect::CancelRefused, &["job-cancel"]),
    // Also busy with what was cut.
    (Defect::SecondFails, &["concurrent-exports", "abort"]),
    (Defect::NeverFree, &["abort"]),
    (Defect::ImportWithoutToken, &["import-token"]),
    (Defect::ImportUnproven, &["import-refusals"]),
    (Defect::ImportOfAnySize, &["import-refusals"]),
    (Defect::ImportUnserved, &["import-refusals"]),
];

#[tokio::test]
async fn every_defect_is_named_by_its_check_and_by_no_other() {
    let wrong: Vec<String> = futures::stream::iter(DEFECTS)
        .map(|(defect, expected)| async move {
            let report = check(defect).await;
            let failed = in_state(&report, CheckState::Failed);
            (failed != expected)
                .then(|| format!("{defect:?} must fail {expected:?}: {:#?}", report.checks))
        })
        .buffer_unordered(12)
        .filter_map(|wrong| async { wrong })
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_the_checker_sends_replaces_nothing() {
    for (defect, imports) in [(Defect::None, 5), (Defect::NoRestore, 0)] {
        let server = app::start(defect).await;
        let report = checker(&server).run().await;
        assert!(report.is_conforming(), "{:#?}", report.checks);
        let asked = server.asked();
        let asked: Vec<_> = asked.iter().filter(|a| a.path == "/backup/import").collect();
        assert_eq!(asked.len(), imports, "{defect:?}");
        for one in asked {
            assert!(one.header("x-target").unwrap().starts_with("beside:"), "{one:?}");
        }
    }
}

#[tokio::test]
async fn a_token_that_a_server_says_back_is_not_in_the_report() {
    let report = check(Defect::EchoesToken).await;
    assert!(in_state(&report, CheckState::Failed).contains(&"export"));
    assert!(report.checks.iter().any(|check| check.detail.contains("[token]")), "{report:#?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_fails_once_and_skips_the_rest() {
    let server = Server::exporting(vec![]).await;
    let url = server.url();
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut gone = url.clone();
    gone.set_port(Some(free)).unwrap();
    let report = Checker::new(gone, TOKEN.into(), loopback(), limits()).unwrap().run().await;
    assert_eq!((report.failed, report.skipped), (1, 21), "{:#?}", report.checks);
    assert!(!report.is_conforming());
    assert!(Checker::new(url, TOKEN.into(), NetPolicy::default(), limits()).is_err());
}

#[tokio::test]
async fn a_wrong_token_of_ours_fails_and_exports_nothing() {
    let server = app::start(Defect::None).await;
    let checker = Checker::new(server.url(), "another".into(), loopback(), limits()).unwrap();
    let report = checker.run().await;
    assert!(in_state(&report, CheckState::Failed).contains(&"capabilities"));
    assert!(in_state(&report, CheckState::Skipped).contains(&"export"));
}

#[tokio::test]
async fn a_server_of_something_else_fails() {
    let page = good::with_body("200 OK", "text/html", "<html>welcome</html>");
    let server = Server::exporting(vec![Step::Send(page)]).await;
    let report = checker(&server).run().await;
    let failed = in_state(&report, CheckState::Failed);
    for id in ["token-missing", "token-wrong", "capabilities", "not-found"] {
        assert!(failed.contains(&id), "{id}: {:#?}", report.checks);
    }
}

#[test]
fn a_report_is_the_same_after_a_round_trip() {
    let text = r#"{"url":"http://app/","contract":"v1","passed":1,"failed":1,"skipped":0,
        "checks":[{"id":"health","state":"passed","detail":"200"},
                  {"id":"abort","state":"failed","detail":"it hung","advice":"free the turn"}]}"#;
    let report: CheckReport = serde_json::from_str(text).unwrap();
    assert!(!report.is_conforming());
    let again: CheckReport =
        serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(again, report);
}

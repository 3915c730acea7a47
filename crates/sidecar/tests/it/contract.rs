//! The sidecar keeps to the contract, as its checker sees it.

use contract::check::{CheckState, Checker};
use serde_json::json;

use crate::sidecar::{Sidecar, TOKEN};

#[tokio::test]
async fn the_sidecar_passes_every_check_of_the_contract() {
    // Larger than what sockets hold, so that a cut is seen.
    let strategy = json!({
        "type": "database_dump",
        "artifact": { "filename": "app.dump", "format": "raw" },
        "config": { "command": "head -c 20000000 /dev/zero", "capture_stdout": true },
    });
    let sidecar = Sidecar::start(&strategy, &[]).await;
    let report = Checker::from(sidecar.client(TOKEN)).run().await;
    assert!(report.is_conforming(), "{:#?}", report.checks);
    assert!(report.passed >= 14, "{:#?}", report.checks);
}

#[tokio::test]
async fn one_that_takes_artifacts_back_refuses_what_it_has_to() {
    let strategy = json!({
        "type": "custom",
        "artifact": { "filename": "numbers" },
        "config": { "command": "seq 2000000", "capture_stdout": true },
    });
    let folder = tempfile::tempdir().unwrap();
    let restore = json!({ "restore": { "enabled": true, "command": "cat > live" } });
    let sidecar = Sidecar::start_in(folder, &strategy, &[], &restore).await;
    let report = Checker::from(sidecar.client(TOKEN)).run().await;
    assert!(report.is_conforming(), "{report:#?}");
    let imports = report.checks.iter().filter(|check| check.id.starts_with("import-"));
    assert!(imports.clone().count() == 2 && imports.clone().all(|c| c.state == CheckState::Passed));
    assert!(!sidecar.path().join("live").exists());
}

//! The sidecar keeps to the contract, as its checker sees it.

use contract::check::Checker;
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

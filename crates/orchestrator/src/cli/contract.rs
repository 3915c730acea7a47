//! `contract`: talks to the app itself, not to our server.

use std::time::Duration;

use contract::{
    Limits, NetPolicy,
    check::{CheckReport, CheckState, Checker},
};

use super::{arguments::ContractCommand, client::CliError, read_secret, show};

pub(super) async fn perform(command: ContractCommand, json: bool) -> Result<u8, CliError> {
    let ContractCommand::Check { url, token_file, allow_loopback, timeout } = command;
    let token = read_secret(&token_file)?;
    if token.is_empty() {
        return Err(CliError::Usage(format!(
            "{}: it is empty; put the token there that the app expects",
            token_file.display()
        )));
    }
    let policy = NetPolicy { allow_loopback, ..NetPolicy::default() };
    let limits = Limits { total_timeout: Duration::from_secs(timeout), ..Limits::default() };
    let checker = Checker::new(url, token.into(), policy, limits).map_err(|error| {
        let text = error.to_string().replace("set BACKUP_ALLOW_LOOPBACK=true", "give --allow-loopback");
        CliError::Refused(text)
    })?;
    let report = checker.run().await;
    if json {
        show::one(&serde_json::json!(report));
    } else {
        print(&report);
    }
    Ok(u8::from(!report.is_conforming()))
}

fn print(report: &CheckReport) {
    for check in &report.checks {
        let mark = match check.state {
            CheckState::Passed => "✓",
            CheckState::Failed => "✕",
            CheckState::Skipped => "-",
        };
        println!("{mark} {}: {}", check.id, check.detail);
        if let Some(advice) = &check.advice {
            println!("  → {advice}");
        }
    }
    println!("{} passed, {} failed, {} skipped", report.passed, report.failed, report.skipped);
}

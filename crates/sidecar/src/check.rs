//! `backup-sidecar check`: whether the configuration is right, and the place it will work in.

mod commands;
mod surroundings;

use std::path::Path;

use serde::Serialize;

use crate::config::{Config, ConfigError, Environment, Finding, Level};

/// Exit code: everything is right.
const RIGHT: u8 = 0;
/// Exit code: the file cannot be used.
pub(crate) const WRONG_FILE: u8 = 2;
/// Exit code: the file is right, but a folder, program or port is not.
const WRONG_PLACE: u8 = 3;

/// What `check --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    ok: bool,
    exit_code: u8,
    findings: Vec<Finding>,
}

/// Prints what there is to say; gives the exit code.
pub(crate) async fn run(file: &Path, environment: &Environment, as_json: bool) -> u8 {
    let (exit_code, findings) = match Config::load(file, environment) {
        Ok(config) => {
            let findings = judge(&config).await;
            let is_wrong = findings.iter().any(|finding| finding.level == Level::Error);
            (if is_wrong { WRONG_PLACE } else { RIGHT }, findings)
        }
        Err(ConfigError::Wrong(findings)) => (WRONG_FILE, findings),
        Err(error) => (WRONG_FILE, vec![Finding::error("", error.to_string())]),
    };
    if as_json {
        let report = Report { file, ok: exit_code == RIGHT, exit_code, findings };
        println!("{}", serde_json::to_string_pretty(&report).expect("a report is JSON"));
        return exit_code;
    }
    for finding in &findings {
        println!("{}: {finding}", file.display());
    }
    if exit_code == RIGHT {
        println!("{}: right", file.display());
    }
    exit_code
}

async fn judge(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    surroundings::token(config, &mut findings);
    surroundings::folders(config, &mut findings);
    surroundings::files(config, &mut findings);
    surroundings::preset(config, &mut findings);
    commands::judge(config, &mut findings).await;
    surroundings::port(config, &mut findings).await;
    findings
}

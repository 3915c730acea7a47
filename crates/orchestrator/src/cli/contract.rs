//! `contract`: talks to the app itself, not to our server.

use std::{path::PathBuf, time::Duration};

use clap::Subcommand;
use contract::{
    Limits, NetPolicy,
    check::{CheckReport, CheckState, Checker},
};

use super::{client::CliError, read_secret, show};

#[derive(Subcommand)]
pub(crate) enum ContractCommand {
    /// Checks whether a server keeps to the contract; needs no server of ours.
    ///
    /// It exports for real, several times, and keeps nothing. Exit codes: 0 every check passed,
    /// 1 one failed.
    Check {
        /// Address of the app or its sidecar.
        url: url::Url,
        /// File with the token that it expects.
        #[arg(long)]
        token_file: PathBuf,
        /// The address may be this machine itself.
        #[arg(long)]
        allow_loopback: bool,
        /// Longest time for one export, in seconds.
        #[arg(long, default_value_t = 900)]
        timeout: u64,
    },
}

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
        let text =
            error.to_string().replace("set BACKUP_ALLOW_LOOPBACK=true", "give --allow-loopback");
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
        show::line(&format!("{mark} {}: {}", check.id, check.detail));
        if let Some(advice) = &check.advice {
            show::line(&format!("  → {advice}"));
        }
    }
    let (passed, failed, skipped) = (report.passed, report.failed, report.skipped);
    show::line(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::{
        Json, Router,
        http::{HeaderMap, StatusCode, header},
        response::{IntoResponse as _, Response},
        routing::{get, post},
    };
    use serde_json::{Value, json};

    use super::*;

    const TOKEN: &str = "canary-token-of-the-checker";

    fn problem(status: StatusCode) -> Response {
        let body = json!({ "title": "refused", "status": status.as_u16() }).to_string();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }

    fn may(headers: &HeaderMap) -> bool {
        headers.get(header::AUTHORIZATION).is_some_and(|value| value == &format!("Bearer {TOKEN}"))
    }

    async fn capabilities(headers: HeaderMap) -> Response {
        if !may(&headers) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        Json(json!({ "version": "v1", "types": ["db"], "est_seconds": 0, "est_size": 0 }))
            .into_response()
    }

    fn export(sha256: &'static str, headers: HeaderMap, body: String) -> Response {
        if !may(&headers) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        if !body.is_empty() && serde_json::from_str::<Value>(&body).is_err() {
            return problem(StatusCode::UNPROCESSABLE_ENTITY);
        }
        let head = [
            ("content-type", "application/octet-stream"),
            ("content-disposition", "attachment; filename=\"abc.txt\""),
            ("x-size", "3"),
            ("x-checksum-sha256", sha256),
        ];
        (head, "abc").into_response()
    }

    /// An app whose artifact is `abc`, and what it says the checksum is.
    async fn app(sha256: &'static str) -> url::Url {
        let export =
            move |headers: HeaderMap, body: String| async move { export(sha256, headers, body) };
        let router = Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/backup/capabilities", get(capabilities))
            .route("/backup/export", post(export));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}").parse().unwrap()
    }

    fn token(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("token");
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn check(url: url::Url, token_file: PathBuf, allow_loopback: bool) -> (u8, String) {
        let command = ContractCommand::Check { url, token_file, allow_loopback, timeout: 20 };
        match perform(command, false).await {
            Ok(code) => (code, String::new()),
            Err(error) => (error.exit_code(), error.to_string()),
        }
    }

    #[tokio::test]
    async fn the_exit_code_tells_whether_everything_passed() {
        let folder = tempfile::tempdir().unwrap();
        let token = token(folder.path(), &format!("{TOKEN}\n"));
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(check(app(right).await, token.clone(), true).await.0, 0);
        let wrong = "0000000000000000000000000000000000000000000000000000000000000000";
        assert_eq!(check(app(wrong).await, token.clone(), true).await.0, 1);
        assert_eq!(check("http://127.0.0.1:1".parse().unwrap(), token, true).await.0, 1);
    }

    #[tokio::test]
    async fn a_refused_address_and_a_missing_token_tell_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let url: url::Url = "http://127.0.0.1:1".parse().unwrap();
        let (code, told) = check(url.clone(), token(folder.path(), TOKEN), false).await;
        assert_eq!(code, 5);
        assert!(told.contains("give --allow-loopback"), "{told}");
        let (code, told) = check(url.clone(), token(folder.path(), "\n"), true).await;
        assert_eq!(code, 2);
        assert!(told.contains("empty"), "{told}");
        assert_eq!(check(url, folder.path().join("none"), true).await.0, 2);
    }
}

//! Imports, without one: nothing is sent that a server may take, and nothing that could replace
//! what it has.

use bytes::Bytes;
use http::{HeaderName, Method, StatusCode};
use secrecy::SecretString;

use super::{
    ANSWER, Checker, Finding, problem,
    report::{Outcome, Reporter},
};
use crate::{Capabilities, header};

/// What is sent: no artifact of anything.
const BODY: &[u8] = b"no artifact";
/// Beside, so that even a server that proves nothing replaces nothing.
const TARGET: &str = "beside:contract-check";

pub(super) async fn all(checker: &Checker, capabilities: &Capabilities, report: &mut Reporter<'_>) {
    for id in ["import-token", "import-refusals"] {
        let found = if !capabilities.restore {
            Err(Finding::skipped("the capabilities do not say `restore`"))
        } else if id == "import-token" {
            token(checker).await
        } else {
            refusals(checker).await
        };
        report.add(id, found);
    }
}

fn headers(size: usize, checksum: &str) -> Vec<(HeaderName, String)> {
    vec![
        (header::CHECKSUM, checksum.to_owned()),
        (header::SIZE, size.to_string()),
        (header::TARGET, TARGET.to_owned()),
    ]
}

fn checksum_of(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

/// Declared so that it could not be taken either.
fn wrong() -> Vec<(HeaderName, String)> {
    headers(BODY.len(), &checksum_of(b"something else"))
}

async fn token(checker: &Checker) -> Outcome {
    let url = checker.client.at("backup/import")?;
    let another = SecretString::from("not-the-token");
    for (how, token) in [("without a token", None), ("with another token", Some(&another))] {
        let body = Some(Bytes::from_static(BODY));
        let answer =
            checker.client.request(&url, Method::POST, body, token, &wrong(), ANSWER).await?;
        let status = answer.response.status();
        if status != StatusCode::UNAUTHORIZED {
            return Err(Finding::failed(
                format!("POST /backup/import {how} answered {status}"),
                "compare the token before anything else: whoever may import may replace everything",
            ));
        }
    }
    Ok("401 and nothing else".to_owned())
}

async fn refusals(checker: &Checker) -> Outcome {
    let unproven =
        headers(BODY.len(), "").into_iter().filter(|(name, _)| *name != header::CHECKSUM);
    let tries = [
        ("whose SHA-256 is another", wrong()),
        ("that is shorter than X-Size", headers(BODY.len() + 1, &checksum_of(BODY))),
        ("without a checksum", unproven.collect()),
    ];
    for (what, headers) in tries {
        let body = Some(Bytes::from_static(BODY));
        let (url, answer) = checker.ask(Method::POST, "backup/import", body, &headers).await?;
        let status = answer.response.status();
        if !status.is_client_error() || status == StatusCode::NOT_FOUND {
            return Err(Finding::failed(
                format!("an artifact {what} was answered {status}"),
                "compare size and SHA-256 of the whole body before anything is touched, and answer \
                 422 with a problem document",
            ));
        }
        problem(checker, &url, answer, true).await?;
    }
    Ok("what is not whole is refused".to_owned())
}

//! Health, tokens, capabilities.

use http::{Method, StatusCode, Version};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{ANSWER, Checker, Finding, report::Outcome};
use crate::{Capabilities, header, wire};

/// Largest body of a 401, in bytes: room for a problem document, not for data.
const MAX_REFUSAL: usize = 1 << 10;

pub(super) async fn health(checker: &Checker) -> Outcome {
    let url = checker.client.at("healthz")?;
    let answer = checker.client.request(&url, Method::GET, None, None, &[], ANSWER).await?;
    let status = answer.response.status();
    if !matches!(status, StatusCode::OK | StatusCode::NO_CONTENT) {
        return Err(Finding::failed(
            format!("GET /healthz without a token answered {status}"),
            "answer 200 there without asking for a token: it tells liveness and nothing else",
        ));
    }
    if answer.response.version() != Version::HTTP_11 {
        return Err(Finding::failed(
            format!("the server speaks {:?}", answer.response.version()),
            "speak HTTP/1.1: chunks and trailers do not exist before it",
        ));
    }
    Ok(format!("{status} without a token"))
}

pub(super) async fn token_missing(checker: &Checker) -> Outcome {
    refused(checker, None, "without a token").await?;
    Ok("401 and nothing else".to_owned())
}

pub(super) async fn token_wrong(checker: &Checker) -> Outcome {
    let token = checker.client.token().expose_secret();
    let mut tries = vec![("with another token", "not-the-token".to_owned())];
    tries.push(("with the token and one letter more", format!("{token}x")));
    let mut shorter = token.to_owned();
    shorter.pop();
    tries.push(("with the token but its last letter", shorter));
    for (how, wrong) in tries {
        refused(checker, Some(&SecretString::from(wrong)), how).await?;
    }
    Ok("401 and nothing else".to_owned())
}

async fn refused(
    checker: &Checker,
    token: Option<&SecretString>,
    how: &str,
) -> Result<(), Finding> {
    let advice = "compare the whole `Authorization: Bearer <TOKEN>` in constant time before \
                  anything else, and answer 401 with no data";
    for (method, path) in [(Method::GET, "backup/capabilities"), (Method::POST, "backup/export")] {
        let url = checker.client.at(path)?;
        let answer = checker.client.request(&url, method.clone(), None, token, &[], ANSWER).await?;
        let status = answer.response.status();
        if status != StatusCode::UNAUTHORIZED {
            let told = format!("{method} /{path} {how} answered {status}");
            return Err(Finding::failed(told, advice));
        }
        let headers = answer.response.headers();
        let telling = [header::SIZE, header::CHECKSUM, header::FORMAT];
        if let Some(name) = telling.iter().find(|name| headers.contains_key(*name)) {
            let told = format!("{method} /{path} {how}: the 401 carries {name}");
            return Err(Finding::failed(told, advice));
        }
        let body = checker.client.bytes(&url, answer).await?;
        let tells = serde_json::from_slice::<Value>(&body)
            .is_ok_and(|value| value.get("version").is_some() || value.get("types").is_some());
        if tells || body.len() > MAX_REFUSAL {
            let told = format!("{method} /{path} {how}: the 401 carries {} bytes", body.len());
            return Err(Finding::failed(told, advice));
        }
    }
    Ok(())
}

/// The capabilities where they can be gone on with, and what there is to say of them.
pub(super) async fn capabilities(checker: &Checker) -> (Option<Capabilities>, Outcome) {
    match read_capabilities(checker).await {
        Ok((capabilities, outcome)) => (Some(capabilities), outcome),
        Err(finding) => (None, Err(finding)),
    }
}

async fn read_capabilities(checker: &Checker) -> Result<(Capabilities, Outcome), Finding> {
    let (url, answer) = checker.ask(Method::GET, "backup/capabilities", None, &[]).await?;
    let answer = checker.client.expect(&url, answer, &[StatusCode::OK]).await?;
    let media = answer.response.headers().get(http::header::CONTENT_TYPE).cloned();
    let document: Value = checker.client.json(&url, answer).await?;
    let advice = "give `version` as \"v1\", `types` as a list of names, `est_seconds` and \
                  `est_size` as whole numbers (0 where unknown)";
    if document["version"] != wire::VERSION {
        let told = format!("`version` is {}", document["version"]);
        return Err(Finding::failed(told, advice));
    }
    let capabilities: Capabilities = serde_json::from_value(document.clone())
        .map_err(|error| Finding::failed(error.to_string(), advice))?;
    let media = media.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let missing = ["types", "est_seconds", "est_size"];
    let outcome = if let Some(name) = missing.iter().find(|name| document[**name].is_null()) {
        Err(Finding::failed(format!("`{name}` is missing"), advice))
    } else if media.split(';').next() != Some("application/json") {
        Err(Finding::failed(
            format!("the Content-Type is `{media}`"),
            "send it as application/json",
        ))
    } else {
        Ok(format!("version v1, types {}", document["types"]))
    };
    Ok((capabilities, outcome))
}

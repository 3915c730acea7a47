//! Talking to the server.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{
    Arguments,
    show::{items, safe, text},
};
use crate::settings::{self, Environment};

/// How long whoever follows something waits for a server that is away, and how often they ask.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What a command ends with where it does not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Failed(String),
    /// The server cannot be reached, or not now.
    #[error("{0}")]
    Away(String),
}

impl CliError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Away(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 4,
            Self::Refused(_) => 5,
        }
    }

    pub(crate) fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    /// Where the token comes from.
    token_place: String,
}

/// A name as one part of a path.
pub(crate) fn part(name: &str) -> String {
    match name {
        // Not encoded these would lead upwards; nothing has such a name.
        "" | "." | ".." => "%00".to_owned(),
        _ => utf8_percent_encode(name, NON_ALPHANUMERIC).to_string(),
    }
}

impl Client {
    /// On the server's own machine the data folder tells address and token.
    pub(crate) fn new(arguments: &Arguments, environment: &Environment) -> Result<Self, CliError> {
        let data = settings::data_dir(environment);
        let read = |path: &Path| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
        let base = arguments.url.clone().or_else(|| read(&data.join("address")).ok());
        let port = environment.get("APP_PORT").map_or("5550", String::as_str);
        let base = base.unwrap_or_else(|| format!("http://127.0.0.1:{port}"));
        let named = arguments
            .token_file
            .clone()
            .or_else(|| environment.get("BACKUP_ORCHESTRATOR_TOKEN_FILE").map(Into::into));
        let given = environment.get("BACKUP_ORCHESTRATOR_TOKEN").filter(|token| !token.is_empty());
        let (token, token_place) = match (named, given) {
            (None, Some(token)) => {
                (token.trim().to_owned(), "BACKUP_ORCHESTRATOR_TOKEN".to_owned())
            }
            (named, _) => {
                let file = named.unwrap_or_else(|| data.join("cli.token"));
                let token = read(&file).map_err(|error| {
                    CliError::Usage(format!(
                        "no token: {}: {error}; run this where the server's data folder is \
                         (BACKUP_DATA_DIR), or give --token-file",
                        file.display()
                    ))
                })?;
                (token, file.display().to_string())
            }
        };
        let http = reqwest::Client::builder().no_proxy().build().map_err(CliError::failed)?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token, token_place })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.json(Method::GET, path, None).await
    }

    /// The same for what somebody follows: where the connection breaks or the server starts anew, it
    /// is asked again for a minute.
    pub(crate) async fn get_again(&self, path: &str) -> Result<Value, CliError> {
        let begun = Instant::now();
        loop {
            match self.get(path).await {
                Err(CliError::Away(_)) if begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(ASK_EVERY).await;
                }
                other => return other,
            }
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.json(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.json(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), CliError> {
        self.json(Method::DELETE, path, None).await.map(drop)
    }

    /// The names of all `what`, by id.
    pub(crate) async fn names(&self, what: &str) -> Result<HashMap<String, String>, CliError> {
        let all = self.get(what).await?;
        let pair = |one: &Value| (text(&one["id"]).to_owned(), text(&one["name"]).to_owned());
        Ok(items(&all).iter().map(pair).collect())
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let response = self.send(method, path, body).await?;
        let bytes = response.bytes().await.map_err(|error| self.broken(error))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| {
            CliError::Failed(format!(
                "{} answers with something else than JSON: is it a Backup Orchestrator?",
                self.base
            ))
        })
    }

    fn broken(&self, error: reqwest::Error) -> CliError {
        if error.is_connect() {
            return CliError::Away(format!(
                "cannot reach the server at {}: start it with `backup-orchestrator serve`, or \
                 give its address with --url",
                self.base
            ));
        }
        if error.is_builder() {
            let wrong = format!("`{}` is no address: write it as http://HOST:PORT", self.base);
            return CliError::Usage(wrong);
        }
        CliError::Away(format!(
            "the connection to {} broke: {}; look whether the server still runs",
            self.base,
            error.without_url()
        ))
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<reqwest::Response, CliError> {
        let mut request = self
            .http
            .request(method, format!("{}/api/v1/{path}", self.base))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.broken(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: reqwest::Response) -> CliError {
        let status = response.status();
        let wait = response.headers().get("retry-after").cloned();
        let body = response.text().await.unwrap_or_default();
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        let detail = match problem["detail"].as_str() {
            Some(detail) => safe(detail),
            None => format!("{} answers {status}", self.base),
        };
        match status {
            StatusCode::UNAUTHORIZED => CliError::Failed(format!(
                "{} does not accept the token in {}: make a new one with `token create`, or give \
                 another with --token-file",
                self.base, self.token_place
            )),
            StatusCode::FORBIDDEN => CliError::Failed(format!(
                "{detail}, which the token in {} does not have: give one that has it with \
                 --token-file",
                self.token_place
            )),
            StatusCode::NOT_FOUND => CliError::NotFound(detail),
            StatusCode::CONFLICT => CliError::Refused(detail),
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => {
                let fields = items(&problem["errors"]);
                if fields.is_empty() {
                    return CliError::Usage(detail);
                }
                let told = |one: &Value| {
                    format!("{}: {}", safe(text(&one["field"])), safe(text(&one["message"])))
                };
                CliError::Usage(fields.iter().map(told).collect::<Vec<_>>().join("\n"))
            }
            _ => match wait.as_ref().and_then(|wait| wait.to_str().ok()) {
                Some(secs) if status == StatusCode::SERVICE_UNAVAILABLE => {
                    CliError::Away(format!("{detail}; try again in {secs} s"))
                }
                Some(secs) => CliError::Failed(format!("{detail}; try again in {secs} s")),
                None => CliError::Failed(detail),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_a_path() {
        assert_eq!(part("shop"), "shop");
        assert_eq!(part("a/../b?c#d"), "a%2F%2E%2E%2Fb%3Fc%23d");
        assert_eq!(part(".."), "%00");
    }
}

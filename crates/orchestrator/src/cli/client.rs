//! Talking to the server.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::Arguments;
use crate::settings::{self, Environment};

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
}

impl CliError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 4,
            Self::Refused(_) => 5,
        }
    }
}

pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    /// On the server's own machine the data folder tells address and token.
    pub(crate) fn new(arguments: &Arguments, environment: &Environment) -> Result<Self, CliError> {
        let data = settings::data_dir(environment);
        let read = |path: &Path| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
        let base = arguments.url.clone().or_else(|| read(&data.join("address")).ok());
        let port = environment.get("APP_PORT").map_or("5550", String::as_str);
        let base = base.unwrap_or_else(|| format!("http://127.0.0.1:{port}"));
        let token_file = arguments
            .token_file
            .clone()
            .or_else(|| environment.get("BACKUP_ORCHESTRATOR_TOKEN_FILE").map(Into::into))
            .unwrap_or_else(|| data.join("cli.token"));
        let token = match environment.get("BACKUP_ORCHESTRATOR_TOKEN") {
            Some(token) => token.clone(),
            None => read(&token_file).map_err(|error| {
                CliError::Usage(format!(
                    "no token: {}: {error}; run this where the server's data folder is, or give \
                     --token-file before the command",
                    token_file.display()
                ))
            })?,
        };
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|error| CliError::Failed(error.to_string()))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.json(Method::GET, path, None).await
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

    async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let response = self.send(method, path, body).await?;
        let bytes = response.bytes().await.map_err(|error| CliError::Failed(error.to_string()))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| CliError::Failed(error.to_string()))
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
        let response = request.send().await.map_err(|error| {
            let what = if error.is_connect() {
                format!("cannot reach {}: is `backup-orchestrator serve` running?", self.base)
            } else {
                error.without_url().to_string()
            };
            CliError::Failed(what)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or(text.as_str()).to_owned();
        Err(match status {
            StatusCode::UNAUTHORIZED => {
                CliError::Failed(format!("{} does not accept the token", self.base))
            }
            StatusCode::NOT_FOUND => CliError::NotFound(detail),
            StatusCode::CONFLICT => CliError::Refused(detail),
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => CliError::Usage(detail),
            _ => CliError::Failed(detail),
        })
    }
}

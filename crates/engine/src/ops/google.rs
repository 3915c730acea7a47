//! Allowing a Google Drive destination: OAuth 2.0 with PKCE (RFC 7636).

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use model::{Destination, DestinationId, DestinationKind, Fact};
use rand::Rng as _;
use ring::digest;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::{Engine, EngineError, vault::Purpose};

/// What rclone made itself, and nothing else of the person's drive.
const SCOPE: &str = "https://www.googleapis.com/auth/drive.file";
/// How long Google may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// What a person is to be asked at Google.
#[derive(Debug)]
pub struct GoogleQuestion {
    /// Where they are asked.
    pub url: String,
    /// Comes back with the answer; known to nobody else.
    pub state: String,
    /// Proves that the answer is ours.
    pub verifier: SecretString,
}

/// What Google answers to a code.
#[derive(Deserialize)]
struct Answer {
    access_token: Option<SecretString>,
    refresh_token: Option<SecretString>,
    token_type: Option<String>,
    expires_in: Option<i64>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Engine {
    /// A question to Google for `destination`; `back` is where the answer is to go.
    pub fn google_question(
        &self,
        destination: &Destination,
        back: &str,
    ) -> Result<GoogleQuestion, EngineError> {
        let (client, _) = self.google_client(destination)?;
        let (state, verifier) = self.with_rng(|rng| {
            let mut bytes = [[0_u8; 32]; 2];
            rng.fill_bytes(&mut bytes[0]);
            rng.fill_bytes(&mut bytes[1]);
            let [state, verifier] = bytes.map(|some| BASE64_URL_SAFE_NO_PAD.encode(some));
            (state, verifier)
        });
        let challenge = digest::digest(&digest::SHA256, verifier.as_bytes());
        let wrong = |error: url::ParseError| {
            EngineError::conflict(Fact::GoogleAddress { why: error.to_string() })
        };
        let mut url = Url::parse(&self.0.config.google.auth).map_err(wrong)?;
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &client),
            ("redirect_uri", back),
            ("scope", SCOPE),
            ("state", &state),
            ("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(challenge)),
            ("code_challenge_method", "S256"),
            // Google gives a refresh token only when it asks anew.
            ("access_type", "offline"),
            ("prompt", "consent"),
        ]);
        Ok(GoogleQuestion { url: url.into(), state, verifier: verifier.into() })
    }

    /// Makes a token of Google's answer `code` and keeps it with the destination.
    pub async fn google_answered(
        &self,
        id: DestinationId,
        code: &str,
        verifier: &SecretString,
        back: &str,
    ) -> Result<Destination, EngineError> {
        let asked = self.0.catalog.destination(id).await?;
        let (client, secret) = self.google_client(&asked)?;
        let answer = self.google_told(&client, &secret, code, verifier, back).await?;
        let refresh =
            answer.refresh_token.ok_or_else(|| EngineError::refused(Fact::GoogleForAMoment {}))?;
        let until = self.now().as_second() + answer.expires_in.unwrap_or(0);
        let until = jiff::Timestamp::from_second(until).unwrap_or_else(|_| self.now());
        let access = answer.access_token.unwrap_or_else(|| "".into());
        // As rclone writes it.
        let token = serde_json::json!({
            "access_token": access.expose_secret(),
            "token_type": answer.token_type.unwrap_or_else(|| "Bearer".to_owned()),
            "refresh_token": refresh.expose_secret(),
            "expiry": until.to_string(),
        });
        let token = SecretString::from(token.to_string());
        // It may have been edited meanwhile.
        let mut current = self.0.catalog.destination(id).await?;
        current.secrets.insert("token".to_owned(), self.seal(Purpose::DestinationSecret, &token));
        current.secrets.remove("service_account");
        Ok(self.0.catalog.update_destination(&current, self.now()).await?)
    }

    async fn google_told(
        &self,
        client: &str,
        secret: &SecretString,
        code: &str,
        verifier: &SecretString,
        back: &str,
    ) -> Result<Answer, EngineError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let lost = |error: reqwest::Error| {
            let error = error.without_url();
            EngineError::refused(Fact::GoogleUnreachable { why: error.to_string() })
        };
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(lost)?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", back),
            ("client_id", client),
            ("client_secret", secret.expose_secret()),
            ("code_verifier", verifier.expose_secret()),
        ];
        let sent = http.post(&self.0.config.google.token).form(&form).send().await;
        let mut response = sent.map_err(lost)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(EngineError::refused(Fact::GoogleTooLong {}));
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| {
            EngineError::refused(Fact::GoogleUnclear { status: status.to_string() })
        })?;
        match &answer.error {
            None if status.is_success() => Ok(answer),
            error => {
                let said = error.as_deref().unwrap_or("no reason");
                let more = answer.error_description.as_deref().unwrap_or_default();
                let said: String = format!("{said} {more}")
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(200)
                    .collect();
                Err(EngineError::refused(Fact::GoogleRefused { said: said.trim().to_owned() }))
            }
        }
    }

    /// Id and secret of the destination's OAuth client.
    fn google_client(
        &self,
        destination: &Destination,
    ) -> Result<(String, SecretString), EngineError> {
        if destination.kind != DestinationKind::Gdrive {
            return Err(EngineError::conflict(Fact::NoGoogleDrive {
                destination: destination.name.to_string(),
            }));
        }
        let id = destination.settings.get("client_id").cloned();
        let secret = self.0.secret(destination, "client_secret")?;
        id.zip(secret).ok_or_else(|| EngineError::conflict(Fact::NoGoogleClient {}))
    }
}

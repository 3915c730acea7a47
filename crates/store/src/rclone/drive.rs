//! Google Drive, described to rclone by variables of its own process: no file holds the token.
//!
//! rclone renews the access token when it is old and cannot keep the new one; the next process
//! renews it again by the refresh token, which stays the same.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::{RcloneConfig, StoreError};

/// What rclone calls the remote.
const REMOTE: &str = "GD";

/// A folder of Google Drive.
#[derive(Debug, Clone, Default)]
pub struct DriveConfig {
    /// Folder below the root; made where it is not there.
    pub path: String,
    /// Id of the folder to be rooted at.
    pub folder_id: Option<String>,
    /// Id of a shared drive.
    pub team_drive: Option<String>,
    /// Id of the OAuth client that the token was given to.
    pub client_id: Option<String>,
    /// Its secret.
    pub client_secret: Option<SecretString>,
    /// What a person allowed: JSON with a `refresh_token`.
    pub token: Option<SecretString>,
    /// Key of a service account, as Google's JSON; instead of the token.
    pub service_account: Option<SecretString>,
    /// Where tokens are renewed, if not at Google.
    pub token_url: Option<String>,
}

impl DriveConfig {
    /// The same, for the program.
    pub fn rclone(self, program: PathBuf) -> Result<RcloneConfig, StoreError> {
        let mut env = Vec::new();
        let mut set = |name: &str, value: SecretString| {
            env.push((format!("RCLONE_CONFIG_{REMOTE}_{name}"), value));
        };
        set("TYPE", "drive".into());
        match (self.token, self.service_account) {
            (Some(token), None) => {
                if json(&token).is_none_or(|token| !has(&token, "refresh_token")) {
                    return Err(StoreError::config(
                        "the Google Drive token has no refresh_token: connect with Google again",
                    ));
                }
                // What it made itself, and nothing else of the person's drive.
                set("SCOPE", "drive.file".into());
                set("TOKEN", token);
            }
            (None, Some(key)) => {
                let fits = json(&key).is_some_and(|key| {
                    key["type"] == "service_account"
                        && has(&key, "private_key")
                        && has(&key, "client_email")
                });
                if !fits {
                    return Err(StoreError::config(
                        "that is no key of a service account: paste the whole JSON file that \
                         Google gave",
                    ));
                }
                // It sees only what is shared with it.
                set("SCOPE", "drive".into());
                set("SERVICE_ACCOUNT_CREDENTIALS", key);
            }
            (Some(_), Some(_)) => {
                return Err(StoreError::config(
                    "there are a token and a service account: forget one of them",
                ));
            }
            (None, None) => {
                return Err(StoreError::config(
                    "Google Drive is not connected: press \"Connect with Google\" on the \
                     destination's page, or give the key of a service account",
                ));
            }
        }
        let texts = [
            ("CLIENT_ID", self.client_id),
            ("TEAM_DRIVE", self.team_drive),
            ("TOKEN_URL", self.token_url),
            ("ROOT_FOLDER_ID", self.folder_id),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                set(name, value.into());
            }
        }
        if let Some(secret) = self.client_secret {
            set("CLIENT_SECRET", secret);
        }
        Ok(RcloneConfig {
            program,
            // None: what it would write is lost with its process.
            config_file: Some(PathBuf::new()),
            remote: REMOTE.to_owned(),
            path: self.path,
            root_folder_id: None,
            env,
        })
    }
}

fn json(text: &SecretString) -> Option<Value> {
    serde_json::from_str(text.expose_secret()).ok()
}

fn has(value: &Value, key: &str) -> bool {
    value[key].as_str().is_some_and(|text| !text.is_empty())
}

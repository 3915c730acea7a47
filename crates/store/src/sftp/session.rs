//! A connection to an SSH server, made when it is needed and made anew when it broke.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use russh::{
    client::{self, Handle},
    keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate},
};
use russh_sftp::{
    client::{Config as SftpConfigOfSession, SftpSession, error::Error as SftpError},
    protocol::StatusCode,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{StoreError, StoreErrorKind};

/// Connecting and logging in.
const CONNECTING: Duration = Duration::from_secs(30);
/// One request.
const REQUEST_SECS: u64 = 45;
/// Silence after which the server is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to, as whom, and which server it must be.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) username: String,
    pub(super) password: Option<SecretString>,
    pub(super) key: Option<Arc<PrivateKey>>,
    /// `SHA256:…` of the server's key.
    pub(super) host_key: String,
    pub(super) location: String,
}

/// A connection with the SFTP subsystem on it.
pub(super) struct Connection {
    handle: Handle<Guard>,
    pub(super) sftp: SftpSession,
    broken: AtomicBool,
    location: String,
}

/// Lets nobody but the expected server through, and keeps what another one showed.
struct Guard {
    expected: String,
    shown: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Guard {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        server: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = server else { return Ok(false) };
        let shown = key.fingerprint(HashAlg::Sha256).to_string();
        let fits = shown == self.expected;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        Ok(fits)
    }
}

/// The fingerprint in `text`: itself, or that of a public key or of a line of `known_hosts`.
pub(super) fn fingerprint(text: &str) -> Result<String, StoreError> {
    let text = text.trim();
    if let Some(hash) = text.strip_prefix("SHA256:")
        && hash.trim_end_matches('=').len() == 43
    {
        return Ok(text.trim_end_matches('=').to_owned());
    }
    let words: Vec<_> = text.split_whitespace().collect();
    let key = words.windows(2).find_map(|pair| PublicKey::from_openssh(&pair.join(" ")).ok());
    key.map(|key| key.fingerprint(HashAlg::Sha256).to_string()).ok_or_else(|| {
        StoreError::config(
            "the server's host key is neither SHA256:… nor a public key \
             (`ssh-keyscan -t ed25519 HOST` shows it)",
        )
    })
}

/// A private key with its line ends, which fields of forms lose.
pub(super) fn in_lines(key: &SecretString) -> SecretString {
    let text = key.expose_secret().trim();
    let parts: Vec<_> = text.split("-----").collect();
    if text.contains('\n') || parts.len() != 5 {
        return format!("{text}\n").into();
    }
    let body: Vec<_> = parts[2].chars().filter(|c| !c.is_whitespace()).collect();
    let lines: Vec<String> = body.chunks(70).map(|line| line.iter().collect()).collect();
    format!("-----{}-----\n{}\n-----{}-----\n", parts[1], lines.join("\n"), parts[3]).into()
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, StoreError> {
        tokio::time::timeout(CONNECTING, Self::opened(target)).await.unwrap_or_else(|_| {
            Err(StoreError::new(
                StoreErrorKind::Timeout,
                format!("{}: no connection in {} s", target.location, CONNECTING.as_secs()),
            ))
        })
    }

    async fn opened(target: &Target) -> Result<Self, StoreError> {
        let config = client::Config {
            keepalive_interval: Some(KEEP_ALIVE),
            nodelay: true,
            ..client::Config::default()
        };
        let shown = Arc::<Mutex<Option<String>>>::default();
        let guard = Guard { expected: target.host_key.clone(), shown: Arc::clone(&shown) };
        let told = |error: russh::Error| of_ssh(&target.location, &error);
        let address = (target.host.as_str(), target.port);
        let connected = client::connect(Arc::new(config), address, guard).await;
        let mut handle = connected.map_err(|error| {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
            match shown.filter(|shown| *shown != target.host_key) {
                Some(shown) => StoreError::config(format!(
                    "{}: the server shows the host key {shown}, not {}",
                    target.location, target.host_key
                )),
                None => told(error),
            }
        })?;
        let mut entered = false;
        if let Some(key) = &target.key {
            let key = PrivateKeyWithHashAlg::new(Arc::clone(key), Some(HashAlg::Sha256));
            let answer = handle.authenticate_publickey(&target.username, key).await;
            entered = answer.map_err(told)?.success();
        }
        if let Some(password) = target.password.as_ref().filter(|_| !entered) {
            let password = password.expose_secret();
            let answer = handle.authenticate_password(&target.username, password).await;
            entered = answer.map_err(told)?.success();
        }
        if !entered {
            return Err(StoreError::new(
                StoreErrorKind::PermissionDenied,
                format!("{}: the server does not let the user in", target.location),
            ));
        }
        let channel = handle.channel_open_session().await.map_err(told)?;
        channel.request_subsystem(true, "sftp").await.map_err(told)?;
        let limits = SftpConfigOfSession {
            request_timeout_secs: REQUEST_SECS,
            ..SftpConfigOfSession::default()
        };
        let sftp = SftpSession::new_with_config(channel.into_stream(), limits).await;
        let sftp = sftp.map_err(|error| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{}: the server gives no SFTP: {error}", target.location),
            )
        })?;
        let location = target.location.clone();
        Ok(Self { handle, sftp, broken: AtomicBool::new(false), location })
    }

    /// Whether nothing says that it broke.
    pub(super) fn is_alive(&self) -> bool {
        !self.handle.is_closed() && !self.broken.load(Ordering::Relaxed)
    }

    /// What an error means. One that is no answer of the server breaks the connection.
    pub(super) fn told(&self, what: &str, error: &SftpError) -> StoreError {
        let kind = match error {
            SftpError::Status(status) => match status.status_code {
                StatusCode::NoSuchFile => StoreErrorKind::NotFound,
                StatusCode::PermissionDenied => StoreErrorKind::PermissionDenied,
                StatusCode::OpUnsupported => StoreErrorKind::Config,
                _ => StoreErrorKind::Unavailable,
            },
            _ => {
                self.broken.store(true, Ordering::Relaxed);
                match error {
                    SftpError::Timeout => StoreErrorKind::Timeout,
                    _ => StoreErrorKind::Unavailable,
                }
            }
        };
        StoreError::new(kind, format!("{}: {what}: {error}", self.location))
    }

    /// What an error while writing below `folder` means: the protocol has no word for a full
    /// disk, so the disk is asked.
    pub(super) async fn told_writing(
        &self,
        what: &str,
        folder: &str,
        error: &(dyn std::fmt::Display + Sync),
    ) -> StoreError {
        let what = format!("{}: {what}: {error}", self.location);
        if self.handle.is_closed() {
            return StoreError::new(StoreErrorKind::Unavailable, what);
        }
        let kind = match self.sftp.fs_info(folder).await {
            Ok(Some(disk)) if disk.blocks_avail * disk.fragment_size < LITTLE_BYTES => {
                StoreErrorKind::Full
            }
            Ok(_) if what.to_lowercase().contains("permission denied") => {
                StoreErrorKind::PermissionDenied
            }
            Ok(_) => StoreErrorKind::Unavailable,
            Err(_) => {
                self.broken.store(true, Ordering::Relaxed);
                StoreErrorKind::Unavailable
            }
        };
        StoreError::new(kind, what)
    }
}

/// A disk with less room than this is full: the writes on their way would not fit.
const LITTLE_BYTES: u64 = 1 << 20;

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("location", &self.location).finish_non_exhaustive()
    }
}

fn of_ssh(location: &str, error: &russh::Error) -> StoreError {
    let kind = match error {
        russh::Error::NoCommonAlgo { .. } | russh::Error::UnknownKey => StoreErrorKind::Config,
        russh::Error::ConnectionTimeout | russh::Error::KeepaliveTimeout => StoreErrorKind::Timeout,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, format!("{location}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn a_host_key_is_read_in_each_of_its_forms() {
        let found = fingerprint(KEY).unwrap();
        assert!(found.starts_with("SHA256:"), "{found}");
        assert_eq!(fingerprint(&format!("{KEY} root@host")).unwrap(), found);
        assert_eq!(fingerprint(&format!("example.org {KEY}")).unwrap(), found);
        assert_eq!(fingerprint(&found).unwrap(), found);
        for bad in ["", "SHA256:short", "MD5:00:11", "ssh-ed25519", "anything"] {
            assert!(fingerprint(bad).is_err(), "{bad:?} was taken");
        }
    }
}

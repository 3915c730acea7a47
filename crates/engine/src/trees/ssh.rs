//! How the `ssh` program is called: as one user, with one key, to one server that is known.
//!
//! The key and the server's key are files in memory that only this process holds: nothing of them
//! lies on a disk, and nothing is left of them however the process ends.

use std::{
    fs::File,
    io::Write as _,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    sync::Arc,
};

use model::Fact;
use nix::sys::memfd::{MFdFlags, memfd_create};
use secrecy::{ExposeSecret as _, SecretString};

use crate::EngineError;

/// What the server is called in the list of known ones, whatever its address.
const ALIAS: &str = "tree-destination";

/// A server, and what it takes to get in.
#[derive(Clone)]
pub(crate) struct Ssh {
    host: String,
    port: u16,
    username: String,
    key: Arc<File>,
    known: Arc<File>,
}

impl Ssh {
    pub(super) fn new(
        host: String,
        port: u16,
        username: String,
        host_key: &str,
        key: &SecretString,
    ) -> Result<Self, EngineError> {
        // rsync takes the command apart at its spaces, and the address at its colons.
        let plain = |text: &str, more: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if !plain(&host, ".-_:") {
            return Err(EngineError::invalid("settings.host", Fact::HostAlone {}));
        }
        if !plain(&username, ".-_+@") {
            return Err(EngineError::invalid("settings.username", Fact::UserSigns {}));
        }
        let known = format!("{ALIAS} {}\n", public_key(host_key)?);
        let key = store::key_in_lines(key);
        Ok(Self {
            host,
            port,
            username,
            key: Arc::new(in_memory("ssh-key", key.expose_secret().as_bytes())?),
            known: Arc::new(in_memory("ssh-known-hosts", known.as_bytes())?),
        })
    }

    /// The command's words up to the server's name.
    pub(super) fn words(&self) -> Vec<String> {
        let path = |file: &File| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let mut words: Vec<_> = ["-F", "none", "-T", "-x", "-a"].map(str::to_owned).into();
        let options = [
            "BatchMode=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("UserKnownHostsFile={}", path(&self.known)),
            format!("HostKeyAlias={ALIAS}"),
            "ConnectTimeout=30".to_owned(),
            "ServerAliveInterval=15".to_owned(),
            "ServerAliveCountMax=4".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ];
        words.extend(options.into_iter().flat_map(|option| ["-o".to_owned(), option]));
        words.extend(["-p".to_owned(), self.port.to_string()]);
        words.extend(["-l".to_owned(), self.username.clone(), "-i".to_owned(), path(&self.key)]);
        words
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The server as rsync writes it before a path.
    pub(super) fn rsync_host(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:", self.host)
        } else {
            format!("{}:", self.host)
        }
    }

    /// Where it is, for people.
    pub(super) fn location(&self) -> String {
        format!("{}@{}:{}", self.username, self.host, self.port)
    }
}

/// The key in a line of `known_hosts` or a public key: type and base64.
fn public_key(text: &str) -> Result<String, EngineError> {
    let words: Vec<_> = text.split_whitespace().collect();
    let is_kind = |word: &str| {
        ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| word.starts_with(kind))
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "-@.".contains(c))
    };
    let is_base64 = |word: &str| {
        word.len() > 40 && word.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c))
    };
    words
        .windows(2)
        .find(|pair| is_kind(pair[0]) && is_base64(pair[1]))
        .map(|pair| pair.join(" "))
        .ok_or_else(|| EngineError::invalid("settings.host_key", Fact::HostKeyWhole {}))
}

fn in_memory(name: &str, bytes: &[u8]) -> Result<File, EngineError> {
    let made = memfd_create(name, MFdFlags::MFD_CLOEXEC).map_err(std::io::Error::from);
    let written = made.map(File::from).and_then(|mut file| {
        // ssh takes no key that others may read.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        Ok(file)
    });
    written.map_err(|error| {
        EngineError::refused(format!("the SSH key cannot be kept in memory: {error}"))
    })
}

/// `text` as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_whole_key() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        assert_eq!(public_key(key).unwrap(), key);
        assert_eq!(public_key(&format!("box.example {key} root@box")).unwrap(), key);
        for bad in ["", "SHA256:abc", "ssh-ed25519", "* ssh-ed25519 short"] {
            assert!(public_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_stay_words() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $(id)"), r"'it'\''s $(id)'");
    }

    #[test]
    fn an_address_is_nothing_but_an_address() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        let of = |host: &str, user: &str| {
            Ssh::new(host.to_owned(), 22, user.to_owned(), key, &"k".into()).is_ok()
        };
        assert!(of("box.example", "u123"));
        assert!(of("fd00::1", "u@realm"));
        for (host, user) in [("a b", "u"), ("-oX", "u"), ("h;id", "u"), ("h", "u -oX"), ("h", "")] {
            assert!(!of(host, user), "{host} {user}");
        }
    }
}

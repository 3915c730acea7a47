//! To whom streams are encrypted, and what opens them.

use std::fmt;

use age::{scrypt, x25519};
use secrecy::{ExposeSecret as _, SecretString};

use crate::Sha256;

/// Work of a passphrase as a power of two: 64 MiB and a fraction of a second for each stream.
const WORK: u8 = 16;
/// The most we do to open one: what stock `age` writes, 256 MiB.
const MAX_WORK: u8 = 18;
/// Recipients that one stream may have.
const MAX_RECIPIENTS: usize = 64;

/// Text that is no age key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not one recipient, or too many.
    #[error("give one to {MAX_RECIPIENTS} age recipients, separated by commas")]
    Count,
    /// A recipient that cannot be read.
    #[error(
        "`{0}` is no age recipient: it begins with `age1`, and `age-keygen -y` prints it from an \
         identity"
    )]
    Recipient(String),
    /// An identity that cannot be read; its text is not told.
    #[error(
        "this is no age identity: it begins with `AGE-SECRET-KEY-1`, as `age-keygen` prints it"
    )]
    Identity,
    /// An empty passphrase.
    #[error("the passphrase is empty")]
    Passphrase,
}

/// To whom a stream is encrypted: X25519 recipients, or whoever knows a passphrase.
#[derive(Clone)]
pub struct Recipients(To);

#[derive(Clone)]
enum To {
    Keys(Vec<x25519::Recipient>),
    Passphrase(SecretString),
}

impl Recipients {
    /// Recipients (`age1…`) separated by commas or white space.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let keys = words(text)
            .map(|word| {
                let told = || KeyError::Recipient(tellable(word));
                word.parse().map_err(|_| told())
            })
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() || keys.len() > MAX_RECIPIENTS {
            return Err(KeyError::Count);
        }
        Ok(Self(To::Keys(keys)))
    }

    /// Whoever knows `passphrase`.
    pub fn passphrase(passphrase: SecretString) -> Result<Self, KeyError> {
        if passphrase.expose_secret().is_empty() {
            return Err(KeyError::Passphrase);
        }
        Ok(Self(To::Passphrase(passphrase)))
    }

    /// What tells one from the other without being of use to anybody: `sha256:` and the SHA-256
    /// of a recipient's text, or `passphrase`.
    pub fn fingerprints(&self) -> Vec<String> {
        match &self.0 {
            To::Keys(keys) => keys
                .iter()
                .map(|key| format!("sha256:{}", Sha256::of(key.to_string().as_bytes())))
                .collect(),
            To::Passphrase(_) => vec!["passphrase".to_owned()],
        }
    }

    /// The recipients' own texts, separated by commas; `None` with a passphrase.
    pub fn text(&self) -> Option<String> {
        match &self.0 {
            To::Keys(keys) => {
                Some(keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
            To::Passphrase(_) => None,
        }
    }

    pub(crate) fn encryptor(&self) -> Result<age::Encryptor, age::EncryptError> {
        match &self.0 {
            To::Keys(keys) => {
                age::Encryptor::with_recipients(keys.iter().map(|key| key as &dyn age::Recipient))
            }
            To::Passphrase(passphrase) => {
                let mut recipient = scrypt::Recipient::new(passphrase.clone());
                recipient.set_work_factor(WORK);
                age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            }
        }
    }
}

/// What opens streams: X25519 identities, passphrases, or none at all.
#[derive(Clone, Default)]
pub struct Identities {
    keys: Vec<x25519::Identity>,
    passphrase: Option<SecretString>,
}

impl Identities {
    /// A new pair: the identity's text, to be kept secret, and its recipient's.
    pub fn generate() -> (SecretString, String) {
        let identity = x25519::Identity::generate();
        (identity.to_string(), identity.to_public().to_string())
    }

    /// Adds identities (`AGE-SECRET-KEY-1…`) separated by commas or white space; lines that begin
    /// with `#` are comments, as in the files of `age-keygen`.
    pub fn add(&mut self, text: &SecretString) -> Result<(), KeyError> {
        let lines = text.expose_secret().lines().map(str::trim);
        let keys = lines
            .filter(|line| !line.starts_with('#'))
            .flat_map(words)
            .map(|word| word.parse().map_err(|_| KeyError::Identity))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::Identity);
        }
        self.keys.extend(keys);
        Ok(())
    }

    /// Adds a passphrase; the last one counts.
    pub fn add_passphrase(&mut self, passphrase: SecretString) {
        self.passphrase = Some(passphrase);
    }

    /// Whether there is nothing to open with.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.passphrase.is_none()
    }

    /// The recipients that belong to its X25519 identities.
    pub fn recipients(&self) -> Option<Recipients> {
        let keys: Vec<_> = self.keys.iter().map(x25519::Identity::to_public).collect();
        (!keys.is_empty()).then_some(Recipients(To::Keys(keys)))
    }

    /// Whether it opens what is encrypted to `recipients` from now on.
    pub fn opens(&self, recipients: &Recipients) -> bool {
        match &recipients.0 {
            To::Keys(keys) => self
                .keys
                .iter()
                .any(|own| keys.iter().any(|key| own.to_public().to_string() == key.to_string())),
            To::Passphrase(other) => self
                .passphrase
                .as_ref()
                .is_some_and(|own| own.expose_secret() == other.expose_secret()),
        }
    }

    pub(crate) fn all(&self) -> Vec<Box<dyn age::Identity>> {
        let keys = self.keys.iter().cloned().map(|key| Box::new(key) as Box<dyn age::Identity>);
        let passphrase = self.passphrase.clone().map(|passphrase| {
            let mut identity = scrypt::Identity::new(passphrase);
            identity.set_max_work_factor(MAX_WORK);
            Box::new(identity) as Box<dyn age::Identity>
        });
        keys.chain(passphrase).collect()
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

/// What of a wrong recipient may be told: somebody may have put an identity there.
fn tellable(word: &str) -> String {
    if word.to_ascii_lowercase().starts_with("age1") {
        word.chars().take(80).flat_map(char::escape_debug).collect()
    } else {
        "…".to_owned()
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.fingerprints()).finish()
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

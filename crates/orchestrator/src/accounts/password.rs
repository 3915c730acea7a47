//! Passwords: Argon2id with the defaults of RFC 9106's second choice as OWASP trims it (19 MiB,
//! two passes), and what counts as too weak.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc},
};
use model::{Fact, PasswordHash};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

/// Shortest accepted password, in characters.
const MIN_LEN: usize = 10;
/// Longest, in bytes: more would only cost time.
const MAX_LEN: usize = 512;
/// Each check takes 19 MiB.
const AT_ONCE: usize = 2;

/// What a password must not be, whatever digits and signs follow.
const KNOWN: &[&str] = &[
    "cambiame",
    "cambiar",
    "admin",
    "administrador",
    "administrator",
    "password",
    "passw",
    "contraseña",
    "clave",
    "changeme",
    "change-me",
    "change_me",
    "secret",
    "secreto",
    "default",
    "qwerty",
    "qwertyuiop",
    "letmein",
    "welcome",
    "bienvenido",
    "backup",
    "backups",
    "backup-orchestrator",
    "orchestrator",
    "root",
    "test",
    "",
];

/// Checked where there is no such user, so that the reply takes the same time.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdCEhIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password is too weak, or `None`.
pub(crate) fn weakness(password: &str, user: &str) -> Option<Fact> {
    let lower = password.to_lowercase();
    let stem = lower.trim_end_matches(|c: char| !c.is_alphabetic());
    if KNOWN.contains(&stem) {
        return Some(Fact::PasswordKnown {});
    }
    if lower == user.to_lowercase() {
        return Some(Fact::PasswordIsName {});
    }
    if password.chars().count() < MIN_LEN {
        return Some(Fact::PasswordShort {});
    }
    if password.len() > MAX_LEN {
        return Some(Fact::PasswordLong {});
    }
    let mut different: Vec<_> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < 4 {
        return Some(Fact::PasswordRepeats {});
    }
    None
}

/// Hashes and checks away from the threads that serve, a few at once.
pub(super) struct Passwords {
    turns: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE) }
    }
}

impl Passwords {
    pub(super) async fn hash(&self, password: SecretString, salt: [u8; 16]) -> PasswordHash {
        self.work(move || {
            let hash: phc::PasswordHash = Argon2::default()
                .hash_password_with_salt(password.expose_secret().as_bytes(), &salt)
                .expect("the parameters are the library's own");
            PasswordHash::from_phc(hash.to_string())
        })
        .await
    }

    /// Whether `password` is the one; with no hash it never is, and takes as long.
    pub(super) async fn verify(&self, password: SecretString, hash: Option<PasswordHash>) -> bool {
        self.work(move || {
            let phc = hash.as_ref().map_or(NOBODY, PasswordHash::phc);
            let text = password.expose_secret();
            let right = Argon2::default().verify_password(text.as_bytes(), phc).is_ok();
            right && hash.is_some() && text.len() <= MAX_LEN
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let _turn = self.turns.acquire().await.expect("never closed");
        tokio::task::spawn_blocking(work).await.expect("hashing does not panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_told() {
        for weak in [
            "",
            "admin",
            "cambiame",
            "Cambiame123!",
            "password",
            "PASSWORD2026",
            "ninechars",
            "1234567890",
            "operations-team",
            "abababababab",
            &"x y z w".repeat(100),
        ] {
            assert!(weakness(weak, "Operations-Team").is_some(), "{weak:?} was accepted");
        }
        for strong in ["correct horse battery", "ñandúes en la pampa", "password manager made me"]
        {
            assert_eq!(weakness(strong, "admin"), None, "{strong:?} was refused");
        }
    }

    #[tokio::test]
    async fn only_the_same_password_verifies() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".into(), [7; 16]).await;
        assert!(hash.phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await);
        assert!(!passwords.verify("correct horsf".into(), Some(hash)).await);
        assert!(!passwords.verify("correct horse".into(), None).await);
    }

    #[test]
    fn nobodys_hash_costs_the_same() {
        let nobody = phc::PasswordHash::new(NOBODY).unwrap();
        let wrong = Argon2::default().verify_password(b"x", &nobody);
        assert!(matches!(wrong, Err(argon2::password_hash::Error::PasswordInvalid)), "{wrong:?}");
        let real: phc::PasswordHash =
            Argon2::default().hash_password_with_salt(b"x", &[1; 16]).unwrap();
        assert_eq!(nobody.params, real.params);
    }
}

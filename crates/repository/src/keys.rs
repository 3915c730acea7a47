//! The passwords of a repository. The master key stays the same: a password that leaked together
//! with its key file is worth changing, and what it opened stays open to whoever has both.

use secrecy::SecretString;

use crate::{FileKind, Id, Kdf, KeyFile, Lock, LockKind, Repository, RepositoryError};

/// A key as a list shows it.
#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// Its id.
    pub id: Id,
    /// What its file tells.
    pub file: KeyFile,
    /// Whether the repository was opened with it.
    pub is_current: bool,
}

impl Repository {
    /// Every key.
    pub async fn keys(&self) -> Result<Vec<KeyEntry>, RepositoryError> {
        let mut keys = Vec::new();
        for file in self.list(FileKind::Key).await? {
            let json = self.load(FileKind::Key, &file.id).await?;
            let parsed = KeyFile::parse(&json)
                .map_err(|e| RepositoryError::damaged(FileKind::Key, &file.id, e))?;
            let is_current = file.id == self.key_id();
            keys.push(KeyEntry { id: file.id, file: parsed, is_current });
        }
        Ok(keys)
    }

    /// Adds a password.
    pub async fn add_key(&self, password: &SecretString, kdf: Kdf) -> Result<Id, RepositoryError> {
        self.write_key(password, kdf).await
    }

    /// Removes a password, but not the one that the repository was opened with. Needs an exclusive
    /// lock.
    pub async fn remove_key(&self, lock: &Lock, id: &Id) -> Result<(), RepositoryError> {
        lock.ensure_kind(LockKind::Exclusive).await?;
        if *id == self.key_id() {
            return Err(RepositoryError::KeyInUse);
        }
        self.remove(FileKind::Key, id).await
    }

    /// Puts `password` in the place of the one that the repository was opened with. The new key is
    /// read back and opened before the old one goes. Needs an exclusive lock.
    pub async fn change_password(
        &mut self,
        lock: &Lock,
        password: &SecretString,
        kdf: Kdf,
    ) -> Result<Id, RepositoryError> {
        lock.ensure_kind(LockKind::Exclusive).await?;
        let id = self.write_key(password, kdf).await?;
        let json = self.load(FileKind::Key, &id).await?;
        let password = password.clone();
        let opened =
            tokio::task::spawn_blocking(move || KeyFile::parse(&json)?.open(&password)).await??;
        if opened.is_none() {
            let how = "it does not open with the password it was made for";
            return Err(RepositoryError::damaged(FileKind::Key, &id, how));
        }
        let old = self.key_id();
        self.set_key_id(id);
        self.remove(FileKind::Key, &old).await?;
        Ok(id)
    }

    /// Removes snapshots, and nothing else: what only they needed is there until it is pruned.
    /// Which go is decided by whoever calls. Needs an exclusive lock.
    pub async fn forget(&self, lock: &Lock, snapshots: &[Id]) -> Result<(), RepositoryError> {
        lock.ensure_kind(LockKind::Exclusive).await?;
        for id in snapshots {
            self.remove(FileKind::Snapshot, id).await?;
        }
        Ok(())
    }
}

//! The passwords of a repository. The master key stays the same: a password that leaked together
//! with its key file is worth changing, and what it opened stays open to whoever has both.

use secrecy::SecretString;

use crate::{FileKind, Id, Kdf, KeyFile, Lock, LockKind, Repository, RepositoryError};

/// A key that is made and lies nowhere yet: what it is called can be noted before it is there.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: Id,
    json: Vec<u8>,
}

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
        let key = self.make_key(password, kdf).await?;
        self.save_key(&key, password).await?;
        Ok(key.id)
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

    /// Makes a key for `password`; [`Repository::save_key`] puts it there.
    pub async fn make_key(
        &self,
        password: &SecretString,
        kdf: Kdf,
    ) -> Result<NewKey, RepositoryError> {
        let (master, password) = (self.key().clone(), password.clone());
        let surroundings = self.surroundings().clone();
        let file = tokio::task::spawn_blocking(move || {
            KeyFile::new(&master, &password, kdf, &surroundings)
        })
        .await??;
        let json = file.to_json()?;
        Ok(NewKey { id: Id::of(&json), json })
    }

    /// Writes a key, and proves that what lies there opens with `password`.
    pub async fn save_key(
        &self,
        key: &NewKey,
        password: &SecretString,
    ) -> Result<(), RepositoryError> {
        self.save(FileKind::Key, key.id, key.json.clone().into()).await?;
        let json = self.load(FileKind::Key, &key.id).await?;
        let password = password.clone();
        let opened =
            tokio::task::spawn_blocking(move || KeyFile::parse(&json)?.open(&password)).await??;
        if opened.is_some() {
            return Ok(());
        }
        let how = "it does not open with the password it was made for";
        Err(RepositoryError::damaged(FileKind::Key, &key.id, how))
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
        let key = self.make_key(password, kdf).await?;
        self.save_key(&key, password).await?;
        let old = self.key_id();
        self.set_key_id(key.id);
        self.remove(FileKind::Key, &old).await?;
        Ok(key.id)
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

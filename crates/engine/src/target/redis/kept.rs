//! What was there before, as a snapshot beside the one that comes: for a switch that fails.

use std::path::{Path, PathBuf};

use model::{Fact, Failure};
use tokio::io::AsyncWriteExt as _;

use super::{
    super::{Aim, blocking, folder},
    told::Told,
};
use crate::{
    durable,
    run::RunContext,
    source::{
        Part,
        direct::Driver as _,
        redis::{
            Redis,
            wire::{self, Connection},
        },
    },
};

/// A folder of its own beside what a restore makes.
pub(super) struct Kept(PathBuf);

impl Kept {
    pub(super) fn of(made: &str) -> Self {
        Self(PathBuf::from(format!("{made}-before")))
    }

    fn told(&self, error: &std::io::Error) -> Failure {
        folder::told(|what, why| Fact::NotDurable { what, why }, &self.0, error)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// The snapshot, where there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let file = self.0.join("dump.rdb");
        file.exists().then_some(file)
    }

    /// Takes it, unless that was done before or cannot be done; then the restore goes on without.
    pub(super) async fn take(
        &self,
        context: &RunContext,
        aim: &Aim<'_>,
    ) -> Result<Option<String>, Failure> {
        if !self.0.join("looked").exists() {
            let told = |error| self.told(&error);
            let mut private = tokio::fs::DirBuilder::new();
            private.recursive(true).mode(0o700).create(&self.0).await.map_err(told)?;
            let end = tokio::time::Instant::now() + wire::ANSWER;
            let info = Told(Connection::open(&aim.asked()?, end).await?.info().await?);
            if info.keys() > 0
                && let Err(failure) = self.write(context, aim).await
            {
                context.keep_going()?;
                context.journal.warn(format!(
                    "what is there cannot be put back if this fails half-way: {}",
                    failure.message
                ));
            }
            self.mark("looked").await?;
        }
        Ok(self.file().map(|file| file.display().to_string()))
    }

    async fn write(&self, context: &RunContext, aim: &Aim<'_>) -> Result<(), Failure> {
        let told = |error| self.told(&error);
        let half = self.0.join("half");
        let mut file = tokio::fs::OpenOptions::new();
        let file = file.write(true).create(true).truncate(true).mode(0o600).open(&half);
        let mut file = file.await.map_err(told)?;
        let asked = aim.asked()?;
        let mut snapshot = Redis.open(context, &asked, &Part::whole(asked.source)).await?;
        while let Some(chunk) = snapshot.chunk().await? {
            context.keep_going()?;
            file.write_all(&chunk).await.map_err(told)?;
        }
        file.flush().await.map_err(told)?;
        file.sync_all().await.map_err(told)?;
        let whole = self.0.join("dump.rdb");
        blocking(move || durable::rename(&half, &whole)).await?.map_err(told)
    }

    async fn mark(&self, word: &str) -> Result<(), Failure> {
        let (folder, mark) = (self.0.clone(), self.0.join(word));
        let marked = blocking(move || {
            std::fs::write(mark, "")?;
            durable::sync(&folder)
        });
        marked.await?.map_err(|error| self.told(&error))
    }

    /// From now on what is there is not what was there.
    pub(super) async fn begin(&self) -> Result<(), Failure> {
        let _ = tokio::fs::remove_file(self.0.join("back")).await;
        self.mark("begun").await
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.join("begun").exists()
    }

    /// What was there is there again.
    pub(super) async fn is_put_back(&self) -> Result<(), Failure> {
        self.mark("back").await
    }

    pub(super) fn was_put_back(&self) -> bool {
        self.0.join("back").exists()
    }

    pub(super) async fn remove(&self) -> Result<(), Failure> {
        let removed = crate::removal::remove(&self.0).await;
        let told = |what, why| Fact::NotRemoved { what, why };
        removed.map_err(|error| folder::told(told, &self.0, &error))
    }
}

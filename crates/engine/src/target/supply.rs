//! An artifact's bytes for a target: from one copy, proven at their end.

use std::sync::Arc;

use artifact::Identities;
use bytes::Bytes;
use model::{Artifact, Destination, Failure, StoredCopy};
use store::Store;

use crate::{
    run::{RunContext, failure, plain::Plain},
    source::tool::Reading,
};

/// Where an artifact is read from.
pub(crate) struct Supply<'a> {
    context: &'a RunContext,
    artifact: &'a Artifact,
    copy: &'a StoredCopy,
    destination: Destination,
    store: Arc<dyn Store>,
    identities: Identities,
}

impl<'a> Supply<'a> {
    /// From `copy`; errs where its destination or its key is out of reach.
    pub(crate) async fn from(
        context: &'a RunContext,
        artifact: &'a Artifact,
        copy: &'a StoredCopy,
    ) -> Result<Self, Failure> {
        let inner = &context.engine.0;
        let destination = inner
            .catalog
            .destination(copy.destination_id)
            .await
            .map_err(|error| failure::of_catalog(&error))?;
        let store =
            inner.store_for(&destination).await.map_err(|error| failure::of_engine(&error))?;
        let identities = if copy.is_encrypted() {
            inner.identities_of(&destination)?
        } else {
            Identities::default()
        };
        Ok(Self { context, artifact, copy, destination, store, identities })
    }

    /// Its destination.
    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Begins to read, from the first byte.
    pub(crate) fn open(&self) -> Result<Incoming<'a>, Failure> {
        let plain =
            Plain::read(Arc::clone(&self.store), self.copy, self.artifact, &self.identities)
                .map_err(|error| self.told(&error))?;
        let (context, name) = (self.context, self.destination.name.to_string());
        Ok(Incoming { context, plain, name })
    }

    /// Gives all of it to a tool, and waits for the tool's good end. `through` sees the bytes on
    /// their way and may change or refuse them.
    pub(crate) async fn feed(
        &self,
        mut tool: Reading,
        mut through: impl FnMut(Bytes) -> Result<Bytes, Failure> + Send,
    ) -> Result<(), Failure> {
        let mut bytes = self.open()?;
        let mut is_reading = true;
        while let Some(chunk) = bytes.chunk().await? {
            let chunk = through(chunk)?;
            is_reading = tool.feed(&chunk).await?;
            if !is_reading {
                break;
            }
        }
        if is_reading {
            tool.end_of_input();
        }
        loop {
            let said = tokio::select! {
                biased;
                failure = self.context.stopped() => return Err(failure),
                said = tool.chunk() => said?,
            };
            if said.is_none() {
                break;
            }
        }
        // A tool that is content with less has not taken in what there is.
        if is_reading {
            return Ok(());
        }
        let message = format!("the tool stopped reading `{}` before its end", self.artifact.source);
        Err(Failure::new(model::FailureCode::SourceFailed, message))
    }

    fn told(&self, error: &crate::run::plain::ReadError) -> Failure {
        let failure = error.failure();
        Failure { message: format!("`{}`: {}", self.destination.name, failure.message), ..failure }
    }
}

/// Bytes on their way: they count only when [`Incoming::chunk`] has given `None`.
pub(crate) struct Incoming<'a> {
    context: &'a RunContext,
    plain: Plain,
    name: String,
}

impl Incoming<'_> {
    /// The next chunk; `None` once all were given and proven.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let chunk = tokio::select! {
            biased;
            failure = self.context.stopped() => return Err(failure),
            chunk = self.plain.chunk() => chunk,
        };
        let chunk = chunk.map_err(|error| {
            let failure = error.failure();
            Failure { message: format!("`{}`: {}", self.name, failure.message), ..failure }
        })?;
        if let Some(chunk) = &chunk {
            self.context.journal.add_bytes(chunk.len());
        }
        Ok(chunk)
    }
}

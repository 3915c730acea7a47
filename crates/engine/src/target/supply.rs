//! An artifact's bytes for a target: from one copy, proven at their end.

use std::sync::Arc;

use artifact::Identities;
use bytes::Bytes;
use futures::{TryStreamExt as _, stream::BoxStream};
use model::{Artifact, Destination, Fact, Failure, StoredCopy};
use store::Store;

use crate::{
    run::{RunContext, failure, plain::Plain},
    source::tool::Reading,
    trees,
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

    /// The run it is read for.
    pub(crate) fn context(&self) -> &'a RunContext {
        self.context
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
        Ok(Incoming { context, from: From::Plain(plain), name })
    }

    /// Begins to read the files that it holds: its bytes, or, where it is a tree, the tar of that,
    /// which is compared with its listing first.
    pub(crate) async fn open_files(&self) -> Result<Incoming<'a>, Failure> {
        let mut objects = self.copy.objects.iter().filter(|o| o.source == self.artifact.source);
        let Some(tree) = objects.find_map(|object| object.tree.as_ref()) else {
            return self.open();
        };
        let (context, name) = (self.context, self.destination.name.to_string());
        let told = |failure: Failure| named(&name, failure);
        let work = trees::Work::of_run(context).await?;
        let proving = trees::prove(
            &context.engine,
            &self.destination,
            (&self.store, self.copy, self.artifact),
            tree,
            "",
            &work,
            |_| {},
        );
        let proven = tokio::select! {
            biased;
            failure = context.stopped() => return Err(failure),
            proven = proving => proven.map_err(told)?,
        };
        let config = &context.engine.0.config;
        let chunks = trees::read(&proven, config, work).await.map_err(told)?;
        Ok(Incoming { context, from: From::Tree(chunks), name })
    }

    /// Reads all of it and keeps nothing: what comes after may count on these bytes.
    pub(crate) async fn prove(&self) -> Result<(), Failure> {
        let mut bytes = self.open()?;
        while bytes.chunk().await?.is_some() {}
        Ok(())
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
            // A tool that waits for its server reads nothing meanwhile.
            is_reading = tokio::select! {
                biased;
                failure = self.context.stopped() => return Err(failure),
                fed = tool.feed(&chunk) => fed?,
            };
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
        let artifact = self.artifact.source.to_string();
        Err(Failure::new(model::FailureCode::SourceFailed, Fact::NotReadWhole { artifact }))
    }

    fn told(&self, error: &crate::run::plain::ReadError) -> Failure {
        named(self.destination.name.as_str(), error.failure())
    }
}

fn named(destination: &str, failure: Failure) -> Failure {
    failure.told_in(|why| Fact::Of { what: destination.to_owned(), why })
}

enum From {
    Plain(Plain),
    Tree(BoxStream<'static, Result<Bytes, Failure>>),
}

impl From {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Plain(plain) => plain.chunk().await.map_err(|error| error.failure()),
            Self::Tree(chunks) => chunks.try_next().await,
        }
    }
}

/// Bytes on their way: they count only when [`Incoming::chunk`] has given `None`.
pub(crate) struct Incoming<'a> {
    context: &'a RunContext,
    from: From,
    name: String,
}

impl Incoming<'_> {
    /// The next chunk; `None` once all were given and proven.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let chunk = tokio::select! {
            biased;
            failure = self.context.stopped() => return Err(failure),
            chunk = self.from.chunk() => chunk,
        };
        let chunk = chunk.map_err(|failure| named(&self.name, failure))?;
        if let Some(chunk) = &chunk {
            self.context.journal.add_bytes(chunk.len());
        }
        Ok(chunk)
    }
}

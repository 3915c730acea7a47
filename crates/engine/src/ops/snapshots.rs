//! Snapshots: reading them back, pinning them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, stream::BoxStream};
use model::{Artifact, DestinationId, FailureCode, Snapshot, SnapshotId};

use crate::{Engine, EngineError, run::plain::Plain, trees};

/// The plain bytes of an artifact. They count only when the stream has ended without an error:
/// until then they are not proven.
pub struct PlainStream {
    /// What is read. Size and SHA-256 are 0 and empty where they are not known before: the tar of
    /// a tree is made as it is read.
    pub artifact: Artifact,
    /// Where it is read from.
    pub destination_id: DestinationId,
    chunks: BoxStream<'static, Result<Bytes, EngineError>>,
}

impl Stream for PlainStream {
    type Item = Result<Bytes, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}

impl Engine {
    /// Opens the artifact that `source` gave to `snapshot`, from the destination asked for or
    /// the first whose copy can be opened.
    pub async fn read_artifact(
        &self,
        snapshot: &Snapshot,
        source: &str,
        from: Option<DestinationId>,
    ) -> Result<PlainStream, EngineError> {
        let artifact = snapshot
            .artifacts
            .iter()
            .find(|artifact| artifact.source.as_str() == source)
            .ok_or_else(|| EngineError::not_found("artifact", source))?;
        let mut refusal = EngineError::Damaged(format!(
            "snapshot {} has no good copy{}",
            snapshot.id,
            if from.is_some() { " at that destination" } else { "" },
        ));
        for copy in snapshot.copies.iter().filter(|copy| copy.state.is_restorable()) {
            if from.is_some_and(|only| only != copy.destination_id) {
                continue;
            }
            match self.open_copy(copy, artifact).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    async fn open_copy(
        &self,
        copy: &model::StoredCopy,
        artifact: &Artifact,
    ) -> Result<PlainStream, EngineError> {
        let destination = self.0.catalog.destination(copy.destination_id).await?;
        let store = self.0.store_for(&destination).await?;
        let told = |error: &crate::run::plain::ReadError| {
            let failure = error.failure();
            let message = format!("`{}`: {}", destination.name, failure.message);
            if failure.code == FailureCode::SecretUnreadable {
                EngineError::Locked(message)
            } else {
                EngineError::Damaged(message)
            }
        };
        let mut objects = copy.objects.iter().filter(|one| one.source == artifact.source);
        if let Some(tree) = objects.find_map(|object| object.tree.as_ref()) {
            return self.open_tree(&destination, &store, copy, artifact, tree).await;
        }
        let identities = if copy.is_encrypted() {
            let locked = |failure: model::Failure| EngineError::Locked(failure.message);
            self.0.identities_of(&destination).map_err(locked)?
        } else {
            artifact::Identities::default()
        };
        let mut plain =
            Plain::read(store, copy, artifact, &identities).map_err(|error| told(&error))?;
        // A copy that cannot even begin is passed over for the next one.
        let first = plain.chunk().await.map_err(|error| told(&error))?;
        let name = destination.name.clone();
        let rest = futures::stream::try_unfold(plain, move |mut plain| {
            let name = name.clone();
            async move {
                match plain.chunk().await {
                    Ok(Some(chunk)) => Ok(Some((chunk, plain))),
                    Ok(None) => Ok(None),
                    Err(error) => {
                        let message = format!("`{name}`: {}", error.failure().message);
                        Err(EngineError::Damaged(message))
                    }
                }
            }
        });
        let chunks: BoxStream<'static, _> = match first {
            Some(first) => {
                use futures::StreamExt as _;
                futures::stream::iter([Ok(first)]).chain(rest).boxed()
            }
            None => Box::pin(futures::stream::empty()),
        };
        Ok(PlainStream { artifact: artifact.clone(), destination_id: copy.destination_id, chunks })
    }

    /// The tar of a tree, every file of which is compared with its listing first.
    async fn open_tree(
        &self,
        destination: &model::Destination,
        store: &Arc<dyn store::Store>,
        copy: &model::StoredCopy,
        artifact: &Artifact,
        tree: &str,
    ) -> Result<PlainStream, EngineError> {
        use futures::StreamExt as _;
        let name = destination.name.clone();
        let told = move |failure: model::Failure| {
            EngineError::Damaged(format!("`{name}`: {}", failure.message))
        };
        let work = trees::Work::of_reader(self).await.map_err(&told)?;
        let (host, key, listing) =
            trees::prove(self, destination, (store, copy, artifact), tree, &work, |_| {})
                .await
                .map_err(&told)?;
        let chunks = trees::read(&host, &self.0.config, &key, &listing, work).await;
        let chunks = chunks.map_err(&told)?.map(move |chunk| chunk.map_err(&told)).boxed();
        let artifact = Artifact {
            file_name: format!("{}.tar", artifact.source),
            format: Some("tar".to_owned()),
            content_type: Some("application/x-tar".to_owned()),
            size_bytes: 0,
            sha256: String::new(),
            ..artifact.clone()
        };
        Ok(PlainStream { artifact, destination_id: copy.destination_id, chunks })
    }

    /// Pins a snapshot, or lets it go. A pinned one is never expired; one whose deletion has
    /// begun cannot be pinned any more.
    pub async fn set_pinned(&self, id: SnapshotId, pinned: bool) -> Result<(), EngineError> {
        Ok(self.0.catalog.set_pinned(id, pinned).await?)
    }

    /// Says that an anomalous snapshot is as it should be, so that retention goes on.
    pub async fn accept_anomaly(&self, id: SnapshotId) -> Result<(), EngineError> {
        Ok(self.0.catalog.set_anomalous(id, false).await?)
    }
}

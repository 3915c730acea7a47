//! Snapshots: reading them back, pinning them.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use artifact::Digester;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use model::{
    Artifact, DestinationId, Fact, Failure, FailureCode, Snapshot, SnapshotId, StoredCopy,
};

use crate::{
    Engine, EngineError,
    run::{failure, plain::Plain, restore},
    trees,
};

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
    /// the first whose copy can be opened. A copy that is damaged further on is marked, and another
    /// goes on in its place.
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
        let mut refusal = {
            let snapshot = snapshot.id.to_string();
            EngineError::damaged(match from {
                Some(_) => Fact::NoGoodCopyThere { snapshot },
                None => Fact::NoGoodCopyOf { snapshot },
            })
        };
        let mut copies: VecDeque<_> = restore::candidates(snapshot, from).into();
        while let Some(copy) = copies.pop_front() {
            let first_choice = copy.destination_id;
            let mut objects = copy.objects.iter().filter(|one| one.source == artifact.source);
            if let Some(tree) = objects.find_map(|object| object.tree.as_ref()) {
                match self.open_tree(&copy, artifact, tree, "").await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => refusal = error,
                }
                continue;
            }
            let begun = Replaced::begun(self, snapshot.id, artifact, copy, copies.clone()).await;
            let begun = match begun {
                Ok(begun) => begun.next().await,
                Err(error) => Err(error),
            };
            // A copy that cannot even begin is passed over for the next one.
            let (destination_id, chunks) = match begun {
                Ok(Some((first, rest))) => {
                    let from = rest.copy.destination_id;
                    let rest = futures::stream::try_unfold(rest, Replaced::next);
                    (Some(from), futures::stream::iter([Ok(first)]).chain(rest).boxed())
                }
                Ok(None) => (None, futures::stream::empty().boxed()),
                Err(error) => {
                    refusal = error;
                    continue;
                }
            };
            let destination_id = destination_id.unwrap_or(first_choice);
            return Ok(PlainStream { artifact: artifact.clone(), destination_id, chunks });
        }
        Err(refusal)
    }

    /// The plain bytes of a copy, from its first on.
    async fn plain_of(&self, copy: &StoredCopy, artifact: &Artifact) -> Result<Plain, Failure> {
        let destination = self.0.catalog.destination(copy.destination_id).await;
        let destination = destination.map_err(|error| failure::of_catalog(&error))?;
        let store = self.0.store_for(&destination).await;
        let store = store.map_err(|error| failure::of_engine(&error))?;
        let identities = if copy.is_encrypted() {
            self.0.identities_of(&destination)?
        } else {
            artifact::Identities::default()
        };
        Plain::read(store, copy, artifact, &identities).map_err(|error| error.failure())
    }

    /// Marks a copy that was found not to be what it was.
    async fn mark(&self, id: SnapshotId, copy: &StoredCopy, failure: &Failure) {
        let Some(state) = restore::Blame::of(failure).and_then(|blame| blame.state) else { return };
        // What cannot be written down now is found again by the next one who reads it.
        if let Err(error) = self.0.catalog.found_copy(id, copy, state).await {
            tracing::warn!(snapshot = %id, %error, "a damaged copy could not be marked");
        }
    }

    /// The tar of what is at and below `path` in the tree that `source` gave to `snapshot`; nothing
    /// else of it is read.
    pub(super) async fn read_part(
        &self,
        snapshot: &Snapshot,
        source: &str,
        path: &str,
    ) -> Result<PlainStream, EngineError> {
        let mut refusal =
            EngineError::damaged(Fact::NoGoodCopyOf { snapshot: snapshot.id.to_string() });
        for copy in &restore::candidates(snapshot, None) {
            let mut objects = copy.objects.iter().filter(|one| one.source.as_str() == source);
            let artifact = snapshot.artifacts.iter().find(|one| one.source.as_str() == source);
            let tree = objects.find_map(|object| object.tree.as_ref());
            let (Some(artifact), Some(tree)) = (artifact, tree) else { continue };
            match self.open_tree(copy, artifact, tree, path).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// The tar of a tree, or of what is at and below `path` in it. Each file of that is compared
    /// with the listing first.
    async fn open_tree(
        &self,
        copy: &StoredCopy,
        artifact: &Artifact,
        tree: &str,
        path: &str,
    ) -> Result<PlainStream, EngineError> {
        let destination = &self.0.catalog.destination(copy.destination_id).await?;
        let store = &self.0.store_for(destination).await?;
        let name = destination.name.clone();
        let told = move |failure: model::Failure| {
            EngineError::damaged(Fact::At { place: format!("`{name}`"), why: failure.into() })
        };
        let work = trees::Work::of_reader(self).await.map_err(&told)?;
        let from = (store, copy, artifact);
        let proving = trees::prove(self, destination, from, tree, path, &work, |_| {});
        let proven = proving.await.map_err(&told)?;
        let chunks = trees::read(&proven, &self.0.config, work).await;
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

/// The bytes of an artifact, from one copy and, where that turns out to be damaged, from the next.
struct Replaced {
    engine: Engine,
    snapshot: SnapshotId,
    artifact: Artifact,
    copy: StoredCopy,
    others: VecDeque<StoredCopy>,
    plain: Option<Plain>,
    /// What was handed out.
    given: Digester,
    given_bytes: u64,
    /// What of it has to come by again before anything new does, and what has.
    to_pass: u64,
    passed: Digester,
}

impl Replaced {
    async fn begun(
        engine: &Engine,
        snapshot: SnapshotId,
        artifact: &Artifact,
        copy: StoredCopy,
        others: VecDeque<StoredCopy>,
    ) -> Result<Self, EngineError> {
        let mut begun = Self {
            engine: engine.clone(),
            snapshot,
            artifact: artifact.clone(),
            copy,
            others,
            plain: None,
            given: Digester::new(),
            given_bytes: 0,
            to_pass: 0,
            passed: Digester::new(),
        };
        match engine.plain_of(&begun.copy, artifact).await {
            Ok(plain) => begun.plain = Some(plain),
            Err(failure) => return Err(begun.failed(&failure).await),
        }
        Ok(begun)
    }

    /// The next bytes, and what comes after; `None` once all were handed out and proven.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, EngineError> {
        loop {
            let Some(plain) = &mut self.plain else { return Ok(None) };
            let failure = match plain.chunk().await {
                Ok(None) if self.to_pass == 0 => return Ok(None),
                Ok(None) => Failure::new(FailureCode::Damaged, "it ends too early"),
                Ok(Some(mut chunk)) => {
                    let again =
                        chunk.len().min(usize::try_from(self.to_pass).unwrap_or(usize::MAX));
                    let again = chunk.split_to(again);
                    self.passed.update(&again);
                    self.to_pass -= again.len() as u64;
                    if self.to_pass == 0 && !again.is_empty() && self.differs() {
                        return Err(EngineError::damaged(Fact::HandedOutOther {}));
                    }
                    if chunk.is_empty() {
                        continue;
                    }
                    self.given.update(&chunk);
                    self.given_bytes += chunk.len() as u64;
                    return Ok(Some((chunk, self)));
                }
                Err(error) => error.failure(),
            };
            let mut told = self.failed(&failure).await;
            loop {
                let Some(copy) = self.others.pop_front() else { return Err(told) };
                let is_tree = copy.objects.iter().any(|object| object.tree.is_some());
                if is_tree {
                    continue;
                }
                self.copy = copy;
                match self.engine.plain_of(&self.copy, &self.artifact).await {
                    Ok(plain) => {
                        self.plain = Some(plain);
                        (self.to_pass, self.passed) = (self.given_bytes, Digester::new());
                        break;
                    }
                    Err(failure) => told = self.failed(&failure).await,
                }
            }
        }
    }

    fn differs(&self) -> bool {
        self.given.clone().finish() != self.passed.clone().finish()
    }

    /// Marks the copy where it is damaged, and words what is wrong with it.
    async fn failed(&self, failure: &Failure) -> EngineError {
        self.engine.mark(self.snapshot, &self.copy, failure).await;
        let id = self.copy.destination_id;
        let destination = self.engine.0.catalog.destination(id).await;
        let name = destination.map_or_else(|_| id.to_string(), |one| one.name.to_string());
        let told = Fact::At { place: format!("`{name}`"), why: failure.clone().into() };
        match failure.code {
            FailureCode::SecretUnreadable => EngineError::locked(told),
            _ => EngineError::damaged(told),
        }
    }
}

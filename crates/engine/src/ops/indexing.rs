//! Indexes of archives, made in the background: whoever waits for one may go away and come back.

use std::{path::Path, sync::Arc, time::Duration};

use model::{Artifact, Fact, Snapshot, SnapshotId};

use crate::{
    Engine, EngineError,
    index::{Blocks, Cache, Counted, Incoming, IndexError, Making, NotMade, Reading, make, zipped},
    run::plain::Plain,
    trees,
};

/// How long a page waits for an index before it says that it is being made.
const PATIENCE: Duration = Duration::from_millis(700);

/// What an artifact is, by how it is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Tar,
    Zip,
    Tree,
}

impl Engine {
    /// How far the index of what `source` gave to the snapshot is; `None` where it is there. It is
    /// made in the background, and begun by this call.
    pub async fn index_under_way(
        &self,
        id: SnapshotId,
        source: &str,
    ) -> Result<Option<Reading>, EngineError> {
        let (snapshot, artifact) = self.artifact_of(id, source).await?;
        let path = self.0.indexes.path(&id.to_string(), artifact.source.as_str());
        if path.exists() || !snapshot.copies.iter().any(|copy| copy.state.is_restorable()) {
            return Ok(None);
        }
        let making = self.begin_index(&snapshot, &artifact, &path);
        match tokio::time::timeout(PATIENCE, making.ended()).await {
            Err(_) => Ok(Some(making.reading())),
            Ok(ended) => self.told(&path, ended).map(|()| None),
        }
    }

    /// The index at `path`, made where it is not being made already.
    pub(super) async fn index(
        &self,
        snapshot: &Snapshot,
        artifact: &Artifact,
        path: &Path,
    ) -> Result<(), EngineError> {
        let ended = self.begin_index(snapshot, artifact, path).ended().await;
        self.told(path, ended)
    }

    /// A fault is told once, and then tried again.
    fn told(&self, path: &Path, ended: Result<(), NotMade>) -> Result<(), EngineError> {
        ended.map_err(|fault| {
            self.0.indexes.under_way().remove(path);
            fault.error()
        })
    }

    fn begin_index(&self, snapshot: &Snapshot, artifact: &Artifact, path: &Path) -> Arc<Making> {
        let mut all = self.0.indexes.under_way();
        if let Some(making) = all.get(path) {
            return Arc::clone(making);
        }
        let making = Making::new(artifact.size_bytes);
        all.insert(path.to_owned(), Arc::clone(&making));
        drop(all);
        let (engine, path, ours) = (self.clone(), path.to_owned(), Arc::clone(&making));
        let (snapshot, artifact) = (snapshot.clone(), artifact.clone());
        tokio::spawn(async move {
            let made = engine.make_index(&snapshot, &artifact, &path, &ours).await;
            if made.is_ok() {
                engine.0.indexes.under_way().remove(&path);
            }
            ours.end(made);
        });
        making
    }

    async fn make_index(
        &self,
        snapshot: &Snapshot,
        artifact: &Artifact,
        path: &Path,
        making: &Arc<Making>,
    ) -> Result<(), EngineError> {
        let turn = self.0.indexes.turn().await;
        for (held, file) in self.0.indexes.snapshots() {
            let is_there = match held.parse() {
                Ok(held) => self.0.catalog.snapshot(held).await.is_ok(),
                Err(_) => false,
            };
            if !is_there {
                drop(std::fs::remove_file(file));
            }
        }
        let (path, making) = (path.to_owned(), Arc::clone(making));
        let made = match shape(snapshot, artifact) {
            Shape::Zip => {
                let from = self.stretches(snapshot, artifact).await?;
                let from = Blocks::new(from, artifact.size_bytes);
                blocking(move || Cache::make(&path, |to| zipped::make(from, to))).await
            }
            Shape::Tree => {
                let from = Incoming::of(self.listing(snapshot, artifact).await?);
                let from = Counted { from, making };
                blocking(move || Cache::make(&path, |to| trees::listed::make(from, to))).await
            }
            Shape::Tar => {
                let source = artifact.source.as_str();
                let from = Incoming::of(self.read_artifact(snapshot, source, None).await?);
                let from = Counted { from, making };
                blocking(move || Cache::make(&path, |to| make::make(from, to))).await
            }
        };
        self.0.indexes.bound();
        drop(turn);
        made?.map(drop).map_err(|error| {
            let (source, why) = (artifact.source.to_string(), error.to_string());
            EngineError::invalid("source", Fact::CannotLookInto { source, why })
        })
    }

    /// The listing of a tree, from the first copy that can be read.
    async fn listing(
        &self,
        snapshot: &Snapshot,
        artifact: &Artifact,
    ) -> Result<
        impl futures::Stream<Item = Result<bytes::Bytes, EngineError>> + Send + 'static,
        EngineError,
    > {
        let mut refusal =
            EngineError::damaged(Fact::NoGoodCopyOf { snapshot: snapshot.id.to_string() });
        for copy in snapshot.copies.iter().filter(|copy| copy.state.is_restorable()) {
            if !copy.objects.iter().any(|one| one.source == artifact.source && one.tree.is_some()) {
                continue;
            }
            let opened = async {
                let destination = self.0.catalog.destination(copy.destination_id).await?;
                let store = self.0.store_for(&destination).await?;
                let identities = artifact::Identities::default();
                Plain::read(store, copy, artifact, &identities)
                    .map_err(|error| EngineError::damaged(error.failure()))
            };
            match opened.await {
                Ok(plain) => {
                    return Ok(futures::stream::try_unfold(plain, async |mut plain| {
                        let chunk = plain.chunk().await;
                        let damaged = |error: crate::run::plain::ReadError| {
                            EngineError::damaged(error.failure())
                        };
                        Ok(chunk.map_err(damaged)?.map(|chunk| (chunk, plain)))
                    }));
                }
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

/// Whether it is kept as a tree of files.
fn is_tree(snapshot: &Snapshot, artifact: &Artifact) -> bool {
    let mut objects = snapshot.copies.iter().flat_map(|copy| &copy.objects);
    objects.any(|one| one.source == artifact.source && one.tree.is_some())
}

/// Whether an artifact is an archive that can be looked into, as far as its names tell.
pub fn is_archive(snapshot: &Snapshot, artifact: &Artifact) -> bool {
    let format = artifact.format.as_deref().unwrap_or_default().to_ascii_lowercase();
    let name = artifact.file_name.to_ascii_lowercase();
    is_tree(snapshot, artifact)
        || format.contains("tar")
        || format == "zip"
        || [".zip", ".tar", ".tgz"].iter().any(|end| name.contains(end))
}

fn shape(snapshot: &Snapshot, artifact: &Artifact) -> Shape {
    if is_tree(snapshot, artifact) {
        return Shape::Tree;
    }
    let ends = artifact.file_name.to_ascii_lowercase().ends_with(".zip");
    if ends || artifact.format.as_deref().is_some_and(|format| format.eq_ignore_ascii_case("zip")) {
        return Shape::Zip;
    }
    Shape::Tar
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IndexError> + Send + 'static,
) -> Result<Result<T, IndexError>, EngineError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| EngineError::conflict(Fact::IndexNotMade {}))
}

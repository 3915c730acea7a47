//! Files for a destination of trees: the tree is made there, and what is streamed is its listing.

use std::os::unix::fs::MetadataExt as _;

use archive::Warnings;
use bytes::{Bytes, BytesMut};
use model::{Binding, Destination, DestinationKind, Fact, Failure, FailureCode};
use store::Key;
use tokio::{fs::File, io::AsyncReadExt as _, time::Instant};

use super::{basis::Basis, paths::Wanted, stream};
use crate::{
    run::{RunContext, backup::names_at, failure, place::in_folder},
    source::{OpenedSource, Part, SourceMeta, SourceOutcome, SourceStream, direct::Asked},
    trees::{self, Claim, Host, Making, Work},
};

const CHUNK: usize = 256 << 10;
/// How many names are tried.
const MAX_SAME_NAMES: u32 = 50;

/// A destination of trees.
pub(super) struct Place {
    destination: Destination,
    binding: Binding,
}

impl Place {
    /// The app's destination where that is one of trees, which is then its only one.
    pub(super) async fn of(asked: &Asked<'_>) -> Result<Option<Self>, Failure> {
        for binding in &asked.app.destinations {
            let found = asked.engine.0.catalog.destination(binding.destination_id).await;
            let destination = found.map_err(|error| failure::of_catalog(&error))?;
            if destination.kind == DestinationKind::Tree {
                if asked.app.destinations.len() > 1 {
                    return Err(Failure::new(FailureCode::DestinationConfig, Fact::OnlyTree {}));
                }
                return Ok(Some(Self { destination, binding: binding.clone() }));
            }
        }
        Ok(None)
    }

    /// The first free name, with the folder that is now ours, and the root without links.
    async fn claim(
        &self,
        context: &RunContext,
        asked: &Asked<'_>,
        part: &Part,
        host: &Host,
    ) -> Result<(Key, String), Failure> {
        let config = &context.engine.0.config;
        let names = names_at(context, asked.app, &self.binding);
        let source = (asked.app.sources.len() > 1).then_some(part.name.as_str());
        for attempt in 1..=MAX_SAME_NAMES {
            let name = names.tree(source, attempt);
            let tree = in_folder(&self.destination, &self.binding.folder, &name)?;
            context.intend(self.destination.id, &tree).await?;
            match host.claim(config, &tree).await? {
                Claim::Ours(root) => return Ok((tree, root)),
                Claim::Taken => context.disown(self.destination.id, &tree).await?,
            }
        }
        Err(Failure::new(
            FailureCode::DestinationConfig,
            format!(
                "{MAX_SAME_NAMES} trees of the same name are already at `{}`: use a name template \
                 with seconds or the run's id",
                self.destination.name
            ),
        ))
    }
}

/// Makes the tree, and opens its listing.
pub(super) async fn open(
    context: &RunContext,
    asked: &Asked<'_>,
    part: &Part,
    place: Place,
    wanted: Wanted,
    basis: Basis,
) -> Result<OpenedSource, Failure> {
    if asked.flag("follow_symlinks") {
        return Err(Failure::new(
            FailureCode::SourceConfig,
            "a tree keeps links as links: unset `follow_symlinks`, or name what they lead to",
        ));
    }
    let ends_by = Instant::now() + asked.timeout();
    let inner = &context.engine.0;
    let engine_failure = |error| failure::of_engine(&error);
    let host = Host::of(inner, &place.destination).map_err(engine_failure)?;
    let host = host.ok_or_else(|| Failure::new(FailureCode::Internal, "no place for a tree"))?;
    let store = inner.store_for(&place.destination).await.map_err(engine_failure)?;
    let work = Work::of_run(context).await?;
    let mut warnings = Warnings::default();
    let walk = stream::walk(asked, &wanted, &basis, &mut warnings)?;
    let previous =
        trees::previous(context, place.destination.id, &store, &part.name, &work).await?;
    let (tree, root) = place.claim(context, asked, part, &host).await?;
    context.journal.info(match &previous {
        Some(previous) => format!("making {tree}, shared with {} where it can be", previous.tree),
        None => format!("making {tree}, the first of its kind"),
    });
    let limit = asked.max_size_bytes();
    let making = Making {
        context,
        host: &host,
        tree: &tree,
        root: &root,
        previous,
        work: &work,
        limit,
        ends_by,
    };
    let on_btrfs = basis.is_btrfs();
    let notice = move |item: &archive::Item, warnings: &mut Warnings| {
        if on_btrfs && item.meta.is_dir() && item.meta.ino() == stream::NO_SUBVOLUME {
            warnings.push(&item.path, stream::OTHER_SUBVOLUME);
        }
    };
    let made = trees::make(&making, walk, basis.roots.clone(), warnings, notice);
    let (made, warnings) = tokio::time::timeout_at(ends_by, made).await.unwrap_or_else(|_| {
        let message = format!("`{}` was not read in time: raise the app's time limit", part.name);
        Err(Failure::new(FailureCode::Timeout, message))
    })?;
    context.journal.info(format!("{tree}: {made}"));
    let mut warnings: Vec<_> = warnings.told().iter().map(|line| basis.as_named(line)).collect();
    // A snapshot that stays is an embarrassment, no reason to throw the tree away.
    if let Err(failure) = basis.end(context).await {
        warnings.push(failure.message);
    }
    let told = |error: std::io::Error| Failure::new(FailureCode::SourceFailed, error.to_string());
    let file = File::open(&made.listing).await.map_err(told)?;
    let size = file.metadata().await.map_err(told)?.len();
    Ok(Box::new(Listing {
        meta: SourceMeta {
            file_name: format!("{}.tree.jsonl", part.name),
            format: Some(trees::FORMAT.to_owned()),
            content_type: None,
            expected_size_bytes: Some(size),
        },
        tree: tree.to_string(),
        file,
        read: 0,
        has_ended: false,
        warnings,
        _work: work,
    }))
}

/// A tree's listing, of which the tree itself is made.
struct Listing {
    meta: SourceMeta,
    tree: String,
    file: File,
    read: u64,
    has_ended: bool,
    warnings: Vec<String>,
    _work: Work,
}

#[async_trait::async_trait]
impl SourceStream for Listing {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let count = self.file.read_buf(&mut chunk).await.map_err(|error| {
            Failure::new(FailureCode::SourceFailed, format!("the spool folder: {error}"))
        })?;
        self.read += count as u64;
        self.has_ended = count == 0;
        Ok((count > 0).then(|| chunk.freeze()))
    }

    fn outcome(&self) -> Option<SourceOutcome> {
        let (size_bytes, sha256) = (self.read, None);
        self.has_ended.then_some(SourceOutcome { size_bytes, sha256, verified_by_source: false })
    }

    fn allows_empty(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn tree(&self) -> Option<&str> {
        Some(&self.tree)
    }
}

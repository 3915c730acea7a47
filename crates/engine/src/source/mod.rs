//! Sources: each gives one or several streams, and each stream bytes and then exactly one outcome.

mod contract;
pub(crate) mod direct;
pub(crate) mod files;
pub(crate) mod mysql;
pub(crate) mod parts;
pub(crate) mod postgres;
pub(crate) mod reach;
pub(crate) mod redis;
pub(crate) mod sqlite;
pub(crate) mod tool;
pub(crate) mod volume;
mod walked;

use artifact::contents::Counted;
use bytes::Bytes;
use model::{App, DirectKind, Failure, Name, Source, SourceKind};

use crate::run::RunContext;

/// What a source says of its stream before the first byte.
#[derive(Debug, Clone)]
pub(crate) struct SourceMeta {
    /// A safe base name.
    pub(crate) file_name: String,
    pub(crate) format: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) expected_size_bytes: Option<u64>,
}

/// What a source says at the end.
#[derive(Debug, Clone)]
pub(crate) struct SourceOutcome {
    pub(crate) size_bytes: u64,
    /// 64 hex digits, where the source told them: what was sealed must have the same.
    pub(crate) sha256: Option<String>,
    /// Whether the source declared size and checksum.
    pub(crate) verified_by_source: bool,
}

/// An opened source.
#[async_trait::async_trait]
pub(crate) trait SourceStream: Send {
    fn meta(&self) -> &SourceMeta;
    /// The next bytes; `None` when the stream ended as it should.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure>;
    /// Known only after `chunk` has given `None`.
    fn outcome(&self) -> Option<SourceOutcome>;
    /// Whether an export of no bytes is acceptable.
    fn allows_empty(&self) -> bool;
    /// What is to be known of the stream and is no failure; asked after its end.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
    /// Rows that the source counted itself, where the stream does not tell; asked after its end.
    fn counted(&self) -> Option<Counted> {
        None
    }
    /// What it is for WAL, where it is a base backup; asked after its end.
    fn base(&self) -> Option<model::BaseFacts> {
        None
    }
    /// The folder at the destination of the tree that the stream lists, if it lists one.
    fn tree(&self) -> Option<&str> {
        None
    }
}

/// A source of whatever kind, opened.
pub(crate) type OpenedSource = Box<dyn SourceStream>;

/// One stream of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Unique within the snapshot: the source's name, and the part's where there are several.
    pub(crate) name: Name,
    /// In the source's own word, where it gives several.
    pub(crate) part: Option<String>,
}

impl Part {
    /// A source that gives one stream.
    pub(crate) fn whole(source: &Source) -> Self {
        Self { name: source.name.clone(), part: None }
    }
}

/// The streams that `source` gives now.
pub(crate) async fn parts(
    context: &RunContext,
    app: &App,
    source: &Source,
) -> Result<Vec<Part>, Failure> {
    match &source.kind {
        SourceKind::Contract(_) => Ok(vec![Part::whole(source)]),
        SourceKind::Direct(direct) => {
            let asked = direct::Asked { engine: &context.engine, app, source, direct };
            direct::driver(direct.what).parts(&asked).await
        }
    }
}

/// Opens one stream of `source` for the run.
pub(crate) async fn open(
    context: &RunContext,
    app: &App,
    source: &Source,
    part: &Part,
) -> Result<OpenedSource, Failure> {
    match &source.kind {
        SourceKind::Contract(server) => contract::open(context, app, server).await,
        SourceKind::Direct(direct) => {
            let asked = direct::Asked { engine: &context.engine, app, source, direct };
            direct::driver(direct.what).open(context, &asked, part).await
        }
    }
}

/// A snapshot of the file system that `source` is on, from which [`open`] may read it later; `None`
/// where there can be none.
pub(crate) async fn standing(
    context: &RunContext,
    app: &App,
    source: &Source,
) -> Result<Option<files::basis::Basis>, Failure> {
    let SourceKind::Direct(direct) = &source.kind else { return Ok(None) };
    let asked = direct::Asked { engine: &context.engine, app, source, direct };
    let part = Part::whole(source);
    match direct.what {
        DirectKind::Files => files::standing(context, &asked, &part).await,
        DirectKind::Volume => volume::standing(context, &asked, &part).await,
        _ => Ok(None),
    }
}

/// Whether what `source` sends shows the one moment at which it was begun.
pub(crate) fn is_of_one_moment(source: &Source) -> bool {
    match &source.kind {
        SourceKind::Direct(direct) => {
            !matches!(direct.what, DirectKind::Files | DirectKind::Volume)
        }
        SourceKind::Contract(_) => false,
    }
}

pub(crate) use contract::client_for;

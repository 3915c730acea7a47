//! Sources: each yields bytes, then exactly one outcome.

mod contract;

use bytes::Bytes;
use model::{App, Failure, Source, SourceKind};

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
}

/// A source of whatever kind, opened.
pub(crate) type OpenedSource = Box<dyn SourceStream>;

/// Opens `source` for the run.
pub(crate) async fn open(
    context: &RunContext,
    app: &App,
    source: &Source,
) -> Result<OpenedSource, Failure> {
    match &source.kind {
        SourceKind::Contract(server) => contract::open(context, app, server).await,
    }
}

pub(crate) use contract::client_for;

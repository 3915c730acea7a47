//! The way back: a tree as one tar.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::PathBuf,
};

use archive::{Format, Item, Root, Sink, Tar, Walk, Warnings};
use bytes::Bytes;
use futures::stream::BoxStream;
use model::{Failure, FailureCode};
use tokio::sync::mpsc;

use super::{
    Host, Proven, Work,
    host::{LONG, inside},
    listing::{Lines, Rows},
};
use crate::{EngineConfig, process::Running};

/// Chunks that may wait to be read.
const WAITING_CHUNKS: usize = 4;
/// A tar of the names that come in. A server's tar is asked for the format that the archives of
/// other destinations have.
const PACK: &str = r#"cd -- "$2" || exit 1
exec tar --create --null --no-recursion --verbatim-files-from --files-from=- --numeric-owner \
    --format=posix --pax-option=delete=atime,delete=ctime --xattrs '--xattrs-include=*' --file=-"#;

/// The tar of what was proven, by the names of the whole tree.
pub(crate) async fn read(
    Proven { host, tree, part, listing }: &Proven,
    config: &EngineConfig,
    work: Work,
) -> Result<BoxStream<'static, Result<Bytes, Failure>>, Failure> {
    if let Some(root) = host.local_root() {
        let head = Rows::open(listing).await?.head().await?;
        let above = head.above.iter().filter_map(super::listing::Text::path).collect();
        let mut path = root.join(tree.as_str());
        path.extend(part);
        return Ok(here(Root { path, name: part.clone() }, above));
    }
    let mut rows = Rows::open(listing).await?;
    rows.head().await?;
    let mut names = Lines::create(work.file("packed")).await?;
    while let Some(row) = rows.next().await? {
        names.bare(&row.safe_path()?).await?;
    }
    let names = names.finish().await?;
    let program = host.script(config, PACK, &[&inside(tree)]).reading(names);
    let running = program.start(LONG).map_err(|failure| host.fault(failure))?;
    Ok(there(running, host.clone(), work))
}

fn there(running: Running, host: Host, work: Work) -> BoxStream<'static, Result<Bytes, Failure>> {
    let stream = futures::stream::try_unfold(
        (running, host, work),
        |(mut running, host, work)| async move {
            let chunk = running.chunk().await.map_err(|failure| host.fault(failure))?;
            Ok(chunk.map(|chunk| (chunk, (running, host, work))))
        },
    );
    Box::pin(stream)
}

/// A tar without the folders that only lead to what was asked for.
struct Below {
    tar: Tar<Sink>,
    above: BTreeSet<PathBuf>,
}

impl Format for Below {
    fn add(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()> {
        if self.above.contains(&item.name) {
            return Ok(());
        }
        self.tar.add(item, warnings)
    }
}

fn here(root: Root, above: BTreeSet<PathBuf>) -> BoxStream<'static, Result<Bytes, Failure>> {
    let (to, chunks) = mpsc::channel(WAITING_CHUNKS);
    let packing = tokio::task::spawn_blocking(move || {
        let mut below = Below { tar: Tar::new(Sink::new(to)), above };
        let mut warnings = Warnings::default();
        Walk::default().add(&root, &mut below, &mut warnings)?;
        let mut sink = below.tar.finish()?;
        sink.flush()?;
        match warnings.told().first() {
            None => Ok(()),
            // It has just been verified: somebody changes it.
            Some(what) => Err(archive::ArchiveError::Failed(what.clone())),
        }
    });
    let stream =
        futures::stream::try_unfold((chunks, Some(packing)), |(mut chunks, packing)| async move {
            if let Some(chunk) = chunks.recv().await {
                return Ok(Some((chunk, (chunks, packing))));
            }
            let Some(packing) = packing else { return Ok(None) };
            let told = |what: String| Failure::new(FailureCode::Damaged, what);
            packing
                .await
                .map_err(|panic| told(panic.to_string()))?
                .map_err(|error| told(error.to_string()))?;
            Ok(None)
        });
    Box::pin(stream)
}

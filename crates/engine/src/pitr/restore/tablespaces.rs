//! Tablespaces that the WAL itself makes. Replay makes each where it was: that folder may be the one
//! that the old server, or another, works in now.

use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use model::{Fact, Failure, WalPiece, WalPieceKind};
use replication::{Lsn, NewTablespace, Scanner};

use super::{
    choose::{Stop, Way},
    prepare, server,
};
use crate::target::{blocking, refused};

/// Read at once, in bytes.
const BLOCK: usize = 1 << 20;

/// Refuses to replay `needed`, which lies in `data`, where that would make a tablespace in a folder
/// that nobody has made ready for it.
pub(crate) async fn judge(way: &Way, needed: &[&WalPiece], data: &Path) -> Result<(), Failure> {
    let files: Vec<(PathBuf, Lsn)> = needed
        .iter()
        .filter(|piece| matches!(piece.kind, WalPieceKind::Segment | WalPieceKind::Beginning))
        .map(|piece| (data.join(prepare::WAL).join(&piece.name), Lsn(piece.start.0)))
        .collect();
    let way = way.clone();
    let judging = blocking(move || {
        let made = made(&way, &files)?;
        Ok::<_, std::io::Error>(made.into_iter().find(|one| !is_ready(Path::new(&one.path))))
    });
    let found = judging.await?.map_err(|error| {
        let (path, why) = (data.join(prepare::WAL).display().to_string(), error.to_string());
        refused(Fact::NotWritable { path, why })
    })?;
    match found {
        Some(NewTablespace { at, path, .. }) => {
            Err(refused(Fact::TablespaceInWal { path, position: at.to_string() }))
        }
        None => Ok(()),
    }
}

/// What replay along `way` makes outside of the data directory.
fn made(way: &Way, files: &[(PathBuf, Lsn)]) -> std::io::Result<Vec<NewTablespace>> {
    let Some((_, first)) = files.first() else { return Ok(Vec::new()) };
    let mut scanner = Scanner::new(way.base.segment, *first);
    let mut next = *first;
    let mut block = vec![0; BLOCK];
    let mut all = Vec::new();
    for (file, start) in files {
        // The segment with a fork comes of both timelines.
        if *start != next {
            all.extend(scanner.take_tablespaces());
            scanner = Scanner::new(way.base.segment, *start);
        }
        let mut file = File::open(file)?;
        loop {
            let count = file.read(&mut block)?;
            if count == 0 {
                break;
            }
            scanner.feed(&block[..count]);
        }
        next = start.plus(way.base.segment.bytes());
    }
    all.extend(scanner.take_tablespaces());
    all.retain(|one| !one.path.is_empty() && is_replayed(one, way));
    Ok(all)
}

/// Whether replay comes as far as this record.
fn is_replayed(one: &NewTablespace, way: &Way) -> bool {
    one.at >= way.base.base.start
        && match &way.stop {
            // It ends before the first later commit, wherever that is.
            Stop::Time(at) => one.after.is_none_or(|after| after <= *at),
            Stop::Lsn(at) => one.at < *at,
            Stop::End | Stop::Name(_) => true,
        }
}

/// Whether somebody has made `folder` for just this: an empty one of who runs the server.
fn is_ready(folder: &Path) -> bool {
    let is_its = |owner: u32| server::user().is_none_or(|(uid, _)| uid == owner);
    folder.symlink_metadata().is_ok_and(|meta| meta.is_dir() && is_its(meta.uid()))
        && std::fs::read_dir(folder).is_ok_and(|mut inside| inside.next().is_none())
}

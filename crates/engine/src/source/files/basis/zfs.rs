//! ZFS, by its command line. A snapshot is read where ZFS itself shows it: `.zfs/snapshot`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use model::{Duty, Fact, Failure};

use super::{PREFIX, Volume, failed, told, unfit};
use crate::{Engine, duty::Owed, run::RunContext};

async fn zfs(engine: &Engine, args: &[&OsStr]) -> Result<String, Failure> {
    told(engine, "zfs", args).await
}

/// The dataset that `real` lies in.
pub(super) async fn volume(engine: &Engine, real: &Path) -> Result<Volume, Failure> {
    let words = ["list", "-H", "-t", "filesystem", "-o", "name,mountpoint"].map(OsStr::new);
    let listed =
        zfs(engine, &[&words[..], &[real.as_os_str()]].concat()).await.map_err(|error| {
            unfit(Fact::NotOnZfs { path: real.display().to_string(), why: error.into() })
        })?;
    let line = listed.lines().next().unwrap_or_default();
    match line.split_once('\t') {
        Some((name, top)) if real.starts_with(top) && !name.contains('@') => {
            Ok(Volume { top: PathBuf::from(top), id: name.to_owned(), within: PathBuf::new() })
        }
        _ => Err(unfit(Fact::ZfsElsewhere {
            path: real.display().to_string(),
            line: line.to_owned(),
        })),
    }
}

/// Takes the snapshot; gives where it is.
pub(super) async fn take(
    context: &RunContext,
    volume: &Volume,
    name: &str,
) -> Result<(PathBuf, Owed), Failure> {
    let whole = format!("{}@{name}", volume.id);
    let owed = context.owe(Duty::DestroyZfsSnapshot { name: whole.clone() }).await?;
    zfs(&context.engine, &["snapshot", &whole].map(OsStr::new)).await?;
    let place = volume.top.join(".zfs/snapshot").join(name);
    // Looking into it mounts it.
    let looked = tokio::fs::read_dir(&place).await.map(drop);
    looked.map_err(|error| failed(format!("the snapshot {whole} cannot be read: {error}")))?;
    Ok((place, owed))
}

/// Destroys a snapshot of ours, and never a dataset.
pub(super) async fn remove(engine: &Engine, name: &str) -> Result<(), Failure> {
    if !name.split_once('@').is_some_and(|(_, name)| name.starts_with(PREFIX)) {
        return Err(failed(format!("{name} is no snapshot of ours")));
    }
    match zfs(engine, &["destroy", name].map(OsStr::new)).await {
        Err(error) if is_gone(&error.message) => Ok(()),
        ended => ended.map(drop),
    }
}

fn is_gone(said: &str) -> bool {
    said.contains("could not find any snapshots to destroy") || said.contains("does not exist")
}

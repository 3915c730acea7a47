//! What is walked for a source of files, and what ends with it.

use std::os::unix::fs::MetadataExt as _;

use archive::{Item, Walk, Warnings};
use model::{Failure, FailureCode};

use super::{
    basis::Basis,
    paths::{OWN_NAMES, Wanted},
};
use crate::{
    run::RunContext,
    source::{
        OpenedSource, Part,
        direct::Asked,
        walked::{Behind, Plan, Walked},
    },
};

/// Inode of the empty folder that a Btrfs snapshot has where another subvolume begins.
pub(super) const NO_SUBVOLUME: u64 = 2;
pub(super) const OTHER_SUBVOLUME: &str = "a subvolume of its own is not in the snapshot; left out";

/// How the files are walked through.
pub(super) fn walk(
    asked: &Asked<'_>,
    wanted: &Wanted,
    basis: &Basis,
    warnings: &mut Warnings,
) -> Result<Walk, Failure> {
    let config = &asked.engine.0.config;
    let excluded = asked.list("exclude").into_iter().chain([OWN_NAMES]);
    let mut walk = Walk::default()
        .following(asked.flag("follow_symlinks"))
        .on_one_file_system(asked.flag("one_file_system"))
        .within(basis.bounds(&config.file_roots))
        .without(&config.spool)
        .excluding(excluded)
        .map_err(|error| Failure::new(FailureCode::SourceConfig, error.to_string()))?;
    for folder in &wanted.destinations {
        walk = walk.without_name(folder);
        warnings.push(folder, "copies of this app are kept there; left out");
    }
    for (path, what) in &basis.warnings {
        warnings.push(path, what);
    }
    Ok(walk)
}

/// Starts the walk.
pub(super) fn open(
    context: &RunContext,
    asked: &Asked<'_>,
    part: &Part,
    wanted: &Wanted,
    basis: Basis,
) -> Result<OpenedSource, Failure> {
    let mut warnings = Warnings::default();
    let plan = Plan {
        what: format!("`{}`", part.name),
        file_name: format!("{}.tar", part.name),
        walk: walk(asked, wanted, &basis, &mut warnings)?,
        roots: basis.roots.clone(),
        warnings,
        keeps_devices: false,
        note: if basis.is_btrfs() { no_subvolume } else { |_| None },
    };
    Ok(Box::new(Walked::begin(context, asked, plan, Box::new(basis))))
}

fn no_subvolume(item: &Item) -> Option<&'static str> {
    (item.meta.is_dir() && item.meta.ino() == NO_SUBVOLUME).then_some(OTHER_SUBVOLUME)
}

#[async_trait::async_trait]
impl Behind for Basis {
    fn as_named(&self, line: &str) -> String {
        self.as_named(line)
    }

    async fn undo(self: Box<Self>, context: &RunContext) -> Vec<String> {
        self.end(context).await.err().map(|failure| failure.message).into_iter().collect()
    }
}

//! Direct source: files and folders of this machine, as one tar, or as a tree at the destination.

pub(crate) mod basis;
mod doctor;
mod paths;
mod stream;
mod tree;

use std::collections::BTreeMap;

use model::{Fact, Failure};

use self::{
    basis::{Basis, Kind},
    paths::Wanted,
};
use super::{
    OpenedSource, Part,
    direct::{Asked, Driver, SettingField, SettingValue},
};
use crate::{Report, run::RunContext};

pub(crate) struct Files;

/// A snapshot of the file system that the source's files are on, where one can be taken and
/// nothing else is made of them.
pub(super) async fn standing(
    context: &RunContext,
    asked: &Asked<'_>,
    part: &Part,
) -> Result<Option<Basis>, Failure> {
    let paths = Wanted::find(asked).await?.paths;
    let kind = match (Kind::asked(asked), paths.first()) {
        (Some(kind), _) => Some(kind),
        (None, Some(path)) => Kind::found(&context.engine, path).await,
        (None, None) => None,
    };
    let Some(kind) = kind else { return Ok(None) };
    Basis::of(context, asked, part, paths, kind).await.map(Some)
}

const SETTINGS: &[SettingField] = &[
    SettingField::required("path", SettingValue::List),
    SettingField::optional("exclude", SettingValue::List),
    SettingField::optional("follow_symlinks", SettingValue::Flag),
    SettingField::optional("one_file_system", SettingValue::Flag),
    SettingField::optional("snapshot", SettingValue::Choice(&["none", "btrfs", "zfs", "lvm"])),
    // What an ordinary LVM snapshot may hold of what changes while it is read.
    SettingField::optional("snapshot_percent", SettingValue::Number(1, 100)),
];

#[async_trait::async_trait]
impl Driver for Files {
    fn settings(&self) -> &'static [SettingField] {
        SETTINGS
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    fn check(&self, settings: &BTreeMap<String, String>) -> Vec<(&'static str, Fact)> {
        paths::check(settings)
    }

    async fn open(
        &self,
        context: &RunContext,
        asked: &Asked<'_>,
        part: &Part,
    ) -> Result<OpenedSource, Failure> {
        let opening = async {
            let place = tree::Place::of(asked).await?;
            let wanted = Wanted::find(asked).await?;
            let basis = match context.prepared.take(&part.name) {
                Some(basis) => basis,
                None => Basis::take(context, asked, part, wanted.paths.clone()).await?,
            };
            match place {
                Some(place) => tree::open(context, asked, part, place, wanted, basis).await,
                None => stream::open(context, asked, part, &wanted, basis),
            }
        };
        tokio::select! {
            biased;
            failure = context.stopped() => Err(failure),
            opened = opening => opened,
        }
    }

    async fn doctor(&self, asked: &Asked<'_>, report: &mut Report) {
        doctor::doctor(asked, report).await;
    }
}

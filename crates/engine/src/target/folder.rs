//! Into a folder of this machine: each artifact in a sub-folder of its own, archives unpacked.

use std::path::{Path, PathBuf};

use model::{Fact, Failure, FailureCode, RestoreTarget, Size};

use super::{
    Aim, Loaded, Look, Placing, PutBack, Supply, Switched, Target, blocking, refused,
    unpacking::{self, Wish, packed},
};
use crate::durable;

pub(crate) struct Folder;

#[async_trait::async_trait]
impl Target for Folder {
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure> {
        let place = place(aim)?;
        let mut look = Look::at(Fact::FolderAt { path: place.display().to_string() });
        if !aim.tables().is_empty() {
            look.block(Fact::TablesAreOfDatabases {});
        }
        match packed(aim.artifact) {
            Some(_) => look.good(Fact::Unpacked {}),
            None if !aim.paths().is_empty() => {
                look.block(Fact::PathsAreOfArchives {});
            }
            None => look.good(Fact::LiesAsIs {}),
        }
        if let Err(failure) = allowed(aim, &place) {
            look.block(failure);
            return Ok(look);
        }
        if tokio::fs::try_exists(&place).await.unwrap_or(true) {
            look.replaces = Some(Fact::KeptBeside { what: place.display().to_string() }.into());
        }
        room(&mut look, &place, aim.artifact.size_bytes).await;
        Ok(look)
    }

    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure> {
        let place = place(aim)?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let made = place.with_file_name(format!(".{name}.restoring-{}", aim.tag));
        Ok(made.display().to_string())
    }

    async fn clear(&self, _aim: &Aim<'_>, made: &str) -> Result<(), Failure> {
        remove(Path::new(made)).await
    }

    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
        let Placing { context, aim, made } = *placing;
        allowed(aim, &place(aim)?)?;
        let folder = Path::new(made);
        if let Some(packed) = packed(aim.artifact) {
            let only = aim.paths().iter().map(PathBuf::from).collect();
            let wish = Wish { packed, only, privileges: false, devices: false };
            let report = unpacking::unpack(context, aim, supply, folder, wish).await?;
            return Ok(Loaded { notes: unpacking::notes(&report), ..Loaded::default() });
        }
        let making = folder.to_owned();
        blocking(move || durable::make_folders(&making))
            .await?
            .map_err(|error| told(|what, why| Fact::NotMade { what, why }, folder, &error))?;
        unpacking::spool(supply, &folder.join(&aim.artifact.file_name)).await?;
        Ok(Loaded::default())
    }

    async fn switch(
        &self,
        placing: &Placing<'_>,
        _supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let Placing { aim, made, .. } = *placing;
        let place = place(aim)?;
        let (made, tag) = (PathBuf::from(made), aim.tag.to_owned());
        let kept = blocking(move || switch(&made, &place, &tag)).await??;
        Ok(Switched { kept: kept.map(|path| path.display().to_string()), notes: Vec::new() })
    }

    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        let Placing { aim, made, .. } = *placing;
        let place = place(aim)?;
        let (made, tag) = (PathBuf::from(made), aim.tag.to_owned());
        blocking(move || put_back(&made, &place, &tag)).await?
    }
}

/// `FOLDER/ARTIFACT`.
fn place(aim: &Aim<'_>) -> Result<PathBuf, Failure> {
    let RestoreTarget::Folder { path } = aim.target else {
        return Err(Failure::new(FailureCode::Internal, "the order names no folder"));
    };
    Ok(path.join(aim.artifact.source.as_str()))
}

/// Only below the folders that this process may give to apps.
pub(super) fn allowed(aim: &Aim<'_>, place: &Path) -> Result<(), Failure> {
    let config = &aim.engine.0.config;
    let is_plain = place.is_absolute() && place.components().all(|part| part.as_os_str() != "..");
    // The nearest folder that is there decides: a link must not lead elsewhere.
    let nearest = place.ancestors().skip(1).find_map(|folder| folder.canonicalize().ok());
    let is_inside = nearest.is_some_and(|real| {
        config
            .restore_roots
            .iter()
            .filter_map(|root| root.canonicalize().ok())
            .any(|root| real.starts_with(&root))
    });
    if is_plain && is_inside {
        return Ok(());
    }
    let roots: Vec<_> =
        config.restore_roots.iter().map(|root| root.display().to_string()).collect();
    let path = place.display().to_string();
    Err(refused(if roots.is_empty() {
        Fact::NoRootAllowed { path }
    } else {
        Fact::OutsideRoots { path, roots: roots.join(", ") }
    }))
}

/// Removes `folder` and all that is in it, where it is there.
pub(super) async fn remove(folder: &Path) -> Result<(), Failure> {
    crate::removal::remove(folder)
        .await
        .map_err(|error| told(|what, why| Fact::NotRemoved { what, why }, folder, &error))
}

/// Says whether there is room for `size_bytes` more.
pub(super) async fn room(look: &mut Look, place: &Path, size_bytes: u64) {
    let place = place.to_owned();
    let free = tokio::task::spawn_blocking(move || {
        let there = place.ancestors().find(|folder| folder.exists())?.to_owned();
        let told = nix::sys::statvfs::statvfs(&there).ok()?;
        Some((told.blocks_available() * told.fragment_size(), there))
    });
    let Ok(Some((free, there))) = free.await else { return };
    let room = Fact::Room {
        needed: Size(size_bytes),
        free: Size(free),
        path: there.display().to_string(),
    };
    if free < size_bytes { look.block(room) } else { look.good(room) }
}

/// What is there goes aside, what was made takes its name. After a cut it goes on.
pub(super) fn switch(made: &Path, place: &Path, tag: &str) -> Result<Option<PathBuf>, Failure> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let before = place.with_file_name(format!("{name}.before-{tag}"));
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    if exists(made) {
        if exists(place) {
            if exists(&before) {
                return Err(refused(Fact::MoveAway { path: before.display().to_string() }));
            }
            std::fs::rename(place, &before).map_err(|error| {
                told(|what, why| Fact::NotMovedAside { what, why }, place, &error)
            })?;
        }
        std::fs::rename(made, place).map_err(|error| {
            refused(Fact::NotPlacedBeside {
                what: place.display().to_string(),
                why: error.to_string(),
                before: before.display().to_string(),
            })
        })?;
        durable::sync_name(place)
            .map_err(|error| told(|what, why| Fact::NotDurable { what, why }, place, &error))?;
    } else if !exists(place) {
        return Err(refused(Fact::IsGone { what: made.display().to_string() }));
    }
    Ok(exists(&before).then_some(before))
}

/// After a [`switch`] that failed: what went aside gets its name again.
pub(super) fn put_back(made: &Path, place: &Path, tag: &str) -> Result<PutBack, Failure> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let before = place.with_file_name(format!("{name}.before-{tag}"));
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    let shown = |path: &Path| path.display().to_string();
    if !exists(made) {
        return Err(refused(Fact::MayBeRestored { path: shown(place), before: shown(&before) }));
    }
    if !exists(place) && exists(&before) {
        std::fs::rename(&before, place).map_err(|error| {
            refused(Fact::NameByHand {
                path: shown(place),
                why: error.to_string(),
                before: shown(&before),
                made: shown(made),
            })
        })?;
    }
    Ok(PutBack::AsItWas)
}

/// What could not be done with a file or folder of this machine.
pub(super) fn told(
    fact: fn(String, String) -> Fact,
    path: &Path,
    error: &std::io::Error,
) -> Failure {
    refused(fact(path.display().to_string(), error.to_string()))
}

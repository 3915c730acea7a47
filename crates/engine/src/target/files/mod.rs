//! Files and folders of this machine: unpacked on the file system where they belong, and put in
//! their place by renaming.

mod spots;

use std::path::{Path, PathBuf};

use model::{Fact, Failure, RestoreTarget};

use self::spots::Spot;
use super::{
    Aim, Loaded, Look, Placing, PutBack, Supply, Switched, Target, blocking, folder, refused,
    unpacking::{self, Packed, Wish},
};

pub(crate) struct Files;

#[async_trait::async_trait]
impl Target for Files {
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure> {
        packed(aim)?;
        let spots = spots::of(aim)?;
        if let Some(place) = beside(aim)? {
            let mut look = Look::at(Fact::FolderAt { path: place.display().to_string() });
            if let Err(failure) = folder::allowed(aim, &place) {
                look.block(failure);
            } else if place.symlink_metadata().is_ok() {
                look.block(Fact::IsThere { what: place.display().to_string() });
            } else {
                folder::room(&mut look, &place, size(aim)).await;
            }
            return Ok(look);
        }
        let told: Vec<_> = spots.iter().map(|spot| spot.pattern.display().to_string()).collect();
        let mut look = Look::at(Fact::PathsAt { paths: told.join(", ") });
        for spot in &spots {
            if let Err(failure) = spot.allowed(aim) {
                look.block(failure);
                return Ok(look);
            }
        }
        let there = found_now(&spots).await?;
        if !there.is_empty() {
            look.replaces = Some(Fact::KeptBeside { what: there.join(", ") }.into());
        }
        for stage in spots::stages(&spots) {
            folder::room(&mut look, stage, size(aim)).await;
        }
        Ok(look)
    }

    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure> {
        let spots = spots::of(aim)?;
        if let Some(place) = beside(aim)? {
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            let made = place.with_file_name(format!(".{name}.restoring-{}", aim.tag));
            return Ok(made.display().to_string());
        }
        let stages = spots::stages(&spots);
        let stages: Vec<_> = stages.iter().map(|stage| stage.display().to_string()).collect();
        Ok(stages.join("\n"))
    }

    async fn clear(&self, _aim: &Aim<'_>, made: &str) -> Result<(), Failure> {
        for folder in made.lines() {
            folder::remove(Path::new(folder)).await?;
        }
        Ok(())
    }

    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
        let Placing { context, aim, made } = *placing;
        let spots = spots::of(aim)?;
        let wish = |only| Ok(Wish { packed: packed(aim)?, only, privileges: true, devices: false });
        if let Some(place) = beside(aim)? {
            folder::allowed(aim, &place)?;
            let only = aim.paths().iter().map(PathBuf::from).collect();
            let into = Path::new(made);
            let report = unpacking::unpack(context, aim, supply, into, wish(only)?).await?;
            return Ok(Loaded { notes: unpacking::notes(&report), ..Loaded::default() });
        }
        let mut notes = Vec::new();
        for stage in made.lines().map(Path::new) {
            let here: Vec<_> = spots.iter().filter(|spot| spot.stage == stage).cloned().collect();
            for spot in &here {
                spot.allowed(aim)?;
            }
            let only = here.iter().map(|spot| spot.literal.clone()).collect();
            let report = unpacking::unpack(context, aim, supply, stage, wish(only)?).await?;
            notes.extend(unpacking::notes(&report));
            // Nothing may be replaced by nothing.
            blocking(move || here.iter().try_for_each(|spot| spot.found().map(drop))).await??;
        }
        Ok(Loaded { notes, ..Loaded::default() })
    }

    async fn switch(
        &self,
        placing: &Placing<'_>,
        _supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let Placing { aim, made, .. } = *placing;
        let spots = spots::of(aim)?;
        let tag = aim.tag.to_owned();
        if let Some(place) = beside(aim)? {
            folder::allowed(aim, &place)?;
            let made = PathBuf::from(made);
            blocking(move || folder::switch(&made, &place, &tag)).await??;
            return Ok(Switched::default());
        }
        for spot in &spots {
            spot.allowed(aim)?;
        }
        let kept = blocking(move || {
            let mut kept = Vec::new();
            for spot in &spots {
                for found in spot.left()? {
                    kept.extend(found.put(&tag)?);
                }
                kept.extend(spot.kept(&tag));
            }
            kept.sort();
            kept.dedup();
            Ok::<_, Failure>(kept)
        });
        let kept = kept.await??;
        for stage in made.lines() {
            folder::remove(Path::new(stage)).await?;
        }
        let kept: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
        let kept = (!kept.is_empty()).then(|| kept.join(", "));
        Ok(Switched { kept, notes: Vec::new() })
    }

    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        let Placing { aim, made, .. } = *placing;
        let spots = spots::of(aim)?;
        let tag = aim.tag.to_owned();
        if let Some(place) = beside(aim)? {
            let made = PathBuf::from(made);
            return blocking(move || folder::put_back(&made, &place, &tag)).await?;
        }
        let stages = made.replace('\n', ", ");
        blocking(move || {
            if spots.iter().all(|spot| spot.is_untouched(&tag)) {
                return Ok(PutBack::AsItWas);
            }
            let before: Vec<_> = spots.iter().flat_map(|spot| spot.kept(&tag)).collect();
            let before: Vec<_> = before.iter().map(|path| path.display().to_string()).collect();
            Err(refused(Fact::SomeInPlace { stages, tag, before: before.join(", ") }))
        })
        .await?
    }
}

fn packed(aim: &Aim<'_>) -> Result<Packed, Failure> {
    if !aim.tables().is_empty() {
        return Err(refused(Fact::TablesAreOfDatabases {}));
    }
    unpacking::packed(aim.artifact).ok_or_else(|| {
        refused(Fact::NoArchiveOfFiles { artifact: aim.artifact.source.to_string() })
    })
}

/// The new folder, where it goes beside: in the folder of the first of its paths.
fn beside(aim: &Aim<'_>) -> Result<Option<PathBuf>, Failure> {
    let Some(name) = aim.beside() else { return Ok(None) };
    if !matches!(aim.target, RestoreTarget::Beside { .. }) || name.contains('/') {
        return Err(refused(Fact::NotNameOfFolder { name }));
    }
    let spots = spots::named(aim)?;
    let first = spots.first().ok_or_else(|| refused("the source names no path"))?;
    let beside = first.place_beside().join(name);
    Ok(Some(beside))
}

fn size(aim: &Aim<'_>) -> u64 {
    match aim.artifact.contents {
        Some(model::Contents::Members { bytes, .. }) => bytes,
        _ => aim.artifact.size_bytes,
    }
}

async fn found_now(spots: &[Spot]) -> Result<Vec<String>, Failure> {
    let patterns: Vec<_> = spots.iter().map(|spot| spot.pattern.clone()).collect();
    blocking(move || {
        let mut there = Vec::new();
        for pattern in patterns {
            let found = archive::find(&pattern).map_err(|error| {
                folder::told(|what, why| Fact::NotRead { what, why }, &pattern, &error)
            })?;
            there.extend(found.iter().map(|path| path.display().to_string()));
        }
        Ok(there)
    })
    .await?
}

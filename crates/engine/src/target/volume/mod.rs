//! Docker volumes: a new one, filled by way of a container that is never started; or, in the place of
//! one that is there, its folder exchanged for a new one while nobody uses it.

mod fill;
mod whole;

use std::path::{Path, PathBuf};

use bollard::{
    Docker,
    models::{Volume as Found, VolumeCreateRequest},
    query_parameters::RemoveVolumeOptions,
};
use model::{Fact, Failure, Size};

use super::{
    Aim, Loaded, Look, Placing, PutBack, Supply, Switched, Target, blocking, folder, refused,
    unpacking::{self, Packed, Wish},
};
use crate::{
    docker,
    run::RunContext,
    source::{
        direct::Asked,
        volume::{
            direct,
            helper::Helper,
            is_volume_name,
            users::{self, Meanwhile},
            volume_of,
        },
    },
};

pub(crate) struct Volume;

#[async_trait::async_trait]
impl Target for Volume {
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure> {
        only_whole(aim)?;
        let (asked, name) = (aim.asked()?, name(aim)?);
        let mut look = Look::at(Fact::VolumeAt { volume: name.clone() });
        let docker = docker::connect(&aim.engine.0.config).await?;
        let Some(found) = find(&docker, &name).await? else {
            look.good(Fact::VolumeMade { volume: name });
            unknown_room(aim, &mut look);
            return Ok(look);
        };
        if aim.beside().is_some() {
            look.block(Fact::VolumeIsThere { volume: name });
            return Ok(look);
        }
        match direct::candidate(&asked, &found).await {
            Ok(place) => {
                look.replaces = Some(
                    Fact::VolumeKeptBeside {
                        volume: name.clone(),
                        path: place.display().to_string(),
                    }
                    .into(),
                );
                folder::room(&mut look, &place, aim.artifact.size_bytes).await;
            }
            Err(why) => {
                unknown_room(aim, &mut look);
                look.warn(Fact::VolumeOnlyIfEmpty { volume: name.clone(), why });
            }
        }
        let users = users::running(&docker, &name).await?;
        if let Some(why) = users.iter().find_map(users::Running::in_the_way) {
            look.block(why);
        } else if !users.is_empty() {
            let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
            look.warn(Fact::StoppedMeanwhile { containers: names.join(", ") });
        }
        Ok(look)
    }

    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure> {
        name(aim)
    }

    /// Only what has our mark: what was there before has another, or none.
    async fn clear(&self, aim: &Aim<'_>, made: &str) -> Result<(), Failure> {
        let docker = docker::connect(&aim.engine.0.config).await?;
        let Some(found) = find(&docker, made).await? else { return Ok(()) };
        if is_ours(&found, aim.tag) {
            let removed = docker.remove_volume(made, None::<RemoveVolumeOptions>).await;
            return match removed {
                Err(error) if !docker::is_gone(&error) => Err(docker::told(&error)),
                _ => Ok(()),
            };
        }
        folder::remove(&stage(&found, aim.tag)).await
    }

    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
        let Placing { context, aim, made } = *placing;
        only_whole(aim)?;
        let asked = aim.asked()?;
        let docker = docker::connect(&aim.engine.0.config).await?;
        let Some(found) = find(&docker, made).await? else {
            return new(context, aim, &docker, made, supply).await;
        };
        if aim.beside().is_some() {
            return Err(refused(Fact::VolumeIsThere { volume: made.to_owned() }));
        }
        match exchangeable(context, aim, &asked, &docker, &found).await? {
            Ok(()) => {
                let packed = Packed::Tar { plain: true };
                let wish = Wish { packed, only: Vec::new(), privileges: true, devices: true };
                let stage = stage(&found, aim.tag);
                let report = unpacking::unpack(context, aim, supply, &stage, wish).await?;
                Ok(Loaded { notes: unpacking::notes(&report), ..Loaded::default() })
            }
            Err(why) => {
                fill::only_if_empty(context, aim, &docker, made, why).await?;
                supply.prove().await?;
                Ok(Loaded::default())
            }
        }
    }

    async fn switch(
        &self,
        placing: &Placing<'_>,
        supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let Placing { context, aim, made } = *placing;
        let docker = docker::connect(&aim.engine.0.config).await?;
        let found = find(&docker, made).await?;
        let found = found.ok_or_else(|| refused(Fact::IsGone { what: made.to_owned() }))?;
        if is_ours(&found, aim.tag) {
            return Ok(Switched::default());
        }
        only_those_that_stop(&docker, made).await?;
        let mut held = users::hold(context, &docker, made, Meanwhile::Stop).await?;
        // Somebody may have started another one meanwhile.
        let switched = match nobody_uses(&docker, made).await {
            Ok(()) => put(context, aim, &docker, &found, supply).await,
            Err(failure) => Err(Stopped::Before(failure)),
        };
        match switched {
            Ok(kept) => Ok(Switched { kept, notes: held.release(context).await }),
            Err(Stopped::Before(failure)) => {
                held.release(context).await;
                Err(failure)
            }
            Err(Stopped::HalfFilled(failure)) => {
                let left = held.leave(context).await.join(", ");
                let volume = made.to_owned();
                let failure = failure.told_in(|first| Fact::FilledInPart { volume, first });
                if left.is_empty() {
                    return Err(failure);
                }
                Err(failure.told_in(|first| Fact::StillStopped { containers: left, first }))
            }
        }
    }

    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        let Placing { context, aim, made } = *placing;
        let docker = docker::connect(&aim.engine.0.config).await?;
        let found = find(&docker, made).await?;
        let found = found.ok_or_else(|| refused(Fact::IsGone { what: made.to_owned() }))?;
        if is_ours(&found, aim.tag) {
            return Ok(PutBack::AsItWas);
        }
        let (place, stage) = (PathBuf::from(&found.mountpoint), stage(&found, aim.tag));
        let tag = aim.tag.to_owned();
        let put_back = blocking(move || {
            let ours = [stage.clone(), sibling(&place, "before", &tag)];
            let is_there = ours.iter().any(|path| path.symlink_metadata().is_ok());
            is_there.then(|| folder::put_back(&stage, &place, &tag))
        });
        match put_back.await? {
            Some(put_back) => put_back,
            None => {
                let why = Fact::LeftByRestore {};
                let empty = fill::only_if_empty(context, aim, &docker, made, why).await;
                empty.map(|()| PutBack::AsItWas)
            }
        }
    }
}

/// Through Docker nobody tells how much room there is.
fn unknown_room(aim: &Aim<'_>, look: &mut Look) {
    look.warn(Fact::VolumeRoom { needed: Size(aim.artifact.size_bytes) });
}

/// Errs where one that uses it cannot be stopped for a while.
pub(super) async fn only_those_that_stop(docker: &Docker, volume: &str) -> Result<(), Failure> {
    let users = users::running(docker, volume).await?;
    match users.iter().find_map(users::Running::in_the_way) {
        Some(why) => Err(refused(why)),
        None => Ok(()),
    }
}

pub(super) async fn nobody_uses(docker: &Docker, volume: &str) -> Result<(), Failure> {
    match users::running(docker, volume).await?.first() {
        Some(user) => {
            let (container, volume) = (user.name.clone(), volume.to_owned());
            Err(refused(Fact::BegunToUse { container, volume }))
        }
        None => Ok(()),
    }
}

/// How far it came.
enum Stopped {
    Before(Failure),
    HalfFilled(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Before(failure)
    }
}

/// Nobody uses it now.
async fn put(
    context: &RunContext,
    aim: &Aim<'_>,
    docker: &Docker,
    found: &Found,
    supply: &Supply<'_>,
) -> Result<Option<String>, Stopped> {
    let (place, stage) = (PathBuf::from(&found.mountpoint), stage(found, aim.tag));
    let before = sibling(&place, "before", aim.tag);
    let (looked, tag) = ([stage.clone(), before], aim.tag.to_owned());
    let exchanged = tokio::task::spawn_blocking(move || {
        let is_there = looked.iter().any(|path| path.symlink_metadata().is_ok());
        let exchange = || {
            folder::switch(&stage, &place, &tag).inspect_err(|_| {
                // Whoever uses it is started again now. Where this fails it is told later.
                let _ = folder::put_back(&stage, &place, &tag);
            })
        };
        is_there.then(exchange).transpose()
    });
    let exchanged = exchanged.await.map_err(|error| refused(error.to_string()))??;
    if let Some(kept) = exchanged {
        return Ok(kept.map(|path| path.display().to_string()));
    }
    let why = Fact::LeftByEarlier {};
    fill::only_if_empty(context, aim, docker, &found.name, why).await?;
    let filled = fill::fill(context, aim, docker, &found.name, supply).await;
    filled.map(|()| None).map_err(Stopped::HalfFilled)
}

/// A volume of our own.
async fn new(
    context: &RunContext,
    aim: &Aim<'_>,
    docker: &Docker,
    name: &str,
    supply: &Supply<'_>,
) -> Result<Loaded, Failure> {
    make(docker, name, aim.tag).await?;
    fill::fill(context, aim, docker, name, supply).await?;
    Ok(Loaded::default())
}

/// Makes an empty volume with the mark of the restore `tag`.
pub(crate) async fn make(docker: &Docker, name: &str, tag: &str) -> Result<(), Failure> {
    let labels = [(docker::RESTORED.to_owned(), tag.to_owned())];
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(labels.into()),
        ..VolumeCreateRequest::default()
    };
    docker.create_volume(request).await.map_err(|error| docker::told(&error))?;
    // Docker gives the one that is there where somebody was faster.
    let made = find(docker, name).await?;
    if !made.is_some_and(|made| is_ours(&made, tag)) {
        return Err(refused(Fact::VolumeOfOthers { volume: name.to_owned() }));
    }
    Ok(())
}

/// Whether the volume's folder is ours to exchange; or why it is not.
pub(super) async fn exchangeable(
    context: &RunContext,
    aim: &Aim<'_>,
    asked: &Asked<'_>,
    docker: &Docker,
    found: &Found,
) -> Result<Result<(), direct::Why>, Failure> {
    let place = match direct::candidate(asked, found).await {
        Ok(place) => place,
        Err(why) => return Ok(Err(why)),
    };
    let (image, of) = (asked.setting("image"), aim.artifact.source.as_str());
    let helper = Helper::mounting(context, docker, &found.name, image, of, false).await?;
    let proven = direct::prove(&helper, &place).await;
    helper.remove(context).await;
    Ok(proven)
}

/// A tar of files, all of it.
fn only_whole(aim: &Aim<'_>) -> Result<(), Failure> {
    if !aim.tables().is_empty() || !aim.paths().is_empty() {
        return Err(refused(Fact::VolumeWhole {}));
    }
    match unpacking::packed(aim.artifact) {
        Some(Packed::Tar { plain: true }) => Ok(()),
        _ => Err(refused(Fact::NoTarOfVolume { artifact: aim.artifact.source.to_string() })),
    }
}

/// The volume it goes to.
fn name(aim: &Aim<'_>) -> Result<String, Failure> {
    match aim.beside() {
        Some(name) if is_volume_name(&name) => Ok(name),
        Some(name) => Err(refused(Fact::NotNameOfVolume { name })),
        None => Ok(volume_of(&aim.asked()?)?.to_owned()),
    }
}

pub(super) async fn find(docker: &Docker, volume: &str) -> Result<Option<Found>, Failure> {
    match docker.inspect_volume(volume).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if docker::is_gone(&error) => Ok(None),
        Err(error) => Err(docker::told(&error)),
    }
}

pub(super) fn is_ours(found: &Found, tag: &str) -> bool {
    found.labels.get(docker::RESTORED).is_some_and(|label| label == tag)
}

/// Where a volume's new folder waits: beside the one that it has.
fn stage(found: &Found, tag: &str) -> PathBuf {
    sibling(Path::new(&found.mountpoint), "restoring", tag)
}

/// As [`folder::switch`] names it.
fn sibling(place: &Path, word: &str, tag: &str) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!("{name}.{word}-{tag}"))
}

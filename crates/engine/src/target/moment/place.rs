//! A server in the place of what its container has: the data directories change places in one step
//! while the container is stopped, and what was there is kept beside. Going back is the same again.

use std::{
    io,
    path::{Path, PathBuf},
};

use bollard::{Docker, models::Volume as Found, query_parameters::RemoveVolumeOptions};
use model::{Fact, Failure, MomentOrder, RestoreReport};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{
    super::{Aim, Loaded, Look, Placing, PutBack, Switched, blocking, refused, volume},
    contained::{answers, there},
};
use crate::{
    docker::{self, containers, served::Served},
    durable,
    run::{RunContext, failure},
    source::volume::{
        direct,
        users::{self, Held, Meanwhile},
    },
};

/// What the names of all marks begin with.
const MARKS: &str = "backup-orchestrator.restored-";

/// A file in the data directory that a restore puts there: where this is, that data directory is.
/// It stays, for a restore that is cut off at its very end looks for it again. The server takes no
/// notice of it.
pub(super) fn mark(tag: &str) -> String {
    format!("{MARKS}{tag}")
}

/// Removes the marks of earlier restores that came along with a base backup.
pub(super) fn unmark(data: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(MARKS) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What a restore in place would meet.
pub(super) async fn look(aim: &Aim<'_>, order: &MomentOrder) -> Result<Look, Failure> {
    let (docker, served) = there(aim).await?;
    let container = served.name.clone();
    let mut look = Look::at(Fact::ServerIn { container });
    if order.pause {
        look.block(Fact::PauseOnlyBeside {});
    }
    about_place(aim, &docker, &served, &mut look).await?;
    Ok(look)
}

/// What going back on one would meet.
pub(super) async fn look_back(aim: &Aim<'_>) -> Result<Look, Failure> {
    let (docker, served) = there(aim).await?;
    let container = served.name.clone();
    let mut look = Look::at(Fact::ServerIn { container });
    let kept = kept_of(aim).await?;
    if !is_there(&kept).await {
        look.block(Fact::IsGone { what: kept.display().to_string() });
    }
    about_place(aim, &docker, &served, &mut look).await?;
    Ok(look)
}

async fn about_place(
    aim: &Aim<'_>,
    docker: &Docker,
    served: &Served,
    look: &mut Look,
) -> Result<(), Failure> {
    let (volume, found) = match found(docker, served).await {
        Ok(found) => (found.name.clone(), found),
        Err(failure) => {
            look.block(failure);
            return Ok(());
        }
    };
    match direct::candidate(&aim.asked()?, &found).await {
        Ok(place) => {
            let path = place.join(served.within()).display().to_string();
            look.replaces = Some(Fact::VolumeKeptBeside { volume: volume.clone(), path }.into());
        }
        Err(why) => look.block(Fact::VolumeNotExchanged { volume: volume.clone(), why }),
    }
    let users = users::running(docker, &volume).await?;
    if let Some(why) = users.iter().find_map(users::Running::in_the_way) {
        look.block(why);
    } else if !users.is_empty() {
        let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
        look.warn(Fact::StoppedMeanwhile { containers: names.join(", ") });
    }
    Ok(())
}

/// The volume of the server's data.
async fn found(docker: &Docker, served: &Served) -> Result<Found, Failure> {
    let container = served.name.clone();
    let Some(name) = &served.volume else {
        return Err(refused(Fact::DataNotInVolume { container }));
    };
    let found = volume::find(docker, name).await?;
    found.ok_or_else(|| refused(Fact::IsGone { what: name.clone() }))
}

/// Errs unless the volume's folder is surely ours to exchange.
pub(super) async fn prove(
    context: &RunContext,
    aim: &Aim<'_>,
    docker: &Docker,
    served: &Served,
) -> Result<(), Failure> {
    let found = found(docker, served).await?;
    let proven = volume::exchangeable(context, aim, &aim.asked()?, docker, &found).await?;
    let volume = found.name;
    proven.map_err(|why| refused(Fact::VolumeNotExchanged { volume, why }))
}

/// What the restore that is gone back on has kept.
async fn kept_of(aim: &Aim<'_>) -> Result<PathBuf, Failure> {
    let gone = || refused(Fact::NothingKept {});
    let run = aim.undoes.ok_or_else(gone)?;
    let report = aim.engine.0.catalog.report::<RestoreReport>(run).await;
    let report = report.map_err(|error| failure::of_catalog(&error))?.ok_or_else(gone)?;
    let kept = report.steps.iter().find(|step| step.artifact == aim.artifact.source);
    kept.and_then(|step| step.kept.clone()).map(PathBuf::from).ok_or_else(gone)
}

/// Nothing is brought back: what is kept gets the mark by which it is known once it is in place.
pub(super) async fn load_back(aim: &Aim<'_>) -> Result<Loaded, Failure> {
    let file = kept_of(aim).await?.join(mark(aim.tag));
    let writing = file.clone();
    blocking(move || std::fs::write(writing, "")).await?.map_err(|error| told(&file, &error))?;
    Ok(Loaded::default())
}

/// Takes the mark away again.
pub(super) async fn clear_back(aim: &Aim<'_>) -> Result<(), Failure> {
    let file = kept_of(aim).await?.join(mark(aim.tag));
    let removing = file.clone();
    let removed = blocking(move || crate::pitr::restore::prepare::remove(&removing));
    removed.await?.map_err(|error| told(&file, &error))
}

/// Two data directories that change places.
#[derive(Debug, Clone)]
struct Swap {
    /// Where the new one waits, and where it is put back to.
    made: PathBuf,
    /// Where the container looks.
    place: PathBuf,
    /// Where the old one is kept.
    kept: PathBuf,
    mark: String,
}

impl Swap {
    async fn of(placing: &Placing<'_>, docker: &Docker, served: &Served) -> Result<Self, Failure> {
        let Placing { aim, made, .. } = *placing;
        let found = found(docker, served).await?;
        let root = PathBuf::from(&found.mountpoint);
        let within = served.within();
        let place = if within.is_empty() { root } else { root.join(within) };
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let kept = place.with_file_name(format!("{name}.before-{}", aim.tag));
        let made = if aim.undoes.is_some() {
            kept_of(aim).await?
        } else {
            let new = volume::find(docker, made).await?;
            // Once it is in its place, the volume that it came in is removed.
            let new = new.map(|new| PathBuf::from(new.mountpoint));
            let new = new.unwrap_or_else(|| kept.with_file_name(made));
            if within.is_empty() { new } else { new.join(within) }
        };
        Ok(Self { made, place, kept, mark: mark(aim.tag) })
    }

    fn is_done(&self) -> bool {
        is_at(&self.place.join(&self.mark))
    }

    /// In one step: whoever is killed leaves one or the other in its place.
    fn exchange(&self) -> io::Result<()> {
        if !self.is_done() {
            if !is_at(&self.made.join(&self.mark)) {
                let gone = format!("{} is not what was made for it", self.made.display());
                return Err(io::Error::other(gone));
            }
            swap(&self.made, &self.place)?;
        }
        if is_at(&self.made) && !is_at(&self.kept) {
            std::fs::rename(&self.made, &self.kept)?;
        }
        durable::sync_name(&self.kept)?;
        durable::sync_name(&self.place)
    }

    fn exchange_back(&self) -> io::Result<()> {
        if !self.is_done() {
            return Ok(());
        }
        if !is_at(&self.kept) {
            swap(&self.made, &self.place)?;
            return durable::sync_name(&self.place);
        }
        swap(&self.kept, &self.place)?;
        durable::sync_name(&self.place)?;
        std::fs::rename(&self.kept, &self.made)?;
        durable::sync_name(&self.made)
    }
}

fn swap(one: &Path, other: &Path) -> io::Result<()> {
    let flags = RenameFlags::RENAME_EXCHANGE;
    renameat2(AT_FDCWD, one, AT_FDCWD, other, flags).map_err(io::Error::from)
}

fn is_at(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

async fn is_there(path: &Path) -> bool {
    tokio::fs::symlink_metadata(path).await.is_ok()
}

fn told(path: &Path, error: &io::Error) -> Failure {
    let (what, why) = (path.display().to_string(), error.to_string());
    refused(Fact::NotPlaced { what, why })
}

/// Stops those who use the server's volume; nobody else may come meanwhile.
async fn hold(context: &RunContext, docker: &Docker, served: &Served) -> Result<Held, Failure> {
    let volume = found(docker, served).await?.name;
    volume::only_those_that_stop(docker, &volume).await?;
    let mut held = users::hold(context, docker, &volume, Meanwhile::Stop).await?;
    match volume::nobody_uses(docker, &volume).await {
        Ok(()) => Ok(held),
        Err(failure) => {
            held.release(context).await;
            Err(failure)
        }
    }
}

/// Puts it in its place, and waits until the server answers.
pub(super) async fn switch(placing: &Placing<'_>) -> Result<Switched, Failure> {
    let Placing { context, aim, made } = *placing;
    let (docker, served) = there(aim).await?;
    let swap = Swap::of(placing, &docker, &served).await?;
    let mut notes = Vec::new();
    let mut held = hold(context, &docker, &served).await?;
    let swapped = exchanged(&swap, Swap::exchange).await;
    notes.extend(held.release(context).await);
    swapped?;
    containers::start(&docker, &served.name).await?;
    answers(context, aim, &docker, &served.name).await?;
    // The volume that it came in is empty now.
    if aim.undoes.is_none()
        && !is_there(&swap.made).await
        && let Some(emptied) = volume::find(&docker, made).await?
        && volume::is_ours(&emptied, aim.tag)
        && let Err(error) = docker.remove_volume(made, None::<RemoveVolumeOptions>).await
    {
        context.journal.warn(docker::told(&error).message);
    }
    notes.push(Fact::ServerPlaced { container: served.name }.into());
    let kept = is_there(&swap.kept).await.then(|| swap.kept.display().to_string());
    Ok(Switched { kept, notes })
}

async fn exchanged(
    swap: &Swap,
    exchange: impl FnOnce(&Swap) -> io::Result<()> + Send + 'static,
) -> Result<(), Failure> {
    let owned = swap.clone();
    let done = blocking(move || exchange(&owned)).await?;
    done.map_err(|error| told(&swap.place, &error))
}

/// What was there takes its place again, and its container goes on.
pub(super) async fn put_back(placing: &Placing<'_>) -> Result<PutBack, Failure> {
    let Placing { context, aim, .. } = *placing;
    let (docker, served) = there(aim).await?;
    let swap = Swap::of(placing, &docker, &served).await?;
    let done = swap.clone();
    if blocking(move || done.is_done()).await? {
        let mut held = hold(context, &docker, &served).await?;
        let back = exchanged(&swap, Swap::exchange_back).await;
        held.release(context).await;
        back?;
    }
    containers::start(&docker, &served.name).await?;
    Ok(PutBack::AsItWas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_change_places_and_back_from_wherever_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let swap =
            Swap { made: at("new"), place: at("data"), kept: at("data.before-x"), mark: mark("x") };
        std::fs::create_dir(&swap.made).unwrap();
        std::fs::create_dir(&swap.place).unwrap();
        std::fs::write(swap.place.join("old"), "").unwrap();
        assert!(swap.exchange().is_err(), "without its mark it is not what was made");
        std::fs::write(swap.made.join(&swap.mark), "").unwrap();

        swap.exchange_back().unwrap();
        assert!(is_at(&swap.place.join("old")), "nothing was done yet");
        for _ in 0..2 {
            swap.exchange().unwrap();
            assert!(swap.is_done() && is_at(&swap.kept.join("old")) && !is_at(&swap.made));
        }
        swap.exchange_back().unwrap();
        assert!(is_at(&swap.place.join("old")) && is_at(&swap.made) && !is_at(&swap.kept));

        // Cut off between its two steps.
        super::swap(&swap.made, &swap.place).unwrap();
        assert!(swap.is_done() && !is_at(&swap.kept));
        swap.exchange_back().unwrap();
        assert!(is_at(&swap.place.join("old")));
        super::swap(&swap.made, &swap.place).unwrap();
        swap.exchange().unwrap();
        assert!(is_at(&swap.kept.join("old")));
    }
}

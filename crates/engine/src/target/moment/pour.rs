//! A data directory of this machine, put into a volume: by way of a container that is never started.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use archive::Sink;
use bollard::{Docker, body_try_stream, query_parameters::UploadToContainerOptions};
use futures::StreamExt as _;
use model::{Fact, Failure, FailureCode};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::super::{Aim, refused};
use crate::{
    docker,
    run::RunContext,
    source::volume::helper::{AT, Helper},
};

/// Chunks that may wait to be taken.
const WAITING_CHUNKS: usize = 8;
/// Modes of the data directory, and of folders above it.
const CLOSED: u32 = 0o700;
const OPEN: u32 = 0o755;

/// Where in a volume something goes, and whom it is to belong to.
pub(crate) struct Goal<'a> {
    pub(crate) volume: &'a str,
    /// The image of the container that mounts it.
    pub(crate) image: &'a str,
    /// The folder in it; empty is the volume itself.
    pub(crate) within: &'a str,
    pub(crate) owner: (u32, u32),
}

/// Puts all of `data` there.
pub(crate) async fn pour(
    context: &RunContext,
    aim: &Aim<'_>,
    docker: &Docker,
    goal: &Goal<'_>,
    data: &Path,
) -> Result<(), Failure> {
    let of = aim.artifact.source.as_str();
    let image = Some(goal.image);
    let helper = Helper::mounting(context, docker, goal.volume, image, of, true).await?;
    let poured = poured(context, aim, docker, &helper, goal, data).await;
    helper.remove(context).await;
    poured
}

async fn poured(
    context: &RunContext,
    aim: &Aim<'_>,
    docker: &Docker,
    helper: &Helper,
    goal: &Goal<'_>,
    data: &Path,
) -> Result<(), Failure> {
    let (to, mut from) = mpsc::channel(WAITING_CHUNKS);
    let (good, ended) = oneshot::channel();
    let (from_folder, within, owner) = (data.to_owned(), goal.within.to_owned(), goal.owner);
    let stop = context.stop_token().clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut sink = Sink::new(to);
        Tar { within: &within, owner, stop: &stop }.write(&from_folder, &mut sink)?;
        sink.flush()?;
        let _ = good.send(());
        Ok::<_, io::Error>(())
    });
    let chunks = futures::stream::poll_fn(move |waker| from.poll_recv(waker));
    // What breaks off must not look like an end.
    let end = futures::stream::once(ended).filter_map(|ended| async move {
        ended.is_err().then(|| Err(io::Error::other("the data directory cannot be read on")))
    });
    let body = body_try_stream(chunks.map(Ok::<_, io::Error>).chain(end));
    let patient = docker.clone().with_timeout(aim.timeout());
    let options = UploadToContainerOptions { path: AT.to_owned(), ..Default::default() };
    let sent = tokio::select! {
        biased;
        failure = context.stopped() => return Err(failure),
        sent = patient.upload_to_container(&helper.name, Some(options), body) => sent,
    };
    let written = writing.await;
    let written =
        written.map_err(|panic| Failure::new(FailureCode::Internal, panic.to_string()))?;
    sent.map_err(|error| docker::told(&error))?;
    written.map_err(|error| told(data, &error))?;
    if !goal.within.is_empty() {
        return Ok(());
    }
    helper.dress(folder(CLOSED, goal.owner)).await
}

fn told(data: &Path, error: &io::Error) -> Failure {
    refused(Fact::NotRead { what: data.display().to_string(), why: error.to_string() })
}

/// A folder as a tar.
struct Tar<'a> {
    within: &'a str,
    owner: (u32, u32),
    stop: &'a CancellationToken,
}

impl Tar<'_> {
    fn write(&self, data: &Path, out: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(out);
        let within = PathBuf::from(self.within);
        let mut above: Vec<_> = within.ancestors().filter(|one| *one != Path::new("")).collect();
        above.reverse();
        for one in above {
            let mode = if one == within { CLOSED } else { OPEN };
            tar.append_data(&mut folder(mode, self.owner), one, io::empty())?;
        }
        let mut waiting = vec![(data.to_owned(), within)];
        while let Some((here, there)) = waiting.pop() {
            for entry in std::fs::read_dir(here)? {
                if self.stop.is_cancelled() {
                    return Err(io::Error::other("the run is ended"));
                }
                let entry = entry?;
                let (path, name) = (entry.path(), there.join(entry.file_name()));
                let found = path.symlink_metadata()?;
                let mut header = tar::Header::new_gnu();
                header.set_metadata(&found);
                header.set_uid(self.owner.0.into());
                header.set_gid(self.owner.1.into());
                if found.is_dir() {
                    header.set_size(0);
                    tar.append_data(&mut header, &name, io::empty())?;
                    waiting.push((path, name));
                } else if found.is_symlink() {
                    header.set_size(0);
                    tar.append_link(&mut header, &name, std::fs::read_link(&path)?)?;
                } else if found.is_file() {
                    tar.append_data(&mut header, &name, std::fs::File::open(&path)?)?;
                }
            }
        }
        tar.finish()
    }
}

fn folder(mode: u32, owner: (u32, u32)) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(mode);
    header.set_uid(owner.0.into());
    header.set_gid(owner.1.into());
    header.set_mtime(0);
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_gets_its_owner() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("base")).unwrap();
        std::fs::write(data.path().join("base/1"), "rows").unwrap();
        std::os::unix::fs::symlink("../x", data.path().join("link")).unwrap();
        let stop = CancellationToken::new();
        let mut bytes = Vec::new();
        let tar = Tar { within: "18/docker", owner: (999, 998), stop: &stop };
        tar.write(data.path(), &mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (999, 998));
                let path = entry.path().unwrap().display().to_string();
                (path, header.entry_type(), header.size().unwrap())
            })
            .collect();
        found.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let named: Vec<_> = found.iter().map(|(path, ..)| path.trim_end_matches('/')).collect();
        let wanted = ["18", "18/docker", "18/docker/base", "18/docker/base/1", "18/docker/link"];
        assert_eq!(named, wanted);
        assert_eq!((found[3].2, found[4].1), (4, tar::EntryType::Symlink));

        stop.cancel();
        let tar = Tar { within: "", owner: (0, 0), stop: &stop };
        assert!(tar.write(data.path(), io::sink()).is_err());
    }
}

//! Through Docker: a tar goes into a container that has the volume mounted and is never started.

use std::io;

use archive::{Kind, Member, Members};
use bollard::{
    Docker, body_try_stream,
    query_parameters::{DownloadFromContainerOptions, UploadToContainerOptions},
};
use futures::StreamExt as _;
use model::{Fact, Failure, Told};

use super::{
    super::{Aim, Supply, refused},
    whole::passing,
};
use crate::{
    docker,
    run::RunContext,
    source::volume::helper::{AT, CONTENTS, Helper},
};

/// How much of a tar is looked at for its first members, in bytes.
const MAX_HEAD: usize = 256 << 10;

/// Fills `volume` with what `supply` gives; its end is proven before this is.
pub(super) async fn fill(
    context: &RunContext,
    aim: &Aim<'_>,
    docker: &Docker,
    volume: &str,
    supply: &Supply<'_>,
) -> Result<(), Failure> {
    let asked = aim.asked()?;
    let image = asked.setting("image");
    let of = aim.artifact.source.as_str();
    let helper = Helper::mounting(context, docker, volume, image, of, true).await?;
    let filled = poured(context, aim, docker, &helper, supply).await;
    helper.remove(context).await;
    filled
}

async fn poured(
    context: &RunContext,
    aim: &Aim<'_>,
    docker: &Docker,
    helper: &Helper,
    supply: &Supply<'_>,
) -> Result<(), Failure> {
    let patient = docker.clone().with_timeout(aim.timeout());
    let mut bytes = supply.open()?;
    let (passing, body) = passing();
    let mut head = Vec::new();
    let feeding = async {
        let fed = async {
            while let Some(chunk) = bytes.chunk().await? {
                let room = MAX_HEAD.saturating_sub(head.len()).min(chunk.len());
                head.extend_from_slice(&chunk[..room]);
                if passing.to.send(Ok(chunk)).await.is_err() {
                    break; // Others tell why, or Docker has seen the tar's end.
                }
            }
            // Only its true end proves it.
            while bytes.chunk().await?.is_some() {}
            Ok::<_, Failure>(())
        };
        let fed = fed.await;
        if fed.is_err() {
            // What breaks off must not look like an end.
            let why = io::Error::other("the copy cannot be read on");
            let _ = passing.to.send(Err(why)).await;
        }
        fed.and(passing.end().await)
    };
    let options = UploadToContainerOptions { path: AT.to_owned(), ..Default::default() };
    let sending = patient.upload_to_container(&helper.name, Some(options), body_try_stream(body));
    let sent = async {
        tokio::select! {
            biased;
            failure = context.stopped() => Err(failure),
            sent = sending => sent.map_err(|error| docker::told(&error)),
        }
    };
    let (fed, sent) = tokio::join!(feeding, sent);
    fed?;
    sent?;
    match first_member(&head) {
        Some(root) => helper.dress(folder(&root)).await,
        None => Ok(()),
    }
}

/// The volume's own folder, where the tar begins with it.
fn first_member(head: &[u8]) -> Option<Member> {
    let first = Members::new(head).next_member().ok()??;
    let is_root = archive::parts_of(&first.name).is_ok_and(|parts| parts.is_empty());
    (first.kind == Kind::Folder && is_root).then_some(first)
}

/// A folder with the owner, mode and time of `root`.
fn folder(root: &Member) -> tar::Header {
    let of = &root.attributes;
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(of.mode);
    header.set_uid(of.uid.into());
    header.set_gid(of.gid.into());
    header.set_mtime(u64::try_from(of.mtime.0).unwrap_or(0));
    header.set_size(0);
    header
}

/// Errs where there is anything in `volume`.
pub(super) async fn only_if_empty(
    context: &RunContext,
    aim: &Aim<'_>,
    docker: &Docker,
    volume: &str,
    why: impl Into<Told>,
) -> Result<(), Failure> {
    let asked = aim.asked()?;
    let image = asked.setting("image");
    let of = aim.artifact.source.as_str();
    let helper = Helper::mounting(context, docker, volume, image, of, false).await?;
    let empty = is_empty(docker, &helper).await;
    helper.remove(context).await;
    if empty? {
        return Ok(());
    }
    Err(refused(Fact::VolumeHoldsFiles { volume: volume.to_owned(), why: why.into() }))
}

async fn is_empty(docker: &Docker, helper: &Helper) -> Result<bool, Failure> {
    let options = DownloadFromContainerOptions { path: CONTENTS.to_owned() };
    let mut tar = docker.download_from_container(&helper.name, Some(options)).boxed();
    let mut head = Vec::new();
    while let Some(chunk) = tar.next().await {
        head.extend_from_slice(&chunk.map_err(|error| docker::told(&error))?);
        if head.len() > MAX_HEAD {
            return Ok(false);
        }
    }
    let mut members = Members::new(head.as_slice());
    let told =
        |error: archive::TarError| refused(format!("the volume cannot be looked at: {error}"));
    while let Some(member) = members.next_member().map_err(told)? {
        if archive::parts_of(&member.name).map_or(true, |parts| !parts.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}

//! LVM: a snapshot of the logical volume, thin where the volume is, mounted read-only.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use model::{Duty, Fact, Failure, Told};

use super::{
    PREFIX, Volume, failed,
    mounts::{self, Mount},
    told, unfit,
};
use crate::{Engine, doctor::said, duty::Owed, run::RunContext, source::direct::Asked};

/// Room of an ordinary snapshot, as a share of its volume.
const PERCENT: &str = "10";

/// Stands for a source in the names of logical volumes, which are short and have forbidden words.
pub(super) fn short(source: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, source.as_bytes());
    hex::encode(&digest.as_ref()[..4])
}

async fn lvm(engine: &Engine, program: &str, args: &[&str]) -> Result<String, Failure> {
    let args: Vec<_> = args.iter().map(OsStr::new).collect();
    told(engine, program, &args).await
}

/// The logical volume that `real` lies on, as `GROUP/NAME`.
pub(super) async fn volume(
    engine: &Engine,
    mounts: &[Mount],
    real: &Path,
) -> Result<Volume, Failure> {
    let mount = mounts::of(mounts, real)
        .ok_or_else(|| failed(Fact::NothingMounted { path: real.display().to_string() }))?;
    let device = mount.what.to_str().filter(|what| what.starts_with("/dev/"));
    let no = |why: Told| unfit(Fact::NotOnLvm { path: real.display().to_string(), why });
    let device = device.ok_or_else(|| no(said(mount.what.to_string_lossy()).into()))?;
    let args = ["--noheadings", "--separator", "/", "-o", "vg_name,lv_name", device];
    let listed = lvm(engine, "lvs", &args).await.map_err(|error| no(error.into()))?;
    let id = listed.trim();
    if id.split('/').filter(|part| !part.is_empty()).count() != 2 {
        return Err(no(said(id).into()));
    }
    Ok(Volume { top: mount.at.clone(), id: id.to_owned(), within: mount.within.clone() })
}

/// Takes the snapshot and mounts it; gives where what is at the volume's top is in it.
pub(super) async fn take(
    context: &RunContext,
    asked: &Asked<'_>,
    mounts: &[Mount],
    volume: &Volume,
    name: &str,
) -> Result<(PathBuf, Owed), Failure> {
    let engine = &context.engine;
    let group = volume.id.split('/').next().unwrap_or_default();
    // Mountinfo has no relative paths.
    let spool = std::path::absolute(&engine.0.config.spool);
    let spool = spool.map_err(|error| failed(format!("the spool: {error}")))?;
    let mount = spool.join(name);
    let whole = format!("{group}/{name}");
    let duty = Duty::RemoveLogicalVolume { name: whole.clone(), mount: mount.clone() };
    let owed = context.owe(duty).await?;
    let pool = ["--noheadings", "-o", "pool_lv", &volume.id];
    let is_thin = !lvm(engine, "lvs", &pool).await?.trim().is_empty();
    let percent = asked.setting("snapshot_percent").unwrap_or(PERCENT);
    let size = format!("{percent}%ORIGIN");
    let room: &[&str] = if is_thin { &["-kn"] } else { &["-l", &size] };
    let args = [&["-s", "-n", name], room, &[volume.id.as_str()]].concat();
    lvm(engine, "lvcreate", &args).await?;

    let made = tokio::fs::create_dir_all(&mount).await;
    made.map_err(|error| failed(format!("{}: {error}", mount.display())))?;
    let is_xfs = mounts.iter().any(|one| one.at == volume.top && one.kind == "xfs");
    // XFS refuses a second file system of the same identity.
    let options = if is_xfs { "ro,nosuid,nodev,noexec,nouuid" } else { "ro,nosuid,nodev,noexec" };
    let device = format!("/dev/{whole}");
    let words = ["-o", options, "--", &device].map(OsStr::new);
    told(engine, "mount", &[&words[..], &[mount.as_os_str()]].concat()).await?;
    let within = volume.within.strip_prefix("/").unwrap_or(Path::new(""));
    Ok((if within.as_os_str().is_empty() { mount } else { mount.join(within) }, owed))
}

/// Unmounts and removes a snapshot of ours.
pub(super) async fn remove(engine: &Engine, name: &str, mount: &Path) -> Result<(), Failure> {
    let Some((group, own)) = name.split_once('/').filter(|(_, own)| own.starts_with(PREFIX)) else {
        return Err(failed(format!("{name} is no snapshot of ours")));
    };
    if mounts::is_at(&mounts::all().await?, mount) {
        told(engine, "umount", &[OsStr::new("--"), mount.as_os_str()]).await?;
    }
    let only = format!("lv_name={own}");
    let args = ["--noheadings", "-o", "lv_name", "-S", &only, group];
    let is_there = match lvm(engine, "lvs", &args).await {
        // Its group is gone, and it with that.
        Err(error) if error.message.contains(&format!("group \"{group}\" not found")) => false,
        listed => !listed?.trim().is_empty(),
    };
    if is_there {
        lvm(engine, "lvremove", &["-f", "-y", name]).await?;
    }
    match tokio::fs::remove_dir(mount).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed(format!("{}: {error}", mount.display())))
        }
        _ => Ok(()),
    }
}

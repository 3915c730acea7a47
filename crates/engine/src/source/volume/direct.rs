//! A volume's files where Docker keeps them: read without Docker, where that surely gives the same.

use std::{
    ffi::OsStr,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

use archive::{Bounds, Root, Walk, Warnings};
use bollard::{
    Docker,
    container::PathStatResponse,
    models::Volume,
    query_parameters::{ContainerArchiveInfoOptions, InspectContainerOptions},
};
use jiff::Timestamp;
use model::{Fact, Failure, FailureCode, Told};

use super::{
    Asked,
    helper::{CONTENTS, Helper},
};
use crate::{
    docker,
    source::{files::basis::mounts, walked::Plan},
};

/// Capabilities that let a process read whatever modes say: `CAP_DAC_OVERRIDE` and
/// `CAP_DAC_READ_SEARCH`.
const READS_ALL: u64 = 1 << 1 | 1 << 2;
/// Members that are compared, and among how many they are chosen.
const COMPARED: usize = 3;
const LOOKED_AT: usize = 1_000;

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// We where that is proven to be the same, else Docker.
    Auto,
    /// We, or nobody.
    Direct,
    Docker,
}

impl Read {
    pub(crate) fn of(setting: Option<&str>) -> Self {
        match setting {
            Some("direct") => Self::Direct,
            Some("docker") => Self::Docker,
            _ => Self::Auto,
        }
    }
}

/// Why it is not read directly.
pub(crate) type Why = Told;

/// The folder where `volume` seems to be, readable by us.
pub(crate) async fn candidate(asked: &Asked<'_>, volume: &Volume) -> Result<PathBuf, Why> {
    let host = asked.engine.0.config.docker_host.as_deref().unwrap_or_default();
    if !host.starts_with("unix://") {
        return Err(Fact::DockerElsewhere {}.into());
    }
    if volume.driver != "local" {
        return Err(Fact::VolumeDriver { driver: volume.driver.clone() }.into());
    }
    if !volume.options.is_empty() {
        return Err(Fact::VolumeOptions {}.into());
    }
    let folder = PathBuf::from(&volume.mountpoint);
    let mounts = mounts::all().await?;
    if let Some(mount) = mounts.iter().find(|mount| mount.at.starts_with(&folder)) {
        return Err(Fact::MountedWithin { path: mount.at.display().to_string() }.into());
    }
    let looked = folder.clone();
    let judged = tokio::task::spawn_blocking(move || judge(&looked)).await;
    judged.unwrap_or_else(|panic| Err(panic.to_string().into()))?;
    Ok(folder)
}

/// Docker's own folder, that of volumes, and that of containers.
fn layout(folder: &Path) -> Option<(&Path, PathBuf)> {
    let volumes = folder.parent()?.parent()?;
    let is_usual = folder.is_absolute()
        && folder.ends_with("_data")
        && volumes.ends_with("volumes")
        && folder.components().all(|part| part != Component::ParentDir);
    is_usual.then(|| (volumes, volumes.with_file_name("containers")))
}

fn judge(folder: &Path) -> Result<(), Why> {
    let path = || folder.display().to_string();
    let (volumes, _) = layout(folder).ok_or_else(|| Fact::NoUsualPlace { path: path() })?;
    let unseen = |error: io::Error| Fact::NotSeen { path: path(), why: error.to_string() };
    if folder.canonicalize().map_err(unseen)? != folder {
        return Err(Fact::BehindLink { path: path() }.into());
    }
    // With user namespaces owners mean something else in containers than here.
    let owner = volumes.metadata().map_err(unseen)?;
    let is_mapped = |name: &OsStr| name.to_str().is_some_and(is_pair);
    let own_map = std::fs::read_to_string("/proc/self/uid_map").map_err(unseen)?;
    let is_whole = own_map.split_whitespace().eq(["0", "0", "4294967295"]);
    if (owner.uid(), owner.gid()) != (0, 0)
        || volumes.parent().and_then(Path::file_name).is_some_and(is_mapped)
        || !is_whole
    {
        return Err(Fact::UserNamespaces {}.into());
    }
    let status = std::fs::read_to_string("/proc/self/status").map_err(unseen)?;
    if !reads_all(&status) {
        return Err(Fact::NotReadAll { path: path() }.into());
    }
    Ok(())
}

/// `165536.165536`: the folder of a Docker whose containers' users are mapped.
fn is_pair(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|one| one.is_ascii_digit());
    name.split_once('.').is_some_and(|(uid, gid)| is_number(uid) && is_number(gid))
}

fn reads_all(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|effective| effective & READS_ALL != 0)
}

/// Whether `folder` is what this Docker has mounted in the helper, and no folder that another
/// Docker has, or had, at the same place.
pub(crate) async fn prove(helper: &Helper, folder: &Path) -> Result<(), Why> {
    let (_, containers) = layout(folder).ok_or("no usual place")?;
    if tokio::fs::metadata(&containers).await.is_ok() {
        // Nobody else has a container of this name, and nobody had it a moment ago.
        if tokio::fs::metadata(containers.join(&helper.id)).await.is_err() {
            return Err(format!("{} is not this Docker's", containers.display()).into());
        }
    } else if !is_mounted_for_us(&helper.docker, folder).await? {
        return Err(format!(
            "nothing proves that {} here is this Docker's: the orchestrator needs its folder of \
             volumes mounted at the same path by this Docker",
            folder.display()
        )
        .into());
    }
    let recent = folder.to_owned();
    let members = tokio::task::spawn_blocking(move || recent_members(&recent)).await;
    let members = members.map_err(|panic| panic.to_string())?.map_err(|error| error.to_string())?;
    for member in std::iter::once(String::new()).chain(members) {
        compare(helper, folder, &member).await?;
    }
    Ok(())
}

/// Whether this Docker knows the container that we are, and has mounted `folder` for it from where
/// Docker has it.
async fn is_mounted_for_us(docker: &Docker, folder: &Path) -> Result<bool, Why> {
    let Some(own) = docker::own_container().await else { return Ok(false) };
    let own = match docker.inspect_container(&own, None::<InspectContainerOptions>).await {
        Err(error) if docker::is_gone(&error) => return Ok(false),
        own => own.map_err(|error| error.to_string())?,
    };
    // Of several mounts around it, the innermost one shows.
    let around = own.mounts.into_iter().flatten().filter_map(|mount| {
        let destination = PathBuf::from(mount.destination?);
        folder.starts_with(&destination).then_some((destination, mount.source?))
    });
    let innermost = around.max_by_key(|(destination, _)| destination.components().count());
    Ok(innermost.is_some_and(|(destination, source)| destination == Path::new(&source)))
}

/// Files and folders that changed last: a copy of a volume differs there first.
fn recent_members(folder: &Path) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in folder.read_dir()?.take(LOOKED_AT) {
        let entry = entry?;
        let meta = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            meta => meta?,
        };
        if let Ok(name) = entry.file_name().into_string()
            && (meta.is_file() || meta.is_dir())
        {
            all.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), name));
        }
    }
    all.sort_by(|one, other| other.cmp(one));
    Ok(all.into_iter().take(COMPARED).map(|(_, name)| name).collect())
}

/// Whether Docker says of a member what we see.
async fn compare(helper: &Helper, folder: &Path, member: &str) -> Result<(), Why> {
    let local = || async {
        let meta = tokio::fs::symlink_metadata(folder.join(member)).await.ok()?;
        Some((meta.len(), meta.mode() & 0o777, meta.mtime(), meta.mtime_nsec()))
    };
    let before = local().await;
    let path = match member {
        "" => CONTENTS.to_owned(),
        member => format!("{CONTENTS}/{member}"),
    };
    let options = ContainerArchiveInfoOptions { path };
    let told = helper.docker.get_container_archive_info(&helper.name, Some(options)).await;
    let told = match told {
        Err(error) if docker::is_gone(&error) => None,
        told => seen(&told.map_err(|error| format!("Docker does not compare it: {error}"))?),
    };
    // One that changed meanwhile tells nothing.
    if told == before || local().await != before {
        return Ok(());
    }
    let at = folder.join(member);
    Err(format!("{} is not what Docker has in the volume", archive::quoted(&at)).into())
}

fn seen(told: &PathStatResponse) -> Option<(u64, u32, i64, i64)> {
    let at: Timestamp = told.modification_time.as_deref()?.parse().ok()?;
    // Before 1970 the parts of a timestamp count down together.
    let nanos = at.as_nanosecond();
    let second = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let rest = i64::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    Some((u64::try_from(told.size).ok()?, told.file_mode & 0o777, second, rest))
}

/// What is walked: all that is in the volume and nothing that lies elsewhere.
pub(in crate::source) fn plan(
    volume: &str,
    folder: PathBuf,
    exclude: &[&str],
) -> Result<Plan, Failure> {
    let excluded: Vec<_> = exclude
        .iter()
        .map(|word| word.trim_start_matches("./").trim_matches('/'))
        .map(|word| if word.contains('/') { format!("/./{word}") } else { word.to_owned() })
        .collect();
    let walk = Walk::default()
        .on_one_file_system(true)
        .within(Bounds::new([&folder]))
        .excluding(excluded.iter().map(String::as_str))
        .map_err(|error| Failure::new(FailureCode::SourceConfig, error.to_string()))?;
    Ok(Plan {
        what: format!("volume `{volume}`"),
        file_name: format!("{volume}.tar"),
        walk,
        roots: vec![Root::contents_of(folder)],
        warnings: Warnings::default(),
        keeps_devices: true,
        note: |_| None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dockers_own_places_are_taken() {
        let (volumes, containers) = layout(Path::new("/var/lib/docker/volumes/a/_data")).unwrap();
        assert_eq!(volumes, Path::new("/var/lib/docker/volumes"));
        assert_eq!(containers, Path::new("/var/lib/docker/containers"));
        for wrong in ["/etc", "/", "", "/srv/a/_data", "volumes/a/_data", "/x/../volumes/a/_data"] {
            assert!(layout(Path::new(wrong)).is_none(), "{wrong}");
        }
        assert!(is_pair("165536.165536") && !is_pair("docker") && !is_pair("20.x"));
    }

    #[test]
    fn rights_are_read_from_the_status() {
        assert!(reads_all("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(reads_all("CapEff:\t0000000000000004\n"));
        assert!(!reads_all("CapEff:\t0000000000000001\nCapBnd:\t000001ffffffffff\n"));
        assert!(!reads_all(""));
    }

    #[test]
    fn times_are_compared_to_the_nanosecond() {
        let told = |time: &str| PathStatResponse {
            name: String::new(),
            size: 7,
            file_mode: 1 << 31 | 0o751,
            modification_time: Some(time.to_owned()),
            link_target: String::new(),
        };
        let of = |time: &str| seen(&told(time)).unwrap();
        assert_eq!(of("1970-01-01T01:00:05.000000009+01:00"), (7, 0o751, 5, 9));
        assert_eq!(of("1969-12-31T23:59:59.75Z"), (7, 0o751, -1, 750_000_000));
        assert_eq!(seen(&told("soon")), None);
    }
}

//! The container that a source's PostgreSQL server is, as far as a copy of it needs to know: its
//! image, where its data directory is, and in what that lies.

use bollard::{
    Docker,
    models::{ContainerInspectResponse, MountPoint},
    query_parameters::InspectContainerOptions,
};
use model::{Fact, Failure, FailureCode};

use super::{image, is_gone, told};
use crate::source::direct::Asked;

/// As whom servers run where neither the container nor its image says so: their entrypoints change
/// to this user.
const USER: &str = "postgres";

/// A server's container.
pub(crate) struct Served {
    pub(crate) name: String,
    /// The image's id.
    pub(crate) image: String,
    /// As whom its server runs.
    pub(crate) user: String,
    /// The version that the image says it has.
    pub(crate) major: Option<u32>,
    /// The data directory.
    pub(crate) data: String,
    /// Where what the data directory lies in is mounted; the data directory itself where that is
    /// in the container's own layer.
    pub(crate) at: String,
    /// The volume that is mounted there.
    pub(crate) volume: Option<String>,
    pub(crate) inspected: ContainerInspectResponse,
}

impl Served {
    /// The container of the source's server; `None` where that is in none of this Docker.
    pub(crate) async fn of(docker: &Docker, asked: &Asked<'_>) -> Result<Option<Self>, Failure> {
        let Some(container) = image::container(docker, asked.direct).await else { return Ok(None) };
        let found = docker.inspect_container(&container, None::<InspectContainerOptions>).await;
        match found {
            Ok(inspected) => Self::read(inspected).map(Some),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(told(&error)),
        }
    }

    /// What a container's description tells; errs where it does not say where its data are.
    pub(crate) fn read(inspected: ContainerInspectResponse) -> Result<Self, Failure> {
        let wrong = |fact: Fact| Failure::new(FailureCode::RestoreRefused, fact);
        let name = inspected.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
        let container = name.clone();
        let config = inspected.config.clone().unwrap_or_default();
        let variable = |wanted: &str| {
            let pairs = config.env.iter().flatten().filter_map(|one| one.split_once('='));
            pairs.filter(|(key, _)| *key == wanted).map(|(_, value)| value.to_owned()).next_back()
        };
        let data = variable("PGDATA").filter(|path| path.starts_with('/'));
        let data = data.ok_or_else(|| wrong(Fact::NoDataDirectory { container }))?;
        let data = data.trim_end_matches('/').to_owned();
        let around = inspected.mounts.iter().flatten().filter_map(|mount| {
            let at = mount.destination.as_deref()?.trim_end_matches('/').to_owned();
            is_within(&data, &at).then_some((at, mount))
        });
        let around = around.max_by_key(|(at, _)| at.len());
        let volume = around.as_ref().and_then(|(_, mount)| volume_of(mount));
        let at = around.map_or_else(|| data.clone(), |(at, _)| at);
        let is_root = |user: &String| matches!(user.as_str(), "" | "0" | "root" | "0:0");
        Ok(Self {
            name,
            image: inspected.image.clone().unwrap_or_default(),
            user: config.user.filter(|user| !is_root(user)).unwrap_or_else(|| USER.to_owned()),
            major: variable("PG_MAJOR").and_then(|text| text.parse().ok()),
            data,
            at,
            volume,
            inspected,
        })
    }

    /// The data directory within what is mounted; empty where it is all of it.
    pub(crate) fn within(&self) -> &str {
        self.data.strip_prefix(&self.at).unwrap_or_default().trim_start_matches('/')
    }
}

fn is_within(path: &str, at: &str) -> bool {
    path == at || path.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'))
}

fn volume_of(mount: &MountPoint) -> Option<String> {
    let is_volume = mount.typ.as_deref() == Some("volume");
    mount.name.clone().filter(|name| is_volume && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerConfig;

    use super::*;

    fn read(env: &[&str], mounts: &[(&str, &str)]) -> Result<Served, Failure> {
        let mount = |(name, at): &(&str, &str)| MountPoint {
            typ: Some(if name.starts_with('/') { "bind" } else { "volume" }.to_owned()),
            name: Some((*name).to_owned()),
            destination: Some((*at).to_owned()),
            ..MountPoint::default()
        };
        let env = env.iter().map(|one| (*one).to_owned()).collect();
        Served::read(ContainerInspectResponse {
            name: Some("/shop-db".to_owned()),
            config: Some(ContainerConfig { env: Some(env), ..ContainerConfig::default() }),
            mounts: Some(mounts.iter().map(mount).collect()),
            ..ContainerInspectResponse::default()
        })
    }

    #[test]
    fn a_container_tells_where_its_data_are() {
        let usual = ["PG_MAJOR=17", "PGDATA=/var/lib/postgresql/data"];
        let all = [("data", "/var/lib/postgresql/data"), ("/etc/x", "/etc/x")];
        let found = read(&usual, &all).unwrap();
        assert_eq!((found.name.as_str(), found.user.as_str()), ("shop-db", "postgres"));
        assert_eq!((found.major, found.volume.as_deref()), (Some(17), Some("data")));
        assert_eq!((found.at.as_str(), found.within()), ("/var/lib/postgresql/data", ""));

        let deeper = ["PGDATA=/var/lib/postgresql/18/docker/"];
        let found = read(&deeper, &[("one", "/var/lib/postgresql"), ("no", "/var/lib/post")]);
        let found = found.unwrap();
        assert_eq!((found.volume.as_deref(), found.within()), (Some("one"), "18/docker"));

        let found = read(&usual, &[("/srv/pg", "/var/lib/postgresql/data")]).unwrap();
        assert_eq!((found.volume, found.at.as_str()), (None, "/var/lib/postgresql/data"));
        let found = read(&usual, &[]).unwrap();
        assert_eq!((found.volume.as_deref(), found.within()), (None, ""));
        assert!(read(&["PATH=/bin"], &all).is_err());
    }
}

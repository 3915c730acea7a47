//! What an app knows its database by.

use std::{collections::BTreeSet, net::IpAddr};

use bollard::{models::ContainerInspectResponse, query_parameters::InspectContainerOptions};
use secrecy::SecretString;

use crate::{docker, target::Aim};

/// Of a server in a container, as others on its networks see it.
#[derive(Default)]
pub(crate) struct Known {
    /// Names by which it is found.
    pub(crate) names: BTreeSet<String>,
    /// What its environment says.
    env: Vec<(String, SecretString)>,
}

impl Known {
    /// As the source's container and its settings say. Nothing but a name that is said there is
    /// known where there is no such container.
    pub(crate) async fn of(aim: &Aim<'_>) -> Self {
        let mut known = Self::default();
        let Ok(asked) = aim.asked() else { return known };
        let config = aim.engine.config();
        if let Ok(docker) = docker::connect(config).await
            && let Some(container) = docker::image::container(&docker, asked.direct).await
        {
            let options = None::<InspectContainerOptions>;
            if let Ok(found) = docker.inspect_container(&container, options).await {
                known.take(found);
            }
        }
        let host = asked.setting("host").filter(|host| !host.starts_with(['/', '@']));
        known.names.extend(host.map(str::to_owned));
        known.names.retain(|name| {
            name.parse::<IpAddr>().is_err() && !matches!(name.as_str(), "" | "localhost")
        });
        known
    }

    fn take(&mut self, found: ContainerInspectResponse) {
        let name = found.name.iter().map(|name| name.trim_start_matches('/').to_owned());
        self.names.extend(name);
        let networks = found.network_settings.and_then(|all| all.networks).unwrap_or_default();
        for one in networks.into_values() {
            let names = one.aliases.into_iter().chain(one.dns_names).flatten();
            self.names.extend(names);
        }
        let config = found.config.unwrap_or_default();
        self.names.extend(config.hostname);
        let env = config.env.into_iter().flatten();
        self.env = env
            .filter_map(|line| {
                let (name, value) = line.split_once('=')?;
                Some((name.to_owned(), SecretString::from(value)))
            })
            .collect();
    }

    /// The first of the variables `names` that its environment has.
    pub(crate) fn variable(&self, names: &[&str]) -> Option<&SecretString> {
        let value = |name: &&str| self.env.iter().find(|(key, _)| key == name);
        names.iter().find_map(value).map(|(_, value)| value)
    }
}

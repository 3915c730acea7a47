//! Networks for drills: nothing leads in or out of them but what is joined to them.

use std::collections::HashMap;

use bollard::{
    Docker,
    models::{
        EndpointSettings, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
        NetworkingConfig,
    },
    query_parameters::{InspectContainerOptions, InspectNetworkOptions},
};
use model::{Duty, Fact, Failure, FailureCode};

use super::{is_gone, told};
use crate::{duty::Owed, run::RunContext};

/// A network of a run's own; the run's duties remove it, at the latest.
pub(crate) struct Closed {
    pub(crate) name: String,
    owed: Owed,
}

impl Closed {
    /// Makes the run's. Who is in it reaches nobody else, and only this machine reaches it.
    pub(crate) async fn make(context: &RunContext, docker: &Docker) -> Result<Self, Failure> {
        let name = format!("backup-drill-{}", context.run.id).to_lowercase();
        let owed = context.owe(Duty::RemoveNetwork { network: name.clone() }).await?;
        let labels = HashMap::from([(super::HELPER.to_owned(), context.run.id.to_string())]);
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            internal: Some(true),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        match docker.create_network(request).await {
            Ok(_) => Ok(Self { name, owed }),
            Err(error) => {
                // Nothing was made; should that be wrong, the duty stays until it is done.
                if let Err(failure) = context.settle(owed).await {
                    context.journal.warn(failure.message);
                }
                Err(told(&error))
            }
        }
    }

    /// Joins the container that we are in ourselves, where we are in one that has no part in the
    /// machine's own network: from outside nobody reaches what is in this one.
    pub(crate) async fn join(&self, docker: &Docker) -> Result<(), Failure> {
        let Some(own) = super::own_container().await else { return Ok(()) };
        let inspected = docker.inspect_container(&own, None::<InspectContainerOptions>).await;
        let Ok(inspected) = inspected else { return Ok(()) };
        let mode = inspected.host_config.and_then(|config| config.network_mode);
        if mode.as_deref() == Some("host") {
            return Ok(());
        }
        let request = NetworkConnectRequest { container: own, ..Default::default() };
        let joined = docker.connect_network(&self.name, request).await;
        joined.map_err(|error| told(&error))
    }

    /// Removes it now; whoever is in it leaves it.
    pub(crate) async fn remove(self, context: &RunContext) {
        if let Err(failure) = context.settle(self.owed).await {
            context.journal.warn(format!("{} stays for now: {}", self.name, failure.message));
        }
    }
}

/// Being in the network `name` and no other, where one goes by `aliases`.
pub(super) fn only_in(name: &str, aliases: Vec<String>) -> NetworkingConfig {
    let endpoint = EndpointSettings { aliases: Some(aliases), ..EndpointSettings::default() };
    NetworkingConfig { endpoints_config: Some(HashMap::from([(name.to_owned(), endpoint)])) }
}

/// Removes a network of ours, if it is there.
pub(crate) async fn remove(docker: &Docker, network: &str) -> Result<(), Failure> {
    let found = match docker.inspect_network(network, None::<InspectNetworkOptions>).await {
        Ok(found) => found,
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(told(&error)),
    };
    if !found.labels.unwrap_or_default().contains_key(super::HELPER) {
        let others = Fact::NetworkNotOurs { network: network.to_owned() };
        return Err(Failure::new(FailureCode::Internal, others));
    }
    for container in found.containers.unwrap_or_default().into_keys() {
        let request = NetworkDisconnectRequest { container, force: Some(true) };
        match docker.disconnect_network(network, request).await {
            Err(error) if !is_gone(&error) => return Err(told(&error)),
            _ => {}
        }
    }
    match docker.remove_network(network).await {
        Err(error) if !is_gone(&error) => Err(told(&error)),
        _ => Ok(()),
    }
}

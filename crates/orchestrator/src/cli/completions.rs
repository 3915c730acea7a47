//! Completion of commands in a shell.

use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use super::{arguments, client::CliError, show::Out};

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn completions(given: &CompletionsArgs, out: &Out) -> Result<u8, CliError> {
    let mut script = Vec::new();
    let mut command = arguments::command();
    clap_complete::generate(given.shell, &mut command, "backup-orchestrator", &mut script);
    let script = String::from_utf8(script).map_err(CliError::failed)?;
    let answer = json!({ "shell": given.shell.to_string(), "script": script });
    out.answer(&answer, || super::show::line(script.trim_end()));
    Ok(0)
}

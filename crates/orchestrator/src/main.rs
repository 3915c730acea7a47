//! Backup Orchestrator: the server, and the command line that talks to it.

mod accounts;
mod api;
mod backups_file;
mod cli;
mod demo;
mod follow;
mod legible;
mod moment;
mod recover;
mod router;
mod serve;
mod settings;
mod source_kinds;
mod telemetry;
mod unread;
mod web;

fn main() -> std::process::ExitCode {
    let arguments = cli::Arguments::read();
    // One provider for every TLS connection of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return 1.into();
        }
    };
    runtime.block_on(cli::run(arguments)).into()
}

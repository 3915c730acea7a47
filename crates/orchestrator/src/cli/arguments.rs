//! The commands and their arguments; those of a group stand in the group's own file.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::{
    accounts::{TokenCommand, UserCommand},
    alerts::AlertCommand,
    apps::AppCommand,
    audit::AuditArgs,
    bootstrap::BootstrapArgs,
    browse::BrowseArgs,
    completions::CompletionsArgs,
    config::ConfigCommand,
    contract::ContractCommand,
    coverage::CoverageCommand,
    destinations::DestinationCommand,
    diff::DiffArgs,
    doctor::DoctorArgs,
    drills::DrillArgs,
    recovery::{KitArgs, RecoveryCommand},
    repositories::RepositoryCommand,
    restore::RestoreArgs,
    retention::RetentionCommand,
    runs::{LogsArgs, RunArgs, RunsArgs},
    schedule::ScheduleCommand,
    sessions::SessionCommand,
    snapshots::{CopyArgs, VerifyArgs},
    storage::StorageArgs,
};
use crate::demo::DemoOptions;

/// Commands that talk to no server of ours.
const LOCAL: [&str; 9] = [
    "serve",
    "demo",
    "init",
    "bootstrap",
    "healthcheck",
    "contract",
    "completions",
    "schedule",
    "help",
];

/// Backs up applications, verifies the copies, and brings them back.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partially failed, 4 not found, 5 refused for
/// safety, 6 different (only where `--exit-code` asks for it), 130 interrupted, 141 nobody reads
/// what it prints any more.
#[derive(Parser)]
#[command(name = "backup-orchestrator", version)]
pub(crate) struct Arguments {
    /// Print one JSON document and nothing else.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Address of the server.
    #[arg(id = "server-url", long = "url", value_name = "URL")]
    #[arg(env = "BACKUP_ORCHESTRATOR_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// File with an API token; or the token itself in `BACKUP_ORCHESTRATOR_TOKEN`.
    #[arg(id = "server-token-file", long = "token-file", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// What the process was given; ends it where that is wrong.
    pub(crate) fn read() -> Self {
        let mut command = command();
        let matches = command.get_matches_mut();
        let mut arguments = Self::from_arg_matches(&matches)
            .unwrap_or_else(|error| error.format(&mut command).exit());
        arguments.take_server(&matches);
        arguments
    }

    /// The server's flags where they stand after the command.
    fn take_server(&mut self, matches: &ArgMatches) {
        let mut at = matches;
        while let Some((_, below)) = at.subcommand() {
            if let Ok(Some(url)) = below.try_get_one::<String>("server-url") {
                self.url = Some(url.clone());
            }
            if let Ok(Some(file)) = below.try_get_one::<PathBuf>("server-token-file") {
                self.token_file = Some(file.clone());
            }
            at = below;
        }
    }
}

/// The whole command line. The server's flags may follow each command that has none of that name
/// for itself.
pub(super) fn command() -> clap::Command {
    Arguments::command().mut_subcommands(with_server)
}

fn with_server(mut command: clap::Command) -> clap::Command {
    if LOCAL.contains(&command.get_name()) {
        return command;
    }
    let is_group = command.has_subcommands();
    command = command.mut_subcommands(with_server);
    if is_group && command.get_name() != "doctor" {
        return command;
    }
    let has = |command: &clap::Command, long| {
        command.get_arguments().any(|one| one.get_long() == Some(long))
    };
    if !has(&command, "url") {
        command = command.arg(server("server-url", "url", "URL", "Address of the server"));
    }
    if !has(&command, "token-file") {
        let file = server("server-token-file", "token-file", "FILE", "File with an API token");
        command = command.arg(file.value_parser(clap::value_parser!(PathBuf)));
    }
    command
}

fn server(id: &'static str, long: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(long).value_name(value).help(help).help_heading("Server")
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the server.
    Serve,
    /// Serves a made-up history, to look around; nothing runs, and it is gone with the process.
    Demo(DemoOptions),
    /// Says by its exit code whether this machine's server answers.
    Healthcheck,
    /// Makes the data folder, its keys and the first user, without starting the server.
    Init,
    /// People who can log in.
    #[command(subcommand)]
    User(UserCommand),
    /// Who is logged in where.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Credentials for programs.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Shows who did what, newest first.
    Audit(AuditArgs),
    /// What is wrong, and who is told.
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Destinations.
    #[command(subcommand)]
    Destination(DestinationCommand),
    /// Destinations that are repositories: statistics, check, passwords.
    #[command(subcommand)]
    Repository(RepositoryCommand),
    /// Apps.
    #[command(subcommand)]
    App(Box<AppCommand>),
    /// Backs an app up now, or all.
    Run(RunArgs),
    /// Lists runs, newest first.
    Runs(RunsArgs),
    /// Shows a run.
    RunShow {
        /// The run.
        id: String,
    },
    /// Shows a run's log.
    Logs(LogsArgs),
    /// Stops a run.
    Cancel {
        /// The run.
        id: String,
    },
    /// Lists snapshots, newest first.
    Snapshots {
        /// Of this app only.
        app: Option<String>,
    },
    /// Shows a snapshot.
    SnapshotShow {
        /// The snapshot.
        id: String,
    },
    /// Lists, searches or downloads what is in an archive of a snapshot.
    SnapshotBrowse(BrowseArgs),
    /// Compares two snapshots of an app: files that are new, gone or changed, and rows of tables.
    SnapshotDiff(DiffArgs),
    /// Keeps a snapshot whatever retention says.
    Pin {
        /// The snapshot.
        id: String,
    },
    /// Lets a pinned snapshot go.
    Unpin {
        /// The snapshot.
        id: String,
    },
    /// Says that the server's clock is right after it moved by more than a day; retention goes on.
    AcceptClock,
    /// Takes a snapshot that looks unlike the ones before it for right; retention goes on.
    Accept {
        /// The snapshot.
        id: String,
    },
    /// Re-reads every byte of a snapshot, or of all snapshots at a destination.
    Verify(VerifyArgs),
    /// Copies a snapshot to another destination.
    Copy(CopyArgs),
    /// Brings a snapshot back: into a folder here, into its app, or beside it; or an app's PostgreSQL
    /// server to any moment, into a folder.
    Restore(RestoreArgs),
    /// Restores the newest snapshot of an app to scratch and checks what came; or its PostgreSQL
    /// server to a moment.
    Drill(DrillArgs),
    /// Lists every app's last drill and its next, those that were never proven to come back first.
    Drills,
    /// Shows what a restore or a drill tells of itself.
    Report {
        /// The run.
        run: String,
    },
    /// What is kept and what expires.
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// What the server's machine has, and what of it is in an app.
    #[command(subcommand)]
    Coverage(CoverageCommand),
    /// What copies take, and what they may take in a month.
    Storage(StorageArgs),
    /// Looks for what would make runs fail; without a name, at the server's machine and all apps
    /// and destinations.
    Doctor(DoctorArgs),
    /// Brings catalog and settings back on a bare machine, from one destination and the recovery
    /// key; needs no server.
    Bootstrap(Box<BootstrapArgs>),
    /// Reads every manifest at a destination into the catalog; nothing is removed.
    Reindex {
        /// The destination.
        destination: String,
    },
    /// Copies of the catalog, what follows a recovery, and the moments that an app's PostgreSQL
    /// server can be gone back to.
    #[command(subcommand)]
    Recovery(RecoveryCommand),
    /// Prints what it takes to come back: the key, the places, the commands.
    RecoveryKit(KitArgs),
    /// The state of every app.
    Overview,
    /// The contract between the server and its apps.
    #[command(subcommand)]
    Contract(ContractCommand),
    /// The file that declares what is backed up.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Schedules, worked out here; needs no server.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Prints a script that completes commands in a shell.
    Completions(CompletionsArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_fit_together() {
        command().debug_assert();
    }

    #[test]
    fn the_servers_flags_go_before_and_after_but_an_apps_own_stay_its_own() {
        let read = |words: &str| {
            let matches = command().try_get_matches_from(words.split(' ')).unwrap();
            let mut arguments = Arguments::from_arg_matches(&matches).unwrap();
            arguments.take_server(&matches);
            let file = arguments.token_file.map(|file| file.display().to_string());
            (arguments.url.unwrap_or_default(), file.unwrap_or_default())
        };
        let pair = |url: &str, file: &str| (url.to_owned(), file.to_owned());
        assert_eq!(read("x --url http://a --token-file t runs"), pair("http://a", "t"));
        assert_eq!(read("x runs shop --url http://a --token-file t"), pair("http://a", "t"));
        assert_eq!(read("x app show shop --url http://a"), pair("http://a", ""));
        assert_eq!(read("x doctor shop --url http://a"), pair("http://a", ""));
        assert_eq!(read("x doctor app shop --url http://a"), pair("http://a", ""));
        let add = "app add shop --url http://b --token-file b --destination disk";
        assert_eq!(read(&format!("x --url http://a --token-file t {add}")), pair("http://a", "t"));
        assert_eq!(read(&format!("x {add}")), pair("", ""));
    }
}

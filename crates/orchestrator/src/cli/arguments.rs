//! The commands and their arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Backs up applications, verifies the copies, and brings them back.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partially failed, 4 not found, 5 refused for
/// safety, 130 interrupted.
#[derive(Parser)]
#[command(name = "backup-orchestrator", version)]
pub(crate) struct Arguments {
    /// Print one JSON document and nothing else.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Address of the server; goes before the command.
    #[arg(long, env = "BACKUP_ORCHESTRATOR_URL")]
    pub(crate) url: Option<String>,
    /// File with an API token; goes before the command.
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the server.
    Serve,
    /// Says by its exit code whether this machine's server answers.
    Healthcheck,
    /// Makes the data folder, its keys and the first user, without starting the server.
    Init,
    /// People who can log in.
    #[command(subcommand)]
    User(UserCommand),
    /// Credentials for programs.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Shows who did what, newest first.
    Audit {
        /// How many lines; at most 500.
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
    /// Destinations.
    #[command(subcommand)]
    Destination(DestinationCommand),
    /// Apps.
    #[command(subcommand)]
    App(Box<AppCommand>),
    /// Backs an app up now.
    Run {
        app: String,
        /// Wait for the end, and tell it by the exit code.
        #[arg(long)]
        wait: bool,
        /// `manual`, `automatic` or `pre-deploy`.
        #[arg(long)]
        kind: Option<String>,
        #[arg(long)]
        label: Option<String>,
        #[arg(long)]
        git_commit: Option<String>,
    },
    /// Lists runs, newest first.
    Runs { app: Option<String> },
    /// Shows a run.
    RunShow { id: String },
    /// Shows a run's log.
    Logs {
        id: String,
        #[arg(long)]
        follow: bool,
    },
    /// Stops a run.
    Cancel { id: String },
    /// Lists snapshots, newest first.
    Snapshots { app: Option<String> },
    /// Shows a snapshot.
    SnapshotShow { id: String },
    /// Keeps a snapshot whatever retention says.
    Pin { id: String },
    /// Lets a pinned snapshot go.
    Unpin { id: String },
    /// Re-reads every byte of a snapshot.
    Verify {
        id: String,
        /// At this destination only.
        #[arg(long)]
        destination: Option<String>,
        #[arg(long)]
        wait: bool,
    },
    /// Copies a snapshot to another destination.
    Copy {
        id: String,
        #[arg(long)]
        to: String,
        #[arg(long)]
        wait: bool,
    },
    /// Downloads a snapshot's artifacts into a folder, proven byte by byte.
    Restore {
        id: String,
        /// The folder.
        #[arg(long)]
        to: PathBuf,
        /// Also where the folder is not empty; nothing there is replaced.
        #[arg(long)]
        force: bool,
    },
    /// Shows what retention would keep and expire, and why.
    Retention { app: String },
    /// Looks for what would make an app's run fail.
    Doctor { app: String },
    /// The state of every app.
    Overview,
    /// The contract between the server and its apps.
    #[command(subcommand)]
    Contract(ContractCommand),
}

#[derive(Subcommand)]
pub(crate) enum ContractCommand {
    /// Checks whether a server keeps to the contract; needs no server of ours.
    ///
    /// It exports for real, several times, and keeps nothing. Exit codes: 0 every check passed,
    /// 1 one failed.
    Check {
        /// Address of the app or its sidecar.
        url: url::Url,
        /// File with the token that it expects.
        #[arg(long)]
        token_file: PathBuf,
        /// The address may be this machine itself.
        #[arg(long)]
        allow_loopback: bool,
        /// Longest time for one export, in seconds.
        #[arg(long, default_value_t = 900)]
        timeout: u64,
    },
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Adds a user.
    Add {
        name: String,
        /// `viewer`, `operator` or `admin`.
        #[arg(long)]
        role: String,
        /// File with the password; without it, it is asked for.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// Lists users.
    List,
    /// Changes what a user may do: `viewer`, `operator` or `admin`.
    Role { name: String, role: String },
    /// Sets a user's password; their logins end.
    Password {
        name: String,
        /// File with the password; without it, it is asked for.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// Removes a user; their logins end.
    Remove { name: String },
}

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it, once.
    Create {
        name: String,
        /// `read`, `run`, `restore`, `admin`, `append`; several with commas.
        #[arg(long, required = true, value_delimiter = ',')]
        scope: Vec<String>,
        /// For how long it is good, for example `90d`; without it, until it is revoked.
        #[arg(long)]
        expires: Option<String>,
    },
    /// Lists tokens, without their secrets.
    List,
    /// Ends a token.
    Revoke { name: String },
}

#[derive(Subcommand)]
pub(crate) enum DestinationCommand {
    /// Adds a destination.
    Add {
        name: String,
        /// `local`, `s3`, `rclone`, `sftp`, `webdav` or `b2`.
        #[arg(long)]
        kind: String,
        /// A setting; may be repeated.
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
        /// A secret, read from a file; may be repeated.
        #[arg(long, value_name = "KEY=PATH", value_parser = pair)]
        set_file: Vec<(String, String)>,
        /// Its credentials cannot delete.
        #[arg(long)]
        append_only: bool,
    },
    /// Lists destinations.
    List,
    /// Shows a destination.
    Show { name: String },
    /// Removes a destination; nothing there is touched.
    Remove { name: String },
    /// Writes, reads back, lists and deletes a small object there.
    Test { name: String },
}

#[derive(Subcommand)]
pub(crate) enum AppCommand {
    /// Registers an app.
    Add {
        name: String,
        /// Address of the app or its sidecar.
        #[arg(long)]
        url: String,
        /// File with the token that the app expects.
        #[arg(long)]
        token_file: PathBuf,
        /// Where copies go; may be repeated.
        #[arg(long, required = true, value_name = "NAME[:FOLDER]")]
        destination: Vec<String>,
        /// `daily`, `weekly`, `@every 4h` or five cron fields.
        #[arg(long)]
        schedule: Option<String>,
        #[arg(long)]
        time_zone: Option<String>,
        /// `none`, `gzip`, `zstd`, the last two with a level (`zstd:9`), or `auto`.
        #[arg(long)]
        compression: Option<String>,
        #[command(flatten)]
        keep: Keep,
    },
    /// Lists apps.
    List,
    /// Shows an app.
    Show { name: String },
    /// Resumes an app's schedule.
    Enable { name: String },
    /// Stops an app's schedule.
    Disable { name: String },
    /// Removes an app; its snapshots stay.
    Remove { name: String },
}

/// Which snapshots are kept; none of these keeps all.
#[derive(Args)]
pub(crate) struct Keep {
    #[arg(long = "keep-last")]
    pub(crate) last: Option<u32>,
    #[arg(long = "keep-hourly")]
    pub(crate) hourly: Option<u32>,
    #[arg(long = "keep-daily")]
    pub(crate) daily: Option<u32>,
    #[arg(long = "keep-weekly")]
    pub(crate) weekly: Option<u32>,
    #[arg(long = "keep-monthly")]
    pub(crate) monthly: Option<u32>,
    #[arg(long = "keep-yearly")]
    pub(crate) yearly: Option<u32>,
    #[arg(long = "keep-within")]
    pub(crate) within: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

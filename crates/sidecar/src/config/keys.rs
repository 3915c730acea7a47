//! The keys of `config.yaml`. Their docstrings are the schema's descriptions.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::preset::Preset;

/// What the sidecar is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How the sidecar is reached.
    pub(crate) app: App,
    /// How exports are served.
    #[serde(default)]
    pub(crate) server: Server,
    /// What the orchestrator is told about the exports.
    #[serde(default)]
    pub(crate) capabilities: Capabilities,
    /// How an export is made.
    pub(crate) strategy: Strategy,
    /// Whether and how artifacts are taken back.
    #[serde(default)]
    pub(crate) restore: Restore,
    /// Folders that the sidecar may write in.
    pub(crate) paths: Paths,
    /// What is shared with the orchestrator alone.
    #[serde(default)]
    pub(crate) secrets: Secrets,
    /// Variables that hold a token: no command inherits them.
    #[serde(skip)]
    pub(crate) token_variables: Vec<String>,
}

/// How the sidecar is reached.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    /// HTTP port of the sidecar.
    pub(crate) port: u16,
    /// Name of the app, told to the orchestrator.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Address to listen on; every address where it is not set.
    #[serde(default = "everywhere")]
    pub(crate) host: String,
}

/// How exports are served.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// How long a finished artifact waits to be fetched, in seconds.
    pub(crate) job_ttl_secs: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self { job_ttl_secs: 3600 }
    }
}

fn everywhere() -> String {
    "0.0.0.0".to_owned()
}

/// What the orchestrator is told about the exports.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Capabilities {
    /// Version of the contract: `v1`.
    pub(crate) version: Option<String>,
    /// Kinds of export, for example `db`.
    pub(crate) types: Vec<String>,
    /// Expected duration of an export, in seconds.
    pub(crate) est_seconds: Option<u64>,
    /// Expected size of an export, in bytes.
    pub(crate) est_size: Option<u64>,
}

/// What makes the artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StrategyType {
    /// A database's own program, by a command or a preset.
    DatabaseDump,
    /// Files, as one archive.
    FileArchive,
    /// A script of yours.
    Custom,
}

impl StrategyType {
    pub(crate) const ALL: [Self; 3] = [Self::DatabaseDump, Self::FileArchive, Self::Custom];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DatabaseDump => "database_dump",
            Self::FileArchive => "file_archive",
            Self::Custom => "custom",
        }
    }
}

/// How an export is made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Strategy {
    /// What makes the artifact; `SIDECAR_STRATEGY_TYPE` overrides it.
    pub(crate) r#type: StrategyType,
    /// What the artifact is called. A preset knows it by itself.
    #[serde(default)]
    pub(crate) artifact: Artifact,
    /// The strategy's own keys.
    #[serde(default)]
    pub(crate) config: StrategyConfig,
}

/// What the artifact is called.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Artifact {
    /// File name, told in Content-Disposition.
    pub(crate) filename: String,
    /// Format, told in X-Format, for example `pg_dump_Fc`.
    pub(crate) format: Option<String>,
    /// Media type, told in Content-Type.
    pub(crate) content_type: Option<String>,
}

/// One command or several.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a command, or a list of commands,")]
pub(crate) enum Commands {
    /// None.
    #[default]
    None,
    /// One, of one or more lines.
    One(String),
    /// Several, one after another.
    Several(Vec<String>),
}

impl Commands {
    pub(crate) fn all(&self) -> &[String] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// The strategy's own keys.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch in a file of switches")]
pub(crate) struct StrategyConfig {
    /// Commands before the export.
    pub(crate) pre: Commands,
    /// The command that exports. The shell expands its variables, not the sidecar.
    pub(crate) command: Commands,
    /// Commands that export, one after another.
    pub(crate) commands: Commands,
    /// Commands after the export, run also when it failed.
    pub(crate) post: Commands,
    /// The artifact is what the commands write to standard output.
    pub(crate) capture_stdout: bool,
    /// `SIDE_CAR_TEMP_DUMP` is a named pipe, read while the commands run.
    pub(crate) fifo: bool,
    /// Variables for the commands, besides the container's.
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) env: BTreeMap<String, SecretString>,
    /// An artifact without a byte is no failure.
    pub(crate) allow_empty: bool,

    /// A database that the sidecar knows how to dump: no command is needed.
    pub(crate) preset: Option<Preset>,
    /// Preset: where the database is, as one URL. A password in it never becomes an argument.
    #[schemars(with = "Option<String>")]
    pub(crate) url: Option<SecretString>,
    /// Preset: host of the server, or the folder of PostgreSQL's socket.
    pub(crate) host: Option<String>,
    /// Preset: port of the server.
    pub(crate) port: Option<u16>,
    /// Preset: socket file of MySQL, MariaDB, Redis or Valkey.
    pub(crate) socket: Option<PathBuf>,
    /// Preset: user of the database.
    pub(crate) user: Option<String>,
    /// Preset: name of the database; for SQLite its file.
    pub(crate) database: Option<String>,
    /// Preset: name of the variable that holds the password.
    pub(crate) password_env: Option<String>,
    /// Preset: file that holds the password, for example a Docker secret.
    pub(crate) password_file: Option<PathBuf>,
    /// Preset: further arguments for the database's program.
    pub(crate) options: Vec<String>,
    /// The value of the variable `password_env`.
    #[serde(skip)]
    pub(crate) password: Option<SecretString>,

    /// Files and folders to archive; globs are allowed.
    pub(crate) paths: Vec<String>,
    /// Kind of archive: tar where it is not set.
    #[schemars(with = "Option<ArchiveFormat>")]
    pub(crate) format: Option<String>,
    /// Compression of the archive.
    #[schemars(with = "Option<Compression>")]
    pub(crate) compression: Option<String>,
    /// Archive what symbolic links point to.
    pub(crate) follow_symlinks: bool,
}

/// Kind of archive.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ArchiveFormat {
    /// tar.
    Tar,
    /// zip.
    Zip,
}

/// Compression of an archive.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// gzip.
    Gz,
    /// bzip2.
    Bz2,
    /// xz.
    Xz,
    /// Zstandard.
    Zst,
    /// None.
    Store,
}

/// Whether and how artifacts are taken back. Without a command, a preset and `file_archive` know how.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Restore {
    /// Takes artifacts back, which replaces what is there; `SIDECAR_RESTORE` overrides it.
    pub(crate) enabled: bool,
    /// Commands before it, for example what stops the app.
    pub(crate) pre: Commands,
    /// The command that restores: it reads the artifact from standard input, or from the file
    /// `SIDE_CAR_RESTORE_FILE`, and replaces what is there.
    pub(crate) command: Commands,
    /// Commands after it, run also when it failed.
    pub(crate) post: Commands,
}

/// Folders that the sidecar may write in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paths {
    /// Where commands run, and what relative paths are relative to.
    pub(crate) workdir: PathBuf,
    /// Where artifacts are kept while they are sent.
    pub(crate) artifacts: PathBuf,
    /// The file that commands leave the artifact in; in a folder, the file `dump`.
    pub(crate) temp_dump: PathBuf,
}

/// What is shared with the orchestrator alone.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Secrets {
    /// The token; `BACKUP_API_TOKEN` overrides it.
    #[schemars(with = "String")]
    pub(crate) api_token: SecretString,
    /// The token before a rotation, accepted as well; `BACKUP_API_TOKEN_PREVIOUS` overrides it.
    #[schemars(with = "Option<String>")]
    pub(crate) previous_api_token: Option<SecretString>,
}

impl Config {
    /// The JSON schema of `config.yaml`.
    pub(crate) fn schema() -> String {
        let schema = schemars::schema_for!(Self);
        serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"
    }
}

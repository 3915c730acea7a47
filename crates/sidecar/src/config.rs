//! `config.yaml`, expanded and judged.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// The environment, as a parameter.
pub(crate) type Environment = HashMap<String, String>;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("{0}")]
    Parse(String),
    #[error("{0}: the variable `{1}` is not set; set it, or write `${{{1}:-default}}`")]
    Variable(&'static str, String),
    #[error("{0}")]
    Value(String),
}

/// What the sidecar is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) app: App,
    #[serde(default)]
    pub(crate) server: Server,
    #[serde(default)]
    pub(crate) capabilities: Capabilities,
    pub(crate) strategy: Strategy,
    pub(crate) paths: Paths,
    pub(crate) secrets: Secrets,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default = "everywhere")]
    pub(crate) host: String,
}

fn everywhere() -> String {
    "0.0.0.0".to_owned()
}

#[derive(Debug, Clone, Deserialize)]
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

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Capabilities {
    pub(crate) version: Option<String>,
    pub(crate) types: Vec<String>,
    pub(crate) est_seconds: Option<u64>,
    pub(crate) est_size: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StrategyType {
    DatabaseDump,
    FileArchive,
    Custom,
}

impl StrategyType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DatabaseDump => "database_dump",
            Self::FileArchive => "file_archive",
            Self::Custom => "custom",
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Strategy {
    pub(crate) r#type: StrategyType,
    pub(crate) artifact: Artifact,
    #[serde(default)]
    pub(crate) config: StrategyConfig,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Artifact {
    pub(crate) filename: String,
    #[serde(default)]
    pub(crate) format: Option<String>,
    #[serde(default)]
    pub(crate) content_type: Option<String>,
}

/// One command or several.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged)]
pub(crate) enum Commands {
    #[default]
    None,
    One(String),
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

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StrategyConfig {
    pub(crate) pre: Commands,
    pub(crate) command: Commands,
    pub(crate) commands: Commands,
    pub(crate) post: Commands,
    pub(crate) capture_stdout: bool,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) paths: Vec<String>,
    pub(crate) format: Option<String>,
    pub(crate) compression: Option<String>,
    pub(crate) follow_symlinks: bool,
    pub(crate) allow_empty: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paths {
    pub(crate) workdir: PathBuf,
    pub(crate) artifacts: PathBuf,
    pub(crate) temp_dump: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    #[serde(default)]
    pub(crate) api_token: SecretString,
    /// The token before a rotation, accepted as well.
    #[serde(default)]
    pub(crate) previous_api_token: Option<SecretString>,
}

/// Shortest token, in characters.
const MIN_TOKEN: usize = 8;

impl Config {
    pub(crate) fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        Self::parse(&std::fs::read_to_string(path)?, environment)
    }

    pub(crate) fn parse(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut config: Self =
            serde_saphyr::from_str(text).map_err(|error| ConfigError::Parse(error.to_string()))?;
        config.override_from(environment)?;
        config.expand(environment)?;
        config.check()?;
        Ok(config)
    }

    fn override_from(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        if let Some(word) = environment.get("SIDECAR_STRATEGY_TYPE").filter(|w| !w.is_empty()) {
            self.strategy.r#type = match word.as_str() {
                "database_dump" => StrategyType::DatabaseDump,
                "file_archive" => StrategyType::FileArchive,
                "custom" => StrategyType::Custom,
                _ => {
                    return Err(ConfigError::Value(
                        "SIDECAR_STRATEGY_TYPE is one of database_dump, file_archive, custom"
                            .into(),
                    ));
                }
            };
        }
        if let Some(token) = environment.get("BACKUP_API_TOKEN").filter(|t| !t.is_empty()) {
            self.secrets.api_token = token.clone().into();
        }
        Ok(())
    }

    /// Expands variables, except in commands: those are for the shell, whose environment has
    /// them, so that no secret becomes part of an argument list of ours.
    fn expand(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        let token =
            expand("secrets.api_token", self.secrets.api_token.expose_secret(), environment)?;
        self.secrets.api_token = token.into();
        if let Some(previous) = &self.secrets.previous_api_token {
            let name = "secrets.previous_api_token";
            self.secrets.previous_api_token =
                Some(expand(name, previous.expose_secret(), environment)?.into());
        }
        let artifact = &mut self.strategy.artifact;
        artifact.filename = expand("strategy.artifact.filename", &artifact.filename, environment)?;
        for value in self.strategy.config.env.values_mut() {
            *value = expand("strategy.config.env", value, environment)?;
        }
        for path in &mut self.strategy.config.paths {
            *path = expand("strategy.config.paths", path, environment)?;
        }
        for path in [&mut self.paths.workdir, &mut self.paths.artifacts, &mut self.paths.temp_dump]
        {
            *path = expand("paths", &path.to_string_lossy(), environment)?.into();
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: &str| Err(ConfigError::Value(text.to_owned()));
        if self.secrets.api_token.expose_secret().len() < MIN_TOKEN {
            return wrong(
                "secrets.api_token: set a token of at least 8 characters (BACKUP_API_TOKEN)",
            );
        }
        if self.capabilities.version.as_deref().is_some_and(|version| version != "v1") {
            return wrong("capabilities.version: this is contract `v1`");
        }
        let config = &self.strategy.config;
        let commands = config.command.all().len() + config.commands.all().len();
        match self.strategy.r#type {
            StrategyType::FileArchive if config.paths.is_empty() => {
                wrong("strategy.config.paths: name at least one path")
            }
            StrategyType::FileArchive => self.check_archive(),
            _ if commands == 0 => wrong("strategy.config.command: write the command that exports"),
            _ => Ok(()),
        }
    }

    fn check_archive(&self) -> Result<(), ConfigError> {
        let config = &self.strategy.config;
        if !matches!(config.format.as_deref(), None | Some("tar" | "zip")) {
            return Err(ConfigError::Value("strategy.config.format: `tar` or `zip`".into()));
        }
        match config.compression.as_deref() {
            None | Some("gz" | "bz2" | "xz" | "zst" | "store") => Ok(()),
            Some(_) => Err(ConfigError::Value(
                "strategy.config.compression: `gz`, `bz2`, `xz`, `zst` or `store`".into(),
            )),
        }
    }
}

/// `${NAME}` and `${NAME:-default}`; `$$` is a dollar.
fn expand(
    field: &'static str,
    text: &str,
    environment: &Environment,
) -> Result<String, ConfigError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((inside, after)) =
            rest.strip_prefix('{').and_then(|inner| inner.split_once('}'))
        {
            let (name, default) = match inside.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inside, None),
            };
            let value = environment.get(name).map(String::as_str).filter(|v| !v.is_empty());
            let value = value.or(default);
            out.push_str(value.ok_or_else(|| ConfigError::Variable(field, name.to_owned()))?);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
app:
  port: 8080
capabilities:
  version: v1
  types: [db]
strategy:
  type: database_dump
  artifact:
    filename: backup.sql.gz
    format: postgres-custom
    content_type: application/gzip
  config:
    command: |
      pg_dump --dbname="${DATABASE_URL}" --format=custom
    capture_stdout: true
    env:
      PGPASSWORD: ${DATABASE_PASSWORD}
paths:
  workdir: /tmp
  artifacts: /tmp
  temp_dump: /tmp/dump
secrets:
  api_token: ${BACKUP_API_TOKEN}
"#;

    fn environment() -> Environment {
        [("BACKUP_API_TOKEN", "a-long-token"), ("DATABASE_PASSWORD", "pw")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn variables_are_expanded_but_not_in_commands() {
        let config = Config::parse(EXAMPLE, &environment()).unwrap();
        assert_eq!(config.secrets.api_token.expose_secret(), "a-long-token");
        assert_eq!(config.strategy.config.env["PGPASSWORD"], "pw");
        assert!(config.strategy.config.command.all()[0].contains("${DATABASE_URL}"));
        assert!(!format!("{config:?}").contains("a-long-token"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = |text: &str, environment: &Environment| {
            Config::parse(text, environment).unwrap_err().to_string()
        };
        assert!(told(EXAMPLE, &Environment::new()).contains("BACKUP_API_TOKEN"));
        let unknown = EXAMPLE.replace("capture_stdout", "capture_stdotu");
        assert!(told(&unknown, &environment()).contains("capture_stdotu"));
        let mut short = environment();
        short.insert("BACKUP_API_TOKEN".to_owned(), "x".to_owned());
        assert!(told(EXAMPLE, &short).contains("at least 8"));
        let typed = EXAMPLE.replace("port: 8080", "port: many");
        assert!(told(&typed, &environment()).contains('3'), "the line is named");
    }
}

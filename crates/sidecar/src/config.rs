//! `config.yaml`, expanded and judged.

mod expand;
mod finding;
mod judge;
mod keys;
mod preset;
mod target;

use std::{collections::HashMap, path::Path};

use handwritten::Lines;
use secrecy::ExposeSecret as _;

pub(crate) use finding::{Finding, Level};
pub(crate) use keys::{Config, StrategyConfig, StrategyType};
pub(crate) use preset::Preset;
pub(crate) use target::Target;

/// The environment, as a parameter.
pub(crate) type Environment = HashMap<String, String>;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong(Vec<Finding>),
}

/// Largest file, in bytes.
const MAX_FILE: u64 = 1 << 20;

impl Config {
    pub(crate) fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        if std::fs::metadata(path)?.len() > MAX_FILE {
            let finding = Finding::error("", "it is larger than 1 MiB: no configuration is");
            return Err(ConfigError::Wrong(vec![finding]));
        }
        Self::parse(&std::fs::read_to_string(path)?, environment)
    }

    pub(crate) fn parse(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut config: Self = serde_saphyr::from_str(text)
            .map_err(|error| ConfigError::Wrong(vec![finding::from_yaml(&error)]))?;
        let mut findings = Vec::new();
        config.override_from(environment, &mut findings);
        config.expand(environment, &mut findings);
        if findings.is_empty() {
            config.settle(environment, &mut findings);
            config.judge(&mut findings);
        }
        if findings.is_empty() {
            return Ok(config);
        }
        let lines = Lines::of(text);
        for finding in &mut findings {
            finding.line = lines.find(&finding.key);
        }
        Err(ConfigError::Wrong(findings))
    }

    /// Whether the artifact is a file at `paths.temp_dump` before its first byte is sent.
    pub(crate) fn leaves_a_file(&self) -> bool {
        let config = &self.strategy.config;
        match (self.strategy.r#type, config.preset) {
            (StrategyType::FileArchive, _) => false,
            (_, Some(preset)) => preset.leaves_a_file(),
            (_, None) => !config.capture_stdout && !config.fifo,
        }
    }

    fn override_from(&mut self, environment: &Environment, findings: &mut Vec<Finding>) {
        let given = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        if let Some(word) = given("SIDECAR_STRATEGY_TYPE") {
            match StrategyType::ALL.into_iter().find(|one| one.as_str() == word) {
                Some(one) => self.strategy.r#type = one,
                None => findings.push(Finding::error(
                    "strategy.type",
                    "SIDECAR_STRATEGY_TYPE is one of database_dump, file_archive, custom",
                )),
            }
        }
        match given("SIDECAR_RESTORE").map(String::as_str) {
            None => {}
            Some("true") => self.restore.enabled = true,
            Some("false") => self.restore.enabled = false,
            Some(_) => findings
                .push(Finding::error("restore.enabled", "SIDECAR_RESTORE is `true` or `false`")),
        }
        if let Some(token) = given("BACKUP_API_TOKEN") {
            self.secrets.api_token = token.clone().into();
        }
        if let Some(token) = given("BACKUP_API_TOKEN_PREVIOUS") {
            self.secrets.previous_api_token = Some(token.clone().into());
        }
    }

    /// Fills in what follows from what is written.
    fn settle(&mut self, environment: &Environment, findings: &mut Vec<Finding>) {
        let previous = &mut self.secrets.previous_api_token;
        *previous = previous.take().filter(|token| !token.expose_secret().is_empty());
        // A folder for the dump is a volume of its own.
        if self.paths.temp_dump.is_dir() {
            self.paths.temp_dump.push("dump");
        }
        let strategy = &mut self.strategy;
        if let Some(name) = &strategy.config.password_env {
            match environment.get(name).filter(|value| !value.is_empty()) {
                Some(password) => strategy.config.password = Some(password.clone().into()),
                None => findings.push(Finding::error(
                    "strategy.config.password_env",
                    format!("the variable `{name}` is not set"),
                )),
            }
        }
        if let Some(preset) = strategy.config.preset {
            let artifact = &mut strategy.artifact;
            if artifact.filename.is_empty() {
                artifact.filename = preset.filename(strategy.config.database_name().as_deref());
            }
            artifact.format.get_or_insert_with(|| preset.format().to_owned());
            artifact.content_type.get_or_insert_with(|| preset.content_type().to_owned());
        }
        self.find_tokens(environment);
    }

    /// Notes what no command may inherit.
    fn find_tokens(&mut self, environment: &Environment) {
        let secrets = &self.secrets;
        let tokens: Vec<_> = std::iter::once(&secrets.api_token)
            .chain(&secrets.previous_api_token)
            .cloned()
            .collect();
        let is_token = |value: &str| tokens.iter().any(|token| token.expose_secret() == value);
        self.token_variables = environment
            .iter()
            .filter(|(name, value)| name.starts_with("BACKUP_API_TOKEN") || is_token(value))
            .map(|(name, _)| name.clone())
            .collect();
    }
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
        assert_eq!(config.strategy.config.env["PGPASSWORD"].expose_secret(), "pw");
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

    #[test]
    fn a_folder_for_the_dump_gets_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let text = EXAMPLE.replace("/tmp/dump", &folder.path().display().to_string());
        let config = Config::parse(&text, &environment()).unwrap();
        assert_eq!(config.paths.temp_dump, folder.path().join("dump"));
    }

    #[test]
    fn the_strategy_and_the_tokens_are_overridden() {
        let mut environment = environment();
        environment.insert("SIDECAR_STRATEGY_TYPE".to_owned(), "custom".to_owned());
        environment.insert("BACKUP_API_TOKEN_PREVIOUS".to_owned(), "the-one-before".to_owned());
        let text = EXAMPLE.replace("${BACKUP_API_TOKEN}", "the-files-own-token");
        let config = Config::parse(&text, &environment).unwrap();
        assert_eq!(config.strategy.r#type, StrategyType::Custom);
        assert_eq!(config.secrets.api_token.expose_secret(), "a-long-token");
        let previous = config.secrets.previous_api_token.unwrap();
        assert_eq!(previous.expose_secret(), "the-one-before");
        environment.insert("SIDECAR_STRATEGY_TYPE".to_owned(), "customs".to_owned());
        assert!(Config::parse(&text, &environment).is_err());
    }

    #[test]
    fn taking_back_is_off_until_it_is_switched_on() {
        let parse = |text: &str, value: &str| {
            let mut environment = environment();
            environment.insert("SIDECAR_RESTORE".to_owned(), value.to_owned());
            Config::parse(text, &environment)
        };
        let off = parse(EXAMPLE, "").unwrap();
        assert!(!off.restore.enabled);
        // Of a command of yours nobody knows the way back.
        let told = parse(EXAMPLE, "true").unwrap_err().to_string();
        assert!(told.contains("restore.command"), "{told}");
        let with = format!("{EXAMPLE}restore:\n  command: psql\n");
        assert!(parse(&with, "true").unwrap().restore.enabled);
        let on = format!("{EXAMPLE}restore: {{enabled: true, command: psql}}\n");
        assert!(parse(&on, "").unwrap().restore.enabled);
        assert!(!parse(&on, "false").unwrap().restore.enabled);
        assert!(parse(EXAMPLE, "yes").unwrap_err().to_string().contains("SIDECAR_RESTORE"));
    }

    #[test]
    fn a_preset_knows_its_artifact() {
        let strategy = |config: &str| {
            let (head, rest) = EXAMPLE.split_once("  artifact:").unwrap();
            let (_, tail) = rest.split_once("paths:").unwrap();
            let text = format!("{head}  config: {config}\npaths:{tail}");
            Config::parse(&text, &environment()).unwrap().strategy.artifact
        };
        for (config, filename, format) in [
            ("{preset: postgres, url: 'postgres://u@h/my%2Fapp'}", "app.dump", "pg_dump_Fc"),
            ("{preset: mysql, host: db}", "all-databases.sql", "mysql_sql"),
            ("{preset: valkey, host: db, database: '0'}", "redis.rdb", "redis_rdb"),
            ("{preset: sqlite, database: /a/b c.db}", "b_c.sqlite3", "sqlite3"),
        ] {
            let artifact = strategy(config);
            assert_eq!(artifact.filename, filename);
            assert_eq!(artifact.format.as_deref(), Some(format));
        }
    }

    #[test]
    fn a_bomb_is_no_configuration() {
        // Where every kind of value is tried, all of it is read.
        let levels = (1..12).map(|level| {
            let inside = vec![format!("*a{}", level - 1); 10].join(", ");
            format!(", &a{level} [{inside}]")
        });
        let bomb =
            format!("    pre: [&a0 [x, x, x, x, x, x, x, x, x, x]{}]", levels.collect::<String>());
        let text = EXAMPLE.replace("    capture_stdout: true", &bomb);
        let begun = std::time::Instant::now();
        let told = Config::parse(&text, &environment()).unwrap_err().to_string();
        assert!(told.contains("budget"), "{told}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    }
}

//! What a configuration must be, beyond its form.

use secrecy::{ExposeSecret as _, SecretString};

use super::{Config, Finding, Preset, StrategyConfig, StrategyType, keys::Commands};

/// Shortest token, in bytes.
const MIN_TOKEN: usize = 8;

impl Config {
    pub(super) fn judge(&self, findings: &mut Vec<Finding>) {
        let mut wrong = |key: &str, text: &str| findings.push(Finding::error(key, text));
        if self.app.port == 0 {
            wrong("app.port", "a port is 1 to 65535");
        }
        if self.capabilities.version.as_deref().is_some_and(|version| version != "v1") {
            wrong("capabilities.version", "this is contract `v1`");
        }
        let secrets = &self.secrets;
        if secrets.api_token.expose_secret().is_empty() {
            wrong(
                "secrets.api_token",
                "set a token (BACKUP_API_TOKEN): without one nothing starts",
            );
        } else if let Some(why) = refused(&secrets.api_token) {
            wrong("secrets.api_token", why);
        }
        if let Some(why) = secrets.previous_api_token.as_ref().and_then(refused) {
            wrong("secrets.previous_api_token", why);
        }
        let config = &self.strategy.config;
        if self.strategy.artifact.filename.is_empty() {
            wrong("strategy.artifact.filename", "name the file that the orchestrator is given");
        }
        for (key, commands) in [("pre", &config.pre), ("post", &config.post)] {
            if has_blank(commands) {
                wrong(&format!("strategy.config.{key}"), "one of the commands is empty");
            }
        }
        for name in config.env.keys().filter(|name| !is_variable(name)) {
            let text = "a variable's name is of letters, digits and `_`";
            wrong(&format!("strategy.config.env.{name}"), text);
        }
        if self.restore.enabled {
            self.judge_restore(&mut wrong);
        }
        match self.strategy.r#type {
            StrategyType::FileArchive => judge_archive(config, &mut wrong),
            kind => match config.preset {
                Some(preset) => judge_preset(kind, preset, config, &mut wrong),
                None => judge_commands(config, &mut wrong),
            },
        }
    }
}

impl Config {
    fn judge_restore(&self, wrong: &mut impl FnMut(&str, &str)) {
        let restore = &self.restore;
        for (key, commands) in
            [("pre", &restore.pre), ("command", &restore.command), ("post", &restore.post)]
        {
            if has_blank(commands) {
                wrong(&format!("restore.{key}"), "one of the commands is empty");
            }
        }
        if !restore.command.all().is_empty() {
            return;
        }
        let strategy = &self.strategy.config;
        match (self.strategy.r#type, strategy.preset) {
            (StrategyType::FileArchive, _) => {
                if strategy.paths.iter().any(|path| path.contains(['*', '?', '['])) {
                    wrong(
                        "restore.command",
                        "what `paths` with `*`, `?` or `[` found at the time cannot be told from \
                         what they find now: write the folders, or the command that restores",
                    );
                }
            }
            (_, Some(Preset::Mysql | Preset::Mariadb)) => {
                if strategy.database_name().is_none() {
                    wrong(
                        "restore.command",
                        "a dump of all databases replaces the users too: write the command that \
                         restores it",
                    );
                }
            }
            (_, Some(Preset::Redis | Preset::Valkey)) => {
                let told = strategy.url.as_ref().map(|url| url.expose_secret().to_owned());
                let is_tls = told
                    .is_some_and(|url| url.starts_with("rediss:") || url.starts_with("valkeys:"));
                if is_tls || strategy.socket.is_some() {
                    wrong(
                        "restore.command",
                        "keys are sent by host and port, without TLS: name these, or write the \
                         command that restores",
                    );
                }
            }
            (_, Some(Preset::Postgres | Preset::Sqlite)) => {}
            (_, None) => wrong(
                "restore.command",
                "write the command that restores: it reads the artifact from standard input",
            ),
        }
    }
}

/// Why a token is refused.
fn refused(token: &SecretString) -> Option<&'static str> {
    let token = token.expose_secret();
    if token.len() < MIN_TOKEN {
        Some("a token has at least 8 characters; `openssl rand -hex 32` makes a good one")
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("a token is of visible ASCII characters without spaces: it travels in a header")
    } else {
        None
    }
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn has_blank(commands: &Commands) -> bool {
    commands.all().iter().any(|command| command.trim().is_empty())
}

fn judge_archive(config: &StrategyConfig, wrong: &mut impl FnMut(&str, &str)) {
    if config.paths.is_empty() {
        wrong("strategy.config.paths", "name at least one path");
    }
    if config.preset.is_some() {
        wrong("strategy.config.preset", "a preset is for the strategy `database_dump`");
    }
    let format = config.format.as_deref();
    if !matches!(format, None | Some("tar" | "zip")) {
        wrong("strategy.config.format", "it is `tar` or `zip`");
    }
    if !matches!(config.compression.as_deref(), None | Some("gz" | "bz2" | "xz" | "zst" | "store"))
    {
        wrong("strategy.config.compression", "it is one of `gz`, `bz2`, `xz`, `zst`, `store`");
    }
}

fn judge_commands(config: &StrategyConfig, wrong: &mut impl FnMut(&str, &str)) {
    if config.command.all().len() + config.commands.all().len() == 0 {
        wrong(
            "strategy.config.command",
            "write the command that exports, or choose a `preset` (postgres, mysql, mariadb, \
             redis, valkey, sqlite)",
        );
    }
    if has_blank(&config.command) || has_blank(&config.commands) {
        wrong("strategy.config.command", "one of the commands is empty");
    }
    if config.fifo && config.capture_stdout {
        wrong("strategy.config.fifo", "choose one of `fifo` and `capture_stdout`");
    }
    for (key, is_set) in config.preset_keys() {
        if is_set {
            wrong(&format!("strategy.config.{key}"), "this key needs a `preset`");
        }
    }
}

fn judge_preset(
    kind: StrategyType,
    preset: Preset,
    config: &StrategyConfig,
    wrong: &mut impl FnMut(&str, &str),
) {
    if kind != StrategyType::DatabaseDump {
        wrong("strategy.config.preset", "a preset is for the strategy `database_dump`");
    }
    if config.command.all().len() + config.commands.all().len() > 0 {
        wrong("strategy.config.preset", "choose one of `preset` and `command`");
    }
    if config.fifo {
        wrong("strategy.config.fifo", "a preset knows by itself how its artifact comes");
    }
    if config.password_env.is_some() && config.password_file.is_some() {
        wrong("strategy.config.password_env", "choose one of `password_env` and `password_file`");
    }
    if let Err(why) = config.target(preset) {
        let key = if config.url.is_some() { "url" } else { "database" };
        wrong(&format!("strategy.config.{key}"), &why);
    }
    for option in &config.options {
        if sets_password(option) {
            wrong(
                "strategy.config.options",
                "a password must not be an argument, which every process can read: use \
                 `password_env` or `password_file`",
            );
        }
    }
}

fn sets_password(option: &str) -> bool {
    ["--password=", "--pass=", "-a=", "--pass "].iter().any(|start| option.starts_with(start))
        || option == "--pass"
        || option == "-a"
}

impl StrategyConfig {
    /// The keys that only a preset reads, and whether each is set.
    fn preset_keys(&self) -> [(&'static str, bool); 9] {
        [
            ("url", self.url.is_some()),
            ("host", self.host.is_some()),
            ("port", self.port.is_some()),
            ("socket", self.socket.is_some()),
            ("user", self.user.is_some()),
            ("database", self.database.is_some()),
            ("password_env", self.password_env.is_some()),
            ("password_file", self.password_file.is_some()),
            ("options", !self.options.is_empty()),
        ]
    }
}

//! Token, folders, files and port.

use std::{fs, path::Path};

use secrecy::ExposeSecret as _;

use crate::{
    command::find_program,
    config::{Config, Finding, Level, StrategyType},
    health,
};

/// Tokens that stand in guides, so that everybody knows them.
const KNOWN: [&str; 6] =
    ["poneme_un_token", "change-me", "changeme", "change_me", "password", "secret"];
/// Length from which a token is good, in bytes.
const GOOD_LENGTH: usize = 20;

pub(super) fn token(config: &Config, findings: &mut Vec<Finding>) {
    let mut warn = |key: &str, text: &str| findings.push(Finding::new(Level::Warning, key, text));
    let token = config.secrets.api_token.expose_secret();
    let mut different: Vec<_> = token.bytes().collect();
    different.sort_unstable();
    different.dedup();
    if KNOWN.iter().any(|known| token.to_ascii_lowercase().starts_with(known)) {
        warn("secrets.api_token", "this is an example's token: `openssl rand -hex 32` makes one");
    } else if token.len() < GOOD_LENGTH || different.len() < 6 {
        warn("secrets.api_token", "it can be guessed: `openssl rand -hex 32` makes a good one");
    }
    if let Some(previous) = &config.secrets.previous_api_token
        && previous.expose_secret() == token
    {
        warn("secrets.previous_api_token", "it is the same as the token: nothing is rotated");
    }
}

pub(super) fn folders(config: &Config, findings: &mut Vec<Finding>) {
    let paths = &config.paths;
    let dump = paths.temp_dump.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folders = [
        ("paths.workdir", Some(paths.workdir.as_path())),
        ("paths.artifacts", Some(paths.artifacts.as_path())),
        ("paths.temp_dump", dump),
    ];
    for (key, folder) in folders {
        let Some(folder) = folder else {
            findings.push(Finding::error(key, "it has no folder: write an absolute path"));
            continue;
        };
        if let Err(why) = writable(folder) {
            findings.push(Finding::error(key, format!("{}: {why}", folder.display())));
        }
    }
}

/// Proves it by writing: modes alone say nothing on a read-only volume.
fn writable(folder: &Path) -> Result<(), String> {
    if !folder.is_dir() {
        return Err("there is no such folder: create it, or mount a volume there".to_owned());
    }
    tempfile::tempfile_in(folder).map(drop).map_err(|error| {
        format!(
            "it cannot be written in: {error}; check the volume's owner and that it is not \
                 read-only"
        )
    })
}

/// The files of an archive, or of SQLite.
pub(super) fn files(config: &Config, findings: &mut Vec<Finding>) {
    let strategy = &config.strategy;
    if strategy.r#type != StrategyType::FileArchive {
        return;
    }
    let key = "strategy.config.paths";
    for pattern in &strategy.config.paths {
        let whole = config.paths.workdir.join(pattern);
        match glob::glob(&whole.to_string_lossy()) {
            Err(error) => findings.push(Finding::error(key, format!("`{pattern}`: {error}"))),
            Ok(mut found) => match found.next() {
                Some(Ok(_)) => {}
                Some(Err(error)) => findings.push(Finding::error(key, error.to_string())),
                None => {
                    let text = format!("`{pattern}` matches nothing: is the volume mounted?");
                    findings.push(Finding::error(key, text));
                }
            },
        }
    }
}

pub(super) fn preset(config: &Config, findings: &mut Vec<Finding>) {
    let strategy = &config.strategy.config;
    let Some(preset) = strategy.preset else { return };
    let restores = config.restore.enabled && config.restore.command.all().is_empty();
    for name in preset.restorers().iter().filter(|_| restores) {
        if find_program(name).is_none() {
            let text = format!("{name} is not installed: install the package {}", preset.package());
            findings.push(Finding::error("restore.enabled", text));
        }
    }
    if !preset.programs().iter().any(|name| find_program(name).is_some()) {
        findings.push(Finding::error(
            "strategy.config.preset",
            format!(
                "{} is not installed: install the package {}",
                preset.programs().join(" or "),
                preset.package()
            ),
        ));
    }
    if let Some(file) = &strategy.password_file
        && let Err(error) = fs::read(file)
    {
        let text = format!("{}: {error}", file.display());
        findings.push(Finding::error("strategy.config.password_file", text));
    }
    if preset == crate::config::Preset::Sqlite
        && let Some(database) = &strategy.database
    {
        let file = config.paths.workdir.join(database);
        if !file.is_file() {
            let text = format!("there is no file {}: is the volume mounted?", file.display());
            findings.push(Finding::error("strategy.config.database", text));
        }
    }
}

pub(super) async fn port(config: &Config, findings: &mut Vec<Finding>) {
    let app = &config.app;
    let Err(error) = tokio::net::TcpListener::bind((app.host.as_str(), app.port)).await else {
        return;
    };
    if health::ask(config).await.is_ok() {
        let text = "a sidecar serves there already";
        findings.push(Finding::new(Level::Note, "app.port", text));
    } else {
        let text = format!("{}:{} cannot be listened on: {error}", app.host, app.port);
        findings.push(Finding::error("app.port", text));
    }
}

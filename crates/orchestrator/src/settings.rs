//! What the environment and `.env` say.

mod oidc;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use engine::EngineConfig;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use url::Url;

use crate::{
    accounts::{FirstUser, weakness},
    telemetry::metrics,
};
pub(crate) use oidc::OidcSettings;

/// The environment, as a parameter.
pub(crate) type Environment = HashMap<String, String>;

/// Texts that stand in examples: known to everybody.
const KNOWN_KEYS: &[&str] =
    &["poné_una_clave_larga", "change-me", "changeme", "cambiame", "secret"];
const MIN_KEY: usize = 16;
/// Variables that programs we start get from ours.
const PASSED_ON: &[&str] = &["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// A variable that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {problem}")]
pub(crate) struct SettingError {
    name: &'static str,
    problem: String,
}

impl SettingError {
    pub(crate) fn new(name: &'static str, problem: String) -> Self {
        Self { name, problem }
    }
}

/// What the server is told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) data_dir: PathBuf,
    pub(crate) database_url: Option<SecretString>,
    pub(crate) secret_key: Option<SecretString>,
    pub(crate) first_user: FirstUser,
    /// Believe the forwarding headers of the proxy in front.
    pub(crate) trust_proxy: bool,
    /// Who may read metrics.
    pub(crate) metrics: metrics::Access,
    /// Another service that logs people in.
    pub(crate) oidc: Option<OidcSettings>,
    pub(crate) engine: EngineConfig,
    /// Whose clock the pages show (`TZ`).
    pub(crate) zone: TimeZone,
    /// Whether it only shows a made-up history, and runs nothing.
    pub(crate) demo: bool,
    /// Where people reach the pages; messages link there.
    pub(crate) public_url: Option<Url>,
}

/// The process's environment over what `.env` in the working folder says.
pub(crate) fn environment() -> Environment {
    let mut all = std::fs::read_to_string(".env").map(|text| dotenv(&text)).unwrap_or_default();
    all.extend(std::env::vars());
    all
}

/// What a file of `NAME=VALUE` lines says.
pub(crate) fn dotenv(text: &str) -> Environment {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let name = name.trim().trim_start_matches("export ").to_owned();
            let value = value.trim();
            let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
            (name, quoted('"').or_else(|| quoted('\'')).unwrap_or(value).to_owned())
        })
        .collect()
}

pub(crate) fn data_dir(environment: &Environment) -> PathBuf {
    environment
        .get("BACKUP_DATA_DIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| PathBuf::from("data"), PathBuf::from)
}

fn number<T: std::str::FromStr>(
    environment: &Environment,
    name: &'static str,
    default: T,
) -> Result<T, SettingError> {
    match environment.get(name).map(|text| text.trim()).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| SettingError {
            name,
            problem: format!("`{}` is no number that fits", text.escape_debug()),
        }),
    }
}

pub(crate) fn switch(environment: &Environment, name: &'static str) -> Result<bool, SettingError> {
    match environment.get(name).map(|text| text.trim()).unwrap_or_default() {
        "" | "false" | "0" | "no" | "off" => Ok(false),
        "true" | "1" | "yes" | "on" => Ok(true),
        other => Err(SettingError {
            name,
            problem: format!("`{}` is neither true nor false", other.escape_debug()),
        }),
    }
}

impl Settings {
    pub(crate) fn read(environment: &Environment) -> Result<Self, SettingError> {
        let instance = format!("{}-{:08x}", std::process::id(), rand::random::<u32>());
        let mut engine = EngineConfig::new(instance);
        let timeout: u64 = number(environment, "REQUEST_TIMEOUT_S", 900)?;
        let megabytes: u64 = number(environment, "BACKUP_MAX_SIZE_MB", 20_480)?;
        if timeout == 0 || megabytes == 0 || megabytes > u64::MAX >> 20 {
            let problem = "REQUEST_TIMEOUT_S and BACKUP_MAX_SIZE_MB are more than 0".to_owned();
            return Err(SettingError { name: "limits", problem });
        }
        engine.host = environment
            .get("BACKUP_HOST_NAME")
            .or_else(|| environment.get("HOSTNAME"))
            .filter(|name| !name.is_empty())
            .cloned()
            .or_else(|| Some(std::fs::read_to_string("/etc/hostname").ok()?.trim().to_owned()))
            .unwrap_or(engine.host);
        engine.spool = data_dir(environment).join("spool");
        engine.scratch = match folders(environment, "BACKUP_SCRATCH_DIR")?.as_slice() {
            [] => None,
            [folder] => Some(folder.clone()),
            _ => {
                let problem = "one folder only".to_owned();
                return Err(SettingError { name: "BACKUP_SCRATCH_DIR", problem });
            }
        };
        engine.catalog_copies = data_dir(environment).join("catalog-copies");
        let hours: u64 = number(environment, "BACKUP_CATALOG_COPY_H", 24)?;
        engine.catalog_copy_every =
            (hours > 0).then(|| Duration::from_secs(hours.saturating_mul(3_600)));
        engine.child_env = PASSED_ON
            .iter()
            .filter_map(|name| Some((name.into(), environment.get(*name)?.into())))
            .collect();
        engine.labels = switch(environment, "BACKUP_DOCKER_LABELS")?;
        engine.label_exec = switch(environment, "BACKUP_DOCKER_LABEL_EXEC")?;
        engine.hooks = switch(environment, "BACKUP_HOOKS")?;
        engine.drill_commands = switch(environment, "BACKUP_DRILL_COMMANDS")?;
        engine.docker_host = environment.get("DOCKER_HOST").filter(|to| !to.is_empty()).cloned();
        engine.source_timeout = Duration::from_secs(timeout);
        engine.max_size_bytes = megabytes << 20;
        engine.workers = number::<usize>(environment, "BACKUP_WORKERS", 4)?.clamp(1, 64);
        let grace_hours: u64 = number(environment, "RETENTION_GRACE_H", 24)?;
        engine.expire_grace = Duration::from_secs(grace_hours.saturating_mul(3_600));
        engine.rclone_remote =
            environment.get("RCLONE_REMOTE").filter(|remote| !remote.is_empty()).cloned();
        engine.rclone_config =
            environment.get("RCLONE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        engine.file_roots = folders(environment, "BACKUP_FILE_ROOTS")?;
        engine.restore_roots = folders(environment, "BACKUP_RESTORE_ROOTS")?;
        for (name, url) in [
            ("BACKUP_GOOGLE_AUTH_URL", &mut engine.google.auth),
            ("BACKUP_GOOGLE_TOKEN_URL", &mut engine.google.token),
        ] {
            if let Some(other) = environment.get(name).filter(|other| !other.is_empty()) {
                url.clone_from(other);
            }
        }
        engine.net_policy.allow_loopback = switch(environment, "BACKUP_ALLOW_LOOPBACK")?;
        engine.net_policy.allowed = networks(environment)?;
        Ok(Self {
            address: environment
                .get("BACKUP_BIND_ADDRESS")
                .filter(|address| !address.is_empty())
                .cloned()
                .unwrap_or_else(|| "0.0.0.0".to_owned()),
            port: number(environment, "APP_PORT", 5550)?,
            data_dir: data_dir(environment),
            database_url: environment
                .get("DATABASE_URL")
                .filter(|url| !url.is_empty())
                .map(|url| SecretString::from(url.clone())),
            secret_key: secret_key(environment)?,
            first_user: first_user(environment)?,
            trust_proxy: switch(environment, "BACKUP_TRUST_PROXY")?,
            metrics: metrics::Access::read(environment)?,
            oidc: oidc::read(environment)?,
            engine,
            zone: zone(environment)?,
            demo: false,
            public_url: public_url(environment)?,
        })
    }
}

/// The zone of `TZ`; without it the machine's own.
fn zone(environment: &Environment) -> Result<TimeZone, SettingError> {
    let name = environment.get("TZ").map(|zone| zone.trim_start_matches(':')).unwrap_or_default();
    if name.is_empty() {
        return Ok(TimeZone::system());
    }
    TimeZone::get(name).map_err(|_| SettingError {
        name: "TZ",
        problem: format!("`{}` is no time zone such as America/Sao_Paulo", name.escape_debug()),
    })
}

/// The address of `APP_PUBLIC_URL`, without what would stand between it and a page's path.
fn public_url(environment: &Environment) -> Result<Option<Url>, SettingError> {
    let name = "APP_PUBLIC_URL";
    let text = environment.get(name).map(|text| text.trim()).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    match url {
        Some(url) => Ok(Some(url)),
        None => Err(SettingError {
            name,
            problem: format!(
                "`{}` is no address such as https://backups.example.com",
                text.escape_debug()
            ),
        }),
    }
}

/// Absolute paths between commas.
fn folders(environment: &Environment, name: &'static str) -> Result<Vec<PathBuf>, SettingError> {
    let text = environment.get(name).map(String::as_str).unwrap_or_default();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(PathBuf::from);
    parts
        .map(|folder| {
            let has_parents = folder.components().any(|part| part.as_os_str() == "..");
            if folder.is_absolute() && !has_parents {
                return Ok(folder);
            }
            let shown = folder.to_string_lossy().escape_debug().to_string();
            let problem = format!("`{shown}` is no absolute path without `..`");
            Err(SettingError { name, problem })
        })
        .collect()
}

fn networks(environment: &Environment) -> Result<Vec<IpNet>, SettingError> {
    let name = "BACKUP_ALLOWED_NETWORKS";
    let text = environment.get(name).map(String::as_str).unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse().map_err(|_| SettingError {
                name,
                problem: format!("`{}` is no network such as 172.16.0.0/12", part.escape_debug()),
            })
        })
        .collect()
}

fn secret_key(environment: &Environment) -> Result<Option<SecretString>, SettingError> {
    let name = "APP_SECRET_KEY";
    let Some(key) = environment.get(name) else { return Ok(None) };
    let refuse = |problem: &str| Err(SettingError { name, problem: problem.to_owned() });
    if key.is_empty() {
        return refuse("it is empty: remove the line to have one made, or set a long random text");
    }
    if KNOWN_KEYS.contains(&key.to_lowercase().as_str()) {
        return refuse("this is the text of an example, which everybody knows: set a random one");
    }
    if key.len() < MIN_KEY {
        return refuse("it is too short to protect anything: at least 16 characters");
    }
    Ok(Some(key.clone().into()))
}

fn first_user(environment: &Environment) -> Result<FirstUser, SettingError> {
    let name = "APP_ADMIN_USER";
    let text = environment.get(name).filter(|text| !text.is_empty());
    let user = text.map_or("admin", String::as_str);
    let user: model::Name = user
        .parse()
        .map_err(|error: model::NameError| SettingError { name, problem: error.to_string() })?;
    let name = "APP_ADMIN_PASS";
    let refuse = |problem: &str| SettingError { name, problem: problem.to_owned() };
    let password = match environment.get(name) {
        None => None,
        Some(text) if text.is_empty() => {
            return Err(refuse(
                "it is empty: remove the line to have one made, or set a strong one",
            ));
        }
        Some(text) => match weakness(text, user.as_str()) {
            Some(weakness) => return Err(refuse(&weakness.to_string())),
            None => Some(text.clone().into()),
        },
    };
    Ok(FirstUser { name: user, password })
}

/// Reads a file of ours that only its owner may read, or makes it with `content`.
pub(crate) fn private_file(
    path: &Path,
    content: impl FnOnce() -> String,
) -> std::io::Result<String> {
    use std::io::Write as _;
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = content();
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(std::path::Path::new("."));
            // Whole and on the disk before it has its name: what is sealed with it is lost with it.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist_noclobber(path)?;
            std::fs::File::open(folder)?.sync_all()?;
            Ok(text)
        }
        read => read.map(|text| text.trim().to_owned()),
    }
}

/// 256 random bits as text.
pub(crate) fn random_secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Settings, SettingError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::read(&pairs.collect())
    }

    #[test]
    fn the_names_of_the_env_file_are_honoured() {
        let settings = with(&[
            ("APP_PORT", "6000"),
            ("REQUEST_TIMEOUT_S", "60"),
            ("BACKUP_MAX_SIZE_MB", "2"),
            ("RCLONE_REMOTE", "gdrive"),
        ])
        .unwrap();
        assert_eq!(settings.port, 6000);
        assert_eq!(settings.engine.source_timeout, Duration::from_secs(60));
        assert_eq!(settings.engine.max_size_bytes, 2 << 20);
        assert_eq!(settings.engine.rclone_remote.as_deref(), Some("gdrive"));
    }

    #[test]
    fn weak_keys_and_wrong_numbers_are_refused() {
        for (name, value) in [
            ("APP_SECRET_KEY", ""),
            ("APP_SECRET_KEY", "short"),
            ("APP_SECRET_KEY", "poné_una_clave_larga"),
            ("APP_ADMIN_PASS", ""),
            ("APP_ADMIN_PASS", "cambiame"),
            ("APP_ADMIN_USER", "two words"),
            ("APP_PORT", "80000"),
            ("REQUEST_TIMEOUT_S", "-1"),
            ("BACKUP_MAX_SIZE_MB", "0"),
            ("BACKUP_ALLOWED_NETWORKS", "everything"),
            ("BACKUP_ALLOW_LOOPBACK", "maybe"),
            ("METRICS_OPEN", "perhaps"),
            ("METRICS_TOKEN_FILE", "/nowhere/at/all"),
            ("METRICS_TOKEN_FILE", "/dev/null"),
            ("BACKUP_FILE_ROOTS", "srv"),
            ("BACKUP_FILE_ROOTS", "/srv, /srv/../etc"),
            ("BACKUP_RESTORE_ROOTS", "restored"),
            ("APP_PUBLIC_URL", "backups.example.com"),
            ("APP_PUBLIC_URL", "https://user:word@backups.example.com"),
        ] {
            assert!(with(&[(name, value)]).is_err(), "{name}={value:?} was accepted");
        }
    }

    #[test]
    fn folders_are_listed() {
        assert!(with(&[]).unwrap().engine.file_roots.is_empty());
        assert!(with(&[]).unwrap().engine.restore_roots.is_empty());
        let settings = with(&[("BACKUP_RESTORE_ROOTS", "/srv,/restored")]).unwrap();
        assert_eq!(settings.engine.restore_roots, ["/srv", "/restored"].map(PathBuf::from));
        let settings = with(&[("BACKUP_FILE_ROOTS", "/srv, /home/ana ,")]).unwrap();
        assert_eq!(settings.engine.file_roots, ["/srv", "/home/ana"].map(PathBuf::from));
        let settings = with(&[("BACKUP_RESTORE_ROOTS", "/srv/back")]).unwrap();
        assert_eq!(settings.engine.restore_roots, [PathBuf::from("/srv/back")]);
    }

    #[test]
    fn env_files_are_read() {
        let read = dotenv("# words\nA=1\n export B=\"two words\"\nC='3'\nnothing\n");
        assert_eq!(read["A"], "1");
        assert_eq!(read["B"], "two words");
        assert_eq!(read["C"], "3");
    }
}

//! Where a preset's database is, from its URL and its keys.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{Preset, StrategyConfig};

/// Where a preset's database is. A key decides over the same part of the URL.
#[derive(Debug, Default)]
pub(crate) struct Target {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) database: Option<String>,
    /// From the URL or a variable; a file is read when it is needed.
    pub(crate) password: Option<SecretString>,
    /// Parameters of a PostgreSQL URL, for example `sslmode`.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) is_tls: bool,
}

/// Parameters that say nothing over what is reached, but over an ORM's own driver.
const DRIVERS: [&str; 5] = ["schema", "pool_timeout", "connection_limit", "pgbouncer", "charset"];

impl StrategyConfig {
    /// What the URL and the keys say together. The error tells what is missing.
    pub(crate) fn target(&self, preset: Preset) -> Result<Target, String> {
        let mut target = match &self.url {
            Some(url) => from_url(preset, url.expose_secret())?,
            None => Target::default(),
        };
        target.host = self.host.clone().or(target.host);
        target.port = self.port.or(target.port);
        target.socket = self.socket.clone().or(target.socket);
        target.user = self.user.clone().or(target.user);
        target.database = self.database.clone().or(target.database);
        target.password = self.password.clone().or(target.password);
        let needs_database = matches!(preset, Preset::Postgres | Preset::Sqlite);
        if needs_database && target.database.as_deref().unwrap_or_default().is_empty() {
            return Err(match preset {
                Preset::Sqlite => "name the database's file".to_owned(),
                _ => "name the database, by `database` or `url`".to_owned(),
            });
        }
        Ok(target)
    }

    /// Name of the database, where it is known.
    pub(crate) fn database_name(&self) -> Option<String> {
        let from_url = || {
            let url = Url::parse(self.url.as_ref()?.expose_secret()).ok()?;
            Some(decoded(url.path().trim_start_matches('/')))
        };
        self.database.clone().or_else(from_url).filter(|name| !name.is_empty())
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn from_url(preset: Preset, text: &str) -> Result<Target, String> {
    if preset == Preset::Sqlite {
        return Err("SQLite has no URL: name its file by `database`".to_owned());
    }
    // The error of the parser is not repeated: what it parsed may hold a password.
    let url = Url::parse(text).map_err(|_| {
        "this is no URL; characters such as `@`, `/` and `#` in a password are written `%40`, \
         `%2F` and `%23`"
            .to_owned()
    })?;
    if !preset.schemes().contains(&url.scheme()) {
        return Err(format!("its scheme is one of {}", preset.schemes().join(", ")));
    }
    let mut target = Target {
        host: url.host_str().filter(|host| !host.is_empty()).map(decoded),
        port: url.port(),
        user: Some(decoded(url.username())).filter(|user| !user.is_empty()),
        database: Some(decoded(url.path().trim_start_matches('/'))).filter(|name| !name.is_empty()),
        password: url.password().map(|password| decoded(password).into()),
        is_tls: matches!(url.scheme(), "rediss" | "valkeys"),
        ..Target::default()
    };
    // `[::1]` is a URL's way to write an address.
    if let Some(host) = &mut target.host {
        *host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    }
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "password" => target.password = Some(value.into_owned().into()),
            "sslpassword" => {
                return Err("`sslpassword` would become an argument: use a key without one".into());
            }
            "user" => target.user = Some(value.into_owned()),
            "host" => target.host = Some(value.into_owned()),
            "socket" => target.socket = Some(value.into_owned().into()),
            name if DRIVERS.contains(&name) => {}
            _ => target.parameters.push((name.into_owned(), value.into_owned())),
        }
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(preset: Preset, url: &str) -> Result<Target, String> {
        StrategyConfig { url: Some(url.into()), ..StrategyConfig::default() }.target(preset)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let found =
            target(Preset::Postgres, "postgresql://me:p%40ss@db:5433/my%20app?sslmode=require")
                .unwrap();
        assert_eq!(found.host.as_deref(), Some("db"));
        assert_eq!(found.port, Some(5433));
        assert_eq!(found.user.as_deref(), Some("me"));
        assert_eq!(found.database.as_deref(), Some("my app"));
        assert_eq!(found.password.unwrap().expose_secret(), "p@ss");
        assert_eq!(found.parameters, [("sslmode".to_owned(), "require".to_owned())]);
        let found = target(Preset::Redis, "rediss://:pw@[::1]:7000").unwrap();
        assert_eq!((found.host.as_deref(), found.is_tls), (Some("::1"), true));
        assert_eq!(found.user, None);
    }

    #[test]
    fn keys_decide_over_the_url() {
        let config = StrategyConfig {
            url: Some("mysql://root:x@db/app".into()),
            user: Some("dump".to_owned()),
            password: Some("y".into()),
            ..StrategyConfig::default()
        };
        let found = config.target(Preset::Mysql).unwrap();
        assert_eq!(found.user.as_deref(), Some("dump"));
        assert_eq!(found.password.unwrap().expose_secret(), "y");
    }

    #[test]
    fn what_is_wrong_names_no_password() {
        for url in ["postgresql://me:hunter2@db", "mysql://me:hunter2@db/app", "me:hunter2@db"] {
            let told = target(Preset::Postgres, url).unwrap_err();
            assert!(!told.contains("hunter2"), "{told}");
        }
        assert!(target(Preset::Sqlite, "sqlite:///data/app.db").is_err());
    }
}

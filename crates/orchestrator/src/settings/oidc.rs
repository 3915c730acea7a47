//! The service that logs people in (`OpenID` Connect), as the environment describes it.

use std::{fs, net::IpAddr};

use model::Role;
use secrecy::SecretString;
use url::{Host, Url};

use super::{Environment, SettingError, switch};

const SCOPES: &str = "openid profile email";

/// Another service that logs people in.
#[derive(Debug, Clone)]
pub(crate) struct OidcSettings {
    /// As the service calls itself, to the letter.
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<SecretString>,
    /// Beside `openid`.
    pub(crate) scopes: Vec<String>,
    /// The claim with somebody's groups or roles; dots lead into objects.
    pub(crate) role_claim: Option<String>,
    /// What its values mean here.
    pub(crate) roles: Vec<(String, Role)>,
    /// Adds users that are not known yet.
    pub(crate) auto_create: bool,
    /// Where browsers find this server, without a slash at the end.
    pub(crate) public_url: String,
}

fn text<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn refuse<T>(name: &'static str, problem: impl ToString) -> Result<T, SettingError> {
    Err(SettingError { name, problem: problem.to_string() })
}

/// What the environment says; without an issuer there is no such service.
pub(super) fn read(environment: &Environment) -> Result<Option<OidcSettings>, SettingError> {
    let Some(issuer) = text(environment, "OIDC_ISSUER") else { return Ok(None) };
    is_safe("OIDC_ISSUER", issuer)?;
    let Some(client_id) = text(environment, "OIDC_CLIENT_ID") else {
        return refuse("OIDC_CLIENT_ID", "it is missing: the service tells it for this client");
    };
    let Some(public_url) = text(environment, "APP_PUBLIC_URL") else {
        let advice =
            "it is missing: the address that browsers open, as in https://backup.example.com";
        return refuse("APP_PUBLIC_URL", advice);
    };
    let public_url = public_url.trim_end_matches('/');
    let url = match Url::parse(public_url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        _ => {
            return refuse("APP_PUBLIC_URL", "it is no address such as https://backup.example.com");
        }
    };
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return refuse(
            "APP_PUBLIC_URL",
            "it takes no path: the pages are at the top of their host",
        );
    }
    let scopes = text(environment, "OIDC_SCOPES").unwrap_or(SCOPES);
    let role_claim = text(environment, "OIDC_ROLE_CLAIM").map(str::to_owned);
    let roles = roles(text(environment, "OIDC_ROLE_MAP").unwrap_or_default())?;
    if role_claim.is_some() == roles.is_empty() {
        let advice = "OIDC_ROLE_CLAIM and OIDC_ROLE_MAP are given together, or neither";
        return refuse("OIDC_ROLE_MAP", advice);
    }
    Ok(Some(OidcSettings {
        issuer: issuer.to_owned(),
        client_id: client_id.to_owned(),
        client_secret: secret(environment)?,
        scopes: scopes
            .split([' ', ','])
            .filter(|scope| !scope.is_empty() && *scope != "openid")
            .map(str::to_owned)
            .collect(),
        role_claim,
        roles,
        auto_create: switch(environment, "OIDC_AUTO_CREATE")?,
        public_url: public_url.to_owned(),
    }))
}

/// Codes and keys do not travel in the clear, unless it is within this machine.
fn is_safe(name: &'static str, text: &str) -> Result<(), SettingError> {
    let Ok(url) = Url::parse(text) else {
        return refuse(name, "it is no address such as https://login.example.com");
    };
    let here = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if here => Ok(()),
        _ => refuse(name, "it begins with https://; http:// only on this very machine"),
    }
}

fn secret(environment: &Environment) -> Result<Option<SecretString>, SettingError> {
    if let Some(path) = text(environment, "OIDC_CLIENT_SECRET_FILE") {
        return match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.trim().to_owned().into())),
            Err(error) => refuse("OIDC_CLIENT_SECRET_FILE", format!("{path}: {error}")),
        };
    }
    Ok(text(environment, "OIDC_CLIENT_SECRET").map(|text| text.to_owned().into()))
}

/// `admins=admin,ops=operator`.
fn roles(text: &str) -> Result<Vec<(String, Role)>, SettingError> {
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            // From the right: groups may have names such as `cn=admins`.
            let split =
                pair.rsplit_once('=').map(|(value, role)| (value.trim(), role.trim().parse()));
            match split {
                Some((value, Ok(role))) if !value.is_empty() => Ok((value.to_owned(), role)),
                _ => {
                    let shown = pair.escape_debug();
                    let problem =
                        format!("`{shown}` is no pair such as admins=admin or ops=operator");
                    refuse("OIDC_ROLE_MAP", problem)
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Option<OidcSettings>, SettingError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        read(&pairs.collect())
    }

    const ENOUGH: &[(&str, &str)] = &[
        ("OIDC_ISSUER", "https://login.example.com/realms/x"),
        ("OIDC_CLIENT_ID", "backups"),
        ("APP_PUBLIC_URL", "https://backup.example.com/"),
    ];

    #[test]
    fn a_service_is_described() {
        assert!(with(&[]).unwrap().is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hush\n").unwrap();
        let path = file.path().display().to_string();
        let more = [
            ("OIDC_CLIENT_SECRET_FILE", path.as_str()),
            ("OIDC_ROLE_CLAIM", "groups"),
            ("OIDC_ROLE_MAP", "admins=admin, cn=ops=operator"),
            ("OIDC_AUTO_CREATE", "true"),
            ("OIDC_SCOPES", "openid profile groups"),
        ];
        let all: Vec<_> = ENOUGH.iter().chain(&more).copied().collect();
        let read = with(&all).unwrap().unwrap();
        assert_eq!(read.public_url, "https://backup.example.com");
        assert_eq!(read.scopes, ["profile", "groups"]);
        let expected = [("admins", Role::Admin), ("cn=ops", Role::Operator)];
        assert_eq!(read.roles, expected.map(|(value, role)| (value.to_owned(), role)));
        assert_eq!(read.client_secret.unwrap().expose_secret(), "hush");
        assert!(read.auto_create);
    }

    #[test]
    fn what_would_not_be_safe_is_refused() {
        for (name, value) in [
            ("OIDC_ISSUER", "http://login.example.com"),
            ("OIDC_ISSUER", "login.example.com"),
            ("OIDC_CLIENT_ID", ""),
            ("APP_PUBLIC_URL", ""),
            ("APP_PUBLIC_URL", "backup.example.com"),
            ("APP_PUBLIC_URL", "https://example.com/backups"),
            ("OIDC_ROLE_CLAIM", "groups"),
            ("OIDC_ROLE_MAP", "admins=admin"),
            ("OIDC_ROLE_MAP", "admins=king"),
            ("OIDC_CLIENT_SECRET_FILE", "/nowhere/to/be/found"),
        ] {
            let mut pairs = ENOUGH.to_vec();
            pairs.retain(|(known, _)| *known != name);
            pairs.push((name, value));
            assert!(with(&pairs).is_err(), "{name}={value:?} was accepted");
        }
        let mut here = ENOUGH.to_vec();
        here[0].1 = "http://127.0.0.1:9000";
        assert!(with(&here).is_ok());
    }
}

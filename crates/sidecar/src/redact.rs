//! Secrets taken out of what commands say.

use std::collections::HashMap;

use secrecy::{ExposeSecret as _, SecretString};

use crate::config::Config;

/// Names of variables whose values are not told.
const NAMES: [&str; 11] = [
    "PASS",
    "SECRET",
    "TOKEN",
    "KEY",
    "MYSQL_PWD",
    "CREDENTIAL",
    "AUTH",
    "DSN",
    "URL",
    "URI",
    "CONN",
];
/// Shorter values are no secrets: `1` would be taken out of every number.
const MIN_SECRET: usize = 4;
const MASK: &str = "[secret]";

/// Knows what may not be told.
pub(crate) struct Redactor {
    secrets: Vec<SecretString>,
}

impl Redactor {
    pub(crate) fn new(config: &Config, environment: &HashMap<String, String>) -> Self {
        let mut found = vec![config.secrets.api_token.expose_secret().to_owned()];
        found
            .extend(config.secrets.previous_api_token.iter().map(|t| t.expose_secret().to_owned()));
        let strategy = &config.strategy.config;
        let further = strategy.password.iter().chain(&strategy.url);
        found.extend(further.map(|secret| secret.expose_secret().to_owned()));
        let written = strategy.env.iter().map(|(name, value)| (name, value.expose_secret()));
        let inherited = environment.iter().map(|(name, value)| (name, value.as_str()));
        for (name, value) in inherited.chain(written) {
            let name = name.to_ascii_uppercase();
            if NAMES.iter().any(|part| name.contains(part)) {
                found.extend(password_of(value).map(str::to_owned));
                found.push(value.to_owned());
            }
        }
        found.retain(|secret| secret.trim().len() >= MIN_SECRET);
        // The longest first: a URL before the password within it.
        found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        found.dedup();
        Self { secrets: found.into_iter().map(SecretString::from).collect() }
    }

    pub(crate) fn clean(&self, text: &str) -> String {
        let cleaned = self
            .secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.expose_secret(), MASK));
        without_passwords(&cleaned)
    }
}

/// The password in `scheme://user:password@host`.
fn password_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    authority.rsplit_once('@')?.0.split_once(':').map(|(_, password)| password)
}

/// Takes the user part out of every URL.
fn without_passwords(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(after.len());
        rest = after;
        if let Some(user) = after[..end].rfind('@').filter(|user| after[..*user].contains(':')) {
            out.push_str(MASK);
            rest = &after[user..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let text = "{app: {port: 1}, strategy: {type: custom, artifact: {filename: a}, \
                    config: {command: 'true', env: {PGPASSWORD: hunter22, LEVEL: debug}}}, \
                    paths: {workdir: /tmp, artifacts: /tmp, temp_dump: /tmp/d}, \
                    secrets: {api_token: the-api-token}}";
        let environment = [("DATABASE_URL", "postgres://u:p4ssw0rd@db/app"), ("X_TOKEN", "abc")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Redactor::new(&Config::parse(text, &HashMap::new()).unwrap(), &environment)
    }

    #[test]
    fn no_secret_is_told() {
        let redactor = redactor();
        let clean = |text: &str| redactor.clean(text);
        assert_eq!(clean("login hunter22 failed: debug"), "login [secret] failed: debug");
        assert_eq!(clean("the-api-token p4ssw0rd abc"), "[secret] [secret] abc");
        assert_eq!(clean("at postgres://u:p4ssw0rd@db/app."), "at [secret].");
        assert_eq!(clean("ftp://a:b@c/d http://e/f@g:h"), "ftp://[secret]@c/d http://e/f@g:h");
        assert!(!format!("{:?}", redactor.secrets).contains("hunter22"));
    }
}

//! `${NAME}` in values.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use super::{Config, Environment, Finding};

impl Config {
    /// Expands variables, except in commands: those are for the shell, whose environment has
    /// them, so that no secret becomes part of an argument list of ours.
    pub(super) fn expand(&mut self, environment: &Environment, findings: &mut Vec<Finding>) {
        let mut work = Expander { environment, findings };
        work.maybe("app.name", &mut self.app.name);
        work.text("app.host", &mut self.app.host);
        work.secret("secrets.api_token", &mut self.secrets.api_token);
        if let Some(token) = &mut self.secrets.previous_api_token {
            work.secret("secrets.previous_api_token", token);
        }
        let artifact = &mut self.strategy.artifact;
        work.text("strategy.artifact.filename", &mut artifact.filename);
        work.maybe("strategy.artifact.format", &mut artifact.format);
        work.maybe("strategy.artifact.content_type", &mut artifact.content_type);
        let config = &mut self.strategy.config;
        for (name, value) in &mut config.env {
            work.secret(&format!("strategy.config.env.{name}"), value);
        }
        for text in &mut config.paths {
            work.text("strategy.config.paths", text);
        }
        for text in &mut config.options {
            work.text("strategy.config.options", text);
        }
        if let Some(url) = &mut config.url {
            work.secret("strategy.config.url", url);
        }
        work.maybe("strategy.config.host", &mut config.host);
        work.maybe("strategy.config.user", &mut config.user);
        work.maybe("strategy.config.database", &mut config.database);
        for (key, path) in
            [("socket", &mut config.socket), ("password_file", &mut config.password_file)]
        {
            if let Some(path) = path {
                work.path(&format!("strategy.config.{key}"), path);
            }
        }
        work.path("paths.workdir", &mut self.paths.workdir);
        work.path("paths.artifacts", &mut self.paths.artifacts);
        work.path("paths.temp_dump", &mut self.paths.temp_dump);
    }
}

struct Expander<'a> {
    environment: &'a Environment,
    findings: &'a mut Vec<Finding>,
}

impl Expander<'_> {
    fn text(&mut self, key: &str, text: &mut String) {
        match expand(text, self.environment) {
            Ok(expanded) => *text = expanded,
            Err(name) => self.findings.push(Finding::error(
                key,
                format!(
                    "the variable `{name}` is not set; set it, or write `${{{name}:-default}}`"
                ),
            )),
        }
    }

    fn maybe(&mut self, key: &str, text: &mut Option<String>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn secret(&mut self, key: &str, secret: &mut SecretString) {
        let mut text = secret.expose_secret().to_owned();
        self.text(key, &mut text);
        *secret = text.into();
    }

    fn path(&mut self, key: &str, path: &mut PathBuf) {
        let mut text = path.to_string_lossy().into_owned();
        self.text(key, &mut text);
        *path = text.into();
    }
}

/// `text` with its variables put in; an empty one counts as not set. The error is its name.
fn expand(text: &str, environment: &Environment) -> Result<String, String> {
    let known = |name: &str| environment.get(name).map(String::as_str).filter(|v| !v.is_empty());
    handwritten::expand(text, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expanded() {
        let environment: Environment =
            [("A", "1"), ("EMPTY", "")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}${A}", "11"),
            ("x${NO:-y}z", "xyz"),
            ("${EMPTY:-}", ""),
            ("$$A $A ${", "$A $A ${"),
        ] {
            assert_eq!(expand(text, &environment).unwrap(), expected, "{text}");
        }
        for (text, name) in [("${NO}", "NO"), ("${EMPTY}", "EMPTY")] {
            assert_eq!(expand(text, &environment).unwrap_err(), name);
        }
    }
}

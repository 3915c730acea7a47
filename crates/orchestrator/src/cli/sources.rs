//! Sources of an app, as arguments tell them.

use std::{path::Path, str::FromStr};

use serde_json::{Map, Value, json};

use super::{
    client::CliError,
    read_secret,
    show::{items, text},
};
use crate::settings::Environment;

/// Settings that hold a secret whatever the kind: an argument would be seen by everybody on the
/// machine.
const SECRETS: &[&str] = &["password", "token", "passphrase"];

/// `[NAME:]key=value,…`, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GivenSource {
    name: Option<String>,
    pairs: Vec<(String, String)>,
}

impl FromStr for GivenSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A colon after the first `=` belongs to a value.
        let head = text.split(['=', '"']).next().unwrap_or_default();
        let (mut name, rest) = match head.split_once(':') {
            Some((name, _)) => (Some(name.trim().to_owned()), &text[name.len() + 1..]),
            None => (None, text),
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (key, value) in parts(rest)? {
            if key.is_empty() || key.contains(char::is_whitespace) {
                return Err(format!("`{key}` is no setting: write it as key=value,key=value"));
            }
            if SECRETS.contains(&key.as_str()) {
                return Err(format!(
                    "{key}: arguments are seen by everybody on this machine; give {key}-file=PATH \
                     or {key}-env=VARIABLE"
                ));
            }
            if key == "name" {
                if name.is_some() {
                    return Err("the name is given twice".to_owned());
                }
                name = Some(value);
            } else if pairs.iter().any(|(known, _)| *known == key) {
                return Err(format!("{key} is given twice"));
            } else {
                pairs.push((key, value));
            }
        }
        if pairs.is_empty() {
            return Err("write it as kind=KIND,key=value,key=value".to_owned());
        }
        Ok(Self { name, pairs })
    }
}

/// The pairs between commas; a value in double quotes may hold commas, and after a backslash
/// quotes and backslashes.
fn parts(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let Some(at) = rest.find(['=', ',']) else {
            if !rest.trim().is_empty() {
                return Err(format!("`{rest}`: write it as key=value"));
            }
            return Ok(all);
        };
        let key = rest[..at].trim();
        if rest[at..].starts_with(',') {
            if !key.is_empty() {
                return Err(format!("`{key}`: write it as key=value"));
            }
            rest = &rest[at + 1..];
            continue;
        }
        let (value, after) = value(&rest[at + 1..]).map_err(|why| format!("{key}: {why}"))?;
        all.push((key.to_owned(), value));
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.trim().is_empty() => return Ok(all),
            None => return Err(format!("{key}: a comma belongs after the closing quote")),
        }
    }
}

/// A value, and what follows it.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, one)) = chars.next() {
        match one {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("the closing quote is missing")
}

impl GivenSource {
    /// The source's description, where it is a new one.
    pub(super) fn draft(&self, environment: &Environment) -> Result<Value, CliError> {
        let mut draft = json!({
            "name": self.name.clone().unwrap_or_default(), "kind": "", "settings": {},
            "secrets": {},
        });
        self.change(&mut draft, environment)?;
        if text(&draft["kind"]).is_empty() {
            let of = self.name.as_deref().map(|name| format!(" of `{name}`")).unwrap_or_default();
            let advice = format!("say the kind{of}: --source kind=postgres,host=db,…");
            return Err(CliError::Usage(advice));
        }
        Ok(draft)
    }

    /// Changes what is given; a setting without a value is taken out.
    fn change(&self, draft: &mut Value, environment: &Environment) -> Result<(), CliError> {
        for (key, value) in &self.pairs {
            if key == "kind" {
                draft["kind"] = value.as_str().into();
            } else if let Some(secret) = key.strip_suffix("-file") {
                draft["secrets"][secret] = read_secret(Path::new(value))?.into();
            } else if let Some(secret) = key.strip_suffix("-env") {
                let Some(found) = environment.get(value).filter(|text| !text.is_empty()) else {
                    let message = format!("{key}: the variable {value} is not set");
                    return Err(CliError::Usage(message));
                };
                draft["secrets"][secret] = found.as_str().into();
            } else if value.is_empty() {
                draft["settings"].as_object_mut().map(|all| all.remove(key));
            } else {
                draft["settings"][key] = value.as_str().into();
            }
        }
        Ok(())
    }
}

/// Changes the sources of an app's `draft`: those to remove go, those it has already are changed
/// where something is given, and the others are added.
pub(super) fn apply(
    draft: &mut Value,
    given: &[GivenSource],
    remove: &[String],
    environment: &Environment,
) -> Result<(), CliError> {
    let mut sources = items(&draft["sources"]).to_vec();
    let at = |sources: &[Value], name: &str| {
        sources.iter().position(|one| text(&one["name"]).eq_ignore_ascii_case(name))
    };
    for name in remove {
        let Some(found) = at(&sources, name) else {
            return Err(CliError::NotFound(format!("the app has no source `{name}`")));
        };
        sources.remove(found);
    }
    for one in given {
        let Some(name) = &one.name else {
            let advice = "say which source: --source NAME:key=value,…";
            return Err(CliError::Usage(advice.to_owned()));
        };
        match at(&sources, name) {
            Some(found) => one.change(&mut sources[found], environment)?,
            None => sources.push(one.draft(environment)?),
        }
    }
    if sources.is_empty() {
        let advice = "an app has at least one source: give another one by --source as well";
        return Err(CliError::Usage(advice.to_owned()));
    }
    draft["sources"] = sources.into();
    Ok(())
}

/// A source in one line: `db (postgres) host=db database=shop, password is stored`.
pub(super) fn told(source: &Value) -> String {
    let settings = source["settings"].as_object().into_iter().flat_map(Map::iter);
    let mut line = format!("{} ({})", text(&source["name"]), text(&source["kind"]));
    for (key, value) in settings {
        line.extend([" ", key, "=", &text(value).replace(['\r', '\n'], " ")]);
    }
    for secret in items(&source["secrets"]) {
        line.extend([", ", text(secret), " is stored"]);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GivenSource, String> {
        text.parse()
    }

    #[test]
    fn names_values_and_quotes_are_told_apart() {
        let plain = read("kind=postgres,host=::1,user=app").unwrap();
        assert_eq!(plain.name, None);
        assert_eq!(plain.pairs[1], ("host".to_owned(), "::1".to_owned()));
        let named = read(r#"db:kind=postgres,database="a,\"b\"\\",jobs="#).unwrap();
        assert_eq!(named.name.as_deref(), Some("db"));
        assert_eq!(named.pairs[1].1, r#"a,"b"\"#);
        assert_eq!(named.pairs[2].1, "");
        assert_eq!(read("kind=files,name=media").unwrap().name.as_deref(), Some("media"));
        for (wrong, says) in [
            ("", "kind="),
            ("postgres", "key=value"),
            ("kind=a,kind=b", "twice"),
            ("db:kind=a,name=b", "twice"),
            (r#"kind="a"#, "closing quote"),
            (r#"kind="a"b=c"#, "comma"),
            ("kind=a,,b", "key=value"),
            ("kind=postgres,password=x", "password-file"),
            ("name=other", "kind="),
        ] {
            let told = read(wrong).unwrap_err();
            assert!(told.contains(says), "{wrong}: {told}");
            assert!(!told.contains("password=x"), "{told}");
        }
    }

    #[test]
    fn what_is_given_changes_and_the_rest_stays() {
        let environment = Environment::from([("PW".to_owned(), "from afar".to_owned())]);
        let mut draft = json!({ "sources": [
            { "name": "db", "kind": "postgres", "settings": { "host": "a", "user": "u" } },
            { "name": "old", "kind": "files", "settings": { "path": "/x" } },
        ]});
        let given = [
            read("DB:host=b,user=,password-env=PW").unwrap(),
            read("media:kind=files,path=/m").unwrap(),
        ];
        apply(&mut draft, &given, &["old".to_owned()], &environment).unwrap();
        assert_eq!(draft["sources"][0]["settings"], json!({ "host": "b" }));
        assert_eq!(draft["sources"][0]["secrets"], json!({ "password": "from afar" }));
        assert_eq!(draft["sources"][1]["name"], "media");
        let refused = |given: &[GivenSource], remove: &[&str]| {
            let remove: Vec<_> = remove.iter().map(|&name| name.to_owned()).collect();
            apply(&mut draft.clone(), given, &remove, &environment).unwrap_err().to_string()
        };
        assert!(refused(&[read("host=b").unwrap()], &[]).contains("NAME:"));
        assert!(refused(&[read("new:host=b").unwrap()], &[]).contains("kind"));
        assert!(refused(&[read("db:password-env=NONE").unwrap()], &[]).contains("NONE"));
        assert!(refused(&[], &["nothing"]).contains("nothing"));
        assert!(refused(&[], &["db", "media"]).contains("at least one"));
    }
}

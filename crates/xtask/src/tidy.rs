//! The rooms: who may know whom, which library belongs where, how large files may be; and that
//! links in the documents lead somewhere.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::links;

/// Which of our crates each may depend on; exactly the arrows of `docs/ARCHITECTURE.md`.
const ARROWS: &[(&str, &[&str])] = &[
    ("archive", &[]),
    ("artifact", &[]),
    ("catalog", &["model"]),
    ("contract", &[]),
    (
        "engine",
        &[
            "archive",
            "artifact",
            "catalog",
            "contract",
            "model",
            "notify",
            "replication",
            "repository",
            "store",
        ],
    ),
    ("handwritten", &[]),
    ("model", &[]),
    ("notify", &[]),
    (
        "orchestrator",
        &["archive", "catalog", "contract", "engine", "handwritten", "model", "notify"],
    ),
    ("replication", &[]),
    ("repository", &["store"]),
    ("sidecar", &["archive", "contract", "handwritten", "replication"]),
    ("store", &[]),
    ("xtask", &[]),
];

/// Libraries that one room alone may use (in tests they are free).
const ROOMS: &[(&str, &[&str])] = &[
    ("axum", &["orchestrator", "sidecar"]),
    ("bollard", &["engine"]),
    ("clap", &["orchestrator", "sidecar", "xtask"]),
    ("lettre", &["notify"]),
    ("opendal", &["store"]),
    ("opendal-http-transport-reqwest", &["store"]),
    ("postgres-protocol", &["replication"]),
    ("rusqlite", &["engine"]),
    ("sea-orm", &["catalog"]),
    ("sqlx", &["catalog"]),
];

const MAX_LINES: usize = 600;

pub(crate) fn run() -> Result<()> {
    let told =
        crate::cargo::cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&told.stdout)?;
    let mut problems = arrows(&metadata);
    files(Path::new("crates"), &mut problems)?;
    links::check(Path::new("."), &mut problems)?;
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    bail!("{} things are out of their place", problems.len());
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn arrows(metadata: &Value) -> Vec<String> {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = text(package, "name");
        let Some(arrows) = allowed.get(name) else {
            problems.push(format!("the crate `{name}` is in no room of the architecture"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // Tests may use anything.
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            let on = text(dependency, "name");
            if allowed.contains_key(on) && !arrows.contains(&on) {
                problems.push(format!("`{name}` must not know `{on}`"));
            }
            if let Some((_, rooms)) = ROOMS.iter().find(|(library, _)| *library == on)
                && !rooms.contains(&name)
            {
                problems
                    .push(format!("`{on}` belongs into {}, not into `{name}`", rooms.join(", ")));
            }
        }
    }
    problems
}

fn files(folder: &Path, problems: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, problems)?;
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let shown = path.display();
        if path.file_stem().is_some_and(|stem| stem == "utils" || stem == "util") {
            problems.push(format!("{shown}: name it after what it is about"));
        }
        let source = std::fs::read_to_string(&path)?;
        let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let in_tests = path.components().any(|part| part.as_os_str() == "tests");
        let lines = code.lines().count();
        if lines > MAX_LINES && !in_tests {
            problems.push(format!("{shown}: {lines} lines; at most {MAX_LINES}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, on: &str, kind: Value) -> Value {
        serde_json::json!({"packages": [{"name": name, "dependencies": [{"name": on, "kind": kind}]}]})
    }

    #[test]
    fn a_wrong_arrow_is_told() {
        assert_eq!(arrows(&package("model", "catalog", Value::Null)).len(), 1);
        assert_eq!(arrows(&package("engine", "catalog", Value::Null)), Vec::<String>::new());
        assert_eq!(arrows(&package("engine", "axum", Value::Null)).len(), 1);
        assert_eq!(arrows(&package("engine", "axum", "dev".into())), Vec::<String>::new());
        assert_eq!(arrows(&package("utils", "serde", Value::Null)).len(), 1);
    }
}

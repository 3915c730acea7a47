//! `check`, `schema` and `healthcheck`, as a person or a container runs them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::sidecar::Sidecar;

const TOKEN: &str = "9f1c4e27a83b5d60canary";

struct Place {
    folder: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { folder: tempfile::tempdir().unwrap(), port }
    }

    fn text(&self) -> String {
        let work = self.folder.path().display();
        format!(
            "app:\n  port: {}\n  host: 127.0.0.1\nstrategy:\n  type: database_dump\n  artifact:\n    \
             filename: a.dump\n  config:\n    command: echo x | gzip\n    capture_stdout: true\n\
             paths:\n  workdir: {work}\n  artifacts: {work}\n  temp_dump: {work}/dump\nsecrets:\n  \
             api_token: ${{BACKUP_API_TOKEN}}\n",
            self.port
        )
    }

    /// Checks this text; gives the exit code and the findings.
    fn check(&self, text: &str) -> (i32, Vec<Value>) {
        let file = self.folder.path().join("config.yaml");
        std::fs::write(&file, text).unwrap();
        let done = run(&["check", "--json"], &file, TOKEN);
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(report["ok"], json!(done.status.success()));
        let plain = run(&["check"], &file, TOKEN);
        assert_eq!(plain.status.code(), done.status.code());
        let findings = report["findings"].as_array().unwrap().clone();
        let plain = String::from_utf8(plain.stdout).unwrap();
        for finding in &findings {
            assert!(plain.contains(finding["message"].as_str().unwrap()), "{plain}");
        }
        assert!(!plain.contains("canary"));
        (done.status.code().unwrap(), findings)
    }
}

fn run(arguments: &[&str], file: &Path, token: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backup-sidecar"));
    command.args(arguments).env("SIDECAR_CONFIG", file).env("BACKUP_API_TOKEN", token);
    command.output().unwrap()
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn a_right_file_in_a_right_place() {
    let place = Place::new();
    assert_eq!(place.check(&place.text()), (0, vec![]));
}

#[test]
fn a_wrong_file_is_explained_by_line() {
    let place = Place::new();
    let right = place.text();
    for (from, to, line, words) in [
        ("capture_stdout", "captur_stdout", 10, "did you mean `capture_stdout`?"),
        ("database_dump", "databse_dump", 5, "did you mean `database_dump`?"),
        ("host: 127.0.0.1", "hots: 127.0.0.1", 3, "did you mean `host`?"),
        ("port: ", "port: x", 2, "a whole number"),
        ("  port: ", "  # ", 3, "`port` is missing"),
        ("    capture_stdout: true", "   capture_stdout: true", 10, ""),
        ("echo x | gzip", "[1, {a: b}]", 9, "a command, or a list of commands"),
        ("echo x | gzip", "''", 9, "empty"),
        ("command: echo x | gzip", "preset: oracle", 9, "postgres, mysql"),
        ("command: echo x | gzip", "preset: postgres", 9, "name the database"),
        ("command: echo x | gzip", "preset: redis\n    options: [-a, x]", 10, "argument"),
        ("command: echo x | gzip", "preset: redis\n    password_env: NOT_SET", 10, "`NOT_SET`"),
        ("command: echo x | gzip", "command: x\n    database: a", 10, "needs a `preset`"),
        ("capture_stdout: true", "env: { A: '${NOT_SET}' }", 10, "${NOT_SET:-default}"),
        ("capture_stdout: true", "env: { 'A-B': x }", 10, "letters, digits"),
        ("secrets:\n  api_token: ${BACKUP_API_TOKEN}", "secrets: canary-literal", 15, "expected"),
        ("secrets:\n", "secrets:\n  token: canary-literal\n", 16, "there is no key `token`"),
        ("database_dump", "file_archive", 9, "at least one path"),
        ("filename: a.dump", "filename: ''", 7, "name the file"),
        ("capture_stdout: true", "capture_stdout: true\n    capture_stdout: true", 11, "twice"),
    ] {
        let text = right.replacen(from, to, 1);
        assert_ne!(text, right, "{from}");
        let (code, findings) = place.check(&text);
        assert_eq!(code, 2, "{to}: {findings:?}");
        let found = findings.iter().any(|finding| {
            finding["line"] == json!(line)
                && finding["message"].as_str().is_some_and(|text| text.contains(words))
        });
        assert!(found, "{to} at line {line}: {findings:?}");
    }
}

#[test]
fn a_wrong_place_is_another_exit_code() {
    let place = Place::new();
    let right = place.text();
    let work = place.folder.path().display().to_string();
    for (from, to, key, level) in [
        (
            format!("artifacts: {work}"),
            "artifacts: /proc/nowhere".to_owned(),
            "paths.artifacts",
            "error",
        ),
        (format!("{work}/dump"), "/proc/dump".to_owned(), "paths.temp_dump", "error"),
        ("echo x".to_owned(), "no-such-program".to_owned(), "strategy.config.command", "error"),
        ("echo x".to_owned(), "echo 'x".to_owned(), "strategy.config.command", "error"),
        ("gzip".to_owned(), "no-such-program".to_owned(), "strategy.config.command", "warning"),
    ] {
        let (code, findings) = place.check(&right.replacen(&from, &to, 1));
        assert_eq!(code, if level == "error" { 3 } else { 0 }, "{to}: {findings:?}");
        assert_eq!(findings.len(), 1, "{to}: {findings:?}");
        assert_eq!((&findings[0]["key"], &findings[0]["level"]), (&json!(key), &json!(level)));
    }
    let archive = right
        .replace("database_dump", "file_archive")
        .replace("command: echo x | gzip", "paths: ['*.yaml', 'nothing*']");
    let (code, findings) = place.check(&archive);
    assert_eq!((code, findings.len()), (3, 1), "{findings:?}");
    assert!(findings[0]["message"].as_str().unwrap().contains("nothing*"));

    let taken = std::net::TcpListener::bind(("127.0.0.1", place.port)).unwrap();
    let (code, findings) = place.check(&right);
    assert_eq!((code, &findings[0]["key"]), (3, &json!("app.port")));
    drop(taken);
}

#[test]
fn a_token_that_is_none_starts_nothing() {
    let place = Place::new();
    let file = place.folder.path().join("config.yaml");
    std::fs::write(&file, place.text()).unwrap();
    for (token, code) in
        [("", 2), ("short", 2), ("with a space inside", 2), ("poneme_un_token", 0), (TOKEN, 0)]
    {
        let done = run(&["check"], &file, token);
        assert_eq!(done.status.code(), Some(code), "{token}");
        let said = String::from_utf8(done.stdout).unwrap();
        assert_eq!(said.contains("warning"), token == "poneme_un_token", "{said}");
        if code == 2 {
            assert_eq!(run(&["serve"], &file, token).status.code(), Some(2), "{token}");
        }
    }
    let nothing = run(&["check"], &place.folder.path().join("nothing"), TOKEN);
    assert_eq!(nothing.status.code(), Some(2));
}

#[test]
fn a_pipeline_without_bash_is_warned_of() {
    let place = Place::new();
    let file = place.folder.path().join("config.yaml");
    std::fs::write(&file, place.text()).unwrap();
    let programs = tempfile::tempdir().unwrap();
    for program in ["gzip", "sh"] {
        let real = crate::daemon::installed(program).unwrap();
        std::os::unix::fs::symlink(real, programs.path().join(program)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_backup-sidecar"));
    command.arg("check").env("SIDECAR_CONFIG", file).env("BACKUP_API_TOKEN", TOKEN);
    let done = command.env("PATH", programs.path()).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && said.contains("bash is not installed"), "{said}");
}

#[tokio::test]
async fn the_server_is_asked_for_its_health() {
    let strategy = json!({
        "type": "custom",
        "artifact": { "filename": "a" },
        "config": { "command": "echo a", "capture_stdout": true },
    });
    let sidecar = Sidecar::start(&strategy, &[]).await;
    let file = sidecar.path().join("config.yaml");
    assert_eq!(run(&["healthcheck"], &file, TOKEN).status.code(), Some(0));
    // The port is taken by the sidecar itself: nothing is wrong.
    assert_eq!(run(&["check"], &file, TOKEN).status.code(), Some(0));
    let text = std::fs::read_to_string(&file).unwrap();
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), text).unwrap();
    drop(sidecar);
    assert_eq!(run(&["healthcheck"], other.path(), TOKEN).status.code(), Some(1));
}

#[test]
fn the_committed_schema_is_the_programs() {
    let done = run(&["schema"], Path::new("unused"), TOKEN);
    let committed = std::fs::read(in_repository("sidecar/config/config.schema.json")).unwrap();
    // As values: the order of members hangs on how the JSON library was built.
    let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert!(
        read(&done.stdout) == read(&committed),
        "run `backup-sidecar schema > sidecar/config/config.schema.json`"
    );
}

/// The example file, with every `# --- instead` block in the place of the strategy in turn.
fn examples() -> Vec<String> {
    let text = std::fs::read_to_string(in_repository("sidecar/config/config.example.yaml"));
    let text = text.unwrap();
    let (head, rest) = text.split_once("\nstrategy:\n").unwrap();
    let (blocks, tail) = rest.split_once("\npaths:").unwrap();
    let mut blocks = blocks.split("# --- instead");
    let first = format!("strategy:\n{}", blocks.next().unwrap());
    let uncommented = blocks.map(|block| {
        let lines = block.lines().skip(1);
        lines.map(|line| line.strip_prefix('#').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    });
    std::iter::once(first)
        .chain(uncommented)
        .map(|strategy| format!("{head}\n{strategy}\npaths:{tail}"))
        .collect()
}

#[test]
fn the_example_and_every_other_strategy_in_it_are_right() {
    let place = Place::new();
    let work = place.folder.path().join("work");
    for folder in ["work/artifacts", "work/dump", "data"] {
        std::fs::create_dir_all(place.folder.path().join(folder)).unwrap();
    }
    let environment = std::fs::read_to_string(in_repository("sidecar/.env.example")).unwrap();
    let environment: Vec<_> = environment.lines().filter_map(|line| line.split_once('=')).collect();
    let environment = || environment.iter().filter(|(name, _)| !name.starts_with('#')).copied();
    assert!(environment().any(|(name, _)| name == "DATABASE_URL"));
    let examples = examples();
    assert_eq!(examples.len(), 4);
    for (at, example) in examples.iter().enumerate() {
        let example = example
            .replace("- /data", &format!("- {}", place.folder.path().join("data").display()))
            .replace(" /spool", &format!(" {}", work.display()))
            .replace("port: 8080", &format!("port: {}", place.port));
        let file = place.folder.path().join("config.yaml");
        std::fs::write(&file, &example).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_backup-sidecar"));
        command.arg("check").env("SIDECAR_CONFIG", file);
        let done = command.envs(environment()).env("BACKUP_API_TOKEN", TOKEN).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        // The programs alone may be missing where this runs, and the scripts are.
        let is_right = done.status.code() == Some(0)
            || (at > 0 && said.lines().all(|line| line.contains("is not installed")));
        assert!(is_right, "{said}\n{example}");
    }
}

/// Every key of a schema, without what stands above it.
fn keys(schema: &Value, found: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        found.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(inside) => inside.values().for_each(|value| keys(value, found)),
        Value::Array(inside) => inside.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn both_guides_name_every_key_and_their_recipes_are_right() {
    let schema = run(&["schema"], Path::new("unused"), TOKEN).stdout;
    let mut known = Vec::new();
    keys(&serde_json::from_slice(&schema).unwrap(), &mut known);
    assert!(known.len() > 30);
    for guide in ["sidecar/README.md", "sidecar/README.es.md"] {
        let text = std::fs::read_to_string(in_repository(guide)).unwrap();
        for key in &known {
            let is_named = [format!("`{key}"), format!(".{key}`")].iter().any(|k| text.contains(k));
            // The sections themselves are named by their keys.
            let is_above =
                [format!("`{key}."), format!(".{key}.")].iter().any(|k| text.contains(k));
            assert!(is_named || is_above, "{guide}: {key}");
        }
        let recipes = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let recipes: Vec<_> = recipes.filter(|text| text.starts_with("strategy:")).collect();
        assert_eq!(recipes.len(), 6, "{guide}");
        for recipe in recipes {
            let place = Place::new();
            let right = place.text();
            let (head, rest) = right.split_once("strategy:").unwrap();
            let (_, tail) = rest.split_once("paths:").unwrap();
            let file = place.folder.path().join("config.yaml");
            std::fs::write(&file, format!("{head}{recipe}paths:{tail}")).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_backup-sidecar"));
            command.args(["check"]).env("SIDECAR_CONFIG", file).env("BACKUP_API_TOKEN", TOKEN);
            command.env("DATABASE_URL", "postgresql://a:b@db/app").env("REDIS_PASSWORD", "x");
            let done = command.output().unwrap();
            let said = String::from_utf8_lossy(&done.stdout);
            assert_ne!(done.status.code(), Some(2), "{said}\n{recipe}");
        }
    }
}

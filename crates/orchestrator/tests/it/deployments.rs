//! The example for pipelines, run as it is on the real program: a deployment that goes well, and ones
//! that do not.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::git::{commit, git};
use crate::server::{PASSWORD, Place, Server};

/// The program as the script knows it: with the place's environment.
fn deploy(server: &Server, more: &[(&str, &str)], words: &[&str]) -> Output {
    let program = server.place.program(&[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/deploy/deploy.sh");
    let mut deploy = Command::new("sh");
    deploy.arg(script).args(words).env_clear();
    deploy.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    deploy.env("BACKUP_ORCHESTRATOR", program.get_program()).envs(more.iter().copied());
    deploy.current_dir(server.place.folder.path()).output().unwrap()
}

async fn shop() -> (Server, PathBuf) {
    let root = tempfile::tempdir().unwrap().keep();
    let roots = root.display().to_string();
    let environment = [
        ("APP_ADMIN_USER", "ana"),
        ("APP_ADMIN_PASS", PASSWORD),
        ("BACKUP_FILE_ROOTS", &*roots),
        ("BACKUP_RESTORE_ROOTS", &*roots),
    ];
    let place = Place::new(&environment);
    std::fs::create_dir_all(root.join("data")).unwrap();
    std::fs::write(root.join("data/file"), "one").unwrap();
    let code = root.join("code");
    std::fs::create_dir_all(&code).unwrap();
    git(&code, &["init", "--quiet", "--initial-branch", "main"]);
    commit(&code, "one");
    let text = format!(
        "destinations:\n  - {{ name: disk, kind: local, settings: {{ path: {0}/disk }} }}\n\
         apps:\n  - name: shop\n    sources:\n      - {{ name: files, kind: files, settings: {{ \
         path: {0}/data }} }}\n    destinations:\n      - {{ destination: disk, template: \
         '{{app}}_{{YYYYMMDD_HHMMSS}}_{{run}}' }}\n    schedule: manual\n    quiesce:\n      mode: \
         hooks\n      pre: [{{ argv: [sh, -c, 'echo pre >> {0}/hooks'] }}]\n      post: [{{ argv: \
         [sh, -c, 'echo post >> {0}/hooks'], timeout_secs: 5 }}]\n    code: {{ path: {0}/code }}\n",
        root.display(),
    );
    let checked = place.file("backups.yml", &text);
    let said = place.run(&["config", "check", &checked]);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    (place.serve().await, root)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_fails_is_gone_back_from_by_itself() {
    let (server, root) = shop().await;
    let (data, code) = (root.join("data/file"), root.join("code"));
    let first = git(&code, &["rev-parse", "HEAD"]);
    let second = commit(&code, "two");
    git(&code, &["checkout", "--quiet", &first]);
    let breaks = format!(
        "git -C {0}/code checkout --quiet {second} && echo broken > {0}/data/file",
        root.display()
    );
    let fails = format!("{breaks}; exit 9");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();

    let done = deploy(&server, &[("LABEL", "r-1")], &["shop", &second, "--", "sh", "-c", &fails]);
    assert_eq!(done.status.code(), Some(1), "{done:?} {}", server.place.log());
    assert_eq!((read(&data).as_str(), git(&code, &["rev-parse", "HEAD"])), ("one", first.clone()));
    assert!(read(&root.join("hooks")).starts_with("pre\npost\n"));
    let found = server.done_get("apps/shop/before-deploy?deploy=r-1").await;
    assert_eq!(found["kind"], "pre-deploy");
    assert_eq!(found["git_commit"], Value::from(second.clone()));
    assert_eq!(found["app_state"]["code"]["git_commit"], Value::from(first.clone()));
    assert_eq!(found["app_state"]["grade"], "application-consistent");

    // Left to a person, who goes back by the commit, and then back again.
    let no = [("LABEL", "r-2"), ("ROLL_BACK", "no")];
    let done = deploy(&server, &no, &["shop", &second, "--", "sh", "-c", &fails]);
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    assert_eq!(read(&data), "broken\n");
    let back =
        ["--json", "restore", "shop", "--before-deploy", &second, "--confirm", "shop", "--wait"];
    let done = server.place.run(&back);
    assert_eq!(done.status.code(), Some(0), "{done:?} {}", server.place.log());
    assert_eq!((read(&data).as_str(), git(&code, &["rev-parse", "HEAD"])), ("one", first.clone()));
    let run: Value = serde_json::from_slice(&done.stdout).unwrap();
    let undo = ["restore", run["id"].as_str().unwrap(), "--undo", "--confirm", "shop", "--wait"];
    let done = server.place.run(&undo);
    assert_eq!(done.status.code(), Some(0), "{done:?} {}", server.place.log());
    assert_eq!(
        (read(&data).as_str(), git(&code, &["rev-parse", "HEAD"])),
        ("broken\n", second.clone())
    );

    let done = deploy(&server, &[], &["shop", &second, "--", "true"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let done = deploy(&server, &[], &["nobody", &second, "--", "touch", "deployed"]);
    assert_eq!(done.status.code(), Some(4), "{done:?}");
    assert!(!server.place.folder.path().join("deployed").exists(), "nothing is deployed unguarded");
    assert_eq!(deploy(&server, &[], &["shop"]).status.code(), Some(2));
    let none = ["restore", "shop", "--before-deploy", "r-9", "--confirm", "shop"];
    assert_eq!(server.place.run(&none).status.code(), Some(4));
    std::fs::remove_dir_all(root).unwrap();
}

//! Whole apps: commands before and after, code, how far parts belong together, and what was before a
//! deployment. What takes containers is among the tests with Docker.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use engine::{EngineConfig, RestoreRequest, RunRequest};
use model::{
    CodePlan, Condition, FailureCode, Grade, Hook, QuiesceMode, QuiescePlan, Run, RunState,
    Snapshot, SnapshotKind,
};

use crate::{
    app_server::Export,
    git::{commit, git},
    restore_files::{restored, to},
    source_files::{allowing, extracted, files, inside},
    source_files_basis::{btrfs, ours},
    world::{World, sample},
};

fn hooking(roots: &[&Path]) -> EngineConfig {
    let restore_roots = roots.iter().map(|root| (*root).to_owned()).collect();
    EngineConfig { hooks: true, restore_roots, ..allowing(roots) }
}

fn hook(script: &str) -> Hook {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    Hook { container: None, argv, timeout_secs: Some(1) }
}

fn hooks(pre: &str, post: &str) -> QuiescePlan {
    QuiescePlan {
        mode: QuiesceMode::Hooks,
        pre: vec![hook(pre)],
        post: vec![hook(post)],
        ..QuiescePlan::default()
    }
}

async fn plan(world: &World, plan: QuiescePlan) {
    world.change_app(|app| app.quiesce = plan).await;
}

/// A work tree with one commit, which this gives.
fn tree(at: &Path) -> String {
    std::fs::create_dir_all(at).unwrap();
    git(at, &["init", "--quiet", "--initial-branch", "main"]);
    commit(at, "one")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

async fn before_deploy(world: &World, commit: &str, deploy: &str) -> Snapshot {
    let request = RunRequest {
        kind: Some(SnapshotKind::PreDeploy),
        git_commit: Some(commit.to_owned()),
        deploy: Some(deploy.to_owned()),
        ..RunRequest::default()
    };
    let run = world.engine.run_now(&world.app, &request).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    world.quiet().await;
    world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap()
}

/// A world of one folder of files, `data`, below `folder`.
async fn of_files(folder: &Path) -> (PathBuf, World) {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("file"), "one").unwrap();
    let world = World::reading(vec![files(&data, &[])], hooking(&[folder])).await;
    (data, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_before_and_after_whatever_happens() {
    let folder = tempfile::tempdir().unwrap();
    let (data, world) = of_files(folder.path()).await;
    let told = folder.path().join("told");
    let tell = |word: &str| format!("echo {word} >> {}", told.display());

    // Alone it is read as it runs.
    let snapshot = world.good_snapshot().await;
    assert_eq!(snapshot.app_state.unwrap().grade, Grade::Live);

    let before = format!("{}; echo still > {}/file", tell("pre"), data.display());
    plan(&world, hooks(&before, &tell("post"))).await;
    let snapshot = world.good_snapshot().await;
    let state = snapshot.app_state.clone().unwrap();
    assert_eq!(state.grade, Grade::ApplicationConsistent);
    assert!(!state.cut_short && state.paused_ms == 0, "{state:?}");
    assert_eq!(read(&told), "pre\npost\n");
    let out = extracted(&world, &snapshot).await;
    assert_eq!(read(&inside(&out, &data).join("file")), "still\n");

    // One that fails, and one that does not end: nothing is stored, and the ones after are run.
    for (before, code) in
        [("exit 3", FailureCode::SourceFailed), ("sleep 60", FailureCode::Timeout)]
    {
        std::fs::remove_file(&told).unwrap();
        plan(&world, hooks(before, &tell("post"))).await;
        let run = world.back_up().await;
        let failure = run.failure.unwrap();
        assert_eq!((run.state, failure.code), (RunState::Failed, code), "{failure:?}");
        assert!(failure.message.contains("quiesce.pre"), "{}", failure.message);
        assert_eq!(read(&told), "post\n");
    }

    // What cannot be read is no reason not to go on.
    std::fs::remove_file(&told).unwrap();
    plan(&world, hooks("true", &tell("post"))).await;
    std::fs::rename(&data, folder.path().join("away")).unwrap();
    assert_eq!(world.back_up().await.state, RunState::Failed);
    assert_eq!(read(&told), "post\n");
    std::fs::rename(folder.path().join("away"), &data).unwrap();

    // One after that fails is told; the snapshot is whole all the same.
    plan(&world, hooks("true", "exit 4")).await;
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::PartiallyFailed);
    assert!(run.snapshot_id.is_some() && run.failure.unwrap().message.contains("quiesce.post"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_may_only_change_apps_has_commands_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let world = World::reading(vec![files(&data, &[])], allowing(&[folder.path()])).await;
    let told = folder.path().join("told");
    plan(&world, hooks(&format!("echo x > {}", told.display()), "true")).await;
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.failure.unwrap().message.contains("BACKUP_HOOKS"));
    assert!(!told.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_stands_still_no_longer_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let world = World::with(&["disk"], hooking(&[folder.path()])).await;
    world.server.answer_with(Export::Slow(sample(1), Duration::from_millis(150)));
    let mut quiesce = hooks("true", &format!("date +%s%N > {}", told.display()));
    quiesce.max_secs = Some(1);
    plan(&world, quiesce).await;
    let snapshot = world.good_snapshot().await;
    let state = snapshot.app_state.clone().unwrap();
    assert!(state.cut_short && state.grade == Grade::Live, "{state:?}");
    assert!(snapshot.warnings.iter().any(|one| one.contains("quiesce.max_secs")));
    let ended = snapshot.artifacts[0].ended_at.unwrap().as_nanosecond();
    let after: i128 = read(&told).trim().parse().unwrap();
    assert!(after < ended, "it went on before all was read");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_comes_back_with_its_data_and_nothing_else_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("code");
    let first = tree(&code);
    let (data, world) = of_files(folder.path()).await;
    world.change_app(|app| app.code = Some(CodePlan { path: code.clone() })).await;
    let wanted = "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678";
    let snapshot = before_deploy(&world, wanted, "release-2").await;
    let noted = snapshot.app_state.clone().unwrap();
    let noted_code = noted.code.unwrap();
    assert_eq!((noted_code.git_commit.as_str(), noted_code.dirty), (first.as_str(), false));
    assert_eq!(noted.deploy.as_deref(), Some("release-2"));
    assert_eq!(snapshot.git_commit.as_deref(), Some(wanted), "what is to be deployed");

    // The deployment goes wrong.
    let second = commit(&code, "two");
    std::fs::write(data.join("file"), "broken").unwrap();
    std::fs::write(code.join("untracked"), "mine").unwrap();
    for deploy in ["latest", "release-2", &wanted[..8]] {
        let app = world.engine.catalog().app(world.app.id).await.unwrap();
        let found = world.engine.before_deploy(&app, deploy).await.unwrap();
        assert_eq!(found.id, snapshot.id, "{deploy}");
    }
    for deploy in ["release-3", "a1b2", &second] {
        assert!(world.engine.before_deploy(&world.app, deploy).await.is_err(), "{deploy}");
    }

    let whole = RestoreRequest { whole: true, confirm: Some("direct".to_owned()), ..to("app") };
    // Changes that are in no commit stand against it.
    std::fs::write(code.join("app.txt"), "changed").unwrap();
    let seen = world.engine.preflight(snapshot.id, &whole).await.unwrap();
    assert!(!seen.may_begin(), "{seen:?}");
    assert!(world.engine.restore_now(snapshot.id, &whole).await.is_err());
    assert_eq!(read(&code.join("app.txt")), "changed");

    let aside = RestoreRequest { set_code_aside: true, ..whole.clone() };
    let run = restored(&world, &snapshot, &aside).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let report = world.engine.restore_report(run.id).await.unwrap().unwrap();
    assert_eq!(report.condition, Condition::Restored);
    assert!(report.whole.unwrap().acts.iter().all(|act| act.done));
    assert_eq!(read(&data.join("file")), "one");
    assert_eq!(git(&code, &["rev-parse", "HEAD"]), first);
    assert_eq!(read(&code.join("app.txt")), "one");
    assert_eq!(read(&code.join("untracked")), "mine");
    assert!(git(&code, &["stash", "list"]).contains("set aside by backup-orchestrator"));

    // And back again to what was there before.
    let undo = world.engine.catalog().snapshot(report.undo_snapshot.unwrap()).await.unwrap();
    let run = restored(&world, &undo, &whole).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(read(&data.join("file")), "broken");
    assert_eq!(git(&code, &["rev-parse", "HEAD"]), second);
    assert_eq!(git(&code, &["rev-parse", "--abbrev-ref", "HEAD"]), "main");

    // A file that git does not know is never lost to one that it does.
    git(&code, &["rm", "--quiet", "app.txt"]);
    git(&code, &["commit", "--quiet", "--message", "three"]);
    std::fs::write(code.join("app.txt"), "mine too").unwrap();
    let run: Run = restored(&world, &snapshot, &whole).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.failure.unwrap().message.contains("--undo"));
    assert_eq!(read(&code.join("app.txt")), "mine too");

    // A commit that is not there, and code outside of what is allowed.
    let alone = RestoreRequest { without_code: true, ..whole };
    let run = restored(&world, &snapshot, &alone).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let elsewhere = tempfile::tempdir().unwrap();
    tree(elsewhere.path());
    let path = elsewhere.path().to_owned();
    world.change_app(|app| app.code = Some(CodePlan { path })).await;
    let run = world.back_up().await;
    assert!(run.failure.unwrap().message.contains("BACKUP_FILE_ROOTS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_from_a_snapshot_while_the_app_goes_on() {
    let Some(disk) = btrfs() else { return };
    let data = disk.at("data");
    std::fs::write(data.join("file"), "then").unwrap();
    let world = World::reading(vec![files(&data, &[])], hooking(&[&data])).await;
    // After the app goes on it writes again, long before its files are read.
    let mut quiesce = hooks("true", &format!("echo now > {}/file", data.display()));
    quiesce.mode = QuiesceMode::Filesystem;
    plan(&world, quiesce).await;
    let snapshot = world.good_snapshot().await;
    let state = snapshot.app_state.clone().unwrap();
    let read_from = state.volume_snapshots.get("files").unwrap();
    assert_eq!((read_from.kind.as_str(), state.grade), ("btrfs", Grade::ApplicationConsistent));
    assert_eq!(state.skew_ms, 0, "all of it is of one moment");
    let out = extracted(&world, &snapshot).await;
    assert_eq!(read(&inside(&out, &data).join("file")), "then");
    assert_eq!(read(&data.join("file")), "now\n");
    assert!(ours(&data).is_empty(), "the snapshot is gone");

    // Without commands and containers it is as after a loss of power.
    let alone = QuiescePlan { mode: QuiesceMode::Filesystem, ..QuiescePlan::default() };
    plan(&world, alone).await;
    let state = world.good_snapshot().await.app_state.unwrap();
    assert_eq!(state.grade, Grade::CrashConsistent);
}

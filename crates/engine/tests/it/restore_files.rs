//! Files that come back: unpacked into folders, in their place, beside; and archives that want to
//! be elsewhere.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use engine::{EngineConfig, PartRequest, RestoreRequest};
use model::{DrillCommand, DrillReport, DrillState, FailureCode, Run, RunState, Snapshot};

use crate::{
    app_server::Export,
    member::member,
    source_files::{allowing, files},
    source_tree, tree,
    world::{World, quick},
};

pub(crate) fn to(to: &str) -> RestoreRequest {
    RestoreRequest { to: to.to_owned(), ..RestoreRequest::default() }
}

fn into_app() -> RestoreRequest {
    RestoreRequest { confirm: Some("direct".to_owned()), ..to("app") }
}

fn into_folder(path: &Path) -> RestoreRequest {
    RestoreRequest { path: Some(path.display().to_string()), ..to("folder") }
}

fn chosen(paths: &[&Path], request: RestoreRequest) -> RestoreRequest {
    let paths = paths.iter().map(|path| inside(path).display().to_string()).collect();
    let part = PartRequest { artifact: "files".to_owned(), paths, ..PartRequest::default() };
    RestoreRequest { only: vec![part], ..request }
}

/// Its name in an archive.
fn inside(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap().to_owned()
}

fn restoring(roots: &[&Path]) -> EngineConfig {
    let restore_roots = roots.iter().map(|root| (*root).to_owned()).collect();
    EngineConfig { restore_roots, ..allowing(roots) }
}

pub(crate) async fn restored(world: &World, snapshot: &Snapshot, request: &RestoreRequest) -> Run {
    let run = world.engine.restore_now(snapshot.id, request).await.unwrap();
    world.ended(&run).await
}

async fn good(world: &World, snapshot: &Snapshot, request: &RestoreRequest) -> Vec<String> {
    let run = restored(world, snapshot, request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let report = world.engine.restore_report(run.id).await.unwrap().unwrap();
    report.steps.into_iter().filter_map(|step| step.kept).collect()
}

async fn drilled(world: &World, snapshot: &Snapshot) -> (Run, DrillReport) {
    let run = world.engine.drill_snapshot(snapshot.id).await.unwrap();
    let run = world.ended(&run).await;
    let report = world.engine.drill_report(run.id).await.unwrap().unwrap_or_default();
    (run, report)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder of files that are easily lost, and a world whose app reads it.
async fn world_of(folder: &Path) -> (PathBuf, World) {
    let root = folder.join("data");
    tree::make(&root);
    tree::make_more(&root);
    let config = EngineConfig { drill_commands: true, ..restoring(&[folder]) };
    let world = World::reading(vec![files(&root, &[])], config).await;
    (root, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_back_in_their_place_and_what_was_there_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (root, world) = world_of(folder.path()).await;
    let before = tree::facts(&root);
    let snapshot = world.good_snapshot().await;
    std::fs::remove_dir_all(root.join("deep")).unwrap();
    std::fs::write(root.join("new"), "written later").unwrap();

    let seen = world.engine.preflight(snapshot.id, &into_app()).await.unwrap();
    assert!(seen.may_begin() && seen.confirm.as_deref() == Some("direct"), "{seen:?}");
    let kept = good(&world, &snapshot, &into_app()).await;
    assert_eq!(tree::facts(&root), before);
    assert_eq!(std::fs::read_to_string(Path::new(&kept[0]).join("new")).unwrap(), "written later");
    assert_eq!(names(folder.path()).len(), 2, "nothing waits any more");

    // All of it is gone: there is nothing to confirm.
    std::fs::remove_dir_all(&root).unwrap();
    let seen = world.engine.preflight(snapshot.id, &to("app")).await.unwrap();
    assert!(seen.may_begin() && seen.confirm.is_none(), "{seen:?}");
    assert!(good(&world, &snapshot, &to("app")).await.is_empty());
    assert_eq!(tree::facts(&root), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_paths_come_back_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (root, world) = world_of(folder.path()).await;
    let snapshot = world.good_snapshot().await;
    let (one, other) = (root.join("with space"), root.join("deep"));
    let before = std::fs::read(&one).unwrap();
    std::fs::write(&one, "spoilt").unwrap();
    std::fs::remove_dir_all(&other).unwrap();
    std::fs::write(root.join("new"), "stays").unwrap();
    let request = chosen(&[&one, &other], into_app());
    let kept = good(&world, &snapshot, &request).await;
    assert_eq!(std::fs::read(&one).unwrap(), before);
    assert!(other.is_dir() && root.join("new").exists());
    assert_eq!(std::fs::read_to_string(&kept[0]).unwrap(), "spoilt");

    let beside = RestoreRequest { name: Some("old".to_owned()), ..to("beside") };
    good(&world, &snapshot, &chosen(&[&one], beside.clone())).await;
    let new = folder.path().join("old").join(inside(&one));
    assert_eq!(std::fs::read(new).unwrap(), before);
    let seen = world.engine.preflight(snapshot.id, &beside).await.unwrap();
    assert!(!seen.may_begin(), "a folder that is there is never touched: {seen:?}");

    let missing = chosen(&[&root.join("never")], to("app"));
    let run = restored(&world, &snapshot, &missing).await;
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::RestoreRefused, "{failure:?}");
    assert!(failure.message.contains("does not hold"), "{failure:?}");
    assert!(failure.message.ends_with("nothing that was there was changed"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_it_was_not_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("file"), "first").unwrap();
    let world = World::reading(vec![files(&root, &[])], allowing(&[folder.path()])).await;
    let snapshot = world.good_snapshot().await;
    for request in [into_app(), into_folder(&folder.path().join("out"))] {
        let seen = world.engine.preflight(snapshot.id, &request).await.unwrap();
        assert!(!seen.may_begin(), "{seen:?}");
        let refused = world.engine.restore_now(snapshot.id, &request).await.unwrap_err();
        assert!(refused.to_string().contains("BACKUP_RESTORE_ROOTS"), "{refused}");
    }
    assert_eq!(names(folder.path()), ["data"]);
}

/// A bind mount or a disk of its own: it cannot be renamed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_is_exchanged_from_within() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    std::fs::create_dir(&root).unwrap();
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "tmpfs"]).arg(&root).output().unwrap();
    if !mounted.status.success() {
        assert!(std::env::var_os("CI").is_none(), "mounting is needed in CI");
        println!("not tried: nothing can be mounted here");
        return;
    }
    tree::make(&root);
    let world = World::reading(vec![files(&root, &[])], restoring(&[folder.path()])).await;
    let before = tree::facts(&root);
    let snapshot = world.good_snapshot().await;
    std::fs::remove_dir_all(root.join("deep")).unwrap();
    std::fs::write(root.join("new"), "written later").unwrap();
    let kept = good(&world, &snapshot, &into_app()).await;
    assert_eq!(std::fs::read_to_string(Path::new(&kept[0]).join("new")).unwrap(), "written later");
    let mut after = tree::facts(&root);
    after.retain(|name, _| !name.to_string_lossy().starts_with(".backup-orchestrator-before"));
    assert!(after.keys().eq(before.keys()), "{after:?}");
    // What is kept there is no part of the next snapshot.
    world.good_snapshot().await;
    assert!(Command::new("umount").arg(&root).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_comes_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    tree::make(&root);
    let disk = tempfile::tempdir().unwrap();
    let trees = source_tree::trees(disk.path());
    let config = restoring(&[folder.path()]);
    let Some(world) = source_tree::world(&root, trees, config).await else { return };
    let before = tree::facts(&root);
    let snapshot = world.good_snapshot().await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
    std::fs::remove_dir_all(&root).unwrap();
    good(&world, &snapshot, &to("app")).await;
    assert_eq!(tree::facts(&root), before);
    good(&world, &snapshot, &into_folder(&folder.path().join("out"))).await;
    let found = folder.path().join("out/files").join(inside(&root));
    // Elsewhere no program becomes more than who starts it.
    let mut expected = before;
    for name in ["setuid", "group"] {
        expected.get_mut(Path::new(name)).unwrap().mode &= !0o6000;
    }
    assert_eq!(tree::facts(&found), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_archive_changes_nothing_outside() {
    use tar::EntryType as E;
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "safe").unwrap();
    let mut config = quick("one");
    config.restore_roots = vec![folder.path().to_owned()];
    config.spool = folder.path().join("spool");
    let world = World::with(&["disk"], config).await;
    let good_one = member(b"fine", E::Regular, b"", b"fine");
    for evil in [
        vec![member(b"../../victim", E::Regular, b"", b"EVIL")],
        vec![
            member(b"away", E::Symlink, b"../..", b""),
            member(b"away/victim", E::Regular, b"", b"E"),
        ],
        vec![
            member(b"hard", E::Link, b"../../victim", b""),
            member(b"hard", E::Regular, b"", b"E"),
        ],
        vec![member(b"null", E::Char, b"", b"")],
    ] {
        let tar = [&[good_one.clone()][..], &evil, &[vec![0; 1024]]].concat().concat();
        world.server.answer_with(Export::Format("tar", "shop.tar", tar));
        let snapshot = world.good_snapshot().await;
        let run = restored(&world, &snapshot, &into_folder(&folder.path().join("out"))).await;
        assert_eq!(run.state, RunState::Failed);
        let failure = run.failure.unwrap();
        assert_eq!(failure.code, FailureCode::RestoreRefused, "{failure:?}");
        assert!(failure.message.contains("which is refused"), "{failure:?}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "safe");
        let out = folder.path().join("out");
        assert!(!out.exists() || names(&out).is_empty(), "{:?}", names(&out));
        let (run, report) = drilled(&world, &snapshot).await;
        assert_eq!(run.state, RunState::Failed, "{report:?}");
    }
}

/// Where the archive has a link instead of the folder that belongs there.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_an_archive_leads_no_restore_away() {
    let folder = tempfile::tempdir().unwrap();
    let (root, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    std::fs::create_dir_all(&root).unwrap();
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("file"), "not ours").unwrap();
    symlink(&elsewhere, root.join("sub")).unwrap();
    let world = World::reading(vec![files(&root, &[])], restoring(&[folder.path()])).await;
    let snapshot = world.good_snapshot().await;
    let request = chosen(&[&root.join("sub/file")], into_app());
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Failed, "{run:?}");
    assert_eq!(std::fs::read_to_string(elsewhere.join("file")).unwrap(), "not ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_unpacks_counts_and_asks_commands() {
    let folder = tempfile::tempdir().unwrap();
    let (_, world) = world_of(folder.path()).await;
    let snapshot = world.good_snapshot().await;
    let contents = snapshot.artifacts[0].contents.clone();
    assert!(matches!(contents, Some(model::Contents::Members { files, .. }) if files > 5));
    let command = |argv: &[&str]| DrillCommand {
        artifact: "files".parse().unwrap(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
    };
    let plan = async |commands| {
        let app = world.engine.catalog().app(world.app.id).await.unwrap();
        let plan = model::DrillPlan { commands, ..model::DrillPlan::default() };
        world.engine.plan_drills(app.id, app.version, plan).await.unwrap();
    };
    let look = "test -n \"$(find \"$1\" -name 'with space')\"";
    plan(vec![command(&["sh", "-c", look, "sh", "{}"])]).await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
    let checks = &report.items[0].checks;
    assert!(checks[0].sentence.ends_with("as many as were stored"), "{checks:?}");
    assert_eq!(checks[1].state, DrillState::Passed, "{checks:?}");
    assert!(names(&world.folder.path().join("spool")).is_empty());

    plan(vec![command(&["false"])]).await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(report.items[0].checks[1].state, DrillState::Failed, "{report:?}");
    assert!(names(&world.folder.path().join("spool")).is_empty());
}

/// Whatever it is, a command can look at its file.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_looks_at_what_nothing_else_can_check() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = quick("one");
    config.spool = folder.path().join("spool");
    config.drill_commands = true;
    let world = World::with(&["disk"], config).await;
    world.server.answer_with(Export::Trailers(b"eleven byte".to_vec()));
    let snapshot = world.good_snapshot().await;
    let artifact = snapshot.artifacts[0].source.clone();
    for (size, state) in [("11", RunState::Succeeded), ("12", RunState::Failed)] {
        let look = format!("test \"$(wc -c < \"$1\")\" = {size}");
        let argv = ["sh", "-c", &look, "sh", "{}"].map(str::to_owned).to_vec();
        let commands = vec![DrillCommand { artifact: artifact.clone(), argv }];
        let app = world.engine.catalog().app(world.app.id).await.unwrap();
        let plan = model::DrillPlan { commands, ..model::DrillPlan::default() };
        world.engine.plan_drills(app.id, app.version, plan).await.unwrap();
        let (run, report) = drilled(&world, &snapshot).await;
        assert_eq!(run.state, state, "{report:?}");
    }
}

/// Commands have the rights of the server: only whoever starts it may allow them, and they get
/// none of its variables.
#[tokio::test(flavor = "multi_thread")]
async fn commands_of_drills_are_only_run_where_they_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let with = async |allowed, expected: Option<&str>| {
        let mut config = quick("one");
        config.spool = folder.path().join("spool");
        config.drill_commands = allowed;
        config.child_env.push(("SECRET_OF_THE_SERVER".into(), "yes".into()));
        let world = World::with(&["disk"], config).await;
        world.server.answer_with(Export::Trailers(b"eleven byte".to_vec()));
        let snapshot = world.good_snapshot().await;
        let look = "test -z \"$SECRET_OF_THE_SERVER\" && test \"$HOME\" = \"$PWD\" && touch here";
        let command = DrillCommand {
            artifact: snapshot.artifacts[0].source.clone(),
            argv: ["sh", "-c", look].map(str::to_owned).to_vec(),
        };
        let plan = model::DrillPlan { commands: vec![command], ..model::DrillPlan::default() };
        let app = world.engine.catalog().app(world.app.id).await.unwrap();
        let planned = world.engine.plan_drills(app.id, app.version, plan.clone()).await;
        match expected {
            None => drop(planned.unwrap()),
            Some(told) => {
                assert!(planned.unwrap_err().to_string().contains(told));
                // One that was planned while they were allowed.
                let app = model::App { drill: plan, ..app };
                world.engine.catalog().update_app(&app, jiff::Timestamp::now()).await.unwrap();
            }
        }
        let (run, report) = drilled(&world, &snapshot).await;
        assert_eq!(run.state == RunState::Succeeded, allowed, "{report:?}");
        (run.failure.map(|failure| failure.message).unwrap_or_default(), report)
    };
    with(true, None).await;
    let told = "set BACKUP_DRILL_COMMANDS=1";
    let (message, report) = with(false, Some(told)).await;
    assert!(message.contains(told), "{message}");
    let fact = &report.items[0].checks[0].sentence.fact;
    assert_eq!(*fact, Some(model::Fact::CommandsOff {}), "{report:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("spool")).unwrap().count(), 0);
}

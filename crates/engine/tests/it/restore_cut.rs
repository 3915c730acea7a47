//! Restores and drills that are cancelled, cut off, or both: what they were to replace stays as it
//! is, and what they have made goes.

use std::{
    fs::{Permissions, set_permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use engine::{Engine, EngineConfig, RestoreRequest, SystemClock};
use model::{Condition, DrillState, EventKind, FailureCode, Run, RunKind, RunState, Snapshot};
use tokio_util::sync::CancellationToken;

use crate::{
    drill_postgres::{drilled, nothing_is_left},
    postgres::Server,
    restore_postgres::{beside, databases, into_app, report, restored},
    source_postgres::{SUM, fill, shared, sql, world},
    world::{World, open, quick},
};

/// PostgreSQL's tools, of which one does something else first.
struct Tools {
    root: tempfile::TempDir,
}

impl Tools {
    /// With a `name` that does `first` before it becomes the real one.
    fn with(server: &Server, name: &str, first: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let bin = root.path().join("99/bin");
        std::fs::create_dir_all(&bin).unwrap();
        for tool in ["pg_dump", "pg_dumpall", "pg_restore", "psql", "pg_amcheck", "initdb"] {
            if tool != name {
                symlink(server.bin.join(tool), bin.join(tool)).unwrap();
            }
        }
        symlink(server.bin.join("postgres"), bin.join("postgres")).unwrap();
        let (at, real) = (root.path().display(), server.bin.join(name).display().to_string());
        let script = format!(
            "#!/bin/sh\nat='{at}'\ncase \"$*\" in *--version*) ;; *)\n{first}\n;; esac\n\
             exec '{real}' \"$@\"\n"
        );
        std::fs::write(bin.join(name), script).unwrap();
        set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
        Self { root }
    }

    /// With a `name` that waits as long as it is held.
    fn holding(server: &Server, name: &str) -> Self {
        let wait = "touch \"$at/reached\"; while [ -e \"$at/hold\" ]; do sleep 0.02; done";
        let tools = Self::with(server, name, wait);
        std::fs::write(tools.file("hold"), "").unwrap();
        tools
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn config(&self, instance: &str) -> EngineConfig {
        let mut config = quick(instance);
        self.root.path().clone_into(&mut config.postgres_home);
        config
    }

    /// Waits until the tool is held, once more.
    async fn reached(&self) {
        for _ in 0..1_500 {
            if std::fs::remove_file(self.file("reached")).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the tool was not started");
    }

    fn release(&self) {
        std::fs::remove_file(self.file("hold")).unwrap();
    }
}

/// A process on the data of a world, that can be gone from one moment to the next.
struct Process {
    runtime: Option<tokio::runtime::Runtime>,
}

impl Process {
    /// One that ends at once what an earlier one was at.
    fn start(folder: &Path, mut config: EngineConfig) -> Self {
        config.spool = folder.join("spool");
        config.source_timeout = Duration::from_secs(60);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let folder = folder.to_owned();
        runtime.spawn(async move {
            let engine: Engine = open(&folder, config, std::sync::Arc::new(SystemClock)).await;
            engine.take_over_at_start().await.unwrap();
            engine.serve(CancellationToken::new()).await;
        });
        Self { runtime: Some(runtime) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn without_undo() -> RestoreRequest {
    RestoreRequest { without_undo: true, ..into_app("direct") }
}

/// Restores, the oldest first.
async fn restores(world: &World) -> Vec<Run> {
    let query = catalog::RunQuery { limit: 500, ..catalog::RunQuery::default() };
    let mut runs = world.engine.catalog().runs(query).await.unwrap();
    runs.retain(|run| run.kind == RunKind::Restore);
    runs.reverse();
    runs
}

/// A database with a snapshot, changed after it; its name, and what is in it now.
async fn changed(server: &Server, tools: &Tools, name: &str) -> (World, Snapshot, String) {
    // More than a pipe holds.
    fill(server, name, 100_000);
    let world = world(server, &[("database", name)], tools.config("one")).await;
    let snapshot = world.good_snapshot().await;
    sql(server, name, "DELETE FROM orders WHERE id % 2 = 0");
    (world, snapshot, sql(server, name, SUM))
}

/// What was there is there and can be talked to; what was made is gone.
fn is_untouched(server: &Server, name: &str, before: &str) {
    assert_eq!(databases(server, &format!("{name}\\_%")), "");
    assert_eq!(sql(server, name, SUM), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_leaves_everything_as_it_was() {
    let Some(server) = shared() else { return };
    let tools = Tools::holding(server, "pg_restore");
    let (world, snapshot, before) = changed(server, &tools, "cancelled").await;
    let run = world.engine.restore_now(snapshot.id, &without_undo()).await.unwrap();
    tools.reached().await;
    assert_ne!(databases(server, "cancelled\\_restore\\_%"), "", "it is under way");
    world.engine.cancel(run.id).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Cancelled);
    let failure = run.failure.clone().unwrap();
    assert_eq!(failure.code, FailureCode::Cancelled);
    assert!(failure.message.ends_with("nothing that was there was changed"), "{failure:?}");
    assert_eq!(report(&world, &run).await.condition, Condition::Untouched);
    is_untouched(server, "cancelled", &before);
    assert_eq!(restores(&world).await.len(), 1, "it is not tried again");
    // Nothing stands in the way of the next one.
    tools.release();
    let run = restored(&world, &snapshot, &without_undo()).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(sql(server, "cancelled", "SELECT count(*) FROM orders"), "100000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_drill_leaves_nothing() {
    let Some(server) = shared() else { return };
    let tools = Tools::holding(server, "pg_restore");
    let (world, snapshot, before) = changed(server, &tools, "undrilled").await;
    let run = world.engine.drill_snapshot(snapshot.id).await.unwrap();
    tools.reached().await;
    world.engine.cancel(run.id).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Cancelled, "{:?}", run.failure);
    nothing_is_left(&world);
    is_untouched(server, "undrilled", &before);
    let told = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
    assert!(told.proof.is_none(), "nothing was proven, and nothing disproven");
}

/// Cancelled and then killed, or killed and then cancelled while it waits to go on.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_and_cut_off_it_is_cleared_away() {
    let Some(server) = shared() else { return };
    for (name, waits) in [("cut_cancelled", false), ("cut_waiting", true)] {
        let tools = Tools::holding(server, "pg_restore");
        let (world, snapshot, before) = changed(server, &tools, name).await;
        world.stop();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let run = world.engine.restore_now(snapshot.id, &without_undo()).await.unwrap();
        let doomed = Process::start(world.folder.path(), tools.config("doomed"));
        tools.reached().await;
        if !waits {
            world.engine.cancel(run.id).await.unwrap();
        }
        drop(doomed);
        assert_ne!(databases(server, &format!("{name}\\_restore\\_%")), "", "it was under way");
        if waits {
            world.engine.take_over_at_start().await.unwrap();
            let next = restores(&world).await.pop().unwrap();
            assert_eq!((next.state, next.retry_of), (RunState::Queued, Some(run.id)));
            let outcome = world.engine.cancel(next.id).await.unwrap();
            assert_eq!(outcome, catalog::CancelOutcome::CancelledNow);
        }
        let _next = Process::start(world.folder.path(), tools.config("next"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.quiet().await;
        is_untouched(server, name, &before);
        let runs = restores(&world).await;
        let last = runs.last().unwrap();
        assert_eq!(last.state, RunState::Cancelled, "{runs:?}");
        let failure = last.failure.clone().unwrap();
        assert!(failure.message.ends_with("nothing that was there was changed"), "{failure:?}");
        assert_eq!(report(&world, last).await.condition, Condition::Untouched);
        assert!(!tools.file("reached").exists(), "nothing was brought in once more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_too_often_it_is_given_up_and_cleared_away() {
    let Some(server) = shared() else { return };
    let tools = Tools::holding(server, "pg_restore");
    let (world, snapshot, before) = changed(server, &tools, "cut_often").await;
    world.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.engine.restore_now(snapshot.id, &without_undo()).await.unwrap();
    for _ in 0..6 {
        let doomed = Process::start(world.folder.path(), tools.config("doomed"));
        tools.reached().await;
        drop(doomed);
    }
    assert_ne!(databases(server, "cut\\_often\\_restore\\_%"), "");
    let _next = Process::start(world.folder.path(), tools.config("next"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.quiet().await;
    is_untouched(server, "cut_often", &before);
    let runs = restores(&world).await;
    let last = runs.last().unwrap();
    assert_eq!((runs.len(), last.state), (7, RunState::Failed), "{runs:?}");
    let failure = last.failure.clone().unwrap();
    assert_eq!(failure.code, FailureCode::RestoreRefused, "{failure:?}");
    assert!(failure.message.contains("is given up"), "{failure:?}");
    let query = catalog::EventQuery { limit: 100, ..catalog::EventQuery::default() };
    let events = world.engine.catalog().events(query).await.unwrap();
    assert!(
        events.iter().any(|e| e.kind == EventKind::RunFailed && e.run_id == Some(last.id)),
        "{events:?}"
    );
}

/// A dump that would have this machine do something, if psql were let.
#[tokio::test(flavor = "multi_thread")]
async fn commands_in_a_dump_are_not_run() {
    let Some(server) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let canary = folder.path().join("canary");
    let at = canary.display();
    let commands = [
        format!("\\! touch {at}"),
        format!("\\o {at}\nSELECT 1;"),
        format!("\\o |touch {at}\nSELECT 1;"),
        format!("SELECT 1 \\g {at}"),
        format!("\\copy here to program 'touch {at}'"),
        format!("\\copy here to '{at}'"),
        "\\connect postgres\nCREATE TABLE connected_to (a int);".to_owned(),
        format!("COPY here FROM stdin;\nx\n\\.\n\\! touch {at}"),
        format!("\\restrict x\n\\unrestrict x\n\\! touch {at}"),
        format!("SELECT 'a' \\\\ \\! touch {at}"),
        format!("\\set x `touch {at}`\nSELECT :x;"),
        format!("SELECT 1; \\w {at}"),
    ];
    fill(server, "evil", 3);
    for (n, command) in commands.iter().enumerate() {
        let tools = Tools::with(server, "pg_dump", "cat \"$at/dump\"; exit 0");
        let dump = format!(
            "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE here (name text);\n{command}\n\
             --\n-- PostgreSQL database dump complete\n--\n"
        );
        std::fs::write(tools.file("dump"), dump).unwrap();
        let settings = [("database", "evil"), ("format", "plain")];
        let world = world(server, &settings, tools.config("one")).await;
        let snapshot = world.good_snapshot().await;
        for request in [without_undo(), beside("evil_beside")] {
            let run = restored(&world, &snapshot, &request).await;
            let failure = run.failure.clone().expect(command);
            assert_eq!(failure.code, FailureCode::RestoreRefused, "{command}: {failure:?}");
            assert!(failure.message.contains("a command of psql itself"), "{failure:?}");
            is_untouched(server, "evil", &sql(server, "evil", SUM));
        }
        if n < 3 {
            let (run, drill) = drilled(&world, &snapshot).await;
            assert_eq!(run.state, RunState::Failed);
            let checks = &drill.items[0].checks;
            assert!(checks.iter().any(|check| check.state == DrillState::Failed), "{drill:?}");
        }
        assert!(!canary.exists(), "{command}");
    }
    let other = "SELECT count(*) FROM pg_tables WHERE tablename = 'connected_to'";
    assert_eq!(sql(server, "postgres", other), "0");
    assert_eq!(sql(server, "evil", "SELECT count(*) FROM orders"), "3");
}

//! Little memory and few file descriptors (F29), on the real program.

use std::{path::PathBuf, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    road::ended,
    server::{Place, Server},
};

const MEMORY_BYTES: u64 = 256 << 20;
/// What each of eight apps sends: together more than that.
const EACH_BYTES: usize = 36 << 20;

/// A limit of the kernel on a process's memory; gone with its owner.
struct Confined(PathBuf);

impl Confined {
    /// `None` where this machine does not let us: then only the highest use is looked at.
    fn to(bytes: u64, process: u32) -> Option<Self> {
        let name = format!("backup-test-{process}");
        // The second version of control groups, and the first.
        for (root, limit) in
            [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]
        {
            let group = PathBuf::from(root).join(&name);
            if std::fs::create_dir(&group).is_err() {
                continue;
            }
            let confined = Self(group);
            let write = |file: &str, number: u64| {
                std::fs::write(confined.0.join(file), number.to_string()).is_ok()
            };
            if confined.0.join(limit).exists()
                && write(limit, bytes)
                && write("cgroup.procs", u64::from(process))
            {
                return Some(confined);
            }
        }
        println!("no control group may be made here");
        None
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        // It takes the kernel a moment to see that its process is gone.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The most that a process has had in memory so far, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
}

async fn register(server: &Server, app: &App, name: &str) {
    let draft = json!({
        "name": name, "url": app.url(), "token": TOKEN, "limits": { "retries": 0 },
        "destinations": [{ "destination": "disk", "folder": name }],
    });
    server.done("POST", "apps", draft).await;
}

async fn add_disk(server: &Server) {
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_streams_at_once_fit_into_little_memory() {
    let app = App::serve(EACH_BYTES).await;
    let server = Place::new(&[("BACKUP_WORKERS", "8")]).serve().await;
    add_disk(&server).await;
    // Dropped in this order, also where something below fails.
    let confined = Confined::to(MEMORY_BYTES, server.id());
    let held = (server, confined);
    let server = &held.0;
    for number in 1..=8 {
        register(server, &app, &format!("shop{number}")).await;
    }
    app.pause(Duration::from_millis(100));
    let mut runs = Vec::new();
    for number in 1..=8 {
        let path = format!("apps/shop{number}/run");
        runs.push(id(&server.done("POST", &path, json!({})).await));
    }
    for run in runs {
        let ended = ended(server, &run).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        assert_eq!(ended["bytes_read"], EACH_BYTES, "{ended}");
    }
    let peak = peak(server.id());
    println!("at most {} MiB", peak >> 20);
    assert!(peak < MEMORY_BYTES, "{} MiB", peak >> 20);
}

/// Sets how many files a process may have open.
fn limit_files(process: u32, limit: usize) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &process.to_string(), &format!("--nofile={limit}:4096")]);
    assert!(command.status().unwrap().success(), "prlimit failed");
}

/// The lowest number that no open file has: with this limit nothing more can be opened.
fn first_free(process: u32) -> usize {
    (0..1 << 20)
        .find(|number| !PathBuf::from(format!("/proc/{process}/fd/{number}")).is_symlink())
        .unwrap()
}

/// What `path` answers once it can: where another connection to the catalog cannot be opened, it says
/// so, and when to ask again.
async fn patiently(server: &Server, method: &str, path: &str) -> Value {
    let body = (method == "POST").then(|| json!({}));
    for _ in 0..300 {
        let answer = server.send(method, path, &server.local(), body.clone()).await;
        if answer.status() != 503 {
            assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
            return answer.json().await.unwrap();
        }
        assert!(answer.headers().contains_key("retry-after"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{method} {path} is never answered: {}", server.place.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_file_descriptors_fail_a_run_clearly_and_no_later_one() {
    let app = App::serve(600_000).await;
    let server = Place::new(&[]).serve().await;
    add_disk(&server).await;
    register(&server, &app, "shop").await;
    let first = server.done("POST", "apps/shop/run", json!({})).await;
    assert_eq!(ended(&server, &id(&first)).await["state"], "succeeded");

    // This test's own connection is open already and stays so.
    limit_files(server.id(), first_free(server.id()));
    let poor = patiently(&server, "POST", "apps/shop/run").await;
    let path = format!("runs/{}", id(&poor));
    let poor = loop {
        let shown = patiently(&server, "GET", &path).await;
        if !shown["run"]["finished_at"].is_null() {
            break shown["run"].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(poor["state"], "failed", "{poor}");
    let message = poor["failure"]["message"].as_str().unwrap();
    assert!(message.contains("Too many open files"), "{poor}");

    limit_files(server.id(), 1_024);
    let later = server.done("POST", "apps/shop/run", json!({})).await;
    let later = ended(&server, &id(&later)).await;
    assert_eq!(later["state"], "succeeded", "{later}");
}

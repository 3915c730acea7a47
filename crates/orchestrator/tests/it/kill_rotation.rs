//! The real process, killed without warning while it changes a repository's password (F22): one of
//! the two opens it at every moment, and the next process says which.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::server::{Place, Server};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.len() == 64);
    names.sort();
    names
}

/// Where the process is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after it was asked.
    After(u64),
    /// As soon as the new key is there.
    NewKey,
    /// As soon as both are there, and nobody holds a lock any more.
    Stored,
    /// As soon as the old key is gone.
    OldGone,
}

async fn reached(moment: Moment, vault: &Path, old: &[String]) {
    let until = Instant::now() + Duration::from_secs(30);
    let (keys, locks) = (vault.join("keys"), vault.join("locks"));
    let is_reached = || match moment {
        Moment::After(_) => true,
        Moment::NewKey => names(&keys).len() > 1,
        Moment::Stored => names(&keys).len() > 1 && names(&locks).is_empty(),
        Moment::OldGone => !names(&keys).iter().any(|key| old.contains(key)),
    };
    if let Moment::After(wait) = moment {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    while !is_reached() {
        assert!(Instant::now() < until, "{moment:?} is never reached");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether stock restic opens it.
fn opens(vault: &Path, password: &str) -> bool {
    let told = Command::new("restic")
        .arg("-r")
        .arg(vault)
        .args(["--no-cache", "-q", "--no-lock", "snapshots"])
        .env("RESTIC_PASSWORD", password)
        .output();
    told.unwrap().status.success()
}

/// Whether the catalog says that a change is under way.
fn is_under_way(server: &Server) -> bool {
    let asked = Command::new("sqlite3")
        .args(["-readonly", "-cmd", ".timeout 5000"])
        .arg(server.place.data().join("catalog.sqlite"))
        .arg("SELECT count(*) FROM setting WHERE name LIKE 'repository_rotation:%' AND value <> ''")
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    asked.stdout.trim_ascii() != b"0"
}

/// What was told of changes that were cut off.
async fn told(server: &Server) -> Vec<String> {
    let events = server.done_get("events?limit=200").await;
    let all = events.as_array().or_else(|| events["items"].as_array()).unwrap();
    let ended = all.iter().filter(|event| event["kind"] == "rotation_ended");
    ended.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

async fn add(server: &Server) -> PathBuf {
    let vault = server.place.folder.path().join("vault");
    let draft = json!({ "name": "vault", "kind": "local",
        "settings": { "path": vault, "layout": "repository" },
        "secrets": { "repository_password": "password 0" } });
    server.done("POST", "destinations", draft).await;
    vault
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repository_opens_with_one_of_the_two_wherever_it_was_killed() {
    let has_restic = Command::new("restic").arg("version").output().is_ok();
    assert!(has_restic || std::env::var_os("CI").is_none(), "restic is needed");
    if !has_restic {
        println!("left out: restic is needed");
        return;
    }
    let mut server = Place::new(&[]).serve().await;
    let vault = add(&server).await;
    let begun = Instant::now();
    server
        .done("POST", "destinations/vault/repository/rotate", json!({ "password": "pass" }))
        .await;
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let mut moments: Vec<_> = (0..12).map(|n| Moment::After(whole * n / 11)).collect();
    for _ in 0..3 {
        moments.extend([Moment::NewKey, Moment::Stored, Moment::OldGone]);
    }

    let (mut current, mut before, mut after) = ("pass".to_owned(), 0, 0);
    for (round, moment) in moments.into_iter().enumerate() {
        let next = format!("password {round}");
        let (old, known) = (names(&vault.join("keys")), told(&server).await.len());
        assert_eq!(old.len(), 1, "round {round}");
        let body = json!({ "password": next });
        let asked = server.request(
            "POST".parse().unwrap(),
            "/api/v1/destinations/vault/repository/rotate",
            &server.local(),
        );
        let asked = tokio::spawn(asked.json(&body).send());
        reached(moment, &vault, &old).await;
        let place = server.kill();
        let _ = asked.await;
        assert!(
            opens(&vault, &current) || opens(&vault, &next),
            "round {round}: nothing opens it, killed at {moment:?}"
        );

        server = place.serve().await;
        let until = Instant::now() + Duration::from_secs(60);
        let keys = loop {
            let keys = server.done_get("destinations/vault/repository/keys").await;
            if keys.as_array().unwrap().len() == 1 && !is_under_way(&server) {
                break keys;
            }
            assert!(Instant::now() < until, "round {round}: {keys}, {}", server.place.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(keys[0]["current"], true, "round {round}: {keys}");
        let is_new = !old.contains(&keys[0]["id"].as_str().unwrap().to_owned());
        assert_eq!((opens(&vault, &current), opens(&vault, &next)), (!is_new, is_new));
        // Where it was cut off it was told, and what was told is so.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let told = told(&server).await;
        assert!(told.len() <= known + 1, "round {round}: {told:?}");
        if told.len() > known {
            let says_new = told.iter().filter(|one| one.contains("after it was in force")).count();
            assert_eq!(says_new - after, usize::from(is_new), "round {round}: {told:?}");
            before += usize::from(!is_new);
            after += usize::from(is_new);
        }
        if is_new {
            current = next;
        }
    }
    assert!(before > 0 && after > 0, "told {before} times before, {after} after");
    let checked = server.done("POST", "destinations/vault/repository/check", json!({})).await;
    let checked = crate::road::ended(&server, checked["id"].as_str().unwrap()).await;
    assert_eq!(checked["state"], "succeeded", "{checked}");
}

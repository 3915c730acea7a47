//! Every command on the real program and server: its exit code, and one JSON document.

use std::{io::Read as _, process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    server::{PASSWORD, Place},
};

/// Its exit code, and with `--json` exactly one document.
fn document(place: &Place, words: &[&str], code: i32) -> Value {
    let done = place.run(&[words, &["--json"]].concat());
    assert_eq!(done.status.code(), Some(code), "{words:?}: {done:?}");
    serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{words:?} is no document: {error}: {done:?}"))
}

fn shown(place: &Place, words: &[&str]) -> String {
    let done = place.run(words);
    assert_eq!(done.status.code(), Some(0), "{words:?}: {done:?}");
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(!text.trim().is_empty(), "{words:?} shows nothing");
    assert!(!text.contains('\u{1b}'), "{words:?} colours what is no terminal");
    assert!(!text.contains(TOKEN), "{words:?} shows a secret");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_answers_people_and_programs() {
    let app = App::serve(50_000).await;
    let server = Place::new(&[]).serve().await;
    let place = &server.place;
    let token = place.file("token", TOKEN);
    let path = |name: &str| format!("path={}", place.folder.path().join(name).display());
    let (disk, other, url) = (path("disk"), path("other"), app.url());
    shown(place, &["overview"]);
    document(place, &["destination", "add", "disk", "--kind", "local", "--set", &disk], 0);
    shown(place, &["destination", "add", "second", "--kind", "local", "--set", &other]);
    document(place, &["destination", "test", "disk"], 0);
    let add = ["app", "add", "shop", "--url", &url, "--token-file", &token, "--destination"];
    let more = ["disk:shop", "--schedule", "daily", "--keep-daily", "7", "--retries", "0"];
    document(place, &[&add[..], &more].concat(), 0);
    shown(place, &["app", "show", "shop"]);

    // Only what is given changes.
    let edit = ["app", "edit", "shop", "--keep-last", "3", "--keep-daily", "none"];
    let edit = [&edit[..], &["--max-size", "1GiB", "--time-zone", "Europe/Madrid"]].concat();
    let edited = document(place, &edit, 0);
    assert_eq!(edited["retention"], json!({ "keep_last": 3 }));
    assert_eq!(edited["limits"]["max_size_bytes"], 1 << 30);
    assert_eq!(edited["limits"]["retries"], 0);
    assert_eq!(edited["schedule"]["spec"], "daily");
    assert_eq!(edited["schedule"]["time_zone"], "Europe/Madrid");
    assert_eq!(edited["destinations"][0]["folder"], "shop");
    let edit = ["app", "edit", "shop", "--preset", "frequent", "--keep-monthly", "12"];
    let edited = document(place, &edit, 0);
    let kept = json!({ "keep_daily": 7, "keep_weekly": 4, "keep_monthly": 12 });
    assert_eq!((&edited["retention"], &edited["schedule"]["spec"]), (&kept, &json!("@every 4h")));
    assert_eq!(edited["schedule"]["time_zone"], "Europe/Madrid");
    let edit = ["app", "edit", "shop", "--schedule", "none", "--keep-last", "3"];
    let none = ["--keep-daily", "none", "--keep-weekly", "none", "--keep-monthly", "none"];
    let edited = document(place, &[&edit[..], &none].concat(), 0);
    assert!(edited["schedule"].is_null(), "{edited}");
    assert_eq!(document(place, &["app", "disable", "shop"], 0)["enabled"], false);
    assert_eq!(document(place, &["app", "enable", "shop"], 0)["enabled"], true);
    let edited = document(place, &["destination", "edit", "second", "--rename", "far"], 0);
    assert_eq!(edited["name"], "far");
    assert_eq!(edited["settings"]["path"], other["path=".len()..]);

    let run = document(place, &["run", "shop", "--wait", "--label", "first"], 0);
    let (run, snapshot) = (run["id"].as_str().unwrap(), run["snapshot_id"].as_str().unwrap());
    let runs = document(place, &["runs", "shop"], 0);
    assert!(runs.as_array().unwrap().iter().any(|one| one["id"] == run), "{runs}");
    assert_eq!(document(place, &["snapshots", "shop"], 0)[0]["id"], snapshot);
    document(place, &["copy", snapshot, "--to", "far", "--wait"], 0);
    document(place, &["verify", snapshot, "--wait"], 0);
    let verified = document(place, &["verify", "--destination", "far", "--wait"], 0);
    assert_eq!(verified["runs"][0]["state"], "succeeded");
    for words in [
        &["pin", snapshot][..],
        &["unpin", snapshot],
        &["accept", snapshot],
        &["logs", run, "--follow"],
        &["cancel", run],
        &["run-show", run],
        &["snapshot-show", snapshot],
        &["snapshots"],
        &["retention", "preview", "shop"],
        &["doctor"],
        &["doctor", "shop"],
        &["doctor", "app", "shop"],
        &["doctor", "destination", "disk"],
        &["overview"],
        &["app", "list"],
        &["app", "show", "shop"],
        &["destination", "list"],
        &["destination", "show", "disk"],
        &["user", "list"],
        &["token", "list"],
        &["audit"],
    ] {
        document(place, words, 0);
        shown(place, words);
    }
    let preview = shown(place, &["retention", "preview", "shop"]);
    assert!(preview.contains("✓ keep") && preview.contains("last 1 of 3"), "{preview}");
    let size = app.content().len();
    let to = place.folder.path().join("only").display().to_string();
    let none = place.run(&["restore", snapshot, "--to", &to, "--only", "nothing"]);
    assert_eq!(none.status.code(), Some(4), "{none:?}");
    let told = document(place, &["restore", snapshot, "--to", &to, "--only", "shop"], 0);
    assert_eq!(told["restored"][0]["size_bytes"], size);
    let to = place.folder.path().join("twice").display().to_string();
    let twice = ["restore", snapshot, "--to", &to, "--only", "shop", "--only", "nothing"];
    let told = place.run(&twice);
    assert_eq!(told.status.code(), Some(4), "each of them has to be there: {told:?}");
    let twice = ["restore", snapshot, "--to", &to, "--only", "shop", "--only", "shop"];
    assert_eq!(document(place, &twice, 0)["restored"].as_array().unwrap().len(), 1);
    document(place, &["app", "remove", "shop"], 0);
    document(place, &["destination", "remove", "far"], 0);
}

#[tokio::test]
async fn errors_tell_what_to_do_and_the_exit_code_tells_their_kind() {
    let server = Place::new(&[("APP_ADMIN_PASS", PASSWORD)]).serve().await;
    let place = &server.place;
    let token = place.file("token", TOKEN);
    let wrong = place.file("wrong", "bo_nonsense");
    let made = place.run(&["token", "create", "reader", "--scope", "read"]);
    let reader = place.file("reader", &String::from_utf8(made.stdout).unwrap());
    let nothing = "01aaaaaaaaaaaaaaaaaaaaaaaa";
    let add = ["app", "add", "x", "--url", "ftp://x", "--token-file", &token, "--destination", "y"];
    let cases: &[(&[&str], i32, &str)] = &[
        (&["app", "show", "nobody"], 4, "nobody"),
        (&["app", "edit", "nobody", "--retries", "1"], 4, "nobody"),
        (&["app", "remove", "../destinations"], 4, ""),
        (&["destination", "show", "nowhere"], 4, "nowhere"),
        (&["doctor", "nobody"], 4, "nobody"),
        (&["doctor", "destination", "nowhere"], 4, "nowhere"),
        (&["retention", "preview", "nobody"], 4, "nobody"),
        (&["run", "nobody", "--wait"], 4, "nobody"),
        (&["run-show", nothing], 4, "run"),
        (&["snapshot-show", nothing], 4, "snapshot"),
        (&["pin", nothing], 4, "snapshot"),
        (&["verify", "--destination", "nowhere"], 4, "nowhere"),
        (&["restore", nothing, "--to", "there"], 4, "snapshot"),
        (&add, 2, "destinations[0].destination: there is no destination `y`"),
        (&["verify"], 2, "<SNAPSHOT>"),
        (&["run", "x", "--kind", "other"], 2, "pre-deploy"),
        (&["app", "edit", "x", "--max-size", "much"], 2, "500MB"),
        (&["overview", "--token-file", &wrong], 1, "wrong"),
        (&["overview", "--token-file", "missing"], 2, "missing"),
        (&["user", "list", "--token-file", &reader], 1, "permission"),
        (&["overview", "--url", "http://127.0.0.1:1"], 1, "backup-orchestrator serve"),
        (&["overview", "--url", "::"], 2, "http://HOST:PORT"),
    ];
    for (words, code, says) in cases {
        let done = place.run(words);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(*code), "{words:?}: {told}");
        assert!(!told.is_empty() && told.contains(says), "{words:?}: {told}");
        assert!(done.stdout.is_empty(), "{words:?} answers beside its error");
        assert!(!told.contains("bo_nonsense") && !told.contains(TOKEN), "{words:?}: {told}");
    }
    assert!(!place.folder.path().join("there").exists(), "a folder was made for nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_wait_says_that_the_run_goes_on() {
    let app = App::serve(50_000).await;
    app.pause(Duration::from_secs(1));
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk" }],
    });
    server.done("POST", "apps", draft).await;
    let mut waiting = server.place.program(&["run", "shop", "--wait", "--json"]);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..200 {
        if app.exports() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let id = nix::unistd::Pid::from_raw(i32::try_from(waiting.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(130));
    let mut told = String::new();
    waiting.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    let run = server.done_get("runs").await[0].clone();
    let id = run["id"].as_str().unwrap();
    assert!(told.contains(&format!("backup-orchestrator cancel {id}")), "{told}");
    assert_eq!(run["state"], "running", "{run}");
    document(&server.place, &["cancel", id], 0);
}

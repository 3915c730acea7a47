//! Users and tokens from the command line.

use std::process::Output;

use serde_json::Value;

use crate::server::{As, PASSWORD, Place};

fn code(done: &Output) -> i32 {
    done.status.code().unwrap_or_else(|| panic!("{done:?}"))
}

#[tokio::test]
async fn users_and_tokens_are_kept_from_the_command_line() {
    let server = Place::new(&[("APP_ADMIN_PASS", PASSWORD)]).serve().await;
    let place = &server.place;
    let good = place.file("good", PASSWORD);
    let other = place.file("other", "another good one\n");
    let weak = place.file("weak", "cambiame");

    let added = place.run(&["user", "add", "ana", "--role", "operator", "--password-file", &good]);
    assert_eq!(code(&added), 0, "{added:?}");
    server.login("ana", PASSWORD).await;
    for (arguments, expected) in [
        (&["user", "add", "bo", "--role", "viewer", "--password-file", &weak][..], 2),
        (&["user", "add", "bo", "--role", "king", "--password-file", &good], 2),
        (&["user", "add", "bo", "--role", "viewer"], 2),
        (&["user", "remove", "nobody"], 4),
        (&["user", "remove", "admin"], 5),
        (&["user", "role", "admin", "viewer"], 5),
        (&["user", "role", "ana", "viewer"], 0),
        (&["user", "password", "ana", "--password-file", &other], 0),
        (&["token", "create", "ci", "--scope", "all"], 2),
        (&["token", "create", "ci", "--scope", "read", "--expires", "soon"], 2),
        (&["token", "revoke", "nothing"], 4),
    ] {
        let done = place.run(arguments);
        assert_eq!(code(&done), expected, "{arguments:?}: {done:?}");
        assert!(expected == 0 || !done.stderr.is_empty(), "{arguments:?}");
    }
    server.login("ana", "another good one").await;
    let listed = place.run(&["--json", "user", "list"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[1]["name"], "ana");
    assert_eq!(listed[1]["role"], "viewer");
    assert_eq!(code(&place.run(&["user", "remove", "ana"])), 0);

    let made = place.run(&["token", "create", "ci", "--scope", "read,run", "--expires", "90d"]);
    assert_eq!(code(&made), 0, "{made:?}");
    let secret = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(secret.starts_with("bo_"), "{secret}");
    let file = place.file("token", &secret);
    assert_eq!(code(&place.run(&["--token-file", &file, "overview"])), 0);
    assert_eq!(code(&place.run(&["--token-file", &file, "user", "list"])), 1);
    let listed = place.run(&["token", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("ci") && listed.contains("read") && !listed.contains(&secret));
    assert_eq!(code(&place.run(&["token", "revoke", "CI"])), 0);
    assert_eq!(server.get("apps", &As::Token(secret)).await, 401);
    let noted = String::from_utf8(place.run(&["audit"]).stdout).unwrap();
    assert!(noted.contains("this machine") && noted.contains("token.revoke"), "{noted}");
}

//! The first user: made and shown once, or from `.env` where it is strong.

use crate::server::{As, PASSWORD, Place, mode};

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

#[tokio::test]
async fn the_first_login_is_shown_once_and_forgotten_after_it_was_used() {
    let server = Place::new(&[]).serve().await;
    let file = server.place.data().join("first-login.txt");
    for name in ["first-login.txt", "secret.key", "cli.token"] {
        assert_eq!(mode(&server.place.data().join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&server.place.data()), 0o700);
    let text = server.place.read("first-login.txt");
    let (user, password) = (field(&text, "user:"), field(&text, "password:"));
    assert_eq!(user, "admin");
    assert_eq!(field(&server.place.log(), "password:"), password);
    assert!(field(&text, "address:").starts_with("http://localhost:"));

    // A start before the first login changes nothing and shows nothing again.
    let server = server.stop().serve().await;
    assert_eq!(server.place.read("first-login.txt"), text);
    assert_eq!(server.place.log().matches(&password).count(), 1);

    let wrong = server.try_login(&user, "wrong wrong wrong").await;
    assert_eq!(wrong.status(), 401);
    assert!(file.exists(), "a failed login is no login");
    let admin = server.login(&user, &password).await;
    assert!(!file.exists(), "used");
    assert_eq!(server.get("users", &admin).await, 200);

    let server = server.stop().serve().await;
    assert!(!file.exists(), "a user is there: none is made");
    server.login(&user, &password).await;
}

#[tokio::test]
async fn the_env_file_names_the_first_user_of_the_first_start() {
    let place = Place::new(&[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)]);
    let server = place.serve().await;
    assert!(!server.place.data().join("first-login.txt").exists());
    server.login("Ana", PASSWORD).await;
    let body = serde_json::json!({ "password": "another good one" });
    server.done("PUT", "users/ana", body).await;
    // The next start does not set it back.
    let server = server.stop().serve().await;
    server.login("ana", "another good one").await;
    assert_eq!(server.try_login("ana", PASSWORD).await.status(), 401);
}

#[test]
fn a_weak_password_or_key_is_refused_with_the_reason() {
    for (name, value, reason) in [
        ("APP_ADMIN_PASS", "cambiame", "everybody tries first"),
        ("APP_ADMIN_PASS", "password123", "everybody tries first"),
        ("APP_ADMIN_PASS", "short", "at least 10 characters"),
        ("APP_ADMIN_PASS", "", "it is empty"),
        ("APP_ADMIN_USER", "not a name", "cannot be in a name"),
        ("APP_SECRET_KEY", "poné_una_clave_larga", "example"),
        ("APP_SECRET_KEY", "", "it is empty"),
    ] {
        for command in ["serve", "init"] {
            let place = Place::new(&[]);
            place.file(".env", &format!("{name}={value}\n"));
            let done = place.run(&[command]);
            let told = String::from_utf8_lossy(&done.stderr).into_owned();
            assert_eq!(done.status.code(), Some(2), "{command} {name}={value}: {told}");
            assert!(told.contains(name) && told.contains(reason), "{name}={value}: {told}");
            assert!(value.len() < 8 || !told.contains(value), "told: {told}");
            assert!(!place.data().exists(), "nothing was made");
        }
    }
}

#[tokio::test]
async fn init_makes_all_that_the_server_then_uses() {
    let place = Place::new(&[]);
    let done = place.run(&["init"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told = String::from_utf8(done.stdout).unwrap();
    let password = field(&told, "password:");
    assert_eq!(field(&place.read("first-login.txt"), "password:"), password);
    let again = place.run(&["--json", "init"]);
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert!(again["first_login_file"].is_null(), "{again}");
    let server = place.serve().await;
    assert!(!server.place.log().contains(&password));
    let admin = server.login("admin", &password).await;
    assert_eq!(server.get("audit", &admin).await, 200);
    assert_eq!(server.get("audit", &As::Nobody).await, 401);
    let second = server.place.run(&["init"]);
    assert_eq!(second.status.code(), Some(1), "a server runs on this folder");
}

//! "Connect with Google", with a stand-in for Google.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::{Method, header};
use ring::digest;
use serde_json::{Value, json};

use crate::server::{As, PASSWORD, Place, Server};

type Pairs = BTreeMap<String, String>;

/// What was asked of it, and whether it gives a lasting token.
#[derive(Clone, Default)]
struct Google {
    asked: Arc<Mutex<Vec<Pairs>>>,
    challenge: Arc<Mutex<String>>,
    lasting: Arc<Mutex<bool>>,
}

fn pairs(text: &str) -> Pairs {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

async fn token(State(google): State<Google>, body: String) -> (StatusCode, Json<Value>) {
    let told = pairs(&body);
    google.asked.lock().unwrap().push(told.clone());
    let verifier = told.get("code_verifier").cloned().unwrap_or_default();
    let challenge = digest::digest(&digest::SHA256, verifier.as_bytes());
    let proven = BASE64_URL_SAFE_NO_PAD.encode(challenge) == *google.challenge.lock().unwrap();
    if told["code"] != "good code" || told["client_secret"] != "hush" || !proven {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": "invalid_grant", "error_description": "Malformed auth code."})),
        );
    }
    let mut answer = json!({
        "access_token": "ya29.access", "expires_in": 3599, "token_type": "Bearer",
        "scope": "https://www.googleapis.com/auth/drive.file",
    });
    if *google.lasting.lock().unwrap() {
        answer["refresh_token"] = "1//refresh".into();
    }
    (StatusCode::OK, Json(answer))
}

async fn ready() -> (Server, Google) {
    let google = Google::default();
    *google.lasting.lock().unwrap() = true;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/token", post(token)).with_state(google.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let server = Place::new(&[
        ("BACKUP_GOOGLE_AUTH_URL", &format!("{at}/auth")),
        ("BACKUP_GOOGLE_TOKEN_URL", &format!("{at}/token")),
    ])
    .serve()
    .await;
    // A name that is part of an address, too.
    let drive = json!({
        "name": "gdrive", "kind": "gdrive",
        "settings": { "client_id": "the client", "path": "copies" },
        "secrets": { "client_secret": "hush" },
    });
    server.done("POST", "destinations", drive).await;
    (server, google)
}

async fn page(server: &Server, path: &str, by: &As) -> (u16, String, String) {
    let answer = server.request(Method::GET, path, by).send().await.unwrap();
    let status = answer.status().as_u16();
    let to = answer.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
    (status, to.unwrap_or_default(), answer.text().await.unwrap())
}

/// Goes to Google, and gives what it was asked.
async fn asked(server: &Server, google: &Google, by: &As) -> Pairs {
    let (status, to, text) = page(server, "/destinations/gdrive/google", by).await;
    assert_eq!(status, 303, "{text}");
    let (at, query) = to.split_once('?').unwrap();
    assert!(at.ends_with("/auth"), "{at}");
    let asked = pairs(query);
    google.challenge.lock().unwrap().clone_from(&asked["code_challenge"]);
    asked
}

fn finish(state: &str, rest: &str) -> String {
    format!("/destinations/gdrive/finish?state={state}&{rest}")
}

#[tokio::test]
async fn a_drive_is_connected_and_its_token_is_kept_sealed() {
    let (server, google) = ready().await;
    server.add_user("ana", "admin").await;
    let ana = server.login("ana", PASSWORD).await;
    let (_, _, shown) = page(&server, "/destinations/gdrive", &ana).await;
    assert!(shown.contains("href=\"/destinations/gdrive/google\""), "{shown}");

    let told = asked(&server, &google, &ana).await;
    let back = format!("{}/destinations/gdrive/callback", server.base);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "the client"),
        ("redirect_uri", back.as_str()),
        ("scope", "https://www.googleapis.com/auth/drive.file"),
        ("code_challenge_method", "S256"),
        ("access_type", "offline"),
        ("prompt", "consent"),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
    assert!(told["state"].len() >= 40 && told["code_challenge"].len() >= 40);

    // Google's answer comes without the session's cookie; the page leads on to where it is sent.
    let path =
        format!("/destinations/gdrive/callback?state={}&code=good+code&scope=x", told["state"]);
    let (status, _, shown) = page(&server, &path, &As::Nobody).await;
    assert_eq!(status, 200);
    let onward = shown.split("http-equiv=\"refresh\" content=\"0; url=").nth(1).unwrap();
    let onward = onward.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    assert!(shown.contains("<a class=\"button primary\" href=\""), "a way without refreshing");
    let (status, to, text) = page(&server, &onward, &ana).await;
    assert_eq!((status, to.as_str()), (303, "/destinations/gdrive?done=connected"), "{text}");

    let sent = google.asked.lock().unwrap().clone();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["grant_type"], "authorization_code");
    assert_eq!(sent[0]["redirect_uri"], back);
    let one = server.done_get("destinations/gdrive").await;
    assert!(one["secrets"].as_array().unwrap().contains(&json!("token")), "{one}");
    let (_, _, shown) = page(&server, "/destinations/gdrive", &ana).await;
    for text in [one.to_string(), shown, server.place.log()] {
        for secret in ["1//refresh", "ya29.access", "hush", "good code"] {
            assert!(!text.contains(secret), "{secret} is told");
        }
    }
    // Where the destination is kept, its token is sealed.
    let catalog: Vec<u8> = ["catalog.sqlite", "catalog.sqlite-wal"]
        .iter()
        .flat_map(|name| std::fs::read(server.place.data().join(name)).unwrap_or_default())
        .collect();
    let holds = |text: &str| catalog.windows(text.len()).any(|some| some == text.as_bytes());
    assert!(holds("gdrive") && holds("\"token\""), "this is not where it is kept");
    for secret in ["1//refresh", "ya29.access", "hush"] {
        assert!(!holds(secret), "{secret} lies open");
    }

    // Once is enough.
    let (status, _, text) = page(&server, &onward, &ana).await;
    assert_eq!(status, 422);
    assert!(text.contains("belongs to no open question"), "{text}");
    assert_eq!(google.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn answers_that_nobody_asked_for_are_refused() {
    let (server, google) = ready().await;
    for name in ["ana", "eva"] {
        server.add_user(name, "admin").await;
    }
    server.add_user("vic", "viewer").await;
    let (ana, eva) = (server.login("ana", PASSWORD).await, server.login("eva", PASSWORD).await);
    let vic = server.login("vic", PASSWORD).await;
    assert_eq!(page(&server, "/destinations/gdrive/google", &vic).await.0, 403);

    let state = asked(&server, &google, &ana).await["state"].clone();
    for (path, by) in [
        (finish("", "code=good+code"), &ana),
        (finish("made-up", "code=good+code"), &ana),
        ("/destinations/gdrive/finish?code=good+code".to_owned(), &ana),
        // Somebody else's session.
        (finish(&state, "code=good+code"), &eva),
    ] {
        let (status, _, text) = page(&server, &path, by).await;
        assert_eq!(status, 422, "{path}");
        assert!(text.contains("belongs to no open question"), "{text}");
    }
    assert_eq!(page(&server, &finish(&state, "code=good+code"), &vic).await.0, 403);
    let (status, to, _) = page(&server, &finish(&state, "code=x"), &As::Nobody).await;
    assert!(status == 303 && to.starts_with("/login"), "{status} {to}");
    assert!(google.asked.lock().unwrap().is_empty(), "Google was asked for a token");

    // A person who says no, and what Google itself refuses.
    let state = asked(&server, &google, &ana).await["state"].clone();
    let (status, _, text) = page(&server, &finish(&state, "error=access_denied"), &ana).await;
    assert!(status == 422 && text.contains("Access was not allowed"), "{text}");
    let state = asked(&server, &google, &ana).await["state"].clone();
    let (status, _, text) = page(&server, &finish(&state, "code=wrong"), &ana).await;
    assert!(status == 422 && text.contains("invalid_grant"), "{text}");
    let state = asked(&server, &google, &ana).await["state"].clone();
    let bad = "error=%3Cscript%3Ealert(1)%3C/script%3E";
    let (_, _, text) = page(&server, &finish(&state, bad), &ana).await;
    assert!(!text.contains("<script>alert"), "{text}");
    *google.lasting.lock().unwrap() = false;
    let state = asked(&server, &google, &ana).await["state"].clone();
    let (status, _, text) = page(&server, &finish(&state, "code=good+code"), &ana).await;
    assert!(status == 422 && text.contains("no lasting token"), "{text}");
    let one = server.done_get("destinations/gdrive").await;
    assert!(!one["secrets"].as_array().unwrap().contains(&json!("token")), "{one}");
}

#[tokio::test]
async fn stored_secrets_are_forgotten_by_page_and_command_line() {
    let (server, _google) = ready().await;
    server.add_user("ana", "admin").await;
    let ana = server.login("ana", PASSWORD).await;
    let secrets = async || {
        let one = server.done_get("destinations/gdrive").await;
        one["secrets"].as_array().unwrap().iter().map(ToString::to_string).collect::<String>()
    };
    assert!(secrets().await.contains("client_secret"));
    let (_, _, shown) = page(&server, "/destinations/gdrive/edit", &ana).await;
    assert!(shown.contains("name=\"forget-client_secret\""), "{shown}");
    let hidden = |name: &str| {
        let rest = shown.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let body = format!(
        "csrf={}&version={}&kind=gdrive&name=gdrive&set-client_id=the+client&forget-client_secret=on",
        hidden("csrf"),
        hidden("version")
    );
    let answer = server
        .request(Method::POST, "/destinations/gdrive/edit", &ana)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
    assert!(!secrets().await.contains("client_secret"));

    let file = server.place.file("secret", "hush again");
    let edit = |more: &[&str]| {
        let mut arguments = vec!["destination", "edit", "gdrive"];
        arguments.extend_from_slice(more);
        let done = server.place.run(&arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    edit(&["--set-file", &format!("client_secret={file}")]);
    assert!(secrets().await.contains("client_secret"));
    edit(&["--forget-secret", "client_secret"]);
    assert!(!secrets().await.contains("client_secret"));
}

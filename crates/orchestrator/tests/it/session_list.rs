//! Logins that last: listed, and ended from elsewhere.

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::server::{As, PASSWORD, Place, Server, cookie};

async fn login_with(server: &Server, user: &str, browser: &str) -> As {
    let request = server
        .request(Method::POST, "/api/v1/session", &As::Nobody)
        .header(header::USER_AGENT, browser)
        .json(&json!({ "user": user, "password": PASSWORD }));
    let reply = request.send().await.unwrap();
    assert_eq!(reply.status(), 204);
    As::Browser(cookie(&reply))
}

async fn own(server: &Server, by: &As) -> Vec<Value> {
    let all = server.send("GET", "account/sessions", by, None).await;
    assert_eq!(all.status(), 200);
    serde_json::from_str(&all.text().await.unwrap()).unwrap()
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

#[tokio::test]
async fn ones_own_logins_are_listed_and_ended() {
    let server = Place::new(&[]).serve().await;
    server.add_user("ana", "viewer").await;
    server.add_user("bo", "viewer").await;
    let here = login_with(&server, "ana", FIREFOX).await;
    let there = login_with(&server, "ana", "<b>me</b>").await;
    let third = login_with(&server, "ana", "curl/8.14.1").await;
    let bo = login_with(&server, "bo", FIREFOX).await;

    let all = own(&server, &here).await;
    assert_eq!(all.len(), 3);
    let mine: Vec<_> = all.iter().filter(|one| one["own"] == true).collect();
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0]["browser"], "Firefox, Linux");
    assert_eq!(mine[0]["from"], "127.0.0.1");
    let browsers: Vec<_> = all.iter().map(|one| one["browser"].as_str().unwrap()).collect();
    assert!(browsers.contains(&"") && browsers.contains(&"curl"), "{browsers:?}");
    assert!(!Value::from(all.clone()).to_string().contains("sha256"));

    // Another's cannot be ended, nor seen.
    let foreign = own(&server, &bo).await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("account/sessions/{foreign}");
    assert_eq!(server.send("DELETE", &path, &here, None).await.status(), 404);
    assert_eq!(server.get("apps", &bo).await, 200);
    assert_eq!(server.get("sessions", &here).await, 403);

    let one = own(&server, &there).await;
    let one = one.iter().find(|one| one["own"] == true).unwrap()["id"].as_str().unwrap().to_owned();
    let ended = server.send("DELETE", &format!("account/sessions/{one}"), &here, None).await;
    assert_eq!(ended.status(), 204);
    assert_eq!(server.get("apps", &there).await, 401);
    assert_eq!(server.get("apps", &third).await, 200);
    assert_eq!(server.send("DELETE", "account/sessions", &here, None).await.status(), 204);
    assert_eq!(server.get("apps", &third).await, 401);
    assert_eq!(server.get("apps", &here).await, 200, "the one that asked");
    assert_eq!(server.get("apps", &bo).await, 200, "another's");
    assert_eq!(own(&server, &server.local()).await, [Value::Null; 0], "a program has none");
}

#[tokio::test]
async fn the_account_page_ends_them_too() {
    let server = Place::new(&[]).serve().await;
    server.add_user("ana", "viewer").await;
    let here = login_with(&server, "ana", FIREFOX).await;
    let there = login_with(&server, "ana", "curl/8.14.1").await;
    let page = server.request(Method::GET, "/account", &here).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("Firefox, Linux <span class=\"quiet\">(this browser)"), "{page}");
    let id = page.split("name=\"session\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let send = async |body: String| {
        let request = server.request(Method::POST, "/account/sessions", &here);
        let form = "application/x-www-form-urlencoded";
        request.header(header::CONTENT_TYPE, form).body(body).send().await.unwrap().status()
    };
    assert_eq!(send(format!("session={id}")).await, 403, "without the session's text");
    assert_eq!(send(format!("csrf={csrf}&session={id}")).await, 303);
    assert_eq!(server.get("apps", &there).await, 401);
    assert_eq!(send(format!("csrf={csrf}&session={id}")).await, 404, "it is gone");
    let there = login_with(&server, "ana", "curl/8.14.1").await;
    assert_eq!(send(format!("csrf={csrf}&others=1")).await, 303);
    assert_eq!(server.get("apps", &there).await, 401);
    assert_eq!(server.get("apps", &here).await, 200);
    let log = server.done_get("audit?who=ana").await;
    let ends = log.as_array().unwrap().iter().filter(|one| one["action"] == "session.end").count();
    assert_eq!(ends, 2);
}

#[tokio::test]
async fn an_administrator_sees_and_ends_everybodys() {
    let server = Place::new(&[("APP_ADMIN_PASS", PASSWORD)]).serve().await;
    server.add_user("ana", "viewer").await;
    let admin = login_with(&server, "admin", FIREFOX).await;
    let ana = login_with(&server, "ana", "curl/8.14.1").await;
    let page = server.request(Method::GET, "/settings/sessions", &admin).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("ana") && page.contains("curl") && page.contains("Firefox"), "{page}");

    let listed = server.place.run(&["session", "list", "--json"]);
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|one| one["own"] == false));
    let of_ana = server.place.run(&["session", "list", "--user", "ana", "--json"]);
    let of_ana: Vec<Value> = serde_json::from_slice(&of_ana.stdout).unwrap();
    assert_eq!(of_ana.len(), 1);
    let id = of_ana[0]["id"].as_str().unwrap();
    assert!(server.place.run(&["session", "end", id]).status.success());
    assert_eq!(server.get("apps", &ana).await, 401);
    assert_eq!(server.get("apps", &admin).await, 200);
    let again = server.place.run(&["session", "end", id]);
    assert_eq!(again.status.code(), Some(4), "{again:?}");
    for user in [&["session", "end"][..], &["session", "end", id, "--user", "ana"]] {
        assert_eq!(server.place.run(user).status.code(), Some(2));
    }
    assert!(server.place.run(&["session", "end", "--user", "admin"]).status.success());
    assert_eq!(server.get("apps", &admin).await, 401);
}

//! Logging in through another service.

use std::collections::BTreeMap;

use reqwest::{Method, Response, header};
use serde_json::{Value, json};

use crate::{
    oidc_server::{CLIENT, Liar, Lie, PUBLIC, Provider, SECRET},
    server::{As, PASSWORD, Place, Server, cookie},
};

async fn serve(issuer: &str, more: &[(&str, &str)]) -> Server {
    let mut environment = vec![
        ("OIDC_ISSUER", issuer),
        ("OIDC_CLIENT_ID", CLIENT),
        ("OIDC_CLIENT_SECRET", SECRET),
        ("APP_PUBLIC_URL", PUBLIC),
        ("APP_ADMIN_PASS", PASSWORD),
    ];
    environment.extend(more);
    Place::new(&environment).serve().await
}

const WITH_ROLES: &[(&str, &str)] = &[
    ("OIDC_SCOPES", "openid profile groups"),
    ("OIDC_ROLE_CLAIM", "groups"),
    ("OIDC_ROLE_MAP", "admins=admin,ops=operator,lookers=viewer"),
    ("OIDC_AUTO_CREATE", "true"),
];

fn to(reply: &Response) -> String {
    reply.headers()[header::LOCATION].to_str().unwrap().to_owned()
}

/// Asks for the service; gives where it is, and the browser's cookie.
async fn asked(server: &Server, path: &str, by: &As) -> (String, String) {
    let reply = server.request(Method::GET, path, by).send().await.unwrap();
    let status = reply.status();
    assert!(
        reply.headers().contains_key(header::LOCATION),
        "{status} {}",
        reply.text().await.unwrap()
    );
    let set = reply.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("oidc=") && set.contains("HttpOnly; SameSite=Strict"), "{set}");
    (to(&reply), cookie(&reply))
}

/// Follows the page that leads on, as a browser with these cookies.
async fn came_back(server: &Server, back: &str, cookies: &str) -> Response {
    let path = back.strip_prefix(PUBLIC).unwrap();
    // Another site leads here: none of our cookies comes along.
    let page = server.request(Method::GET, path, &As::Nobody).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    let onward = page.split("http-equiv=\"refresh\" content=\"0; url=").nth(1).unwrap();
    let onward = onward.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    server.request(Method::GET, &onward, &As::Browser(cookies.to_owned())).send().await.unwrap()
}

/// A whole login through the real service.
async fn log_in(server: &Server, provider: &Provider) -> Response {
    let (url, cookie) = asked(server, "/login/oidc?next=/runs", &As::Nobody).await;
    let back = provider.log_in(&url).await;
    came_back(server, &back, &cookie).await
}

async fn who(server: &Server, by: &As) -> Value {
    let shown = server.send("GET", "session", by, None).await.text().await.unwrap();
    serde_json::from_str(&shown).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_come_in_through_a_real_service_and_roles_follow() {
    let Some(provider) = Provider::start(PUBLIC).await else { return };
    let server = serve(&provider.issuer, WITH_ROLES).await;
    let page = server.request(Method::GET, "/login?next=/runs", &As::Nobody).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("href=\"/login/oidc?next=%2Fruns\""), "{page}");
    assert!(page.contains("Log in through 127.0.0.1"), "{page}");

    provider.be("sub-ana", "ana", "staff,ops").await;
    let done = log_in(&server, &provider).await;
    assert_eq!((done.status().as_u16(), to(&done).as_str()), (303, "/runs"));
    let ana = As::Browser(cookie(&done));
    let shown = who(&server, &ana).await;
    assert_eq!(shown["name"], "ana");
    assert!(shown["permissions"].as_array().unwrap().contains(&json!("operate")), "{shown}");
    assert_eq!(server.get("users", &ana).await, 403);

    // The same person again, with another name and other groups there.
    provider.be("sub-ana", "ana.maria", "lookers,admins").await;
    let again = As::Browser(cookie(&log_in(&server, &provider).await));
    assert_eq!(who(&server, &again).await["name"], "ana", "identity is issuer and subject");
    assert_eq!(server.get("users", &again).await, 200);
    let users = server.done_get("users").await;
    let users = users.as_array().unwrap();
    assert_eq!(users.len(), 2, "{users:?}");
    assert!(users.iter().any(|one| one["name"] == "ana" && one["linked"] == true));
    let sessions = server.done_get("sessions?user=ana").await;
    assert!(sessions.as_array().unwrap().iter().all(|one| one["by_provider"] == true));

    // Another person of a taken name gets another account, never that one.
    provider.be("sub-other", "admin", "lookers").await;
    let other = As::Browser(cookie(&log_in(&server, &provider).await));
    assert_eq!(who(&server, &other).await["name"], "admin-2");
    assert_eq!(server.get("users", &other).await, 403);
    // Without a role nobody gets in, however they did before.
    for subject in ["sub-third", "sub-ana"] {
        provider.be(subject, "ana", "staff").await;
        let refused = log_in(&server, &provider).await;
        assert_eq!(refused.status(), 403);
        assert!(refused.text().await.unwrap().contains("gives you no role"));
    }
    // Whoever says no there is told so.
    provider.be("", "", "").await;
    let refused = log_in(&server, &provider).await;
    assert_eq!(refused.status(), 422);
    assert!(refused.text().await.unwrap().contains("was not allowed to log you in"));

    // Passwords for administrators only.
    server.add_user("bo", "operator").await;
    let rules = ["user", "rules", "--only-admins-by-password", "true"];
    assert!(server.place.run(&rules).status.success());
    let refused = server.try_login("bo", PASSWORD).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.text().await.unwrap().contains("the other service"));
    assert_eq!(server.try_login("bo", "wrong wrong wrong").await.status(), 401, "tells nothing");
    server.login("admin", PASSWORD).await;
    // The second factor that administrators need is the service's matter.
    let rules = ["user", "rules", "--admins-need-second-factor", "true"];
    assert!(server.place.run(&rules).status.success());
    assert_eq!(server.get("users", &again).await, 200);
    let log = server.done_get("audit?limit=100").await.to_string();
    assert!(log.contains("the service says admin") && log.contains("login.rules"), "{log}");
    assert!(!server.place.log().contains(SECRET) && !log.contains(SECRET));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_linked_only_by_its_own_user() {
    let Some(provider) = Provider::start(PUBLIC).await else { return };
    let server = serve(&provider.issuer, &[]).await;
    server.add_user("ana", "operator").await;
    provider.be("sub-ana", "ana", "").await;
    let refused = log_in(&server, &provider).await;
    assert_eq!(refused.status(), 403, "the name alone links nobody");
    assert!(refused.text().await.unwrap().contains("Nobody here is linked"));

    let by = server.login("ana", PASSWORD).await;
    let As::Browser(session) = by.clone() else { unreachable!() };
    let (url, question) = asked(&server, "/account/link", &by).await;
    let back = provider.log_in(&url).await;
    // Without her session, or within another's, it links nobody.
    assert_eq!(came_back(&server, &back, &question).await.status(), 422);
    let As::Browser(admin) = server.login("admin", PASSWORD).await else { unreachable!() };
    let foreign = came_back(&server, &back, &format!("{question}; {admin}")).await;
    assert_eq!(foreign.status(), 422);
    let linked = came_back(&server, &back, &format!("{question}; {session}")).await;
    assert_eq!((linked.status().as_u16(), to(&linked).as_str()), (303, "/account?done=linked"));

    let done = log_in(&server, &provider).await;
    assert_eq!(done.status(), 303);
    let shown = who(&server, &As::Browser(cookie(&done))).await;
    assert_eq!(shown["name"], "ana");
    assert!(shown["permissions"].as_array().unwrap().contains(&json!("operate")), "{shown}");
    // That login belongs to her: nobody else can have it.
    let by = As::Browser(admin.clone());
    let (url, question) = asked(&server, "/account/link", &by).await;
    let back = provider.log_in(&url).await;
    let taken = came_back(&server, &back, &format!("{question}; {admin}")).await;
    assert_eq!(taken.status(), 409);
    assert!(taken.text().await.unwrap().contains("<code>ana</code>"));

    assert!(server.place.run(&["user", "unlink", "ana"]).status.success());
    assert_eq!(log_in(&server, &provider).await.status(), 403);
    let log = server.done_get("audit?limit=100").await;
    let deed = |action: &str| log.as_array().unwrap().iter().any(|one| one["action"] == action);
    assert!(deed("user.link") && deed("user.unlink") && deed("login.failed"), "{log}");
}

fn pairs(url: &str) -> BTreeMap<String, String> {
    url::Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

/// Asks, and comes back with an answer; gives what became of it.
async fn answered(server: &Server, liar: &Liar, lie: Lie, change: &[(&str, &str)]) -> Response {
    let (url, cookie) = asked(server, "/login/oidc", &As::Nobody).await;
    let told = pairs(&url);
    liar.knows_nonce(&told["nonce"]);
    liar.say(lie);
    let mut answer = BTreeMap::from([("state", told["state"].as_str()), ("code", "good")]);
    answer.extend(change.iter().copied());
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish();
    came_back(server, &format!("{PUBLIC}/login/oidc/callback?{query}"), &cookie).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_lies_lets_nobody_in() {
    let liar = Liar::serve().await;
    let server = serve(liar.issuer(), WITH_ROLES).await;
    let good = || Lie::claims(json!({}));
    let done = answered(&server, &liar, good(), &[]).await;
    assert_eq!(done.status(), 303, "{}", done.text().await.unwrap());
    // What was asked: proof that whoever began it ends it, and the secret in no address.
    let (url, _) = asked(&server, "/login/oidc", &As::Nobody).await;
    let told = pairs(&url);
    assert_eq!(told["code_challenge_method"], "S256");
    assert_eq!(told["redirect_uri"], format!("{PUBLIC}/login/oidc/callback"));
    assert_eq!(told["scope"], "openid profile groups");
    assert!(!url.contains(SECRET) && told["state"].len() == 64 && told["nonce"].len() == 64);
    assert!(liar.asked()[0].contains("code_verifier="), "{:?}", liar.asked());

    let now = jiff::Timestamp::now().as_second();
    let lies = [
        ("another nonce", Lie::claims(json!({ "nonce": "another" }))),
        ("no nonce", Lie::claims(json!({ "nonce": null }))),
        ("another audience", Lie::claims(json!({ "aud": "another" }))),
        ("one audience more", Lie::claims(json!({ "aud": [CLIENT, "another"] }))),
        ("another issuer", Lie::claims(json!({ "iss": "https://another.example" }))),
        ("expired", Lie::claims(json!({ "exp": now - 1, "iat": now - 300 }))),
        ("no expiry", Lie::claims(json!({ "exp": null }))),
        ("another's access token", Lie::claims(json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }))),
        ("no signature", Lie { alg: "none", ..good() }),
        ("a signature by our own secret", Lie { alg: "HS256", ..good() }),
        ("another key", Lie { foreign_key: true, ..good() }),
    ];
    for (what, lie) in lies {
        let refused = answered(&server, &liar, lie, &[]).await;
        let (status, cookies) = (refused.status(), refused.headers().get_all(header::SET_COOKIE));
        assert!(status.is_client_error() || status.is_server_error(), "{what}: {status}");
        for set in cookies {
            assert!(!set.to_str().unwrap().starts_with("session="), "{what} got in");
        }
    }
    for (what, change, status) in [
        ("another state", ("state", "another"), 422),
        ("no code", ("code", ""), 422),
        ("a wrong code", ("code", "bad"), 422),
        ("another answers", ("iss", "https://another.example"), 401),
        ("an error", ("error", "<b>server_error</b>"), 422),
    ] {
        let refused = answered(&server, &liar, good(), &[change]).await;
        assert_eq!(refused.status().as_u16(), status, "{what}");
        assert!(!refused.text().await.unwrap().contains("<b>server_error"), "{what}");
    }
    // An answer to somebody else's question.
    let (url, _) = asked(&server, "/login/oidc", &As::Nobody).await;
    let (_, own) = asked(&server, "/login/oidc", &As::Nobody).await;
    let back = format!("{PUBLIC}/login/oidc/callback?state={}&code=good", pairs(&url)["state"]);
    for cookies in [own.as_str(), "", "oidc=v1:AAAA"] {
        assert_eq!(came_back(&server, &back, cookies).await.status(), 422, "{cookies}");
    }
    let users = server.done_get("users").await;
    assert_eq!(users.as_array().unwrap().len(), 2, "the one who came rightly, and the first");
    // Failures count against the address.
    let mut last = 0;
    for _ in 0..20 {
        let refused = answered(&server, &liar, good(), &[("code", "bad")]).await;
        last = refused.status().as_u16();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    let log = server.place.log();
    for canary in [SECRET, "code=good", "access"] {
        assert!(!log.contains(canary), "{canary} is logged");
    }
}

#[tokio::test]
async fn a_service_out_of_reach_leaves_the_password() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = serve(&format!("http://127.0.0.1:{port}"), &[]).await;
    let reply = server.request(Method::GET, "/login/oidc", &As::Nobody).send().await.unwrap();
    assert_eq!(reply.status(), 502);
    assert!(reply.text().await.unwrap().contains("The other service cannot be asked"));
    server.login("admin", PASSWORD).await;

    let without = Place::new(&[("APP_ADMIN_PASS", PASSWORD)]).serve().await;
    let reply = without.request(Method::GET, "/login/oidc", &As::Nobody).send().await.unwrap();
    assert_eq!(reply.status(), 404);
    let page = without.request(Method::GET, "/login", &As::Nobody).send().await.unwrap();
    assert!(!page.text().await.unwrap().contains("/login/oidc"));
    let rules = ["user", "rules", "--only-admins-by-password", "true"];
    let refused = without.place.run(&rules);
    assert_eq!(refused.status.code(), Some(2), "nobody else could log in: {refused:?}");

    let half = Place::new(&[("OIDC_ISSUER", "https://login.example.com")]).run(&["serve"]);
    assert_eq!(half.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&half.stderr).contains("OIDC_CLIENT_ID"));
}

//! The second factor: set up, asked for, lost, and demanded of administrators.

use reqwest::{Method, Response, header};
use serde_json::{Value, json};

use crate::{
    server::{As, PASSWORD, Place, Server, cookie},
    totp::{base32, calm, code},
};

async fn login(server: &Server, user: &str, code: &str) -> Response {
    let body = json!({ "user": user, "password": PASSWORD, "code": code });
    server.send("POST", "session", &As::Nobody, Some(body)).await
}

async fn told(reply: Response) -> Value {
    serde_json::from_str(&reply.text().await.unwrap()).unwrap()
}

/// Sets it up; gives the secret and the recovery codes.
async fn enrol(server: &Server, by: &As) -> (String, Vec<String>) {
    calm().await;
    let begun =
        server.send("POST", "session/second-factor", by, Some(json!({ "password": PASSWORD })));
    let begun = begun.await;
    assert_eq!(begun.status(), 200);
    let secret = told(begun).await["secret"].as_str().unwrap().to_owned();
    let first = json!({ "code": code(&secret, -1) });
    let on = server.send("PUT", "session/second-factor", by, Some(first)).await;
    assert_eq!(on.status(), 200);
    let on = told(on).await;
    let codes = on["recovery_codes"].as_array().unwrap().iter();
    (secret, codes.map(|one| one.as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn a_second_factor_is_set_up_asked_for_and_ended() {
    let server = Place::new(&[]).serve().await;
    server.add_user("ana", "operator").await;
    let ana = server.login("ana", PASSWORD).await;
    let begin = async |password: &str| {
        let body = json!({ "password": password });
        server.send("POST", "session/second-factor", &ana, Some(body)).await
    };
    assert_eq!(begin("wrong wrong wrong").await.status(), 401);
    let first = json!({ "code": "123456" });
    let unasked = server.send("PUT", "session/second-factor", &ana, Some(first)).await;
    assert_eq!(unasked.status(), 409, "nothing was begun");
    let begun = told(begin(PASSWORD).await).await;
    assert!(
        begun["uri"].as_str().unwrap().starts_with("otpauth://totp/Backup%20Orchestrator:ana?")
    );
    server.login("ana", PASSWORD).await;

    let (secret, recovery) = enrol(&server, &ana).await;
    assert_ne!(begun["secret"], secret, "the one that waited is forgotten");
    assert_eq!(base32(&secret).len(), 20);
    let mut different = recovery.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 10);
    assert_eq!(begin(PASSWORD).await.status(), 409, "there is one already");

    let asked = server.try_login("ana", PASSWORD).await;
    assert_eq!(asked.status(), 401);
    assert!(asked.headers().get(header::SET_COOKIE).is_none());
    assert_eq!(told(asked).await["errors"][0]["field"], "code");
    assert_eq!(login(&server, "ana", &code(&secret, -1)).await.status(), 401, "used up already");
    let present = code(&secret, 0);
    assert_eq!(login(&server, "ana", &present).await.status(), 204);
    let again = login(&server, "ana", &present).await;
    assert_eq!(again.status(), 401, "a second time");
    assert!(told(again).await["detail"].as_str().unwrap().contains("used already"));
    let spaced = format!(" {} ", code(&secret, 1));
    assert_eq!(login(&server, "ana", &spaced).await.status(), 204);
    assert_eq!(login(&server, "ana", &present).await.status(), 401, "an older one");
    assert_eq!(login(&server, "ana", &recovery[0]).await.status(), 204);
    assert_eq!(login(&server, "ana", &recovery[0]).await.status(), 401, "a second time");
    let typed = recovery[1].to_uppercase().replace('-', " ");
    assert_eq!(login(&server, "ana", &typed).await.status(), 204);

    let users = server.done_get("users").await;
    let shown = users.as_array().unwrap().iter().find(|one| one["name"] == "ana").unwrap();
    assert_eq!(shown["second_factor"], true);
    let catalog: Vec<u8> = ["catalog.sqlite", "catalog.sqlite-wal"]
        .iter()
        .flat_map(|name| std::fs::read(server.place.data().join(name)).unwrap_or_default())
        .collect();
    let holds = |text: &str| catalog.windows(text.len()).any(|some| some == text.as_bytes());
    assert!(holds("recovery_sha256"), "this is not where it is kept");
    let plain = recovery[2].replace('-', "");
    for canary in [secret.as_str(), &hex::encode(base32(&secret)), &recovery[2], &plain] {
        assert!(!users.to_string().contains(canary) && !holds(canary), "{canary} is kept as it is");
        assert!(!server.place.log().contains(canary), "{canary} is logged");
    }

    let end = async |password: &str, code: &str| {
        let body = json!({ "password": password, "code": code });
        server.send("POST", "session/second-factor/end", &ana, Some(body)).await.status()
    };
    assert_eq!(end("wrong wrong wrong", &recovery[2]).await, 401);
    assert_eq!(end(PASSWORD, &recovery[0]).await, 401);
    assert_eq!(end(PASSWORD, &recovery[2]).await, 204);
    assert_eq!(end(PASSWORD, &recovery[3]).await, 409);
    server.login("ana", PASSWORD).await;
    let nobody = json!({ "password": PASSWORD });
    let nobody = server.send("POST", "session/second-factor", &server.local(), Some(nobody)).await;
    assert_eq!(nobody.status(), 403, "a program has none");

    let log = server.done_get("audit?limit=500&who=ana").await;
    let deeds: Vec<_> =
        log.as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    for deed in ["user.second-factor.on", "user.second-factor.off", "login.failed", "login"] {
        assert!(deeds.contains(&deed), "{deed}: {deeds:?}");
    }
    assert!(log.to_string().contains("by a recovery code, 9 left"), "{log}");
}

#[tokio::test]
async fn a_known_password_does_not_buy_guesses() {
    let server = Place::new(&[]).serve().await;
    server.add_user("ana", "viewer").await;
    let ana = server.login("ana", PASSWORD).await;
    let (secret, recovery) = enrol(&server, &ana).await;
    for guess in 0..5 {
        // Between the guesses the password alone, here and on the way to a change.
        assert_eq!(server.try_login("ana", PASSWORD).await.status(), 401);
        let proof = json!({ "password": PASSWORD });
        let begun = server.send("POST", "session/second-factor", &ana, Some(proof)).await;
        assert_eq!(begun.status(), 409);
        let wrong = if guess % 2 == 0 { "aaaa-bbbb-cccc-dddd" } else { "12345" };
        assert_eq!(login(&server, "ana", wrong).await.status(), 401);
    }
    for right in [&code(&secret, 0), &recovery[0]] {
        let refused = login(&server, "ana", right).await;
        assert_eq!(refused.status(), 429);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
    }
    let end = json!({ "password": PASSWORD, "code": recovery[0] });
    let end = server.send("POST", "session/second-factor/end", &ana, Some(end)).await;
    assert_eq!(end.status(), 429);
}

/// Sends a form as a browser with these cookies.
async fn form(server: &Server, path: &str, cookies: &str, pairs: &[(&str, &str)]) -> Response {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    server
        .request(Method::POST, path, &As::Browser(cookies.to_owned()))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap()
}

fn to(reply: &Response) -> &str {
    reply.headers()[header::LOCATION].to_str().unwrap()
}

#[tokio::test]
async fn the_second_page_asks_for_the_code() {
    let server = Place::new(&[]).serve().await;
    server.add_user("ana", "viewer").await;
    let ana = server.login("ana", PASSWORD).await;
    let (secret, recovery) = enrol(&server, &ana).await;

    let first = [("user", "ana"), ("password", PASSWORD), ("next", "/runs?app=x")];
    let half = form(&server, "/login", "", &first).await;
    assert_eq!(half.status(), 303);
    assert_eq!(to(&half), "/login/code?next=%2Fruns%3Fapp%3Dx");
    let set = half.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(set.starts_with("login=") && set.contains("Max-Age=300"), "{set}");
    assert!(set.contains("HttpOnly; SameSite=Strict"), "{set}");
    let half = cookie(&half);
    assert_eq!(server.get("session", &As::Browser(half.clone())).await, 401, "not a session");
    assert_eq!(server.get("session", &As::Browser(half.replace("login=", "session="))).await, 401);

    let page = server.request(Method::GET, "/login/code?next=/runs", &As::Browser(half.clone()));
    let page = page.send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("name=\"code\"") && page.contains("value=\"/runs\""), "{page}");
    let present = code(&secret, 0);
    let answer = [("code", present.as_str()), ("next", "/runs?app=x")];
    let elsewhere = form(&server, "/login/code", "", &answer).await;
    assert_eq!((elsewhere.status().as_u16(), to(&elsewhere)), (303, "/login"), "another browser");
    let wrong = form(&server, "/login/code", &half, &[("code", "000")]).await;
    assert_eq!(wrong.status(), 401);
    assert!(wrong.text().await.unwrap().contains("The code is wrong"));
    let mut bent = half.clone();
    bent.pop();
    let bent = form(&server, "/login/code", &bent, &answer).await;
    assert_eq!(bent.status(), 401);
    assert!(bent.text().await.unwrap().contains("Too much time has passed"));

    let done = form(&server, "/login/code", &half, &answer).await;
    assert_eq!((done.status().as_u16(), to(&done)), (303, "/runs?app=x"));
    let set: Vec<_> = done.headers().get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(set.len(), 2, "the session comes, the half login goes");
    assert!(set[1].to_str().unwrap().starts_with("login=; Path=/; Max-Age=0"));
    assert_eq!(server.get("session", &As::Browser(cookie(&done))).await, 200);
    assert_eq!(form(&server, "/login/code", &half, &answer).await.status(), 401, "a second time");
    // A changed password ends what the one before began.
    server.done("PUT", "users/ana", json!({ "password": "another horse battery" })).await;
    let late = form(&server, "/login/code", &half, &[("code", &recovery[0])]).await;
    assert_eq!(late.status(), 401);
}

#[tokio::test]
async fn the_account_page_sets_it_up() {
    let server = Place::new(&[]).serve().await;
    server.add_user("ana", "viewer").await;
    let As::Browser(ana) = server.login("ana", PASSWORD).await else { unreachable!() };
    let shown = server.send("GET", "session", &As::Browser(ana.clone()), None).await;
    let csrf = told(shown).await["csrf"].as_str().unwrap().to_owned();
    let change = async |pairs: &[(&str, &str)]| {
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(pairs);
        let reply = form(&server, "/account/second-factor", &ana, &all).await;
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    let (status, page) = change(&[("action", "begin"), ("password", "wrong")]).await;
    assert_eq!(status, 422);
    assert!(page.contains("The present password is wrong."), "{page}");
    calm().await;
    let (status, page) = change(&[("action", "begin"), ("password", PASSWORD)]).await;
    assert_eq!(status, 200);
    assert!(page.contains("<svg class=\"qr\" viewBox=\"0 0 ") && page.contains("fill=\"#000\""));
    let secret = |page: &str| {
        let box_at = page.split("class=\"cli-box\"><code>").nth(1).unwrap();
        box_at.split('<').next().unwrap().to_owned()
    };
    let own = secret(&page);
    let (status, page) = change(&[("action", "confirm"), ("code", "1")]).await;
    assert_eq!(status, 422);
    assert_eq!(secret(&page), own, "the picture is there again");
    let (status, page) = change(&[("action", "confirm"), ("code", &code(&own, 0))]).await;
    assert_eq!(status, 200);
    let codes = page.split("<li><code>").count() - 1;
    assert_eq!(codes, 10);
    let page = server.request(Method::GET, "/account", &As::Browser(ana.clone()));
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("10 recovery codes are left."), "{page}");
    assert!(!page.contains(&own) && !page.contains("<li><code>"), "shown once");
    let last = [("action", "end"), ("password", PASSWORD), ("code", &code(&own, 1))];
    let (status, _) = change(&last).await;
    assert_eq!(status, 303);
    server.login("ana", PASSWORD).await;
}

#[tokio::test]
async fn administrators_may_be_told_to_have_one() {
    let server = Place::new(&[("APP_ADMIN_PASS", PASSWORD)]).serve().await;
    let admin = server.login("admin", PASSWORD).await;
    let rules = json!({ "admins_need_second_factor": true });
    let refused = server.send("PUT", "login-rules", &admin, Some(rules.clone())).await;
    assert_eq!(refused.status(), 422, "nobody shuts themselves out");
    let words = ["user", "rules", "--admins-need-second-factor", "true", "--json"];
    let done = server.place.run(&words);
    assert!(done.status.success(), "{done:?}");
    server.add_user("bo", "operator").await;
    let bo = server.login("bo", PASSWORD).await;
    assert_eq!(server.get("apps", &bo).await, 200, "no administrator");

    for admin in [admin.clone(), server.login("admin", PASSWORD).await] {
        let apps = server.send("GET", "apps", &admin, None).await;
        assert_eq!(apps.status(), 403);
        assert!(apps.text().await.unwrap().contains("second factor"));
        for path in ["/", "/settings/users", "/runs/01jd5k3m9x0000000000000000"] {
            let page = server.request(Method::GET, path, &admin).send().await.unwrap();
            assert_eq!((page.status().as_u16(), to(&page)), (303, "/account"), "{path}");
        }
    }
    let page = server.request(Method::GET, "/account", &admin).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("Administrators need a second factor here."));
    let shown = told(server.send("GET", "session", &admin, None).await).await;
    assert_eq!(shown["needs_second_factor"], true);
    assert_eq!(shown["permissions"], json!(["follow"]));
    enrol(&server, &admin).await;
    assert_eq!(server.get("apps", &admin).await, 200, "from the next request on");

    // The phone and the codes are lost: another way in, and it begins anew.
    let done = server.place.run(&["user", "totp-reset", "admin"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(server.get("apps", &admin).await, 401, "its logins ended");
    let admin = server.login("admin", PASSWORD).await;
    assert_eq!(server.get("apps", &admin).await, 403);
    let log = server.done_get("audit?limit=50").await;
    let deed = |action: &str| log.as_array().unwrap().iter().any(|one| one["action"] == action);
    assert!(deed("login.rules") && deed("user.second-factor.reset"), "{log}");
}

//! Every page, by everybody.

use model::Permission;
use reqwest::header;
use serde_json::Value;
use strum::IntoEnumIterator as _;

use crate::{
    roles::{concrete, everybody},
    server::{As, Place, Server},
};

/// A row of the pages' own table.
pub(crate) struct Page {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    permission: Permission,
}

/// The table, read from its source: a program has no inside for its tests.
pub(crate) fn table() -> Vec<Page> {
    let source = include_str!("../../src/web/guard.rs");
    let table = source.split("const ROUTES").nth(1).unwrap().split("\n];").next().unwrap();
    let rows: Vec<_> = table.split("look(").flat_map(|part| part.split("act(")).skip(1).collect();
    let page = |row: &&'static str| {
        let texts: Vec<&'static str> = row.split('"').skip(1).step_by(2).collect();
        let (method, path) =
            if texts[0].starts_with('/') { ("GET", texts[0]) } else { (texts[0], texts[1]) };
        let rest = row.split(path).last().unwrap();
        let named = |one: &Permission| {
            rest.split([',', ')', ' ', '"']).any(|word| word == format!("{one:?}"))
        };
        let permission = Permission::iter().find(named).unwrap();
        Page { method, path, permission }
    };
    rows.iter().map(page).collect()
}

/// The text that a session's forms carry.
async fn csrf(server: &Server, by: &As) -> String {
    let shown = server.send("GET", "session", by, None).await.text().await.unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
    shown["csrf"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn each_page_lets_in_whom_it_should() {
    let server = Place::new(&[]).serve().await;
    let mut wrong = Vec::new();
    for (name, by, allowed) in everybody(&server).await {
        let csrf = csrf(&server, &by).await;
        for page in table() {
            let is_post = page.method == "POST";
            // Leaving would end the test; a token has no forms.
            if page.path == "/logout" || is_post && allowed.is_some() && csrf.is_empty() {
                continue;
            }
            let mut request =
                server.request(page.method.parse().unwrap(), &concrete(page.path), &by);
            if is_post {
                request = request
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(format!("csrf={csrf}"));
            }
            let reply = request.send().await.unwrap();
            let status = reply.status().as_u16();
            let to = reply.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let to_login = to.is_some_and(|to| to.starts_with("/login"));
            let right = match allowed {
                None => status == 303 && to_login,
                Some(some) if some.contains(&page.permission) => {
                    !to_login && !matches!(status, 401 | 403 | 405 | 500..)
                }
                Some(_) => status == 403,
            };
            if !right {
                wrong.push(format!("{} {} as {name}: {status} {to:?}", page.method, page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_form_without_its_sessions_text_is_refused() {
    let server = Place::new(&[]).serve().await;
    server.add_user("ana", "admin").await;
    let by = server.login("ana", crate::server::PASSWORD).await;
    for body in ["", "csrf=", "csrf=0123"] {
        let request = server.request(reqwest::Method::POST, "/new/app", &by);
        let request =
            request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        assert_eq!(request.send().await.unwrap().status(), 403, "{body}");
    }
}

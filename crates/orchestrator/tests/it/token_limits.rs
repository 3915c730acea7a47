//! Tokens for some apps alone: every route, with what is theirs and what is another's.

use model::Permission::{self, Download, Follow, Operate, Run, See};
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    page_roles,
    permissions::ROUTES,
    road::ended,
    server::{As, Place, Server},
};

/// An app with a run and a snapshot.
struct Furnished {
    app: String,
    run: String,
    snapshot: String,
}

impl Furnished {
    async fn new(server: &Server, app: &App, name: &str) -> Self {
        let draft = json!({
            "name": name, "url": app.url(), "token": TOKEN,
            "destinations": [{ "destination": "disk", "folder": name }],
        });
        server.done("POST", "apps", draft).await;
        let run = server.done("POST", &format!("apps/{name}/run"), json!({})).await;
        let run = ended(server, run["id"].as_str().unwrap()).await;
        assert_eq!(run["state"], "succeeded", "{run}");
        let word = |of: &str| run[of].as_str().unwrap().to_owned();
        Self { app: name.to_owned(), run: word("id"), snapshot: word("snapshot_id") }
    }

    /// A route's path with these names in it; whether it names one of them.
    fn path(&self, route: &str) -> (String, bool) {
        let filled = route
            .replace("{app}", &self.app)
            .replace("{run}", &self.run)
            .replace("{snapshot}", &self.snapshot);
        let names = filled != route;
        let parts: Vec<_> = filled
            .split('/')
            .map(|part| if part.starts_with('{') { "shop" } else { part })
            .collect();
        (parts.join("/"), names)
    }
}

async fn two(server: &Server, app: &App) -> [Furnished; 2] {
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    [Furnished::new(server, app, "shop").await, Furnished::new(server, app, "other").await]
}

async fn limited(server: &Server, scope: &str) -> As {
    let draft = json!({ "name": format!("for-{scope}"), "scopes": [scope], "apps": ["SHOP"] });
    let made = server.done("POST", "tokens", draft).await;
    assert_eq!(made["apps"], json!(["shop"]), "{made}");
    As::Token(made["secret"].as_str().unwrap().to_owned())
}

const SCOPES: [(&str, &[Permission]); 4] = [
    ("read", &[Follow, See]),
    ("run", &[Follow, See, Run, Operate]),
    ("restore", &[Follow, See, Download]),
    ("append", &[Follow, Run]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_lets_a_limited_token_at_its_own_app_only() {
    let app = App::serve(20_000).await;
    let server = Place::new(&[]).serve().await;
    let [shop, other] = two(&server, &app).await;
    let mut wrong = Vec::new();
    let mut let_in = 0;
    for (scope, allowed) in SCOPES {
        let by = limited(&server, scope).await;
        for route in ROUTES {
            let body = (route.method != "GET").then(|| json!({}));
            for (whose, is_own) in [(&shop, true), (&other, false)] {
                let (path, names) = whose.path(route.path.strip_prefix("/api/v1/").unwrap());
                let request = server
                    .request(route.method.parse().unwrap(), &format!("/api/v1/{path}"), &by)
                    .timeout(std::time::Duration::from_secs(60));
                let request = match &body {
                    Some(body) => request.json(body),
                    None => request,
                };
                let reply = request.send().await.unwrap();
                let status = reply.status().as_u16();
                let may = is_own && names && allowed.contains(&route.permission);
                let right = if may { !matches!(status, 401 | 403 | 405) } else { status == 403 };
                let_in += usize::from(may);
                if !right {
                    wrong.push(format!("{} {path} by {scope}: {status}", route.method));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(let_in > 40, "{let_in}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_lists_and_what_is_gone_are_limited_too() {
    let app = App::serve(20_000).await;
    let server = Place::new(&[]).serve().await;
    let [shop, other] = two(&server, &app).await;
    let by = limited(&server, "read").await;
    for page in page_roles::table().iter().filter(|page| page.method == "GET") {
        let (path, _) = other.path(page.path);
        let reply = server.request(reqwest::Method::GET, &path, &by).send().await.unwrap();
        assert_eq!(reply.status(), 403, "{path}");
    }
    let own = server.request(reqwest::Method::GET, "/apps/shop", &by).send().await.unwrap();
    assert_eq!(own.status(), 200);

    for (path, status) in [
        ("runs?app=shop", 200),
        ("runs?app=other", 403),
        ("runs", 403),
        ("runs?app=shop&app=other", 403),
        ("events?app=shop", 200),
        ("events", 403),
        ("apps/nothing", 403),
        ("runs/01jd5k3m9x0000000000000000", 403),
        ("runs/nonsense", 403),
        ("overview", 403),
    ] {
        assert_eq!(server.get(path, &by).await, status, "{path}");
    }
    // A difference cannot lead to another app.
    let restore = limited(&server, "restore").await;
    let diff = format!("snapshots/{}/diff?from={}", shop.snapshot, other.snapshot);
    assert_eq!(server.get(&diff, &restore).await, 422);
    // An app of the same name that comes later is another.
    server.done("DELETE", "apps/shop", Value::Null).await;
    assert_eq!(server.get("apps/shop", &by).await, 403);
    Furnished::new(&server, &app, "shop").await;
    assert_eq!(server.get("apps/shop", &by).await, 403);
    let listed = server.done_get("tokens").await;
    let of_read = listed.as_array().unwrap().iter().find(|one| one["name"] == "for-read").unwrap();
    assert_ne!(of_read["apps"], json!(["shop"]));
    assert_eq!(of_read["apps"].as_array().unwrap().len(), 1, "it is for nothing, not for all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_end_by_the_servers_clock_and_show_their_last_use() {
    let app = App::serve(20_000).await;
    let server = Place::new(&[]).serve().await;
    two(&server, &app).await;
    let words = [
        "token",
        "create",
        "deploy",
        "--scope",
        "append",
        "--app",
        "shop,other",
        "--expires",
        "90d",
        "--json",
    ];
    let made = server.place.run(&words);
    assert!(made.status.success(), "{made:?}");
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(made["apps"].as_array().unwrap().len(), 2);
    let moment = |of: &str| made[of].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let length = moment("expires_at").duration_since(moment("created_at"));
    assert_eq!(length.as_hours(), 90 * 24);
    assert_eq!(made["last_used_at"], Value::Null);
    let by = As::Token(made["secret"].as_str().unwrap().to_owned());
    let run = server.send("POST", "apps/shop/run", &by, Some(json!({}))).await;
    assert_eq!(run.status(), 202);
    let all = server.send("POST", "run-all", &by, Some(json!({}))).await;
    assert_eq!(all.status(), 403);
    let listed = server.done_get("tokens").await;
    assert!(listed[0]["last_used_at"].is_string(), "{listed}");
    let told = server.place.run(&["token", "list"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("LAST USED") && told.contains("shop"), "{told}");

    for (draft, field) in [
        (json!({ "scopes": ["admin"], "apps": ["shop"] }), "apps"),
        (json!({ "scopes": ["read"], "apps": ["nothing"] }), "apps[0]"),
        (json!({ "scopes": ["read"], "expires_in": "soon" }), "expires_in"),
        (json!({ "scopes": ["read"], "expires_in": "0d" }), "expires_in"),
    ] {
        let mut draft = draft;
        draft["name"] = "wrong".into();
        let refused = server.send("POST", "tokens", &server.local(), Some(draft.clone())).await;
        assert_eq!(refused.status(), 422, "{draft}");
        let refused: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
}

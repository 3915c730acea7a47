//! What the server answers is what its description says.

use std::time::Duration;

use reqwest::header;
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    permissions::ROUTES,
    road::ended,
    server::{As, PASSWORD, Place, Server},
};

/// The description, with every object closed: a member that it does not tell is an error.
pub(crate) async fn description(server: &Server) -> Value {
    let mut document = server.done_get("openapi.json").await;
    close(&mut document["components"]["schemas"]);
    document
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("properties").is_some_and(Value::is_object)
                && !members.contains_key("additionalProperties")
            {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(members) => members.iter_mut().for_each(close),
        _ => {}
    }
}

/// What is wrong with a reply.
pub(crate) fn faults(document: &Value, schema: &Value, reply: &Value) -> Vec<String> {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let validator =
        jsonschema::draft202012::options().should_validate_formats(true).build(&whole).unwrap();
    validator
        .iter_errors(reply)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

pub(crate) fn schema<'a>(document: &'a Value, method: &str, path: &str, status: &str) -> &'a Value {
    let one = &document["paths"][path][method.to_ascii_lowercase()];
    let answer = &one["responses"][status];
    assert!(!answer.is_null(), "{method} {path} answers {status}, which is not told");
    let content = &answer["content"];
    let media = if content["application/json"].is_null() { "problem+json" } else { "json" };
    &content[format!("application/{media}")]["schema"]
}

/// Sends what is told and looks whether the answer is as told, too.
struct Asker<'a> {
    server: &'a Server,
    document: Value,
    faults: Vec<String>,
}

impl Asker<'_> {
    async fn ask(&mut self, method: &str, path: &str, filled: &str, body: Option<Value>) -> Value {
        let reply = self.server.send(method, filled, &self.server.local(), body).await;
        let status = reply.status().as_u16().to_string();
        let text = reply.text().await.unwrap();
        let about = format!("{method} {path}: {status}");
        let schema = schema(&self.document, method, path, &status);
        if schema.is_null() {
            assert_eq!(text, "", "{about}");
            return Value::Null;
        }
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{about} {text}"));
        let found = faults(&self.document, schema, &value);
        // The check is able to fail: a member that nobody told is seen.
        if value.is_object() && schema["$ref"].is_string() {
            let mut more = value.clone();
            more["untold"] = true.into();
            assert!(!faults(&self.document, schema, &more).is_empty(), "{about}");
        }
        self.faults.extend(found.into_iter().map(|fault| format!("{about}: {fault}")));
        value
    }

    /// What must succeed.
    async fn done(&mut self, method: &str, path: &str, filled: &str, body: Value) -> Value {
        let value = self.ask(method, path, filled, Some(body)).await;
        assert!(value["detail"].is_null(), "{method} {path}: {value}");
        value
    }
}

/// A server with something of everything.
async fn furnished(asker: &mut Asker<'_>, app: &App) -> (String, String) {
    let server = asker.server;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    asker.done("POST", "/api/v1/destinations", "destinations", disk).await;
    let vault = server.place.folder.path().join("vault");
    let settings = json!({ "path": vault, "layout": "repository" });
    let vault = json!({ "name": "vault", "kind": "local", "settings": settings });
    let vault = asker.done("POST", "/api/v1/destinations", "destinations", vault).await;
    assert!(vault["generated_password"].as_str().is_some_and(|word| word.len() >= 32));
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{
            "destination": "disk", "folder": "apps", "template": "{app}-{YYYYMMDD_HHMMSS}-{run}",
            "retention": { "keep_last": 1, "keep_within": "30d" },
        }],
        "schedule": { "spec": "@every 4h", "time_zone": "Europe/Madrid" },
        "retention": { "keep_daily": 7 },
        "limits": { "retries": 0 },
    });
    asker.done("POST", "/api/v1/connection/test", "connection/test", draft.clone()).await;
    let shown = asker.done("POST", "/api/v1/apps", "apps", draft.clone()).await;
    let mut edit = draft;
    edit["version"] = shown["version"].clone();
    asker.done("PUT", "/api/v1/apps/{app}", "apps/shop", edit).await;
    let request = json!({ "label": "before", "git_commit": "0123abc", "kind": "pre-deploy" });
    let mut last = (String::new(), String::new());
    for _ in 0..2 {
        let run = "/api/v1/apps/{app}/run";
        let run = asker.done("POST", run, "apps/shop/run", request.clone()).await;
        let run = ended(server, run["id"].as_str().unwrap()).await;
        assert_eq!(run["state"], "succeeded", "{run}");
        let word = |name: &str| run[name].as_str().unwrap().to_owned();
        last = (word("id"), word("snapshot_id"));
    }
    let channel = json!({ "name": "ops", "kind": "ntfy", "settings": { "topic": "backups" } });
    asker.done("POST", "/api/v1/alert-channels", "alert-channels", channel).await;
    let route = json!({ "name": "all", "channels": ["ops"], "apps": ["shop"], "least": "error" });
    asker.done("POST", "/api/v1/alert-routes", "alert-routes", route).await;
    // One that fails: the app is not there any more.
    let gone = json!({
        "name": "gone", "url": "http://127.0.0.1:9", "token": TOKEN,
        "destinations": [{ "destination": "disk", "folder": "gone" }], "limits": { "retries": 0 },
    });
    asker.done("POST", "/api/v1/apps", "apps", gone).await;
    let path = "/api/v1/apps/{app}/run";
    let run = asker.done("POST", path, "apps/gone/run", json!({})).await;
    let run = ended(server, run["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "failed", "{run}");
    server.add_user("ana", "viewer").await;
    server.login("ana", PASSWORD).await;
    let token = json!({ "name": "ci", "scopes": ["run"], "expires_at": "2999-01-01T00:00:00Z" });
    asker.done("POST", "/api/v1/tokens", "tokens", token).await;
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_the_description_tells() {
    let app = App::serve(50_000).await;
    let server = Place::new(&[]).serve().await;
    let document = description(&server).await;
    let mut asker = Asker { server: &server, document, faults: Vec::new() };
    let (run, snapshot) = furnished(&mut asker, &app).await;
    let fill = |path: &str| {
        path.trim_start_matches("/api/v1/")
            .replace("{app}", "shop")
            .replace("{destination}/repository", "vault/repository")
            .replace("{destination}", "disk")
            .replace("{run}", &run)
            .replace("{snapshot}", &snapshot)
            .replace("{source}", "shop")
            .replace("{user}", "ana")
            .replace("{channel}", "ops")
            .replace("{route}", "all")
            .replace("{token}", "ci")
    };
    // What looks, and what leaves everything as it is or nearly so.
    for (path, body) in [
        ("/api/v1/schedule/next", json!({ "spec": "daily", "time_zone": "", "count": 3 })),
        ("/api/v1/apps/{app}/doctor", json!({})),
        ("/api/v1/destinations/{destination}/test", json!({})),
        ("/api/v1/destinations/{destination}/verify", json!({})),
        ("/api/v1/destinations/{destination}/repository/check", json!({ "read_data": true })),
        ("/api/v1/destinations/{destination}/repository/prune", json!({})),
        ("/api/v1/destinations/{destination}/repository/copy", json!({ "to": "disk" })),
        ("/api/v1/destinations/{destination}/repository/unlock", json!({})),
        ("/api/v1/destinations/{destination}/repository/keys", json!({})),
        ("/api/v1/destinations/{destination}/repository/rotate", json!({})),
        ("/api/v1/snapshots/{snapshot}/verify", json!({})),
        ("/api/v1/snapshots/{snapshot}/copy", json!({ "destination": "disk" })),
        ("/api/v1/snapshots/{snapshot}/pin", json!({})),
        ("/api/v1/snapshots/{snapshot}/accept", json!({})),
        ("/api/v1/apps/{app}/expire", json!({})),
        ("/api/v1/runs/{run}/cancel", json!({})),
        ("/api/v1/apps/{app}/enabled", json!({ "enabled": false })),
    ] {
        asker.done("POST", path, &fill(path), body).await;
    }
    asker.done("PUT", "/api/v1/users/{user}", "users/ana", json!({ "role": "operator" })).await;
    let mut looked = 0;
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        // Streams, and what takes an archive to answer.
        let others =
            ["/events", "/{source}", "/{name}", "/report", "/browse", "/search", "/file", "/diff"];
        let is_stream =
            others.iter().any(|end| route.path.ends_with(end)) && route.path.contains('{');
        if is_stream || route.path == "/api/v1/audit.csv" {
            continue;
        }
        let value = asker.done("GET", route.path, &fill(route.path), Value::Null).await;
        // There is no Docker here, a program has no logins, and alerts come when they come.
        let may_be_empty = [
            "/api/v1/account/sessions",
            "/api/v1/alert-messages",
            "/api/v1/alerts",
            "/api/v1/coverage",
        ]
        .contains(&route.path);
        let is_empty = value.as_array().is_some_and(Vec::is_empty);
        assert!(may_be_empty || !is_empty, "{} is empty", route.path);
        looked += 1;
    }
    assert!(looked > 15, "{looked}");
    let path = "/api/v1/snapshots/{snapshot}/preflight";
    asker.done("POST", path, &fill(path), json!({ "to": "app" })).await;
    let path = "/api/v1/snapshots/{snapshot}/drill";
    let drill = asker.done("POST", path, &fill(path), json!({})).await;
    let drill = drill["id"].as_str().unwrap();
    ended(&server, drill).await;
    // Its tag stands beside what the component tells, which would not fit were it closed.
    let mut report = server.done_get(&format!("runs/{drill}/report")).await;
    assert_eq!(report.as_object_mut().unwrap().remove("of"), Some(json!("drill")));
    let schema = json!({ "$ref": "#/components/schemas/DrillReport" });
    assert_eq!(faults(&asker.document, &schema, &report), [""; 0]);
    asker.ask("GET", "/api/v1/session", "session", None).await;
    // Refusals are as told as well.
    for (method, path, filled, body) in [
        ("GET", "/api/v1/apps/{app}", "apps/none", None),
        ("GET", "/api/v1/runs", "runs?limit=-1", None),
        ("POST", "/api/v1/apps", "apps", Some(json!({ "name": "../x" }))),
        ("POST", "/api/v1/destinations", "destinations", Some(json!({ "name": "disk" }))),
        ("DELETE", "/api/v1/destinations/{destination}", "destinations/disk", None),
        ("POST", "/api/v1/schedule/next", "schedule/next", Some(json!({ "spec": "now" }))),
    ] {
        let problem = asker.ask(method, path, filled, body).await;
        assert!(problem["status"].as_u64().unwrap() >= 400, "{method} {filled}: {problem}");
    }
    for (path, name) in [("/api/v1/tokens/{token}", "ci"), ("/api/v1/users/{user}", "ana")] {
        let filled = path.trim_start_matches("/api/v1/").split('{').next().unwrap();
        asker.ask("DELETE", path, &format!("{filled}{name}"), None).await;
    }
    assert!(asker.faults.is_empty(), "{}", asker.faults.join("\n"));
}

#[tokio::test]
async fn the_description_is_for_who_may_look() {
    let server = Place::new(&[]).serve().await;
    assert_eq!(server.get("openapi.json", &As::Nobody).await, 401);
    server.add_user("ana", "viewer").await;
    let by = server.login("ana", PASSWORD).await;
    let reply = server.send("GET", "openapi.json", &by, None).await;
    assert_eq!(reply.headers()[header::CONTENT_TYPE], "application/json");
    let document: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    // The page is made of it.
    let page = server.request(reqwest::Method::GET, "/api", &by).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("/api/v1/snapshots/{snapshot}/pin") && page.contains("Register an app"));
    assert!(page.contains("&#34;version&#34;: integer"), "no body of an edit");
}

/// Events of a stream: name, id, data.
fn events(text: &str) -> Vec<(String, Option<String>, Value)> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.map(str::to_owned)
    };
    text.split("\n\n")
        .filter_map(|block| {
            let data = serde_json::from_str(&field(block, "data")?).unwrap();
            Some((field(block, "event")?, field(block, "id"), data))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_followed_to_its_end_and_from_where_one_was() {
    let app = App::serve(50_000).await;
    app.pause(Duration::from_millis(60));
    let server = Place::new(&[]).serve().await;
    let mut document = description(&server).await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    let destinations = json!([{ "destination": "disk" }]);
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN, "destinations": destinations,
    });
    server.done("POST", "apps", draft).await;
    let run = server.done("POST", "apps/shop/run", json!({})).await;
    let path = format!("/api/v1/runs/{}/events", run["id"].as_str().unwrap());
    let follow = || server.request(reqwest::Method::GET, &path, &server.local());
    let reply = follow().send().await.unwrap();
    assert_eq!(reply.headers()[header::CONTENT_TYPE], "text/event-stream");
    let all = events(&reply.text().await.unwrap());
    let logs: Vec<_> = all.iter().filter(|(name, ..)| name == "log").collect();
    assert!(logs.len() > 2, "{all:?}");
    for (at, (_, id, line)) in logs.iter().enumerate() {
        assert_eq!(line["seq"], at + 1);
        assert_eq!(id.as_deref(), Some(line["seq"].to_string().as_str()));
    }
    assert!(all.iter().any(|(name, _, data)| name == "progress" && data["run"]["id"] == run["id"]));
    let (name, _, end) = all.last().unwrap();
    assert_eq!((name.as_str(), &end["run"]["state"]), ("end", &json!("succeeded")));
    let component = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    close(&mut document["components"]["schemas"]);
    for (name, _, data) in &all {
        let schema = component(if name == "log" { "LogLine" } else { "RunDetail" });
        assert_eq!(faults(&document, &schema, data), Vec::<String>::new(), "{data}");
    }
    // Who was cut off goes on where they were.
    let reply = follow().header("last-event-id", "2").send().await.unwrap();
    let again = events(&reply.text().await.unwrap());
    assert_eq!(again[0].1.as_deref(), Some("3"));
    assert_eq!(again.len(), logs.len() - 2 + 1);
    let reply = follow().header("last-event-id", i64::MAX).send().await.unwrap();
    let again = events(&reply.text().await.unwrap());
    assert_eq!(again.len(), 1, "{again:?}");
    let reply = follow().header("last-event-id", "rubbish").send().await.unwrap();
    assert!(events(&reply.text().await.unwrap()).len() > logs.len());
}

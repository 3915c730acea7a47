//! The audit log: filtered, by pages, as a table that no spreadsheet runs.

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::server::{As, PASSWORD, Place, Server};

async fn page(server: &Server, by: &As, path: &str) -> String {
    let reply = server.request(Method::GET, path, by).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{path}");
    reply.text().await.unwrap()
}

fn deeds(entries: &Value) -> Vec<(&str, &str)> {
    entries
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["action"].as_str().unwrap(), one["target"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_did_what_is_filtered_and_downloaded() {
    let server = Place::new(&[("APP_ADMIN_PASS", PASSWORD), ("TZ", "UTC")]).serve().await;
    server.try_login("=1+1", "nonsense").await;
    let by = server.login("admin", PASSWORD).await;
    for name in ["one", "two"] {
        let token = json!({ "name": name, "scopes": ["read"] });
        assert!(server.send("POST", "tokens", &by, Some(token)).await.status().is_success());
    }
    server.send("DELETE", "tokens/two", &by, None).await;
    server.add_user("ana", "viewer").await;

    let found = server.done_get("audit?action=token").await;
    assert_eq!(
        deeds(&found),
        [("token.revoke", "two"), ("token.create", "two"), ("token.create", "one")]
    );
    let found = server.done_get("audit?action=token.create&who=admin&limit=1&offset=1").await;
    assert_eq!(deeds(&found), [("token.create", "one")]);
    let found = server.done_get("audit?who=this%20machine&action=user.add").await;
    assert!(deeds(&found).contains(&("user.add", "ana")), "{found}");
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let whole = server.done_get(&format!("audit?from={today}&to={today}")).await;
    assert_eq!(
        whole.as_array().unwrap().len(),
        server.done_get("audit").await.as_array().unwrap().len()
    );
    assert_eq!(server.done_get("audit?to=2026-01-01").await, json!([]));
    assert_eq!(server.done_get("audit?from=2199-01-01T00:00:00Z").await, json!([]));
    for (query, status) in [("from=soon", 422), ("to=2026-13-01", 422), ("whom=x", 400)] {
        assert_eq!(server.get(&format!("audit?{query}"), &by).await, status, "{query}");
    }

    let reply = server.send("GET", "audit.csv", &by, None).await;
    assert_eq!(reply.headers()[header::CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    let table = reply.text().await.unwrap();
    let lines: Vec<_> = table.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "at,who,from,action,target,detail");
    assert_eq!(lines.len() - 1, server.done_get("audit?limit=500").await.as_array().unwrap().len());
    assert!(table.contains("\"login.failed\"") && !table.contains("=1+1"), "{table}");
    let some = server.send("GET", "audit.csv?action=token.revoke", &by, None).await;
    assert_eq!(some.text().await.unwrap().lines().count(), 2);
    let viewer = server.login("ana", PASSWORD).await;
    for path in ["audit", "audit.csv"] {
        assert_eq!(server.get(path, &viewer).await, 403, "{path}");
    }

    let place = &server.place;
    let told = place.run(&["audit", "--action", "token", "--who", "admin", "--from", &today]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.lines().count(), 1 + 3, "{told}");
    let made = place.run(&["audit", "--csv", "--action", "token.revoke"]);
    assert_eq!(String::from_utf8(made.stdout).unwrap().lines().count(), 2);
    let wrong = place.run(&["audit", "--from", "soon"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("from: write a day"), "{wrong:?}");

    let shown = page(&server, &by, "/settings/audit?action=token&who=admin").await;
    assert_eq!(shown.matches("<code>token.").count(), 3, "{shown}");
    assert!(!shown.contains("<code>login</code>"));
    assert!(shown.contains("<option selected>token</option>"), "{shown}");
    assert!(shown.contains("/settings/audit.csv?who=admin&#38;action=token"), "{shown}");
    let wrong = page(&server, &by, "/settings/audit?from=soon").await;
    assert!(wrong.contains("Write a day"), "{wrong}");
    let table = page(&server, &by, "/settings/audit.csv?action=token").await;
    assert_eq!(table.lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_audit_log_is_downloaded_whole_and_in_order() {
    let server = Place::new(&[]).serve().await;
    let place = server.stop();
    let url = format!("sqlite://{}", place.data().join("catalog.sqlite").display());
    let catalog = catalog::Catalog::open(&url.into(), 2).await.unwrap();
    let at = jiff::Timestamp::now();
    for n in 0..1_203 {
        let entry = model::AuditEntry {
            id: model::AuditId::generate(at, &mut rand::rng()),
            at,
            who: "ana".to_owned(),
            from: String::new(),
            action: "login".to_owned(),
            // Made up by others, as names of containers and users are.
            target: if n == 7 { "=cmd|' /C calc'!A0".to_owned() } else { format!("n{n:04}") },
            detail: String::new(),
        };
        catalog.append_audit(&entry).await.unwrap();
    }
    catalog.close().await.unwrap();
    let server = place.serve().await;
    let table = server.send("GET", "audit.csv?who=ana", &server.local(), None).await;
    let table = table.text().await.unwrap();
    let mut targets: Vec<_> =
        table.lines().skip(1).map(|line| line.split(',').nth(4).unwrap()).collect();
    assert_eq!(targets.len(), 1_203);
    assert!(targets.contains(&"\"'=cmd|' /C calc'!A0\""), "a formula");
    assert!(!table.contains("\"=") && !table.contains(",="));
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), 1_203, "none twice");
}

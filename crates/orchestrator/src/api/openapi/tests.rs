use std::collections::BTreeSet;

use super::*;
use crate::accounts::permissions::ROUTES;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/openapi.json");

/// Each operation with its method and path.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for (verb, one) in verbs.as_object().unwrap() {
            all.push((verb.to_uppercase(), path.clone(), one));
        }
    }
    all
}

/// Where `value` refers to something that is not there.
fn dangling(document: &Value, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(path)) = members.get("$ref")
                && document.pointer(path.trim_start_matches('#')).is_none()
            {
                found.push(path.clone());
            }
            for member in members.values() {
                dangling(document, member, found);
            }
        }
        Value::Array(members) => {
            for member in members {
                dangling(document, member, found);
            }
        }
        _ => {}
    }
}

#[test]
fn each_route_is_told_and_nothing_else() {
    let document = openapi();
    let told: BTreeSet<_> =
        operations(&document).into_iter().map(|(verb, path, _)| (verb, path)).collect();
    let session = [
        ("GET", ""),
        ("POST", ""),
        ("DELETE", ""),
        ("PUT", "/password"),
        ("POST", "/second-factor"),
        ("PUT", "/second-factor"),
        ("POST", "/second-factor/end"),
    ];
    let session = session.map(|(verb, path)| (verb.to_owned(), format!("/api/v1/session{path}")));
    let open = [("GET".to_owned(), "/api/v1/recovery/progress/{word}".to_owned())];
    let routes = ROUTES.iter().map(|one| (one.method.to_owned(), one.path.to_owned()));
    assert_eq!(told, routes.chain(session).chain(open).collect());
}

#[test]
fn each_operation_tells_all_there_is_to_know() {
    let document = openapi();
    let mut ids = BTreeSet::new();
    for (verb, path, one) in operations(&document) {
        let about = format!("{verb} {path}");
        assert!(ids.insert(one["operationId"].as_str().unwrap().to_owned()), "{about}");
        assert!(!one["summary"].as_str().unwrap().is_empty(), "{about}");
        assert!(!one["tags"][0].as_str().unwrap().is_empty(), "{about}");
        let route = ROUTES.iter().find(|route| route.method == verb && route.path == path);
        let permission = route.map(|route| route.permission.to_string());
        assert_eq!(one["x-permission"].as_str(), permission.as_deref(), "{about}");
        for parameter in one["parameters"].as_array().into_iter().flatten() {
            assert!(!parameter["description"].as_str().unwrap().is_empty(), "{about}");
        }
        let statuses: Vec<&str> =
            one["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = [
            ("401", route.is_some()),
            ("403", route.is_some()),
            ("404", path.contains('{')),
            ("422", !one["requestBody"].is_null()),
        ];
        for (status, wanted) in wanted {
            assert!(!wanted || statuses.contains(&status), "{about}: {status}");
        }
        assert!(statuses.iter().any(|status| status.starts_with('2')), "{about}");
    }
    let mut found = Vec::new();
    dangling(&document, &document, &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn who_hands_wal_over_and_that_it_is_absent_are_told() {
    let document = openapi();
    let wal = &document["paths"]["/api/v1/wal/{app}/{name}"];
    let read: Vec<_> = wal["put"]["parameters"].as_array().unwrap().iter().collect();
    let header = |name: &str| read.iter().find(|one| one["in"] == "header" && one["name"] == name);
    let words = &header("X-Wal").unwrap()["schema"]["enum"];
    assert_eq!(words, &serde_json::json!(["received", "beginning"]));
    assert!(header("X-Checksum-SHA256").is_some());
    let absent = &wal["get"]["responses"]["404"]["headers"]["X-Wal"]["schema"]["enum"];
    assert_eq!(absent, &serde_json::json!(["absent"]));
}

#[test]
fn bodies_are_closed_and_secrets_are_only_written() {
    let document = openapi();
    for (verb, path, one) in operations(&document) {
        let schema = &one["requestBody"]["content"]["application/json"]["schema"];
        let Some(reference) = schema["$ref"].as_str() else { continue };
        let body = document.pointer(reference.trim_start_matches('#')).unwrap();
        assert_eq!(body["additionalProperties"], false, "{verb} {path}");
    }
    let schemas = &document["components"]["schemas"];
    for (name, member) in [("AppDraft", "token"), ("AppEdit", "token"), ("UserDraft", "password")] {
        assert_eq!(schemas[name]["properties"][member]["writeOnly"], true, "{name}");
    }
    assert!(!schemas["App"].to_string().contains("token"));
}

/// The document is what people have built upon: a change of it is meant. `UPDATE_GOLDEN=1` writes
/// it anew.
#[test]
fn the_document_is_the_one_we_promised() {
    let document = openapi();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&document).unwrap();
        std::fs::write(GOLDEN, text + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(GOLDEN).unwrap()).unwrap();
    for part in ["info", "tags", "components", "paths"] {
        assert_eq!(document[part], golden[part], "{part}: UPDATE_GOLDEN=1 if this is meant");
    }
    assert_eq!(document, golden);
}

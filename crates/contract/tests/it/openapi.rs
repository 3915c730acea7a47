//! The `OpenAPI` document: kept in the repository, complete, and of the same shape as the types.

use std::collections::BTreeSet;

use contract::{
    Capabilities, ExportRequest, ImportAccepted, ImportReport, JobAccepted, JobState, JobStatus,
    Prefer, Problem,
};
use serde_json::{Value, json};

use crate::golden;

#[test]
fn the_kept_document_is_what_the_code_gives() {
    let given = contract::openapi();
    let text = serde_json::to_string_pretty(&given).unwrap() + "\n";
    golden::update("openapi.json", text.as_bytes());
    // Compared as values: the order of members is not the document's.
    let kept: Value = serde_json::from_slice(&golden::kept("openapi.json")).unwrap();
    assert!(kept == given, "golden/openapi.json differs: UPDATE_GOLDEN=1 writes it anew");
}

#[test]
fn every_route_and_header_is_named() {
    let document = contract::openapi();
    let mut operations: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .filter(|operation| !operation.starts_with("parameters"))
        .collect();
    operations.sort();
    assert_eq!(
        operations,
        [
            "delete /backup/jobs/{job_id}",
            "get /backup/capabilities",
            "get /backup/jobs/{job_id}",
            "get /backup/jobs/{job_id}/artifact",
            "get /healthz",
            "post /backup/export",
            "post /backup/import",
        ]
    );
    let text = document.to_string();
    let ours = [contract::header::CHECKSUM, contract::header::SIZE, contract::header::FORMAT];
    let ours = ours.iter().map(http::HeaderName::as_str);
    for name in ours.chain([
        "x-target",
        "content-disposition",
        "content-range",
        "range",
        "trailer",
        "retry-after",
    ]) {
        assert!(text.to_lowercase().contains(&format!("\"{name}\"")), "{name} is not named");
    }
    for status in ["200", "202", "204", "206", "401", "404", "409", "422", "429", "503"] {
        assert!(text.contains(&format!("\"{status}\":")), "{status} is not told");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = contract::openapi();
    let mut found = Vec::new();
    walk(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn the_schemas_have_the_members_of_the_types() {
    let capabilities = Capabilities {
        version: "v1".to_owned(),
        types: vec![],
        est_seconds: Some(1),
        est_size: Some(1),
        formats: vec!["x".to_owned()],
        restore: true,
        is_async: true,
        streaming: true,
        app: Some("x".to_owned()),
        strategy: Some("x".to_owned()),
        max_concurrent: Some(1),
    };
    let request = ExportRequest {
        r#type: Some("x".to_owned()),
        drive_folder_id: Some("x".to_owned()),
        run_id: Some("x".to_owned()),
        prefer: Some(Prefer::Stream),
    };
    let accepted = JobAccepted {
        job_id: "1".to_owned(),
        status_url: "/".to_owned(),
        download: "/".to_owned(),
    };
    let status = JobStatus {
        job_id: "1".to_owned(),
        state: JobState::Running,
        progress: Some(0.5),
        bytes: Some(1),
        message: Some("x".to_owned()),
    };
    let importing = ImportAccepted { job_id: "1".to_owned(), status_url: "/".to_owned() };
    let imported = ImportReport {
        message: Some("x".to_owned()),
        kept: Some("x".to_owned()),
        notes: vec!["x".to_owned()],
    };
    let problem = Problem { title: "x".to_owned(), status: 500, detail: Some("x".to_owned()) };
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let schemas = &contract::openapi()["components"]["schemas"];
    for (name, value) in [
        ("Capabilities", json!(capabilities)),
        ("ExportRequest", json!(request)),
        ("JobAccepted", json!(accepted)),
        ("ImportAccepted", json!(importing)),
        ("ImportReport", json!(imported)),
        ("JobStatus", json!(status)),
        ("Problem", json!(problem)),
    ] {
        assert_eq!(keys(&schemas[name]["properties"]), keys(&value), "{name}");
    }
    for state in schemas["JobStatus"]["properties"]["state"]["enum"].as_array().unwrap() {
        serde_json::from_value::<JobState>(state.clone()).unwrap();
    }
    for wish in schemas["ExportRequest"]["properties"]["prefer"]["enum"].as_array().unwrap() {
        serde_json::from_value::<Prefer>(wish.clone()).unwrap();
    }
}

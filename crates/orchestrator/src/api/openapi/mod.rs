//! The API's own description: an `OpenAPI` 3.1 document.
//!
//! [`routes`] tells what each route takes and answers, by the very types the handlers use; what
//! holds for all routes alike (permissions, refusals) is derived.

mod operation;
mod people;
mod routes;
mod schemas;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::extract::Json;

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// The API's own description.
pub(crate) fn openapi() -> Value {
    DOCUMENT.clone()
}

pub(super) async fn show() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

fn document() -> Value {
    let mut schemas = schemas::Schemas::default();
    let (mut tags, mut paths) = (Vec::new(), Map::new());
    for (tag, description, operations) in routes::groups() {
        tags.push(json!({ "name": tag, "description": description }));
        for one in operations {
            let path = paths.entry(one.path).or_insert_with(|| json!({}));
            path[one.method.to_ascii_lowercase()] = one.document(tag, &mut schemas);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Backup Orchestrator",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the web pages and the command line do, for programs. \
                `x-permission` is what a route asks of its caller. Bodies with members that are \
                not told here are refused; replies may gain members.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "session": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API token.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "session",
                    "description": "A login; over HTTPS the cookie is `__Host-session`. Requests that change something come from a page of \
                        the server, or carry `X-CSRF-Token` as `GET /api/v1/session` tells it.",
                },
            },
        },
    })
}

//! The contract as an `OpenAPI` document, for those who generate code or tests from it.

mod schemas;

use serde_json::{Value, json};

use crate::wire;

/// The contract v1 as an `OpenAPI` 3.1 document. Job addresses are the server's own choice; the
/// paths told here are the ones we suggest.
pub fn openapi() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Backup contract",
            "version": wire::VERSION,
            "description": "What an application, or the sidecar beside it, serves so that its \
                data can be copied. `docs/contract.md` tells it in words.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://app:8080" }],
        "security": [{ "token": [] }],
        "paths": {
            "/healthz": { "get": health() },
            "/backup/capabilities": { "get": capabilities() },
            "/backup/export": { "post": export() },
            "/backup/import": { "post": import() },
            "/backup/jobs/{job_id}": {
                "parameters": [job_id()],
                "get": job_status(),
                "delete": job_cancel(),
            },
            "/backup/jobs/{job_id}/artifact": {
                "parameters": [job_id()],
                "get": job_download(),
            },
        },
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas::all(),
            "headers": headers(),
            "responses": responses(),
        },
    })
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn response(name: &str) -> Value {
    json!({ "$ref": format!("#/components/responses/{name}") })
}

fn document(description: &str, schema: &str) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({
        "description": description,
        "content": { "application/json": { "schema": schema } },
    })
}

fn health() -> Value {
    json!({
        "operationId": "health",
        "summary": "Liveness, and nothing else.",
        "security": [],
        "responses": {
            "200": { "description": "The server is there." },
            "204": { "description": "The server is there." },
        },
    })
}

fn capabilities() -> Value {
    json!({
        "operationId": "capabilities",
        "summary": "What the server can do.",
        "responses": {
            "200": document("What the server can do.", "Capabilities"),
            "401": response("Unauthorized"),
        },
    })
}

fn export() -> Value {
    let mut accepted = document("A job makes the artifact.", "JobAccepted");
    accepted["headers"] = json!({ "Retry-After": header("Retry-After") });
    json!({
        "operationId": "export",
        "summary": "Makes the artifact and sends it, or begins a job that makes it.",
        "requestBody": {
            "required": false,
            "content": {
                "application/json": {
                    "schema": { "$ref": "#/components/schemas/ExportRequest" },
                },
            },
        },
        "responses": {
            "200": artifact("The artifact. Size and checksum come in headers, or in trailers that \
                `Trailer` announces; a failure after the first byte breaks the framing."),
            "202": accepted,
            "401": response("Unauthorized"),
            "409": response("Busy"),
            "422": response("Unusable"),
            "429": response("Busy"),
            "503": response("Busy"),
            "default": response("Failed"),
        },
    })
}

fn artifact(description: &str) -> Value {
    json!({
        "description": description,
        "headers": {
            "Content-Disposition": header("Content-Disposition"),
            "Trailer": header("Trailer"),
            "X-Checksum-SHA256": header("X-Checksum-SHA256"),
            "X-Format": header("X-Format"),
            "X-Size": header("X-Size"),
        },
        "content": {
            "application/octet-stream": { "schema": { "type": "string", "format": "binary" } },
        },
    })
}

fn import() -> Value {
    let mut accepted = document("A job restores it.", "ImportAccepted");
    accepted["headers"] = json!({ "Retry-After": header("Retry-After") });
    let parameter = |name: &str, required: bool, description: &str| {
        json!({
            "name": name, "in": "header", "required": required, "description": description,
            "schema": { "type": "string" },
        })
    };
    json!({
        "operationId": "import",
        "summary": "Takes an artifact back; only where the capabilities say `restore`.",
        "parameters": [
            parameter("X-Checksum-SHA256", true, "SHA-256 of the artifact, 64 hex digits."),
            parameter("X-Size", true, "Size of the artifact in bytes, decimal."),
            parameter("X-Format", false, "Its format, as the export told it."),
            parameter("X-Target", true, "`replace`, or `beside:` and a name."),
            parameter("X-Run-Id", false, "The same id again gives the finished result, where the \
                server remembers it, and restores nothing twice."),
        ],
        "requestBody": {
            "required": true,
            "content": {
                "application/octet-stream": { "schema": { "type": "string", "format": "binary" } },
            },
        },
        "responses": {
            "200": document("Verified, then restored.", "ImportReport"),
            "202": accepted,
            "401": response("Unauthorized"),
            "409": response("Busy"),
            "422": response("Unusable"),
            "429": response("Busy"),
            "503": response("Busy"),
            "default": response("Failed"),
        },
    })
}

fn job_id() -> Value {
    json!({ "name": "job_id", "in": "path", "required": true, "schema": { "type": "string" } })
}

fn job_status() -> Value {
    let mut status = document("Where the job stands.", "JobStatus");
    status["headers"] = json!({ "Retry-After": header("Retry-After") });
    json!({
        "operationId": "job_status",
        "summary": "Where a job stands; its address is the `status_url` of the 202.",
        "responses": {
            "200": status,
            "401": response("Unauthorized"),
            "404": response("Failed"),
        },
    })
}

fn job_cancel() -> Value {
    json!({
        "operationId": "job_cancel",
        "summary": "Ends a job and forgets its artifact.",
        "responses": {
            "204": { "description": "It ends." },
            "401": response("Unauthorized"),
            "404": response("Failed"),
        },
    })
}

fn job_download() -> Value {
    let mut part = artifact("The rest of the artifact.");
    part["headers"]["Content-Range"] = header("Content-Range");
    json!({
        "operationId": "job_download",
        "summary": "The artifact of a job; its address is the `download` of the 202.",
        "parameters": [{
            "name": "Range", "in": "header", "required": false,
            "description": "`bytes=N-`: a download that was cut goes on at byte N.",
            "schema": { "type": "string", "pattern": "^bytes=[0-9]+-$" },
        }],
        "responses": {
            "200": artifact("The whole artifact, size and checksum in headers."),
            "206": part,
            "401": response("Unauthorized"),
            "404": response("Failed"),
        },
    })
}

fn headers() -> Value {
    let text = |description: &str, pattern: &str| {
        json!({
            "description": description,
            "schema": { "type": "string", "pattern": pattern },
        })
    };
    json!({
        "X-Checksum-SHA256": text("SHA-256 of the artifact; a header or a trailer.", "^[0-9a-fA-F]{64}$"),
        "X-Size": text("Size of the artifact in bytes; a header or a trailer.", "^[0-9]{1,20}$"),
        "X-Format": text("Format of the artifact, for example `pg_dump_Fc`.", "^[ -~]{1,100}$"),
        "Content-Disposition": text("`attachment` with a plain file name.", "filename"),
        "Content-Range": text("`bytes N-LAST/SIZE`.", "^bytes [0-9]+-[0-9]+/[0-9]+$"),
        "Trailer": text(
            "`X-Checksum-SHA256, X-Size` where both come after the last chunk.",
            "X-Checksum-SHA256",
        ),
        "Retry-After": {
            "description": "Seconds to wait; less than 1 and more than 300 are read as those.",
            "schema": { "type": "integer", "minimum": 0 },
        },
    })
}

fn responses() -> Value {
    let problem = |description: &str| {
        json!({
            "description": description,
            "content": {
                "application/problem+json": {
                    "schema": { "$ref": "#/components/schemas/Problem" },
                },
            },
        })
    };
    let mut busy = problem("Another export or import is under way; ask again later.");
    busy["headers"] = json!({ "Retry-After": header("Retry-After") });
    json!({
        "Unauthorized": { "description": "The token is missing or wrong; nothing else is told." },
        "Busy": busy,
        "Unusable": problem("The request cannot be served as it is."),
        "Failed": problem("It failed; `detail` tells why."),
    })
}

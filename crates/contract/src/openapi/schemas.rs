//! The documents that go over the wire.

use serde_json::{Value, json};

pub(super) fn all() -> Value {
    json!({
        "Capabilities": object(&["version", "types", "est_seconds", "est_size"], &json!({
            "version": { "const": crate::wire::VERSION },
            "types": {
                "type": "array", "items": { "type": "string" },
                "description": "Kinds of export, for example `db`.",
            },
            "est_seconds": count("Expected duration in seconds, 0 where unknown."),
            "est_size": count("Expected size in bytes, 0 where unknown."),
            "formats": {
                "type": "array", "items": { "type": "string" },
                "description": "Values that X-Format may have.",
            },
            "restore": flag("Whether `/backup/import` is served."),
            "async": flag("Whether exports may be answered with 202 and a job."),
            "streaming": flag("Whether checksums may come in trailers."),
            "app": text("Name of the application."),
            "strategy": text("Name of the way in which it exports."),
            "max_concurrent": count("Exports that may go on at once."),
        })),
        "ExportRequest": object(&[], &json!({
            "type": text("One of the capabilities' `types`."),
            "drive_folder_id": text("Passed on to commands as SIDE_CAR_DRIVE_FOLDER_ID."),
            "run_id": text("The same id joins the export that is under way, or gives its result."),
            "prefer": {
                "enum": ["stream", "spool", "async"],
                "description": "A wish: trailers, headers, or a job.",
            },
        })),
        "JobAccepted": object(&["job_id", "status_url", "download"], &json!({
            "job_id": text("Name of the job."),
            "status_url": text("An absolute path, or a URL of the same origin."),
            "download": text("An absolute path, or a URL of the same origin."),
        })),
        "ImportAccepted": object(&["job_id", "status_url"], &json!({
            "job_id": text("Name of the job."),
            "status_url": text("An absolute path, or a URL of the same origin."),
        })),
        "ImportReport": object(&[], &json!({
            "message": text("What came of it, in words."),
            "kept": text("Where what was there before is kept."),
            "notes": {
                "type": "array", "items": { "type": "string" },
                "description": "Things to know.",
            },
        })),
        "JobStatus": object(&["job_id", "state"], &json!({
            "job_id": text("Name of the job."),
            "state": { "enum": ["queued", "running", "succeeded", "failed", "cancelled"] },
            "progress": { "type": "number", "minimum": 0, "maximum": 1 },
            "bytes": count("Bytes made so far."),
            "message": text("In words."),
        })),
        "Problem": object(&[], &json!({
            "title": text("What kind of problem, in few words."),
            "status": count("The HTTP status."),
            "detail": text("What happened this time."),
        })),
    })
}

/// Members that are not told here are ignored by whoever reads.
fn object(required: &[&str], properties: &Value) -> Value {
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": true,
    })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "default": false, "description": description })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

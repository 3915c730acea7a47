//! Snapshots: listed, shown, pinned, verified, copied.

use std::collections::HashSet;

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    show::{self, Out, cell, items, plain, size, text},
    wait, whole,
};

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// The snapshot; left out: all of the destination.
    #[arg(required_unless_present = "destination")]
    snapshot: Option<String>,
    /// At this destination only.
    #[arg(long)]
    destination: Option<String>,
    /// Wait for the end, and tell it by the exit code.
    #[arg(long)]
    wait: bool,
}

#[derive(Args)]
pub(crate) struct CopyArgs {
    /// The snapshot.
    snapshot: String,
    /// The other destination.
    #[arg(long, value_name = "DESTINATION")]
    to: String,
    /// Wait for the end, and tell it by the exit code.
    #[arg(long)]
    wait: bool,
}

pub(super) async fn list(client: &Client, app: Option<String>, out: &Out) -> Result<u8, CliError> {
    let path = app.map_or("snapshots".to_owned(), |app| format!("apps/{}/snapshots", part(&app)));
    let all = client.get(&path).await?;
    if out.json {
        show::one(&all);
        return Ok(0);
    }
    let apps = client.names("apps").await?;
    let places = client.names("destinations").await?;
    let rows = items(&all)
        .iter()
        .map(|one| {
            let at = |copy: &Value| {
                let id = text(&copy["destination_id"]);
                let name = places.get(id).map_or("(removed)", String::as_str);
                format!("{} {name}", show::mark(text(&copy["state"])).0)
            };
            let copies: Vec<_> = items(&one["copies"]).iter().map(at).collect();
            let bytes: u64 =
                items(&one["artifacts"]).iter().filter_map(|a| a["size_bytes"].as_u64()).sum();
            let mut notes = vec![text(&one["kind"]).to_owned()];
            if one["pinned"] == true {
                notes.push("pinned".to_owned());
            }
            if one["anomalous"] == true {
                notes.push("! unusual".to_owned());
            }
            notes.extend(one["label"].as_str().map(str::to_owned));
            [
                cell(&one["id"]),
                plain(apps.get(text(&one["app_id"])).map_or("(removed)", String::as_str)),
                out.when(&one["taken_at"]),
                size(&bytes.into()),
                plain(copies.join(", ")),
                plain(notes.join(", ")),
            ]
        })
        .collect();
    let header = ["snapshot", "app", "taken", "size", "copies", "notes"];
    out.table(header, rows, "no snapshot yet: make one with `backup-orchestrator run APP`");
    Ok(0)
}

pub(super) async fn show(client: &Client, id: &str, out: &Out) -> Result<u8, CliError> {
    let one = client.get(&format!("snapshots/{}", part(id))).await?;
    if out.json {
        show::one(&one);
        return Ok(0);
    }
    let apps = client.names("apps").await?;
    let places = client.names("destinations").await?;
    out.fields(vec![
        ("snapshot", cell(&one["id"])),
        ("app", plain(apps.get(text(&one["app_id"])).map_or("(removed)", String::as_str))),
        ("taken", out.when(&one["taken_at"])),
        ("kind", cell(&one["kind"])),
        ("label", cell(&one["label"])),
        ("commit", cell(&one["git_commit"])),
        ("pinned", cell(&one["pinned"])),
        ("proven by source", cell(&one["verified_by_source"])),
        ("unusual", cell(&one["anomalous"])),
        ("warnings", cell(&one["warnings"])),
        ("run", cell(&one["run_id"])),
    ]);
    whole::show(&one["app_state"], out);
    let artifact = |one: &Value| {
        [
            cell(&one["source"]),
            cell(&one["file_name"]),
            size(&one["size_bytes"]),
            cell(&one["format"]),
            cell(&one["sha256"]),
        ]
    };
    show::line("");
    let artifacts = items(&one["artifacts"]).iter().map(artifact).collect();
    out.table(["source", "file", "size", "format", "sha-256"], artifacts, "no artifact");
    let copy = |one: &Value| {
        let id = text(&one["destination_id"]);
        let bytes: u64 =
            items(&one["objects"]).iter().filter_map(|o| o["stored_size_bytes"].as_u64()).sum();
        [
            plain(places.get(id).map_or("(removed)", String::as_str)),
            out.state(text(&one["state"])),
            size(&bytes.into()),
            out.when(&one["verified_at"]),
            plain(
                items(&one["objects"])
                    .iter()
                    .map(|o| text(&o["key"]))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        ]
    };
    show::line("");
    let copies = items(&one["copies"]).iter().map(copy).collect();
    out.table(["destination", "state", "stored", "verified", "objects"], copies, "no copy");
    Ok(0)
}

pub(super) async fn pin(client: &Client, id: &str, out: &Out) -> Result<u8, CliError> {
    client.post(&format!("snapshots/{}/pin", part(id)), &json!({})).await?;
    out.done("pinned: retention leaves it alone");
    Ok(0)
}

pub(super) async fn unpin(client: &Client, id: &str, out: &Out) -> Result<u8, CliError> {
    client.delete(&format!("snapshots/{}/pin", part(id))).await?;
    out.done("unpinned: retention may expire it");
    Ok(0)
}

pub(super) async fn accept(client: &Client, id: &str, out: &Out) -> Result<u8, CliError> {
    client.post(&format!("snapshots/{}/accept", part(id)), &json!({})).await?;
    out.done("accepted: retention goes on");
    Ok(0)
}

pub(super) async fn copy(client: &Client, given: CopyArgs, out: &Out) -> Result<u8, CliError> {
    let body = json!({ "destination": given.to });
    let run = client.post(&format!("snapshots/{}/copy", part(&given.snapshot)), &body).await?;
    wait::finish(client, run, given.wait, out).await
}

pub(super) async fn verify(client: &Client, given: VerifyArgs, out: &Out) -> Result<u8, CliError> {
    let body = json!({ "destination": given.destination });
    match (given.snapshot, given.destination) {
        (Some(snapshot), _) => {
            let path = format!("snapshots/{}/verify", part(&snapshot));
            wait::finish(client, client.post(&path, &body).await?, given.wait, out).await
        }
        (None, destination) => {
            verify_all(client, &destination.unwrap_or_default(), given.wait, out).await
        }
    }
}

/// Each snapshot at a destination, one after the other where the end is waited for.
async fn verify_all(
    client: &Client,
    destination: &str,
    wait: bool,
    out: &Out,
) -> Result<u8, CliError> {
    let place = client.get(&format!("destinations/{}", part(destination))).await?;
    let body = json!({ "destination": destination });
    let mut runs = Vec::new();
    for id in there(client, text(&place["id"])).await? {
        let run = client.post(&format!("snapshots/{}/verify", part(&id)), &body).await?;
        let run = if wait { wait::ended(client, &run, out).await? } else { run };
        if !out.json {
            let told = out.state(text(&run["state"]));
            show::line(&format!("{} snapshot {id}, run {}", told.content(), text(&run["id"])));
        }
        runs.push(run);
    }
    let failed = runs.iter().filter(|run| wait && run["state"] != "succeeded").count();
    let all = runs.len();
    out.answer(&json!({ "runs": runs }), || {
        show::line(&if wait {
            format!("{} of {all} snapshots at {destination} proved right", all - failed)
        } else {
            format!("{all} snapshots at {destination} will be verified")
        });
    });
    Ok(match failed {
        0 => 0,
        _ if failed == all => 1,
        _ => 3,
    })
}

/// Snapshots with a copy at a destination that ought to be there.
async fn there(client: &Client, destination_id: &str) -> Result<Vec<String>, CliError> {
    let mut all = client.get("snapshots").await?;
    for app in items(&client.get("apps").await?) {
        let of_app = client.get(&format!("apps/{}/snapshots", part(text(&app["name"])))).await?;
        if let (Some(all), Value::Array(more)) = (all.as_array_mut(), of_app) {
            all.extend(more);
        }
    }
    let is_there = |one: &&Value| {
        items(&one["copies"]).iter().any(|copy| {
            copy["destination_id"] == destination_id
                && !matches!(text(&copy["state"]), "expired" | "deleting")
        })
    };
    let mut seen = HashSet::new();
    let found = items(&all).iter().filter(is_there).map(|one| text(&one["id"]).to_owned());
    Ok(found.filter(|id| seen.insert(id.clone())).collect())
}

//! Drills: asked for, and what they found.

use clap::Args;
use serde_json::Value;

use super::{
    client::{CliError, Client, part},
    moments::{self, MomentArgs},
    show::{self, Out, cell, items, length, plain, safe, text},
    wait,
};

#[derive(Args)]
pub(crate) struct DrillArgs {
    /// The app, whose newest good snapshot is tried.
    #[arg(required_unless_present = "snapshot")]
    app: Option<String>,
    /// This snapshot instead.
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "app")]
    snapshot: Option<String>,
    /// Any moment of the app's PostgreSQL server that can be gone back to: a random one, unless one
    /// is said.
    #[arg(long, conflicts_with = "snapshot")]
    moment: bool,
    /// Wait for the end, and tell it by the exit code.
    #[arg(long)]
    wait: bool,
    // The last: what follows would stand under its heading.
    #[command(flatten)]
    which: MomentArgs,
}

pub(super) async fn drill(client: &Client, given: DrillArgs, out: &Out) -> Result<u8, CliError> {
    if given.moment || given.which.is_given() {
        let Some(app) = given.app.filter(|_| given.snapshot.is_none()) else {
            return Err(CliError::Usage("a moment is of an app: name it".to_owned()));
        };
        return moments::drill(client, &app, &given.which, given.wait, out).await;
    }
    let path = match (&given.snapshot, &given.app) {
        (Some(snapshot), _) => format!("snapshots/{}/drill", part(snapshot)),
        (None, Some(app)) => format!("apps/{}/drill", part(app)),
        (None, None) => return Err(CliError::Usage("name an app or a snapshot".to_owned())),
    };
    let run = client.post(&path, &serde_json::json!({})).await?;
    finish(client, run, given.wait, out).await
}

/// Shows a drill that began, or waits for its end and tells what it found.
pub(super) async fn finish(
    client: &Client,
    run: Value,
    wait: bool,
    out: &Out,
) -> Result<u8, CliError> {
    let id = text(&run["id"]).to_owned();
    let code = wait::finish(client, run, wait, out).await?;
    if wait
        && !out.json
        && let Ok(report) = client.get(&format!("runs/{}/report", part(&id))).await
    {
        tell(&report);
    }
    Ok(code)
}

/// How the drills of all apps stand.
pub(super) async fn list(client: &Client, out: &Out) -> Result<u8, CliError> {
    let all = client.get("drills").await?;
    out.answer(&all, || {
        let row = |one: &Value| {
            let last = &one["last"];
            let state = match (text(&last["state"]), one["proven"].is_null()) {
                ("", true) => "○ never",
                ("succeeded", _) | ("", false) => "✓ proven",
                _ => "✕ not proven",
            };
            [
                cell(&one["app"]),
                plain(state),
                out.when(&last["finished_at"]),
                length(&last["started_at"], &last["finished_at"]),
                out.when(&one["next_due"]),
                cell(&last["failure"]["message"]),
            ]
        };
        let rows = items(&all).iter().map(row).collect();
        out.table(["app", "state", "last drill", "took", "next", "failure"], rows, "no app yet");
    });
    Ok(0)
}

pub(super) async fn report(client: &Client, run: &str, out: &Out) -> Result<u8, CliError> {
    let report = client.get(&format!("runs/{}/report", part(run))).await?;
    out.answer(&report, || tell(&report));
    Ok(0)
}

fn checks(all: &Value) {
    for check in items(all) {
        let mark = match text(&check["state"]) {
            "passed" => "✓",
            "skipped" => "–",
            _ => "✕",
        };
        let (name, message) = (safe(text(&check["name"])), safe(show::sentence(check)));
        show::line(&format!("  {mark} {name}: {message}{}", show::code(check)));
    }
}

fn tell(report: &Value) {
    for item in items(&report["items"]) {
        show::line(&format!(
            "{}: restored in {:.1} s to {}",
            safe(text(&item["artifact"])),
            item["restore_secs"].as_f64().unwrap_or(0.0),
            safe(show::sentence(&item["scratch"]))
        ));
        checks(&item["checks"]);
    }
    let boot = &report["boot"];
    if !boot.is_null() {
        show::line(&format!(
            "boot of {}: {:.1} s, {}",
            safe(text(&boot["container"])),
            boot["took_secs"].as_f64().unwrap_or(0.0),
            safe(show::sentence(&boot["scratch"]))
        ));
        checks(&boot["checks"]);
    }
    for step in items(&report["steps"]) {
        let (state, target) = (text(&step["state"]), safe(show::sentence(&step["target"])));
        show::line(&format!("{}: {state}, {target}", safe(text(&step["artifact"]))));
        if let Some(kept) = step["kept"].as_str() {
            show::line(&format!("  what was there before: {}", safe(kept)));
        }
        for note in items(&step["notes"]) {
            show::line(&format!("  {}{}", safe(show::sentence(note)), show::code(note)));
        }
    }
}

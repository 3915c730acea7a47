//! Runs: asked for, listed, shown, followed, stopped.

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    show::{self, Out, cell, items, length, plain, size, text},
    wait,
};

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The app.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    app: Option<String>,
    /// Every enabled app; the names of what they make carry one moment.
    #[arg(long)]
    all: bool,
    /// Wait for the end, and tell it by the exit code.
    #[arg(long)]
    wait: bool,
    /// What the snapshot is made for.
    #[arg(long, value_parser = ["manual", "pre-deploy"])]
    kind: Option<String>,
    /// Your own words about it.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Commit of the app's code.
    #[arg(long, value_name = "SHA")]
    git_commit: Option<String>,
    /// Which deployment it is taken before, in the pipeline's words: its number, its tag.
    #[arg(long, value_name = "TEXT")]
    deploy_label: Option<String>,
}

#[derive(Args)]
pub(crate) struct RunsArgs {
    /// Of this app only.
    app: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 50)]
    limit: u64,
}

#[derive(Args)]
pub(crate) struct LogsArgs {
    /// The run.
    id: String,
    /// Go on until the run ends.
    #[arg(long)]
    follow: bool,
    /// Only lines with this in their message, in any case.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only lines that matter at least so: `info`, `warning` or `error`.
    #[arg(long, hide_possible_values = true)]
    #[arg(value_parser = ["debug", "info", "warning", "warn", "error"])]
    level: Option<String>,
}

impl LogsArgs {
    /// What is looked for, as the server is asked for it.
    fn filter(&self) -> String {
        let mut filter = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("search", &self.search), ("level", &self.level)] {
            if let Some(value) = value {
                filter.append_pair(name, value);
            }
        }
        filter.finish()
    }
}

pub(super) async fn run(client: &Client, given: RunArgs, out: &Out) -> Result<u8, CliError> {
    let RunArgs { app, wait, kind, label, git_commit, deploy_label, .. } = given;
    let body = json!({
        "kind": kind, "label": label, "git_commit": git_commit, "deploy": deploy_label,
    });
    let Some(app) = app else {
        let runs = client.post("run-all", &body).await?;
        return wait::finish_all(client, items(&runs), wait, out).await;
    };
    let run = client.post(&format!("apps/{}/run", part(&app)), &body).await?;
    wait::finish(client, run, wait, out).await
}

pub(super) async fn list(client: &Client, given: RunsArgs, out: &Out) -> Result<u8, CliError> {
    let of = given.app.map_or(String::new(), |app| format!("&app={}", part(&app)));
    let runs = client.get(&format!("runs?limit={}{of}", given.limit)).await?;
    if out.json {
        show::one(&runs);
        return Ok(0);
    }
    let names = client.names("apps").await?;
    let rows = items(&runs)
        .iter()
        .map(|run| {
            let app = text(&run["app_id"]);
            [
                cell(&run["id"]),
                plain(names.get(app).map_or("–", String::as_str)),
                cell(&run["kind"]),
                out.state(text(&run["state"])),
                out.when(&run["queued_at"]),
                length(&run["started_at"], &run["finished_at"]),
                size(&run["bytes_read"]),
            ]
        })
        .collect();
    let header = ["run", "app", "kind", "state", "asked for", "took", "read"];
    out.table(header, rows, "nothing has run yet");
    Ok(0)
}

pub(super) async fn show(client: &Client, id: &str, out: &Out) -> Result<u8, CliError> {
    let shown = client.get(&format!("runs/{}", part(id))).await?;
    if out.json {
        show::one(&shown);
        return Ok(0);
    }
    let names = client.names("destinations").await.unwrap_or_default();
    let apps = client.names("apps").await.unwrap_or_default();
    let run = &shown["run"];
    let mut fields = vec![
        ("run", cell(&run["id"])),
        ("app", plain(apps.get(text(&run["app_id"])).map_or("–", String::as_str))),
        ("kind", cell(&run["kind"])),
        ("asked by", plain(text(&run["trigger"]).replace('_', " "))),
        ("state", out.state(text(&run["state"]))),
        ("stage", cell(&run["stage"])),
        ("asked for", out.when(&run["queued_at"])),
        ("took", length(&run["started_at"], &run["finished_at"])),
        ("read", size(&run["bytes_read"])),
        ("snapshot", cell(&run["snapshot_id"])),
    ];
    for (name, key) in [("label", "label"), ("commit", "git_commit"), ("deployment", "deploy")] {
        if !run[key].is_null() {
            fields.push((name, cell(&run[key])));
        }
    }
    if let Some(message) = run["failure"]["message"].as_str() {
        fields.push(("failure", plain(message)));
    }
    out.fields(fields);
    let outcomes: Vec<_> = items(&shown["destinations"])
        .iter()
        .map(|one| {
            let id = text(&one["destination_id"]);
            [
                plain(names.get(id).map_or(id, String::as_str)),
                out.state(text(&one["state"])),
                size(&one["bytes_written"]),
                cell(&one["failure"]["message"]),
            ]
        })
        .collect();
    if !outcomes.is_empty() {
        show::line("");
        out.table(["destination", "state", "written", "failure"], outcomes, "");
    }
    Ok(0)
}

/// The log from its beginning, or on until the run ends.
pub(super) async fn logs(client: &Client, given: LogsArgs, out: &Out) -> Result<u8, CliError> {
    let (id, filter) = (part(&given.id), given.filter());
    let mut all = Vec::new();
    let mut seen = 0;
    let path = format!("runs/{id}");
    let mut run = client.get(&path).await?;
    loop {
        let lines = wait::log_after(client, &id, seen, &filter).await?;
        seen = lines.last().and_then(|line| line["seq"].as_i64()).unwrap_or(seen);
        if out.json {
            all.extend(lines);
        } else {
            for line in &lines {
                show::line(&wait::told(line, out));
            }
        }
        if !given.follow || !run["run"]["finished_at"].is_null() {
            break;
        }
        tokio::time::sleep(wait::PAUSE).await;
        run = client.get_again(&path).await?;
    }
    if out.json {
        show::one(&Value::Array(all));
    }
    Ok(0)
}

pub(super) async fn cancel(client: &Client, id: &str, out: &Out) -> Result<u8, CliError> {
    let outcome = client.post(&format!("runs/{}/cancel", part(id)), &json!({})).await?;
    out.answer(&outcome, || {
        show::line(match text(&outcome["outcome"]) {
            "cancelled" => "cancelled before it began",
            "requested" => "it stops as soon as it can",
            _ => "it had ended already",
        });
    });
    Ok(0)
}

//! `doctor`, and the test of a destination: what was looked at, and what to do.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    show::{self, Out, items, mark, safe, text},
};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DoctorArgs {
    /// This app only.
    app: Option<String>,
    #[command(subcommand)]
    command: Option<DoctorCommand>,
}

#[derive(Subcommand)]
enum DoctorCommand {
    /// Looks for what would make an app's run fail.
    App {
        /// The app.
        name: String,
    },
    /// Writes, reads back, lists and deletes a small object at a destination.
    Destination {
        /// The destination.
        name: String,
    },
}

pub(super) async fn doctor(client: &Client, given: DoctorArgs, out: &Out) -> Result<u8, CliError> {
    match (given.app, given.command) {
        (Some(name), _) | (None, Some(DoctorCommand::App { name })) => {
            let report = client.post(&of_app(&name), &json!({})).await?;
            Ok(tell(&report, out))
        }
        (None, Some(DoctorCommand::Destination { name })) => destination(client, &name, out).await,
        (None, None) => everything(client, out).await,
    }
}

pub(super) async fn destination(client: &Client, name: &str, out: &Out) -> Result<u8, CliError> {
    let report = client.post(&of_destination(name), &json!({})).await?;
    Ok(tell(&report, out))
}

fn of_app(name: &str) -> String {
    format!("apps/{}/doctor", part(name))
}

fn of_destination(name: &str) -> String {
    format!("destinations/{}/test", part(name))
}

async fn everything(client: &Client, out: &Out) -> Result<u8, CliError> {
    let host = client.post("doctor", &json!({})).await?;
    let mut code = failed(&host);
    if !out.json {
        show::line(&format!("host {}", safe(text(&host["subject"]))));
        print(&host);
        show::line("");
    }
    let mut groups = [("destinations", Vec::new()), ("apps", Vec::new())];
    for (what, reports) in &mut groups {
        for one in items(&client.get(what).await?) {
            let name = text(&one["name"]);
            let path = if *what == "apps" { of_app(name) } else { of_destination(name) };
            let report = client.post(&path, &json!({})).await?;
            code |= failed(&report);
            if !out.json {
                show::line(&format!("{} {}", what.trim_end_matches('s'), safe(name)));
                print(&report);
                show::line("");
            }
            reports.push(report);
        }
    }
    let [(_, destinations), (_, apps)] = groups;
    let count = apps.len() + destinations.len();
    out.answer(&json!({ "host": host, "destinations": destinations, "apps": apps }), || {
        show::line(match (count, code) {
            (0, _) => "nothing to look at: there is no app and no destination yet",
            (_, 0) => "✓ all is well",
            _ => "✕ something would fail: see above",
        });
    });
    Ok(code)
}

fn tell(report: &Value, out: &Out) -> u8 {
    out.answer(report, || print(report));
    failed(report)
}

fn failed(report: &Value) -> u8 {
    u8::from(items(&report["checks"]).iter().any(|check| check["state"] == "failed"))
}

fn print(report: &Value) {
    for check in items(&report["checks"]) {
        let (symbol, _) = mark(text(&check["state"]));
        let (id, detail) = (text(&check["id"]).replace('_', " "), safe(text(&check["detail"])));
        show::line(&format!("{symbol} {id}: {detail}"));
        if let Some(advice) = check["advice"].as_str() {
            show::line(&format!("  → {}", safe(advice)));
        }
    }
}

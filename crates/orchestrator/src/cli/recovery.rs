//! What makes a recovery possible, and what follows one; of a server of PostgreSQL, to any moment.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    moments::{self, PlanArgs},
    show::{self, Out, cell, items, plain, text},
};

#[derive(Subcommand)]
pub(crate) enum RecoveryCommand {
    /// Shows how the copies of the catalog stand, and what waits for a person.
    Show,
    /// Copies the catalog to the destinations now.
    Copy,
    /// Says that a rebuilt catalog is as it should be: schedules and retention go on.
    Confirm,
    /// Shows which moments of an app's PostgreSQL server can be gone back to, and how its WAL comes.
    Status {
        /// The app.
        app: String,
    },
    /// Takes a base backup of an app's PostgreSQL server now.
    Base {
        /// The app.
        app: String,
        /// Wait for the end, and tell it by the exit code.
        #[arg(long)]
        wait: bool,
    },
    /// Gives this moment of an app's PostgreSQL server a name, to go back to it later.
    RestorePoint {
        /// The app.
        app: String,
        /// What the moment is called.
        name: String,
    },
    /// Looks at what going back to a moment would meet; changes nothing.
    Plan(PlanArgs),
}

#[derive(Args)]
pub(crate) struct KitArgs {
    /// Also the destinations' credentials and the keys of encrypted ones.
    #[arg(long)]
    with_secrets: bool,
    /// Note that the kit, as it is now, is stored away from this machine.
    #[arg(long, conflicts_with = "with_secrets")]
    stored: bool,
}

pub(super) async fn recovery(
    client: &Client,
    command: RecoveryCommand,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        RecoveryCommand::Show => {
            let state = client.get("recovery").await?;
            out.answer(&state, || print(&state, out));
        }
        RecoveryCommand::Copy => {
            let state = client.post("recovery/copy", &json!({})).await?;
            out.answer(&state, || print(&state, out));
            if has_problem(&state) {
                return Ok(3);
            }
        }
        RecoveryCommand::Confirm => {
            client.post("recovery/confirm", &json!({})).await?;
            out.done("confirmed: schedules and retention go on");
        }
        RecoveryCommand::Status { app } => return moments::status(client, &app, out).await,
        RecoveryCommand::Base { app, wait } => {
            return moments::base(client, &app, wait, out).await;
        }
        RecoveryCommand::RestorePoint { app, name } => {
            return moments::point(client, &app, &name, out).await;
        }
        RecoveryCommand::Plan(given) => return moments::plan(client, &given, out).await,
    }
    Ok(0)
}

fn has_problem(state: &Value) -> bool {
    !state["problem"].is_null()
        || items(&state["places"]).iter().any(|place| !place["problem"].is_null())
}

fn print(state: &Value, out: &Out) {
    if let Some(from) = state["hold"]["from"].as_str() {
        show::line(&format!(
            "rebuilt from {from}; it waits for `backup-orchestrator recovery confirm`"
        ));
    }
    if state["kit_due"] == true {
        show::line("the recovery kit is to be stored: `backup-orchestrator recovery-kit`");
    }
    if let Some(problem) = state["problem"].as_str() {
        show::line(&format!("the last copy failed: {problem}"));
    }
    let rows = items(&state["places"])
        .iter()
        .map(|place| {
            let word = match (&place["wanted"], &place["problem"], &place["at"]) {
                (Value::Bool(false), ..) => plain("– not wanted"),
                (_, Value::String(_), _) => out.state("failed"),
                (_, _, Value::Null) => plain("○ none yet"),
                _ => out.state("good"),
            };
            [
                cell(&place["destination"]),
                word,
                out.when(&place["at"]),
                show::size(&place["size_bytes"]),
                cell(&place["problem"]),
            ]
        })
        .collect();
    out.table(["destination", "copy", "made", "size", "problem"], rows, "no destination yet");
}

pub(super) async fn kit(client: &Client, given: KitArgs, out: &Out) -> Result<u8, CliError> {
    if given.stored {
        client.post("recovery-kit/stored", &json!({})).await?;
        out.done("noted: it is asked for again when a destination or a key changes");
        return Ok(0);
    }
    let query = if given.with_secrets { "?secrets=true" } else { "" };
    let kit = client.get(&format!("recovery-kit{query}")).await?;
    out.answer(&kit, || {
        for line in lines(&kit) {
            show::line(&line);
        }
    });
    Ok(0)
}

/// The kit as text to print.
fn lines(kit: &Value) -> Vec<String> {
    let mut lines = vec![
        "RECOVERY KIT OF THE BACKUP ORCHESTRATOR".to_owned(),
        format!("as of {}", text(&kit["at"])),
        String::new(),
        "Keep it away from the machine it is for. Whoever has it and can read a destination has"
            .to_owned(),
        "every secret of the orchestrator.".to_owned(),
        String::new(),
        "Recovery key (put this line into recovery-key.txt):".to_owned(),
        format!("  {}", text(&kit["identity"])),
        String::new(),
        "Destinations:".to_owned(),
    ];
    for place in items(&kit["destinations"]) {
        lines.push(String::new());
        lines.push(format!("* {} ({})", show::safe(text(&place["name"])), text(&place["kind"])));
        let credentials = show::word(&place["credentials"]);
        lines.push(format!("  credentials it needs: {credentials}"));
        if let Some(secrets) = place["secrets"].as_object() {
            for (name, secret) in secrets {
                let secret = text(secret).replace('\n', "\n      ");
                lines.push(format!("  {name}:\n      {secret}"));
            }
        }
        if place["encrypted"] == true {
            lines.push("  snapshots there are encrypted with age".to_owned());
        }
        lines.push(if place["has_catalog"] == true {
            let at = place["catalog_at"].as_str().map_or("none yet", |at| at);
            format!("  newest copy of the catalog: {at}")
        } else {
            "  no copies of the catalog go there".to_owned()
        });
        lines.push(format!("  {}", show::safe(text(&place["command"]))));
        if !items(&place["restic"]).is_empty() {
            lines.push(
                "  a repository in restic's format, which restic restores without us:".to_owned(),
            );
        }
        for command in items(&place["restic"]) {
            lines.push(format!("    {}", show::safe(text(command))));
        }
    }
    lines.extend(
        [
            "",
            "On a new machine:",
            "  1. install backup-orchestrator (or its image) and put the key into recovery-key.txt;",
            "     each credential into the file that the command names",
            "  2. run the command of one destination, then `backup-orchestrator serve`",
            "  3. when all is there and the old server is gone: `backup-orchestrator recovery confirm`",
            "",
            "With stock tools only:",
            "  age -d -i recovery-key.txt catalog-….jsonl.zst.age | zstd -dc    # the catalog",
            "  a snapshot: its NAME.manifest.json names its files; undo them in this order:",
            "  cat FILES | age -d -i KEY (where encrypted) | zstd -dc > NAME",
            "  then pg_restore, tar -x or whatever made it",
        ]
        .map(str::to_owned),
    );
    lines
}

pub(super) async fn reindex(client: &Client, name: &str, out: &Out) -> Result<u8, CliError> {
    let path = format!("destinations/{}/reindex", part(name));
    let report = client.post(&path, &json!({})).await?;
    out.answer(&report, || tell_reindexed(&report, name));
    Ok(if report["problem_count"] == 0 { 0 } else { 3 })
}

/// What reading manifests gave, in words.
pub(super) fn tell_reindexed(report: &Value, name: &str) {
    let count = |key: &str| report[key].as_u64().unwrap_or_default();
    show::line(&format!(
        "{name}: {} manifests; {} new snapshots, {} new copies, {} found again, {} missing, {} damaged",
        count("manifests"),
        count("new_snapshots"),
        count("new_copies"),
        count("found_again"),
        count("missing"),
        count("damaged"),
    ));
    let apps = items(&report["new_apps"]);
    if !apps.is_empty() {
        show::line(&format!(
            "apps that were unknown, now disabled and without secrets: {}",
            show::word(&report["new_apps"])
        ));
    }
    for left in items(&report["left_out"]) {
        show::line(&show::safe(text(left)));
    }
    for problem in items(&report["problems"]) {
        let (manifest, message) = (text(&problem["manifest"]), text(&problem["message"]));
        show::line(&format!("  {}: {}", show::safe(manifest), show::safe(message)));
    }
    let more = count("problem_count").saturating_sub(items(&report["problems"]).len() as u64);
    if more > 0 {
        show::line(&format!("  and {more} more"));
    }
}

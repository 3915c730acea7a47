//! What retention would do, and why.

use clap::Subcommand;
use model::retention::{RetentionPlan, Verdict};
use serde_json::Value;

use super::{
    client::{CliError, Client, part},
    show::{self, Out, items, plain, size, text, word},
    wait,
};

#[derive(Subcommand)]
pub(crate) enum RetentionCommand {
    /// Shows what retention would keep and expire, and why; changes nothing.
    Preview {
        /// The app.
        app: String,
    },
    /// Removes now what retention lets go, as the next run would.
    Apply {
        /// The app.
        app: String,
        /// Wait for the end, and tell it by the exit code.
        #[arg(long)]
        wait: bool,
    },
}

pub(super) async fn retention(
    client: &Client,
    command: RetentionCommand,
    out: &Out,
) -> Result<u8, CliError> {
    let app = match command {
        RetentionCommand::Preview { app } => app,
        RetentionCommand::Apply { app, wait } => {
            let path = format!("apps/{}/expire", part(&app));
            let run = client.post(&path, &serde_json::json!({})).await?;
            return wait::finish(client, run, wait, out).await;
        }
    };
    let previews = client.get(&format!("apps/{}/retention", part(&app))).await?;
    if out.json {
        show::one(&previews);
        return Ok(0);
    }
    for (at, preview) in items(&previews).iter().enumerate() {
        if at > 0 {
            show::line("");
        }
        print(preview, out)?;
    }
    Ok(0)
}

fn print(preview: &Value, out: &Out) -> Result<(), CliError> {
    let plan: RetentionPlan =
        serde_json::from_value(preview["plan"].clone()).map_err(CliError::failed)?;
    let policy = match word(&preview["policy"]) {
        none if none == "–" => "keeps everything".to_owned(),
        rules => rules,
    };
    show::line(&format!("{}: {policy}", word(&preview["destination"])));
    let snapshots = items(&preview["snapshots"]);
    let rows = plan
        .decisions
        .iter()
        .map(|decision| {
            let id = decision.id.to_string();
            let of = snapshots.iter().find(|one| text(&one["id"]) == id).unwrap_or(&Value::Null);
            let reasons: Vec<_> = decision.reasons.iter().map(ToString::to_string).collect();
            let verdict = match decision.verdict {
                Verdict::Keep => "keep",
                Verdict::Expire => "expire",
            };
            [
                plain(id),
                out.when(&of["taken_at"]),
                size(&of["stored_bytes"]),
                out.state(verdict),
                plain(reasons.join("; ")),
            ]
        })
        .collect();
    let header = ["snapshot", "taken", "stored", "verdict", "why"];
    out.table(header, rows, "no snapshot here yet");
    if let Some(refusal) = plan.refusal {
        show::line(&format!("! nothing expires now: {refusal}"));
    }
    Ok(())
}

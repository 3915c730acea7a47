//! What the server's machine has, and what of it is in an app.

use clap::Subcommand;
use serde_json::json;

use super::{
    client::{CliError, Client},
    show::{Out, cell, items, safe, text},
};

#[derive(Subcommand)]
pub(crate) enum CoverageCommand {
    /// Says why no app need read a volume or database.
    Ignore {
        /// As `coverage` shows it: `volume:NAME` or `database:CONTAINER`.
        id: String,
        /// Why; empty takes it back.
        #[arg(long)]
        reason: String,
    },
    /// Lists containers, volumes and databases, what is in no app first.
    List,
}

pub(super) async fn coverage(
    client: &Client,
    command: CoverageCommand,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        CoverageCommand::List => list(client, out).await,
        CoverageCommand::Ignore { id, reason } => {
            client.post("coverage/ignore", &json!({ "id": id, "reason": reason })).await?;
            out.done(&format!("{} is noted", safe(&id)));
            Ok(0)
        }
    }
}

async fn list(client: &Client, out: &Out) -> Result<u8, CliError> {
    let all = client.get("coverage").await?;
    out.answer(&all, || {
        let rows = items(&all).iter().map(|one| {
            let apps: Vec<_> = items(&one["apps"]).iter().map(|app| safe(text(app))).collect();
            let why = one["reason"].as_str().map_or_else(|| apps.join(", "), safe);
            [cell(&one["id"]), cell(&one["state"]), cell(&one["detail"]), super::show::plain(why)]
        });
        out.table(
            ["what", "state", "used by, or is", "apps, or why not"],
            rows.collect::<Vec<_>>(),
            "there is no volume and no container, or DOCKER_HOST is not set at the server",
        );
    });
    Ok(0)
}

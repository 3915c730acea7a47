//! What the server's machine has, and what of it is in an app.

use clap::Subcommand;
use serde_json::json;

use super::{
    client::{CliError, Client},
    show::{Out, cell, items, line, safe, text},
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
    /// Makes apps of what is found: one for each compose project, tried before it is kept.
    Protect {
        /// As `coverage` shows them: `volume:NAME` or `database:CONTAINER`.
        #[arg(required = true)]
        ids: Vec<String>,
        /// Where copies go.
        #[arg(long)]
        destination: String,
        /// `daily`, `weekly`, `@every 4h` or five cron fields; left out: nightly after 3.
        #[arg(long)]
        schedule: Option<String>,
        /// Time zone of the schedule.
        #[arg(long, value_name = "TZ", default_value = "UTC")]
        time_zone: String,
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
        CoverageCommand::Protect { ids, destination, schedule, time_zone } => {
            let spec = schedule.unwrap_or_else(|| "0 3 * * *".to_owned());
            let schedule = json!({ "spec": spec, "time_zone": time_zone });
            let request = json!({ "ids": ids, "destination": destination, "schedule": schedule });
            let made = client.post("coverage/protect", &request).await?;
            let refused = items(&made).iter().any(|one| one["added"] != true);
            out.answer(&made, || {
                for one in items(&made) {
                    let name = safe(text(&one["name"]));
                    if one["added"] == true {
                        line(&format!("{name} is protected"));
                    } else {
                        line(&format!("{name} is not kept: something would make its runs fail"));
                    }
                    for check in items(&one["report"]["checks"]) {
                        if check["state"] != "ok" {
                            line(&format!("  {}", safe(text(&check["detail"]))));
                            let advice = check["advice"].as_str().map(safe);
                            if let Some(advice) = advice {
                                line(&format!("  → {advice}"));
                            }
                        }
                    }
                }
            });
            Ok(u8::from(refused))
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

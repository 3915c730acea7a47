//! The state of every app, in one sentence and a table.

use serde_json::Value;

use super::{
    client::{CliError, Client},
    show::{self, Out, cell, items, plain, size, text},
};

pub(super) async fn overview(client: &Client, out: &Out) -> Result<u8, CliError> {
    let all = client.get("overview").await?;
    out.answer(&all, || print(&all, out));
    Ok(0)
}

fn print(all: &Value, out: &Out) {
    let count = |key: &str| all[key].as_u64().unwrap_or(0);
    let (protected, total) = (count("protected"), count("total"));
    let mut sentence = vec![format!("{protected} of {total} apps are protected")];
    for (key, what) in [("late", "late"), ("failed", "failed")] {
        if count(key) > 0 {
            sentence.push(format!("{} {what}", count(key)));
        }
    }
    let rows = items(&all["apps"])
        .iter()
        .map(|card| {
            let age = card["rpo_secs"].as_i64().map_or("–".to_owned(), |s| show::LANG.span(s));
            [
                cell(&card["app"]["name"]),
                out.state(text(&card["health"])),
                out.when(&card["last_good"]["taken_at"]),
                plain(age),
                out.when(&card["next_fire"]),
                size(&card["stored_bytes"]),
            ]
        })
        .collect::<Vec<_>>();
    if !rows.is_empty() {
        show::line(&sentence.join(", "));
        show::line("");
    }
    let header = ["app", "state", "newest good", "would be lost", "next run", "stored"];
    let empty = "nothing is protected yet: add a destination with `backup-orchestrator \
                 destination add`, then an app with `backup-orchestrator app add`";
    out.table(header, rows, empty);
}

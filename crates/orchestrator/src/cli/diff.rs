//! What is different between two snapshots.

use clap::Args;
use serde_json::Value;

use super::{
    client::{CliError, Client, part},
    show::{self, Out, items, plain, size, text},
};

/// How a comparison that found something ends, where that is asked for.
const DIFFERENT: u8 = 6;

#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The snapshot to compare with.
    before: String,
    /// The snapshot to look at.
    after: String,
    /// What this source gave only.
    #[arg(long)]
    source: Option<String>,
    /// How many differences of each source to tell; all are counted.
    #[arg(long, default_value_t = 10_000)]
    limit: u32,
    /// End with exit code 6 where anything is different.
    #[arg(long)]
    exit_code: bool,
}

pub(super) async fn diff(client: &Client, given: DiffArgs, out: &Out) -> Result<u8, CliError> {
    let (before, after) = (part(&given.before), part(&given.after));
    let mut path = format!("snapshots/{after}/diff?from={before}&limit={}", given.limit);
    if let Some(source) = &given.source {
        path = format!("{path}&source={}", part(source));
    }
    let diff = client.get(&path).await?;
    out.answer(&diff, || {
        for source in items(&diff["sources"]) {
            tell(source, out);
        }
    });
    Ok(if given.exit_code && diff["is_same"] != true { DIFFERENT } else { 0 })
}

fn tell(source: &Value, out: &Out) {
    let name = text(&source["source"]).escape_debug();
    let bytes = |key: &str| size(&source[key]).content();
    let told = match source["change"].as_str() {
        Some("added") => format!("new, {}", bytes("after_bytes")),
        Some("removed") => format!("gone, was {}", bytes("before_bytes")),
        Some(_) => format!("changed, {} → {}", bytes("before_bytes"), bytes("after_bytes")),
        None => "the same, byte for byte".to_owned(),
    };
    show::line(&format!("{name}: {told}"));
    if source["compared"] == "whole" {
        return;
    }
    let is_tables = source["compared"] == "tables";
    show::line(&format!(
        "{} new, {} gone, {} changed",
        source["added"], source["removed"], source["changed"]
    ));
    let rows: Vec<_> = items(&source["entries"]).iter().map(|one| row(one, is_tables)).collect();
    if !rows.is_empty() {
        let header = ["", if is_tables { "table" } else { "path" }, "before", "after", "differs"];
        out.table(header, rows, "");
    }
    if let Some(untold @ 1..) = source["untold"].as_u64() {
        show::line(&format!("and {untold} more: ask for them with --limit"));
    }
}

/// Names are shown as text that does nothing to a terminal.
fn row(one: &Value, is_table: bool) -> [comfy_table::Cell; 5] {
    let mark = match text(&one["change"]) {
        "added" => "+",
        "removed" => "-",
        _ => "~",
    };
    let number = |value: &Value| match value {
        Value::Null => plain(""),
        value if is_table => plain(value.to_string()),
        value => size(value),
    };
    let differs: Vec<_> = items(&one["differs"]).iter().map(text).collect();
    [
        plain(mark),
        plain(text(&one["path"]).escape_debug().to_string()),
        number(&one["before"]),
        number(&one["after"]),
        plain(differs.join(", ")),
    ]
}

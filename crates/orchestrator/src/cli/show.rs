//! Answers for people and for programs.

use serde_json::Value;

/// Columns of a list, as paths into its items.
pub(super) type Columns = &'static [&'static str];

pub(super) const USER: Columns = &["name", "role", "created_at", "id"];
pub(super) const TOKEN: Columns = &["name", "scopes", "created_by", "expires_at", "id"];
pub(super) const AUDIT: Columns = &["at", "who", "from", "action", "target"];
pub(super) const APP: Columns = &["name", "enabled", "schedule.spec", "id"];
pub(super) const DESTINATION: Columns = &["name", "kind", "settings", "id"];
pub(super) const RUN: Columns = &["id", "kind", "state", "queued_at", "bytes_read"];
pub(super) const SNAPSHOT: Columns = &["id", "taken_at", "kind", "pinned"];

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// One document; the same for people and programs.
pub(super) fn one(value: &Value) {
    println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}

pub(super) fn list(value: &Value, json: bool, columns: Columns) {
    if json {
        return one(value);
    }
    let rows: Vec<Vec<String>> = value
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| columns.iter().map(|column| cell(item, column)).collect())
        .collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    for row in &rows {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

fn cell(item: &Value, column: &str) -> String {
    let value = column.split('.').fold(item, |value, part| &value[part]);
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

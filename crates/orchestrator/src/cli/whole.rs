//! What was noted of an app when it was read, for people.

use serde_json::Value;

use comfy_table::Cell;

use super::show::{self, Out, cell, items, plain, text};

/// Nothing of snapshots that are older than that.
pub(super) fn show(state: &Value, out: &Out) {
    if state.is_null() {
        return;
    }
    let mut fields = vec![
        ("grade", cell(&state["grade"])),
        ("skew", plain(format!("{} ms", state["skew_ms"].as_u64().unwrap_or(0)))),
        ("stood still by", cell(&state["mode"])),
        ("waited", plain(format!("{} ms", state["paused_ms"].as_u64().unwrap_or(0)))),
    ];
    if state["cut_short"] == true {
        fields.push(("cut short", plain("yes: it went on before all was read")));
    }
    if !state["deploy"].is_null() {
        fields.push(("deployment", cell(&state["deploy"])));
    }
    let code = &state["code"];
    if !code.is_null() {
        let changed = if code["dirty"] == true { ", with changes" } else { "" };
        let (commit, path) = (text(&code["git_commit"]), text(&code["path"]));
        fields.push(("code", plain(format!("{commit} at {path}{changed}"))));
    }
    out.fields(fields);
    let members = |key: &str| state[key].as_object().cloned().unwrap_or_default();
    let positions: Vec<_> = members("database_wal_position")
        .iter()
        .map(|(source, one)| {
            [
                plain(source),
                cell(&one["lsn"]),
                cell(&one["timeline"]),
                cell(&one["system_identifier"]),
            ]
        })
        .collect();
    table(out, ["source", "log position", "timeline", "system"], positions);
    let snapshots: Vec<_> = members("volume_snapshots")
        .iter()
        .map(|(source, one)| {
            [plain(source), cell(&one["kind"]), cell(&one["id"]), out.when(&one["at"])]
        })
        .collect();
    table(out, ["source", "read from", "snapshot", "of"], snapshots);
    let containers: Vec<_> = items(&state["containers"])
        .iter()
        .map(|one| {
            let digest = if one["digest"].is_null() { &one["image_id"] } else { &one["digest"] };
            [cell(&one["name"]), cell(&one["image"]), cell(digest), cell(&one["running"])]
        })
        .collect();
    table(out, ["container", "image", "digest", "ran"], containers);
}

fn table(out: &Out, header: [&str; 4], rows: Vec<[Cell; 4]>) {
    if !rows.is_empty() {
        show::line("");
        out.table(header, rows, "");
    }
}

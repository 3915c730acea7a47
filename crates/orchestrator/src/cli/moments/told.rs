//! What is known of moments, for people.

use serde_json::Value;

use super::super::show::{self, LANG, Out, cell, items, plain, safe, text};

/// How an app's archive stands.
pub(super) fn state(state: &Value, out: &Out) {
    let standing = &state["standing"];
    let word = if standing["is_live"] == true { "good" } else { "late" };
    let trouble = match show::sentence(&standing["trouble"]) {
        "" => plain("–"),
        told => plain(told),
    };
    out.fields(vec![
        ("state", out.state(word)),
        ("trouble", trouble),
        ("heard", out.when(&standing["heard_at"])),
        ("server is at", cell(&standing["server_at"])),
        ("stored up to", cell(&standing["stored_to"])),
        ("behind", plain(LANG.span(standing["lag_secs"].as_i64().unwrap_or(0)))),
        ("kept for us", show::size(&standing["kept_bytes"])),
        ("at most", show::size(&standing["kept_limit"])),
        ("free there", show::size(&standing["free_bytes"])),
        ("slot", cell(&standing["slot_status"])),
        ("stored", show::size(&state["stored_bytes"])),
    ]);
    let windows = items(&state["windows"]).iter().map(|one| {
        [
            out.when(&one["start_at"]),
            out.when(&one["end_at"]),
            cell(&one["timeline"]),
            cell(&one["start"]),
            cell(&one["end"]),
            cell(&one["base"]),
        ]
    });
    out.table(
        ["from", "to", "timeline", "from lsn", "to lsn", "base"],
        windows.collect(),
        "no moment can be gone back to yet: a base backup is needed first",
    );
    let gaps: Vec<_> = items(&state["gaps"])
        .iter()
        .map(|one| {
            [
                out.when(&one["from_at"]),
                out.when(&one["until_at"]),
                cell(&one["start"]),
                cell(&one["end"]),
            ]
        })
        .collect();
    if !gaps.is_empty() {
        show::line("gaps, whose moments are lost:");
        out.table(["after", "before", "from lsn", "to lsn"], gaps, "");
    }
    let points: Vec<_> = items(&state["restore_points"])
        .iter()
        .map(|one| [cell(&one["name"]), out.when(&one["made_at"]), cell(&one["at"])])
        .collect();
    if !points.is_empty() {
        out.table(["restore point", "made", "lsn"], points, "");
    }
}

pub(super) fn is_blocked(seen: &Value) -> bool {
    items(&seen["checks"]).iter().any(|check| check["level"] == "blocked")
}

/// Where a restore landed.
pub(super) fn landing(landing: &Value, out: &Out) {
    if !landing.is_object() {
        return;
    }
    out.fields(vec![
        ("last transaction", out.when(&landing["last_commit_at"])),
        ("replayed up to", cell(&landing["replayed_to"])),
        ("timeline", cell(&landing["timeline"])),
        ("promoted", cell(&landing["is_promoted"])),
    ]);
}

/// What is to be known of what was made: where it is, and how it is reached.
pub(super) fn notes(steps: &Value) {
    for step in items(steps) {
        for note in items(&step["notes"]) {
            show::line(&safe(show::sentence(note)));
        }
        if let Some(kept) = step["kept"].as_str() {
            show::line(&format!("what was there before is kept as {}", safe(kept)));
        }
    }
}

/// The checks of a preflight.
fn checks(all: &Value) {
    for check in items(all) {
        let mark = match text(&check["level"]) {
            "good" => "✓",
            "warning" => "!",
            _ => "✕",
        };
        show::line(&format!("{mark} {}{}", safe(show::sentence(check)), show::code(check)));
    }
}

/// What going back to a moment would meet.
pub(super) fn preflight(seen: &Value, out: &Out) {
    if seen["base"].is_string() {
        out.fields(vec![
            ("begins with", cell(&seen["base"])),
            ("taken", out.when(&seen["base_at"])),
            ("timeline", cell(&seen["timeline"])),
            ("replay from", cell(&seen["replay_from"])),
            ("replay to", cell(&seen["replay_to"])),
            ("wal to read", show::size(&seen["wal_bytes"])),
        ]);
    }
    for item in items(&seen["items"]) {
        show::line(&format!(
            "{}: {} to {}",
            safe(text(&item["artifact"])),
            LANG.size(item["size_bytes"].as_u64().unwrap_or(0)),
            safe(show::sentence(&item["target"]))
        ));
        if !item["replaces"].is_null() {
            show::line(&format!("  replaces {}", safe(show::sentence(&item["replaces"]))));
        }
    }
    checks(&seen["checks"]);
    for (key, word) in [("nearest_before", "before"), ("nearest_after", "after")] {
        if let Some(at) = seen[key].as_str() {
            show::line(&format!("the nearest moment {word} it: --at {}", safe(at)));
        }
    }
    if let Some(secs) = seen["estimate_secs"].as_u64() {
        show::line(&format!("it may take about {secs} s"));
    }
}

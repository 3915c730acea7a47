//! How apps are, and what their runs come to.

use std::collections::HashMap;

use catalog::RunTotal;
use engine::{AppCard, Health, Overview};
use jiff::Timestamp;
use model::{AppId, RunState};

use super::text::{Kind, Text};

/// Every state of an app, with its word.
const STATES: [(Health, &str); 8] = [
    (Health::Good, "good"),
    (Health::Running, "running"),
    (Health::Partial, "partial"),
    (Health::NeverRun, "never_run"),
    (Health::Late, "late"),
    (Health::Failed, "failed"),
    (Health::Damaged, "damaged"),
    (Health::Disabled, "disabled"),
];

pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1_000.0
}

/// A number of each app, where it is known.
fn each(
    text: &mut Text,
    apps: &Overview,
    (name, help): (&'static str, &str),
    number: impl Fn(&AppCard) -> Option<f64>,
) {
    let mut family = text.family(name, Kind::Gauge, help);
    for card in &apps.cards {
        if let Some(value) = number(card) {
            family.sample(&[("app", card.app.name.as_str())], value);
        }
    }
}

pub(super) fn states(text: &mut Text, apps: &Overview) {
    let mut family = text.family("backup_apps", Kind::Gauge, "Apps, by how they are.");
    for (state, word) in STATES {
        let count = apps.cards.iter().filter(|card| card.health == state).count();
        family.sample(&[("state", word)], count as f64);
    }
    let help = "Whether an app is in this state: 1 for one of them, 0 for the others.";
    let mut family = text.family("backup_app_state", Kind::Gauge, help);
    for card in &apps.cards {
        for (state, word) in STATES {
            let here = f64::from(u8::from(card.health == state));
            family.sample(&[("app", card.app.name.as_str()), ("state", word)], here);
        }
    }
    snapshots(text, apps);
    let told = ("backup_app_next_run_timestamp_seconds", "When the app's schedule fires next.");
    each(text, apps, told, |card| card.next_fire.map(seconds));
    let told = ("backup_app_last_run_timestamp_seconds", "When its last backup run ended.");
    each(text, apps, told, |card| Some(seconds(card.last_run.as_ref()?.finished_at?)));
    let told =
        ("backup_app_last_run_duration_seconds", "How long its last backup run was worked on.");
    each(text, apps, told, |card| {
        let run = card.last_run.as_ref()?;
        Some(run.finished_at?.duration_since(run.started_at?).as_secs_f64().max(0.0))
    });
    drills(text, apps);
}

fn snapshots(text: &mut Text, apps: &Overview) {
    let told = (
        "backup_app_last_good_snapshot_timestamp_seconds",
        "When the app's newest good snapshot was taken.",
    );
    each(text, apps, told, |card| card.last_good.as_ref().map(|one| seconds(one.taken_at)));
    let told = (
        "backup_app_last_good_snapshot_age_seconds",
        "How old the app's newest good snapshot is: what would be lost now.",
    );
    each(text, apps, told, |card| card.rpo_secs.map(|secs| secs as f64));
    let told = ("backup_app_objective_seconds", "How old the newest good snapshot may get.");
    each(text, apps, told, |card| Some(card.objective_secs as f64));
    let told = ("backup_app_last_snapshot_bytes", "Bytes of the newest good snapshot, unpacked.");
    each(text, apps, told, |card| card.last_good.as_ref().map(|one| one.size_bytes() as f64));
    let told = (
        "backup_app_stored_bytes",
        "Bytes that the app's copies and its archive of WAL take at all destinations.",
    );
    each(text, apps, told, |card| Some(card.stored_bytes as f64));
}

fn drills(text: &mut Text, apps: &Overview) {
    let told = (
        "backup_app_last_proof_timestamp_seconds",
        "When a drill last proved that a snapshot comes back.",
    );
    each(text, apps, told, |card| card.proven.as_ref().map(|proof| seconds(proof.at)));
    let told = ("backup_app_last_drill_passed", "Whether the app's last drill passed: 1 or 0.");
    each(text, apps, told, |card| {
        let state = card.last_drill.as_ref()?.state;
        Some(f64::from(u8::from(state == RunState::Succeeded)))
    });
    let told = (
        "backup_app_recovery_seconds",
        "How long coming back took: the last good drill, else the last restore.",
    );
    each(text, apps, told, |card| card.rto_secs);
}

/// What runs come to since the catalog counts them. Those of removed apps are left out, so that
/// there are never more series than apps call for; those of no app have an empty name.
pub(super) fn totals(text: &mut Text, apps: &Overview, totals: &[RunTotal]) {
    let names: HashMap<AppId, &str> =
        apps.cards.iter().map(|card| (card.app.id, card.app.name.as_str())).collect();
    let told: Vec<_> = totals
        .iter()
        .filter_map(|one| Some((one.app_id.map_or(Some(""), |id| names.get(&id).copied())?, one)))
        .collect();
    let mut count = |name: &'static str, help: &str, number: fn(&RunTotal) -> f64| {
        let mut family = text.family(name, Kind::Counter, help);
        for (app, one) in &told {
            let (kind, outcome): (&str, &str) = (one.kind.into(), one.state.into());
            let labels = [("app", *app), ("kind", kind), ("outcome", outcome)];
            family.sample(&labels, number(one));
        }
    };
    count("backup_runs_total", "Runs that ended.", |one| one.runs as f64);
    count("backup_run_duration_seconds_total", "Seconds that they were worked on.", |one| {
        one.worked.as_secs_f64()
    });
    count("backup_run_read_bytes_total", "Bytes that they read from sources.", |one| {
        one.bytes_read as f64
    });
    count("backup_run_written_bytes_total", "Bytes that destinations took from them.", |one| {
        one.bytes_written as f64
    });
}

//! How far a snapshot's artifacts belong together.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::{App, AppState, Artifact, Grade, QuiesceMode, Source};

use crate::source;

/// How the app stood while it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Its own commands, or its shutting down, had brought it to an orderly state.
    pub(super) orderly: bool,
    /// Nothing of it wrote.
    pub(super) still: bool,
}

/// Sets `state`'s skew and grade.
pub(super) fn judge(state: &mut AppState, app: &App, artifacts: &[Artifact], seen: Seen) {
    let waited = !state.cut_short && state.mode != QuiesceMode::None;
    let spans: Vec<_> =
        artifacts.iter().filter_map(|artifact| span(state, app, artifact, waited)).collect();
    let first = spans.iter().map(|(from, _)| *from).min();
    let last = spans.iter().map(|(_, to)| *to).max();
    state.skew_ms = match (first, last) {
        (Some(first), Some(last)) => {
            u64::try_from(last.duration_since(first).as_millis()).unwrap_or_default()
        }
        _ => 0,
    };
    state.grade = if waited && seen.orderly {
        Grade::ApplicationConsistent
    } else if waited && seen.still {
        Grade::Quiesced
    } else {
        alone(state, app, artifacts)
    };
}

/// Of an app that went on: only what is of one moment belongs together.
fn alone(state: &AppState, app: &App, artifacts: &[Artifact]) -> Grade {
    let snapshot = |artifact: &Artifact| {
        state.volume_snapshots.get(artifact.source.as_str()).map(|one| one.id.as_str())
    };
    let ids: BTreeSet<_> = artifacts.iter().map(snapshot).collect();
    match (artifacts, ids.iter().next()) {
        // A database's own snapshot is what its transactions had left.
        ([one], _) if whose(app, one).is_some_and(source::is_of_one_moment) => {
            Grade::ApplicationConsistent
        }
        (_, Some(Some(_))) if ids.len() == 1 => Grade::CrashConsistent,
        _ => Grade::Live,
    }
}

/// The time that an artifact shows: a moment, or all the time that it took to read what went on.
fn span(
    state: &AppState,
    app: &App,
    artifact: &Artifact,
    waited: bool,
) -> Option<(Timestamp, Timestamp)> {
    if let Some(snapshot) = state.volume_snapshots.get(artifact.source.as_str()) {
        return Some((snapshot.at, snapshot.at));
    }
    let began = artifact.began_at?;
    let is_moment = waited || whose(app, artifact).is_some_and(source::is_of_one_moment);
    Some((began, if is_moment { began } else { artifact.ended_at.unwrap_or(began) }))
}

fn whose<'a>(app: &'a App, artifact: &Artifact) -> Option<&'a Source> {
    crate::target::source_of(app, artifact)
}

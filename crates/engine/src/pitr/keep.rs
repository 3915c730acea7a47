//! Which base backups stay: the newest that had ended before the window begins, and all later ones.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use model::{
    App, CopyState, Destination, Snapshot, SnapshotId,
    retention::{self, Decision, Guards, Reason, Refusal, TimeJump, Verdict, lived},
};

use super::ops::base_at;
use crate::stores::object_lock;

/// What is to happen to the base backups of `app` at `destination`, newest first.
pub(crate) fn decide(
    app: &App,
    destination: &Destination,
    snapshots: &[Snapshot],
    in_use: &HashSet<SnapshotId>,
    (now, jumps): (Timestamp, &[TimeJump]),
) -> Vec<Decision> {
    let mut own: Vec<_> = snapshots
        .iter()
        .filter(|snapshot| snapshot.is_base())
        .filter_map(|snapshot| {
            let copy = snapshot.copies.iter().find(|c| c.destination_id == destination.id)?;
            let there = !matches!(copy.state, CopyState::Expired | CopyState::Deleting);
            there.then_some((snapshot, copy))
        })
        .collect();
    own.sort_by_key(|(snapshot, _)| std::cmp::Reverse((snapshot.taken_at, snapshot.id)));
    let window = app
        .recovery
        .as_ref()
        .map(|plan| SignedDuration::from_hours(24 * i64::from(plan.window_days)));
    let mut has_anchor = false;
    own.into_iter()
        .map(|(snapshot, copy)| {
            let mut reasons = Vec::new();
            let ended = base_at(snapshot).map_or(snapshot.taken_at, |base| base.at);
            if window.is_none() {
                reasons.push(Reason::NoRules);
            }
            if !has_anchor {
                reasons.push(Reason::Anchor);
            }
            // All before an anchor are older than it.
            let is_before = window.is_some_and(|window| lived(ended, now, jumps) >= window);
            has_anchor |= is_before && copy.state.is_restorable();
            if snapshot.pinned {
                reasons.push(Reason::Pinned);
            }
            if in_use.contains(&snapshot.id) {
                reasons.push(Reason::InUse);
            }
            let until = object_lock::until(destination, copy.committed_at);
            if let Some(until) = until.filter(|until| *until > now && reasons.is_empty()) {
                reasons.push(Reason::Locked { until });
            }
            let verdict = if reasons.is_empty() { Verdict::Expire } else { Verdict::Keep };
            if reasons.is_empty() {
                reasons.push(Reason::NoRuleKeeps);
            }
            Decision { id: snapshot.id, verdict, reasons }
        })
        .collect()
}

/// Why none of them may be deleted now, whatever was decided.
pub(crate) fn refusal(decisions: &[Decision], now: Timestamp, guards: &Guards) -> Option<Refusal> {
    if decisions.iter().all(|one| one.verdict == Verdict::Keep) {
        return None;
    }
    if guards.append_only {
        return Some(Refusal::AppendOnly);
    }
    if guards.recovered {
        return Some(Refusal::Recovered);
    }
    let jumped = guards.clock_jumped_at;
    jumped
        .is_some_and(|at| now.duration_since(at).abs() < retention::DISTRUST)
        .then_some(Refusal::ClockJumped)
}

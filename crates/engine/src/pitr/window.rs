//! Which moments can be restored, and which cannot. Nothing here asks anybody.

use jiff::Timestamp;
use model::{BaseFacts, RecoveryWindow, SnapshotId, WalGap};
use replication::{Base, History, SystemId, Timeline};

use super::{
    index::Index,
    names::{read, told},
};

/// A base backup that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseAt {
    pub(crate) snapshot: SnapshotId,
    pub(crate) facts: BaseFacts,
    /// When it had ended: no later moment is before its end.
    pub(crate) at: Timestamp,
}

impl BaseAt {
    /// What it is for the arithmetic; `None` where its facts cannot be.
    pub(crate) fn base(&self) -> Option<Base> {
        Some(Base {
            system: self.facts.system.parse().ok()?,
            timeline: Timeline::new(self.facts.timeline)?,
            start: read(self.facts.start),
            end: read(self.facts.end),
        })
    }
}

/// A word of the server that nothing was written after a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// All up to here is stored.
    pub(crate) at: model::Lsn,
    /// When the server said so.
    pub(crate) heard: Timestamp,
}

/// One window, and the history it is along.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) window: RecoveryWindow,
    pub(crate) system: SystemId,
    pub(crate) history: History,
}

/// What can be restored, oldest first, and what cannot between the oldest window and now.
pub(crate) fn draw(
    bases: &[BaseAt],
    index: &Index,
    quiet: Option<Quiet>,
) -> (Vec<RecoveryWindow>, Vec<WalGap>) {
    let reaches = reaches(bases, index, quiet);
    let gaps = gaps(&reaches, index);
    (reaches.into_iter().map(|reach| reach.window).collect(), gaps)
}

/// The windows, oldest first.
pub(crate) fn reaches(bases: &[BaseAt], index: &Index, quiet: Option<Quiet>) -> Vec<Reach> {
    let mut all = Vec::new();
    for system in index.systems() {
        let mut own: Vec<(&BaseAt, Base)> = bases
            .iter()
            .filter_map(|one| Some((one, one.base()?)))
            .filter(|(_, base)| base.system == system)
            .collect();
        own.sort_by_key(|(_, base)| base.end);
        for history in index.histories(system) {
            let mut last: Option<Reach> = None;
            for (at, base) in &own {
                let Some(reach) = reach(at, base, history.clone(), index, quiet) else { continue };
                // A base within a window makes no other one.
                if last.as_ref().is_none_or(|last| last.window.end < reach.window.start) {
                    all.extend(last.replace(reach));
                }
            }
            all.extend(last);
        }
    }
    // A timeline that was left is told of by the one that came from it, but for what it alone has.
    let whole = all.clone();
    all.retain(|one| {
        !whole.iter().any(|other| {
            other.system == one.system
                && other.window.timeline != one.window.timeline
                && other.window.start <= one.window.start
                && other.window.end >= one.window.end
                && Timeline::new(one.window.timeline)
                    .and_then(|timeline| other.history.left_at(timeline))
                    .is_some_and(|left| told(left) >= one.window.end)
        })
    });
    all.sort_by_key(|one| (one.window.start_at, one.window.start, one.window.timeline));
    all
}

/// How far one base leads along `history`, where it leads onto its last timeline.
fn reach(
    at: &BaseAt,
    base: &Base,
    history: History,
    index: &Index,
    quiet: Option<Quiet>,
) -> Option<Reach> {
    let found = index.stored.window(base, &history)?;
    if found.timeline != history.timeline() {
        return None;
    }
    let system = base.system;
    let last_commit_at = index
        .last_commit(system, &history, (found.start, found.end))
        .filter(|commit| *commit >= at.at);
    let is_newest = index.newest(system) == Some(found.timeline);
    let quiet_at = quiet
        .filter(|quiet| is_newest && quiet.at <= told(found.end))
        .map(|quiet| quiet.heard);
    let end_at = [Some(at.at), last_commit_at, quiet_at].into_iter().flatten().max()?;
    let window = RecoveryWindow {
        base: at.snapshot,
        system: system.to_string(),
        timeline: found.timeline.number(),
        start: told(found.start),
        start_at: at.at,
        end: told(found.end),
        end_at,
        last_commit_at,
    };
    Some(Reach { window, system, history })
}

/// What lies between the windows, and after the last where WAL goes on behind a hole.
fn gaps(reaches: &[Reach], index: &Index) -> Vec<WalGap> {
    let mut gaps = Vec::new();
    for (at, reach) in reaches.iter().enumerate() {
        let window = &reach.window;
        let next = reaches[at + 1..]
            .iter()
            .find(|next| next.window.start_at > window.end_at)
            .map(|next| &next.window);
        let is_followed = reaches.iter().any(|other| {
            other.window.start_at <= window.end_at && other.window.end_at > window.end_at
        });
        if is_followed {
            continue;
        }
        let timeline = reach.history.timeline();
        let goes_on = index.goes_on(reach.system, timeline, read(window.end));
        let (system, timeline, end) = match (next, goes_on) {
            (Some(next), _) if next.system != window.system => {
                (next.system.clone(), next.timeline, next.start)
            }
            (Some(next), goes_on) => {
                let end = goes_on.map_or(next.start, |on| told(on).min(next.start));
                (window.system.clone(), window.timeline, end)
            }
            (None, Some(on)) => (window.system.clone(), window.timeline, told(on)),
            (None, None) => continue,
        };
        let start = if system == window.system { window.end } else { model::Lsn(0) };
        gaps.push(WalGap {
            system,
            timeline,
            start,
            end,
            from_at: Some(window.end_at),
            until_at: next.map(|next| next.start_at),
        });
    }
    gaps
}

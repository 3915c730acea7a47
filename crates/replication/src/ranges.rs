//! Which WAL is stored: ranges of positions for each cluster and timeline, and what a base reaches.

use std::collections::BTreeMap;

use crate::{History, Lsn, Timeline};

/// Ranges of positions, joined where they touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Start to end; never empty, overlapping or touching.
    by_start: BTreeMap<Lsn, Lsn>,
}

impl Ranges {
    /// Adds what lies from `start` up to, not including, `end`.
    pub fn insert(&mut self, start: Lsn, end: Lsn) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        if let Some((before, until)) = self.before(start)
            && until >= start
        {
            start = before;
            end = end.max(until);
        }
        while let Some((&next, &until)) = self.by_start.range(start..=end).next() {
            self.by_start.remove(&next);
            end = end.max(until);
        }
        self.by_start.insert(start, end);
    }

    /// Takes out what lies from `start` up to, not including, `end`.
    pub fn remove(&mut self, start: Lsn, end: Lsn) {
        if start >= end {
            return;
        }
        if let Some((before, until)) = self.before(start)
            && until > start
        {
            self.by_start.insert(before, start);
            if until > end {
                self.by_start.insert(end, until);
            }
        }
        while let Some((&next, &until)) = self.by_start.range(start..end).next() {
            self.by_start.remove(&next);
            if until > end {
                self.by_start.insert(end, until);
            }
        }
    }

    /// The range that begins before `at`.
    fn before(&self, at: Lsn) -> Option<(Lsn, Lsn)> {
        self.by_start.range(..at).next_back().map(|(start, end)| (*start, *end))
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Lsn, Lsn)> {
        self.by_start.iter().map(|(start, end)| (*start, *end))
    }

    /// How far it goes on from `at` without a gap; `at` itself where nothing is there.
    pub fn reach(&self, at: Lsn) -> Lsn {
        let found = self.by_start.range(..=at).next_back().map(|(_, end)| *end);
        found.map_or(at, |end| end.max(at))
    }

    /// Whether all from `start` up to `end` is there.
    pub fn contains(&self, start: Lsn, end: Lsn) -> bool {
        self.reach(start) >= end
    }

    /// What is missing from `start` up to `end`.
    pub fn gaps(&self, start: Lsn, end: Lsn) -> Vec<(Lsn, Lsn)> {
        let mut gaps = Vec::new();
        let mut at = self.reach(start);
        for (next, until) in self.by_start.range(at..).map(|(start, end)| (*start, *end)) {
            if next >= end {
                break;
            }
            gaps.push((at, next));
            at = until;
        }
        if at < end {
            gaps.push((at, end));
        }
        gaps
    }

    /// The end of the last range.
    pub fn end(&self) -> Option<Lsn> {
        self.by_start.last_key_value().map(|(_, end)| *end)
    }
}

/// What marks a cluster: the number `initdb` gave it, which copies and standbys keep.
pub type SystemId = u64;

/// A base backup, as far as WAL is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The cluster.
    pub system: SystemId,
    /// The timeline it was taken on.
    pub timeline: Timeline,
    /// Where replay begins.
    pub start: Lsn,
    /// Where it becomes consistent.
    pub end: Lsn,
}

/// What can be reached from a base along one history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first position that can be restored: the base's end.
    pub start: Lsn,
    /// The last one.
    pub end: Lsn,
    /// The timeline `end` is on.
    pub timeline: Timeline,
}

/// All WAL that is stored.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    ranges: BTreeMap<(SystemId, Timeline), Ranges>,
}

impl Stored {
    /// Adds a piece of a timeline.
    pub fn insert(&mut self, system: SystemId, timeline: Timeline, start: Lsn, end: Lsn) {
        self.ranges.entry((system, timeline)).or_default().insert(start, end);
    }

    /// The ranges of one timeline; `None` where nothing is stored.
    pub fn of(&self, system: SystemId, timeline: Timeline) -> Option<&Ranges> {
        self.ranges.get(&(system, timeline))
    }

    /// The ranges of one timeline, to be changed.
    pub fn of_mut(&mut self, system: SystemId, timeline: Timeline) -> &mut Ranges {
        self.ranges.entry((system, timeline)).or_default()
    }

    /// How far `base` can be replayed along `history`; `None` where it cannot even become
    /// consistent, or lies on no timeline of that history.
    pub fn window(&self, base: &Base, history: &History) -> Option<Window> {
        let mut at = base.start;
        let mut timeline = base.timeline;
        let way = history.stretches();
        let from = way.iter().position(|stretch| stretch.timeline == base.timeline)?;
        // A base whose end is past the fork belongs to the branch that was left.
        if way[from].end.is_some_and(|left| base.end > left) {
            return None;
        }
        for stretch in &way[from..] {
            let Some(ranges) = self.of(base.system, stretch.timeline) else { break };
            let reach = ranges.reach(at);
            timeline = stretch.timeline;
            match stretch.end {
                Some(left) if reach >= left => at = left,
                _ => {
                    at = reach;
                    break;
                }
            }
        }
        (at >= base.end).then_some(Window { start: base.end, end: at, timeline })
    }

    /// What is missing between `from`, which lies on `timeline`, and `to`, which lies on the last
    /// timeline of `history`.
    pub fn gaps(
        &self,
        system: SystemId,
        timeline: Timeline,
        history: &History,
        (from, to): (Lsn, Lsn),
    ) -> Vec<(Timeline, Lsn, Lsn)> {
        let nothing = Ranges::default();
        let mut gaps = Vec::new();
        let way = history.stretches();
        for stretch in way.iter().skip_while(|stretch| stretch.timeline != timeline) {
            let (start, end) = (stretch.start.max(from), stretch.end.map_or(to, |end| end.min(to)));
            if start >= end {
                continue;
            }
            let ranges = self.of(system, stretch.timeline).unwrap_or(&nothing);
            gaps.extend(ranges.gaps(start, end).into_iter().map(|(a, b)| (stretch.timeline, a, b)));
        }
        gaps
    }
}

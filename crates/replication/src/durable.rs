//! Up to where everything is durable, whatever the order in which it becomes so.

use std::collections::VecDeque;

use crate::{Lsn, Timeline};

#[derive(Debug)]
struct Waiting {
    id: u64,
    timeline: Timeline,
    start: Lsn,
    end: Lsn,
    done: bool,
}

/// What was handed out and is not confirmed.
#[derive(Debug)]
pub(crate) struct Durable {
    waiting: VecDeque<Waiting>,
    /// The beginning of a segment: where it begins, and up to where it is durable.
    prefix: Option<(Lsn, Lsn)>,
    flushed: Lsn,
}

impl Durable {
    pub(crate) fn new(flushed: Lsn) -> Self {
        Self { waiting: VecDeque::new(), prefix: None, flushed }
    }

    /// Up to where all is durable.
    pub(crate) fn flushed(&self) -> Lsn {
        self.flushed
    }

    /// Something that everything after it waits for.
    pub(crate) fn hand_out(&mut self, id: u64, timeline: Timeline, (start, end): (Lsn, Lsn)) {
        self.waiting.push_back(Waiting { id, timeline, start, end, done: false });
    }

    /// It is kept.
    pub(crate) fn confirm(&mut self, id: u64) {
        if let Some(found) = self.waiting.iter_mut().find(|one| one.id == id) {
            found.done = true;
        }
        while self.waiting.front().is_some_and(|one| one.done) {
            if let Some(one) = self.waiting.pop_front() {
                self.flushed = self.flushed.max(one.end);
            }
        }
        self.weigh_prefix();
    }

    /// The beginning of a segment is kept.
    pub(crate) fn confirm_prefix(&mut self, start: Lsn, end: Lsn) {
        self.prefix = Some((start, end));
        self.weigh_prefix();
    }

    /// A prefix counts once all before its segment is durable.
    fn weigh_prefix(&mut self) {
        if let Some((start, end)) = self.prefix
            && self.waiting.front().is_none_or(|first| first.start >= start)
            && self.flushed >= start
        {
            self.flushed = self.flushed.max(end);
        }
    }

    /// It was given back; where receiving has to begin again, if it was still waited for.
    pub(crate) fn give_back(&mut self, id: u64) -> Option<(Timeline, Lsn)> {
        let at = self.waiting.iter().position(|one| one.id == id)?;
        let found = (self.waiting[at].timeline, self.waiting[at].start);
        self.waiting.truncate(at);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one() -> Timeline {
        Timeline::new(1).unwrap()
    }

    proptest! {
        /// Whatever the order of confirmations: never past the first thing that is missing.
        #[test]
        fn never_past_what_is_missing(order in Just((0u64..12).collect::<Vec<_>>()).prop_shuffle()) {
            let mut durable = Durable::new(Lsn(0));
            for id in 0..12 {
                durable.hand_out(id, one(), (Lsn(id * 10), Lsn(id * 10 + 10)));
            }
            let mut kept = std::collections::BTreeSet::new();
            for id in order {
                kept.insert(id);
                durable.confirm(id);
                let first = (0..12).find(|id| !kept.contains(id)).unwrap_or(12);
                prop_assert_eq!(durable.flushed(), Lsn(first * 10));
            }
        }
    }

    #[test]
    fn a_prefix_counts_once_all_before_it_is_durable() {
        let mut durable = Durable::new(Lsn(0));
        durable.hand_out(1, one(), (Lsn(0), Lsn(16)));
        durable.confirm_prefix(Lsn(16), Lsn(20));
        assert_eq!(durable.flushed(), Lsn(0));
        durable.confirm(1);
        assert_eq!(durable.flushed(), Lsn(20));
        durable.hand_out(2, one(), (Lsn(16), Lsn(32)));
        assert_eq!(durable.give_back(2), Some((one(), Lsn(16))));
        assert_eq!(durable.give_back(2), None);
        assert_eq!(durable.flushed(), Lsn(20));
    }
}

//! History files: from which timelines a timeline came, and where it left them.

use crate::{Error, Lsn, Timeline};

/// Largest history file that is read; each promotion adds a line of about 60 bytes.
pub const MAX_HISTORY: usize = 1 << 20;

/// A timeline and all it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    timeline: Timeline,
    /// Oldest first: a timeline, and where the next one left it.
    parents: Vec<(Timeline, Lsn)>,
}

/// A stretch of one timeline; `end` is `None` for the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The timeline.
    pub timeline: Timeline,
    /// The first byte that belongs to it.
    pub start: Lsn,
    /// The first byte that belongs to the next.
    pub end: Option<Lsn>,
}

impl History {
    /// The first timeline of a cluster, which has no history file.
    pub fn first(timeline: Timeline) -> Self {
        Self { timeline, parents: Vec::new() }
    }

    /// Reads the history file of `timeline`, by PostgreSQL's own rules: parents rise, and so does
    /// where they were left.
    pub fn parse(timeline: Timeline, file: &[u8]) -> Result<Self, Error> {
        let bad = |line: usize, how: &str| {
            Error::protocol(format!("line {line} of {}: {how}", timeline.history_name()))
        };
        if file.len() > MAX_HISTORY {
            return Err(bad(1, "the file is larger than 1 MiB"));
        }
        let mut parents: Vec<(Timeline, Lsn)> = Vec::new();
        for (number, line) in file.split(|byte| *byte == b'\n').enumerate() {
            let number = number + 1;
            // The reason at the end of a line is free text in any encoding.
            let line = String::from_utf8_lossy(line);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(parent), Some(left)) = (words.next(), words.next()) else {
                return Err(bad(number, "a timeline and a position are expected"));
            };
            let parent: Timeline = parent.parse().map_err(|_| bad(number, "no timeline"))?;
            let left: Lsn = left.parse().map_err(|_| bad(number, "no position"))?;
            if parents.last().is_some_and(|(before, at)| *before >= parent || *at > left) {
                return Err(bad(number, "timelines and positions must rise"));
            }
            if parent >= timeline {
                return Err(bad(number, "a parent must be older than its child"));
            }
            parents.push((parent, left));
        }
        Ok(Self { timeline, parents })
    }

    /// Whose history it is.
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Where `timeline` was left; `None` where it is the last or not of this history.
    pub fn left_at(&self, timeline: Timeline) -> Option<Lsn> {
        self.parents.iter().find(|(parent, _)| *parent == timeline).map(|(_, at)| *at)
    }

    /// Which timeline follows `timeline`.
    pub fn after(&self, timeline: Timeline) -> Option<Timeline> {
        let at = self.parents.iter().position(|(parent, _)| *parent == timeline)?;
        Some(self.parents.get(at + 1).map_or(self.timeline, |(next, _)| *next))
    }

    /// The way from the first position to the last, timeline by timeline.
    pub fn stretches(&self) -> Vec<Stretch> {
        let mut start = Lsn(0);
        let mut all = Vec::with_capacity(self.parents.len() + 1);
        for (timeline, end) in &self.parents {
            all.push(Stretch { timeline: *timeline, start, end: Some(*end) });
            start = *end;
        }
        all.push(Stretch { timeline: self.timeline, start, end: None });
        all
    }
}

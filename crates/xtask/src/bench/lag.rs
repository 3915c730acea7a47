//! How far what is stored lags behind what a server has written: both are looked at all the while.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    database::{Postgres, Session},
    measure::memory_of_all,
    positions::{Reach, SEGMENT, position},
};

/// How often both are looked at.
const LOOK: Duration = Duration::from_millis(25);
/// Memory is looked at once in so many looks: that reads of all processes.
const SELDOM: u32 = 10;

/// A moment, in seconds, and how far something had come.
type Step = (f64, u64);

/// What was seen.
pub(super) struct Seen {
    written: Vec<Step>,
    stored: Vec<Step>,
    /// The largest sum of what the programs of a name held, in MiB.
    pub(super) peak_mib: f64,
}

/// Looks until it is told to stop.
pub(super) struct Watch {
    began: Instant,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen>>,
}

impl Watch {
    /// Looks at `folder` from the segment that begins at `from`, and at the memory of the programs
    /// called `program`.
    pub(super) fn start(
        server: &Postgres,
        folder: PathBuf,
        from: u64,
        program: Option<&'static str>,
    ) -> Result<Self> {
        let session = server.session("bench")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (began, told) = (Instant::now(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let seen = Seen { written: Vec::new(), stored: Vec::new(), peak_mib: 0.0 };
            look(session, &folder, Reach::from(from), program, began, &told, seen)
        });
        Ok(Self { began, stop, thread })
    }

    /// Seconds since it began.
    pub(super) fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    pub(super) fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(seen) => seen,
            Err(_) => bail!("looking after the lag ended"),
        }
    }
}

fn look(
    mut session: Session,
    folder: &std::path::Path,
    mut reach: Reach,
    program: Option<&'static str>,
    began: Instant,
    stop: &AtomicBool,
    mut seen: Seen,
) -> Result<Seen> {
    let mut looks = 0;
    while !stop.load(Ordering::Relaxed) {
        let at = began.elapsed().as_secs_f64();
        // Gone where the server was killed.
        let Ok(told) = session.ask("SELECT pg_current_wal_flush_lsn()") else { break };
        seen.written.push((at, position(&told).context("no position")?));
        let stored = reach.look(folder);
        seen.stored.push((began.elapsed().as_secs_f64(), stored));
        if let Some(program) = program.filter(|_| looks % SELDOM == 0) {
            seen.peak_mib = seen.peak_mib.max(memory_of_all(program));
        }
        looks += 1;
        thread::sleep(LOOK);
    }
    Ok(seen)
}

impl Seen {
    /// When all up to `end` was stored, in seconds; `None` for never.
    pub(super) fn stored_by(&self, end: u64) -> Option<f64> {
        self.stored.iter().find(|(_, stored)| *stored >= end).map(|(at, _)| *at)
    }

    /// For how long, at the moment `now`, the oldest byte had been written that was not stored then.
    pub(super) fn since(&self, now: f64) -> f64 {
        let stored = self.stored.last().map_or(0, |(_, stored)| *stored);
        let oldest = self.written.iter().find(|(_, written)| *written > stored);
        oldest.map_or(0.0, |(at, _)| now - at)
    }

    /// How long what a look saw written, up to `last`, took until it was stored, in order;
    /// infinitely long where it never was.
    pub(super) fn lags(&self, last: u64) -> Vec<f64> {
        let grown = self.written.windows(2).filter(|two| two[1].1 > two[0].1).map(|two| two[1]);
        self.lags_of(grown.filter(|step| step.1 <= last))
    }

    /// The same of whole segments, from when their last byte was written.
    pub(super) fn lags_of_segments(&self, last: u64) -> Vec<f64> {
        let ends = self.written.windows(2).flat_map(|two| {
            let ends = two[0].1 / SEGMENT + 1..=two[1].1 / SEGMENT;
            let at = two[1].0;
            ends.map(move |number| (at, number * SEGMENT))
        });
        self.lags_of(ends.filter(|step| step.1 <= last))
    }

    fn lags_of(&self, steps: impl Iterator<Item = Step>) -> Vec<f64> {
        let mut stored = self.stored.iter().peekable();
        let mut lags = Vec::new();
        for (at, end) in steps {
            while stored.next_if(|(_, stored)| *stored < end).is_some() {}
            lags.push(stored.peek().map_or(f64::INFINITY, |(then, _)| (then - at).max(0.0)));
        }
        lags.sort_by(f64::total_cmp);
        lags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_from_written_to_stored() {
        let seen = Seen {
            written: vec![(0.0, 0), (1.0, 10), (2.0, 10), (3.0, SEGMENT + 1), (4.0, SEGMENT + 5)],
            stored: vec![(1.5, 10), (3.5, 10), (5.0, SEGMENT + 2)],
            peak_mib: 0.0,
        };
        let lags = seen.lags(u64::MAX);
        assert!((lags[0] - 0.5).abs() < 1e-9 && (lags[1] - 2.0).abs() < 1e-9, "{lags:?}");
        assert!(lags.len() == 3 && lags[2].is_infinite(), "{lags:?}");
        assert_eq!(seen.lags(SEGMENT + 1).len(), 2);
        assert_eq!(seen.lags_of_segments(u64::MAX), [2.0]);
        assert_eq!(seen.stored_by(11), Some(5.0));
        assert!((seen.since(6.0) - 2.0).abs() < 1e-9);
        assert_eq!(seen.stored_by(2 * SEGMENT), None);
    }
}

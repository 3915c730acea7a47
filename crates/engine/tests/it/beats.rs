//! A PostgreSQL server at work: rows of which it is known when they were committed.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use engine::WalTimes;
use jiff::Timestamp;

/// A row that was committed between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beat {
    pub(crate) number: u32,
    pub(crate) sent_at: Timestamp,
    pub(crate) known_at: Timestamp,
}

/// Rows written one by one, and others beside them.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    beats: std::thread::JoinHandle<Vec<Beat>>,
    bench: Child,
}

impl Load {
    /// Writes by `psql`, a row each `every`, while `bench` runs.
    pub(crate) fn start(mut psql: Command, mut bench: Command, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        psql.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut psql = psql.spawn().unwrap();
        let is_over = Arc::clone(&stop);
        let beats = std::thread::spawn(move || {
            let mut to = psql.stdin.take().unwrap();
            let mut from = BufReader::new(psql.stdout.take().unwrap());
            let mut beats = Vec::new();
            for number in 1.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let sent_at = Timestamp::now();
                writeln!(to, "INSERT INTO beats VALUES ({number}) RETURNING n;").unwrap();
                let mut line = String::new();
                from.read_line(&mut line).unwrap();
                assert_eq!(line.trim(), number.to_string());
                beats.push(Beat { number, sent_at, known_at: Timestamp::now() });
                std::thread::sleep(every);
            }
            drop(to);
            psql.wait().unwrap();
            beats
        });
        let bench = bench.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { stop, beats, bench }
    }

    pub(crate) fn end(mut self) -> Vec<Beat> {
        self.stop.store(true, Ordering::Relaxed);
        let beats = self.beats.join().unwrap();
        self.bench.kill().unwrap();
        self.bench.wait().unwrap();
        beats
    }
}

/// All rows that were committed before `moment` are among `found`, in order, and none that was
/// begun after it.
pub(crate) fn as_it_was(beats: &[Beat], found: &[u32], moment: Timestamp) {
    let wanted: Vec<u32> = (1..).take(found.len()).collect();
    assert_eq!(found, wanted, "rows without a hole");
    for beat in beats {
        let is_there = found.contains(&beat.number);
        assert!(is_there || beat.known_at > moment, "{beat:?} is missing at {moment}");
        assert!(!is_there || beat.sent_at <= moment, "{beat:?} is too much at {moment}");
    }
}

/// An archive that is looked at every second.
pub(crate) fn every_second() -> WalTimes {
    WalTimes {
        partial: Duration::from_millis(500),
        scan: Duration::from_secs(1),
        look: Duration::from_secs(1),
        beat: Duration::from_secs(1),
        ..WalTimes::default()
    }
}

//! The arithmetic of what is stored, against a naive model; names and histories.

use proptest::prelude::*;
use replication::{Base, History, Lsn, Ranges, SegmentSize, Stored, Timeline};

const SPACE: usize = 60;

fn lsn(at: usize) -> Lsn {
    Lsn(at as u64)
}

fn timeline(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

#[derive(Debug, Clone)]
enum Change {
    Insert(usize, usize),
    Remove(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    (any::<bool>(), 0..SPACE, 0..SPACE)
        .prop_map(|(adds, a, b)| if adds { Change::Insert(a, b) } else { Change::Remove(a, b) })
}

/// What a plain row of marks says about the same.
fn runs(marks: &[bool], wanted: bool, from: usize, to: usize) -> Vec<(Lsn, Lsn)> {
    let mut found: Vec<(Lsn, Lsn)> = Vec::new();
    for (at, mark) in marks.iter().enumerate().take(to).skip(from) {
        if *mark == wanted {
            match found.last_mut() {
                Some((_, end)) if *end == lsn(at) => end.0 += 1,
                _ => found.push((lsn(at), lsn(at + 1))),
            }
        }
    }
    found
}

proptest! {
    #[test]
    fn ranges_are_as_a_row_of_marks(
        changes in proptest::collection::vec(change(), 0..40),
        from in 0..SPACE,
        to in 0..SPACE,
    ) {
        let mut ranges = Ranges::default();
        let mut marks = [false; SPACE];
        for change in changes {
            let (a, b, adds) = match change {
                Change::Insert(a, b) => (a, b, true),
                Change::Remove(a, b) => (a, b, false),
            };
            if adds { ranges.insert(lsn(a), lsn(b)) } else { ranges.remove(lsn(a), lsn(b)) }
            marks[a..b.max(a)].fill(adds);
        }
        prop_assert_eq!(ranges.iter().collect::<Vec<_>>(), runs(&marks, true, 0, SPACE));
        prop_assert_eq!(ranges.gaps(lsn(from), lsn(to)), runs(&marks, false, from, to));
        let reach = (from..SPACE).find(|at| !marks[*at]).unwrap_or(SPACE);
        prop_assert_eq!(ranges.reach(lsn(from)), lsn(reach));
        let all = (from..to).all(|at| marks[at]);
        prop_assert_eq!(ranges.contains(lsn(from), lsn(to)), all);
    }

    /// The window along a history, by walking position by position.
    #[test]
    fn a_window_is_as_a_walk(
        pieces in proptest::collection::vec((1u32..4, 0..SPACE, 0..SPACE), 0..25),
        forks in (1..SPACE, 1..SPACE),
        base in (1u32..4, 0..SPACE, 0..SPACE),
    ) {
        let (first, second) = (forks.0.min(forks.1), forks.0.max(forks.1));
        let file = format!("1\t0/{first:X}\tx\n2\t0/{second:X}\ty\n");
        let history = History::parse(timeline(3), file.as_bytes()).unwrap();
        let mut stored = Stored::default();
        let mut marks = [[false; SPACE]; 4];
        for (line, a, b) in pieces {
            stored.insert(7, timeline(line), lsn(a), lsn(b));
            marks[line as usize][a..b.max(a)].fill(true);
        }
        let (line, start, end) = (base.0, base.1.min(base.2), base.1.max(base.2));
        let left = [0, first, second, usize::MAX];
        let given = Base { system: 7, timeline: timeline(line), start: lsn(start), end: lsn(end) };
        let mut on = line as usize;
        let mut at = start;
        loop {
            while on < 3 && at >= left[on] {
                on += 1;
            }
            if at >= SPACE || !marks[on][at] {
                break;
            }
            at += 1;
        }
        // A base that begins after its timeline was left is no base of this history.
        prop_assume!(start <= left[line as usize]);
        let wanted = (at >= end && end <= left[line as usize]).then_some(lsn(at));
        prop_assert_eq!(stored.window(&given, &history).map(|window| window.end), wanted);
    }

    #[test]
    fn names_of_segments_come_back(
        power in 20u32..=30,
        line in 1u32..,
        at in any::<u64>(),
    ) {
        let size = SegmentSize::new(1 << power).unwrap();
        let name = size.name(timeline(line), Lsn(at));
        prop_assert_eq!(size.parse_name(&name), Some((timeline(line), size.start_of(Lsn(at)))));
    }

    #[test]
    fn no_name_history_or_manifest_makes_it_panic(text in "\\PC{0,60}", bytes in any::<Vec<u8>>()) {
        let _ = SegmentSize::default().parse_name(&text);
        let _ = SegmentSize::shown(&text);
        let _ = text.parse::<Lsn>();
        let _ = History::parse(timeline(9), &bytes);
        let _ = History::parse(timeline(9), text.as_bytes());
        let _ = replication::Manifest::parse(&bytes);
    }
}

#[test]
fn names_are_postgresqls() {
    let usual = SegmentSize::default();
    let name = |size: SegmentSize, at: &str| size.name(timeline(1), at.parse().unwrap());
    assert_eq!(name(usual, "0/1000028"), "000000010000000000000001");
    assert_eq!(name(usual, "1/FFFFFFFF"), "0000000100000001000000FF");
    let large = SegmentSize::shown("1GB").unwrap();
    assert_eq!(name(large, "2/C0000000"), "000000010000000200000003");
    assert_eq!(large.parse_name("0000000100000002000000FF"), None);
    let small = SegmentSize::shown("1MB").unwrap();
    assert_eq!(name(small, "0/FFF00000"), "000000010000000000000FFF");
    for bad in [
        "",
        "000000010000000000000001.partial",
        "000000000000000000000001",
        "0000000a0000000000000001",
    ] {
        assert_eq!(usual.parse_name(bad), None, "{bad}");
    }
    assert_eq!(SegmentSize::shown("3MB"), None);
    assert_eq!(SegmentSize::shown("2GB"), None);
}

#[test]
fn histories_are_read_and_bad_ones_refused() {
    let file = "# by hand\n1\t0/5000000\tno recovery target specified\n\n3\t1/0\tbefore 2026-11-21 10:00:00+00\n";
    let history = History::parse(timeline(4), file.as_bytes()).unwrap();
    assert_eq!(history.left_at(timeline(1)), Some(Lsn(0x0500_0000)));
    assert_eq!(history.after(timeline(1)), Some(timeline(3)));
    assert_eq!(history.after(timeline(3)), Some(timeline(4)));
    assert_eq!(history.after(timeline(4)), None);
    assert_eq!(history.stretches().len(), 3);
    for bad in
        ["1", "x 0/1", "0 0/1", "5 0/1", "1 0/5\n1 0/6", "2 0/5\n1 0/6", "1 0/6\n2 0/5", "1 0/G"]
    {
        let refused = History::parse(timeline(4), bad.as_bytes());
        assert!(refused.is_err(), "{bad}: {refused:?}");
    }
}

#[test]
fn gaps_are_told_on_the_timeline_they_are_on() {
    let history = History::parse(timeline(2), b"1 0/64 x").unwrap();
    let mut stored = Stored::default();
    stored.insert(1, timeline(1), Lsn(0), Lsn(50));
    stored.insert(1, timeline(2), Lsn(90), Lsn(120));
    let gaps = stored.gaps(1, timeline(1), &history, (Lsn(10), Lsn(130)));
    let (one, two) = (timeline(1), timeline(2));
    assert_eq!(gaps, [(one, Lsn(50), Lsn(100)), (two, Lsn(120), Lsn(130))]);
}

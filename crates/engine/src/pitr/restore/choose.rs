//! From which base backup, and along which WAL, a moment is reached. Knows neither catalog nor
//! store: what is stored is told to it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::{Fact, Moment, MomentOrder, RestorePoint, SnapshotId};
use replication::{Base, History, Lsn, SegmentSize, Stored, SystemId, Timeline, Window};

/// What is stored for one app.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) bases: Vec<KnownBase>,
    pub(crate) pieces: Vec<KnownPiece>,
    pub(crate) histories: Vec<(SystemId, History)>,
    pub(crate) points: Vec<RestorePoint>,
    /// Up to when it is known that nothing else was written than what is stored.
    pub(crate) quiet_until: Option<Timestamp>,
}

/// A base backup that can be read.
#[derive(Debug, Clone)]
pub(crate) struct KnownBase {
    pub(crate) snapshot: SnapshotId,
    /// When it was whole.
    pub(crate) at: Timestamp,
    pub(crate) base: Base,
    pub(crate) segment: SegmentSize,
    pub(crate) major: u32,
}

/// WAL that is stored as one object.
#[derive(Debug, Clone)]
pub(crate) struct KnownPiece {
    pub(crate) system: SystemId,
    pub(crate) timeline: Timeline,
    pub(crate) start: Lsn,
    pub(crate) end: Lsn,
    /// Its last commit, where it holds one.
    pub(crate) last_commit: Option<Timestamp>,
}

/// Where replay ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// With the last of the WAL that is brought.
    End,
    /// Before the first transaction that was committed later.
    Time(Timestamp),
    /// Before the first record that begins there or later.
    Lsn(Lsn),
    /// Just after the restore point of that name.
    Name(String),
}

/// How a moment is reached.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) base: KnownBase,
    pub(crate) history: History,
    pub(crate) stop: Stop,
    /// WAL to be brought, in order.
    pub(crate) pieces: Vec<KnownPiece>,
    /// Where that ends.
    pub(crate) end: Lsn,
}

/// Why a moment cannot be reached, and which can that are nearest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) why: Box<Fact>,
    pub(crate) before: Option<Timestamp>,
    pub(crate) after: Option<Timestamp>,
}

impl Missed {
    fn new(why: Fact) -> Self {
        Self { why: Box::new(why), before: None, after: None }
    }
}

/// What can be reached from one base.
struct Reach<'a> {
    base: &'a KnownBase,
    history: History,
    window: Window,
    /// In order, without those that others contain.
    pieces: Vec<&'a KnownPiece>,
    last_commit: Option<Timestamp>,
    /// The last moment that is within.
    end_at: Timestamp,
}

/// The way to what `order` asks for; from the base `only`, where one is named.
pub(crate) fn choose(
    known: &Known,
    order: &MomentOrder,
    only: Option<SnapshotId>,
    now: Timestamp,
) -> Result<Way, Missed> {
    let point = match &order.moment {
        Moment::RestorePoint { name } => {
            let named = known.points.iter().filter(|point| point.name == *name);
            let newest = named.max_by_key(|point| point.made_at);
            let none = || Missed::new(Fact::NoRestorePoint { name: name.clone() });
            Some(newest.ok_or_else(none)?)
        }
        Moment::Time { at } if *at > now => {
            let last = reaches(known, order.timeline, only)?.iter().map(|one| one.end_at).max();
            let why = Box::new(Fact::MomentFuture { at: *at });
            return Err(Missed { why, before: last, after: None });
        }
        _ => None,
    };
    let timeline = order.timeline.or(point.map(|point| point.timeline));
    let all = reaches(known, timeline, only)?;
    let way = match &order.moment {
        Moment::Time { at } => by_time(&all, *at)?,
        Moment::Lsn { at } => by_position(&all, Lsn(at.0))?,
        Moment::RestorePoint { name } => {
            let at = point.map_or(Lsn(0), |point| Lsn(point.at.0));
            Way { stop: Stop::Name(name.clone()), ..by_position(&all, at)? }
        }
        Moment::Latest => match all.first() {
            Some(newest) => newest.way(Stop::End),
            None => return Err(Missed::new(Fact::NoBase {})),
        },
    };
    Ok(way)
}

/// The bases that can be replayed at all, newest first.
fn reaches(
    known: &Known,
    timeline: Option<u32>,
    only: Option<SnapshotId>,
) -> Result<Vec<Reach<'_>>, Missed> {
    let mut stored = Stored::default();
    for piece in &known.pieces {
        stored.insert(piece.system, piece.timeline, piece.start, piece.end);
    }
    let mut bases: Vec<_> = known.bases.iter().collect();
    bases.sort_by_key(|one| std::cmp::Reverse((one.at, one.base.end)));
    bases.retain(|one| only.is_none_or(|only| only == one.snapshot));
    if bases.is_empty() {
        return Err(Missed::new(Fact::NoBase {}));
    }
    let mut all = Vec::new();
    let mut is_known = timeline.is_none();
    for base in bases {
        let there = timelines(known, base.base.system);
        let on = match timeline.map(Timeline::new) {
            Some(Some(asked)) if there.contains(&asked) => asked,
            Some(_) => continue,
            // Of a timeline without its history it is not known where it comes from.
            None => *there
                .iter()
                .rev()
                .find(|line| **line == base.base.timeline || history(known, base, **line).is_some())
                .unwrap_or(&base.base.timeline),
        };
        is_known = true;
        let history = history(known, base, on).cloned().unwrap_or_else(|| History::first(on));
        if let Some(window) = stored.window(&base.base, &history) {
            all.push(Reach::of(known, base, history, window));
        }
    }
    match (is_known, all.is_empty()) {
        (false, _) => Err(Missed::new(Fact::NoTimeline { timeline: timeline.unwrap_or(0).into() })),
        (true, true) => Err(Missed::new(Fact::NoBase {})),
        (true, false) => Ok(all),
    }
}

/// Where a timeline of the cluster of `base` comes from.
fn history<'a>(known: &'a Known, base: &KnownBase, on: Timeline) -> Option<&'a History> {
    let own = |(system, history): &&(SystemId, History)| {
        *system == base.base.system && history.timeline() == on
    };
    known.histories.iter().find(own).map(|(_, history)| history)
}

/// The timelines of a cluster that something is stored of, oldest first.
fn timelines(known: &Known, system: SystemId) -> BTreeSet<Timeline> {
    let pieces = known.pieces.iter().filter(|one| one.system == system).map(|one| one.timeline);
    let bases = known.bases.iter().filter(|one| one.base.system == system);
    pieces.chain(bases.map(|one| one.base.timeline)).collect()
}

impl<'a> Reach<'a> {
    fn of(known: &'a Known, base: &'a KnownBase, history: History, window: Window) -> Self {
        let mut pieces = Vec::new();
        let way = history.stretches();
        let way = way.iter().skip_while(|stretch| stretch.timeline != base.base.timeline);
        for stretch in way {
            let from = stretch.start.max(base.base.start);
            let until = stretch.end.map_or(window.end, |end| end.min(window.end));
            let mut own: Vec<_> = known
                .pieces
                .iter()
                .filter(|one| one.system == base.base.system && one.timeline == stretch.timeline)
                .filter(|one| one.end > from && one.start < until)
                .collect();
            // The beginning of a segment may still be there beside all of it.
            own.sort_by_key(|one| (one.start, std::cmp::Reverse(one.end)));
            own.dedup_by_key(|one| one.start);
            pieces.extend(own);
            if stretch.timeline == window.timeline {
                break;
            }
        }
        let last_commit = pieces.iter().filter_map(|one| one.last_commit).max();
        let end_at = last_commit.map_or(base.at, |last| last.max(base.at));
        // All that is stored of the newest timeline is within: nothing is missing after it.
        let newest = known.pieces.iter().filter(|one| one.system == base.base.system);
        let is_newest = newest.map(|one| one.end).max().is_none_or(|end| end <= window.end);
        let quiet = known.quiet_until.filter(|_| is_newest);
        let end_at = quiet.map_or(end_at, |quiet| end_at.max(quiet));
        Self { base, history, window, pieces, last_commit, end_at }
    }

    /// From its base to `stop`, with no more WAL than that needs.
    fn way(&self, stop: Stop) -> Way {
        let needed = match &stop {
            Stop::End | Stop::Name(_) => self.pieces.len(),
            // What begins there may end in the next.
            Stop::Time(at) => {
                let beyond = |one: &&KnownPiece| one.last_commit.is_some_and(|last| last > *at);
                self.pieces.iter().position(beyond).map_or(self.pieces.len(), |at| at + 2)
            }
            Stop::Lsn(at) => self.up_to(*at),
        };
        let pieces: Vec<_> = self.pieces.iter().take(needed).map(|one| (*one).clone()).collect();
        let end = pieces.iter().map(|one| one.end).max().unwrap_or(self.window.end);
        let (base, history) = (self.base.clone(), self.history.clone());
        Way { base, history, stop, pieces, end: end.min(self.window.end) }
    }

    /// How many pieces hold `at` and what follows it.
    fn up_to(&self, at: Lsn) -> usize {
        let beyond = self.pieces.iter().position(|one| one.end > at);
        beyond.map_or(self.pieces.len(), |at| at + 3)
    }
}

fn by_time(all: &[Reach<'_>], at: Timestamp) -> Result<Way, Missed> {
    let within = |one: &&Reach<'_>| {
        one.base.at <= at && (at <= one.end_at || one.last_commit.is_some_and(|last| last > at))
    };
    if let Some(reach) = all.iter().find(within) {
        // A time after the last commit is never seen to be passed: the server would refuse to end.
        let is_passed = reach.last_commit.is_some_and(|last| last > at);
        return Ok(reach.way(if is_passed { Stop::Time(at) } else { Stop::End }));
    }
    let before = all.iter().filter(|one| one.base.at <= at).map(|one| one.end_at).max();
    let after = all.iter().filter(|one| one.base.at > at).map(|one| one.base.at).min();
    let why = match (before, after) {
        (None, Some(first)) => Fact::MomentTooEarly { at, first },
        (Some(before), Some(after)) => Fact::MomentInGap { at, before, after },
        (Some(before), None) => Fact::MomentNotStored { at, before },
        (None, None) => Fact::NoBase {},
    };
    Err(Missed { why: Box::new(why), before, after })
}

fn by_position(all: &[Reach<'_>], at: Lsn) -> Result<Way, Missed> {
    if let Some(reach) = all.iter().find(|one| one.base.base.end <= at && at <= one.window.end) {
        return Ok(reach.way(if at == reach.window.end { Stop::End } else { Stop::Lsn(at) }));
    }
    let before = all.iter().filter(|one| one.window.end < at).max_by_key(|one| one.window.end);
    let after = all.iter().filter(|one| one.base.base.end > at).min_by_key(|one| one.base.base.end);
    let last = before.map(|one| one.window.end.to_string()).unwrap_or_default();
    let first = after.map(|one| one.base.base.end.to_string()).unwrap_or_default();
    let position = at.to_string();
    let why = match (before, after) {
        (None, Some(_)) => Fact::PositionTooEarly { position, first },
        (Some(_), Some(_)) => Fact::PositionInGap { position, before: last, after: first },
        (Some(_), None) => Fact::PositionNotStored { position, before: last },
        (None, None) => Fact::NoBase {},
    };
    let (before, after) = (before.map(|one| one.end_at), after.map(|one| one.base.at));
    Err(Missed { why: Box::new(why), before, after })
}

/// The spans of time that any moment of can be restored, oldest first, as far as `known` tells.
pub(crate) fn spans(known: &Known) -> Vec<(Timestamp, Timestamp)> {
    let all = reaches(known, None, None).unwrap_or_default();
    let mut spans: Vec<_> = all.iter().map(|one| (one.base.at, one.end_at)).collect();
    spans.sort();
    let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (start, end) in spans {
        match joined.last_mut().filter(|last| start <= last.1) {
            Some(last) => last.1 = last.1.max(end),
            None => joined.push((start, end)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn id(number: u8) -> SnapshotId {
        format!("{number:026}").parse().unwrap()
    }

    fn line(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    fn base(number: u8, timeline: u32, start: u64, end: u64, when: i64) -> KnownBase {
        let (start, end, timeline) = (Lsn(start * MB), Lsn(end * MB), line(timeline));
        KnownBase {
            snapshot: id(number),
            at: at(when),
            base: Base { system: 7, timeline, start, end },
            segment: SegmentSize::default(),
            major: 15,
        }
    }

    /// Segments of 16 MiB of a timeline, from one number to another; each has a commit every second
    /// of its number's ten.
    fn pieces(timeline: u32, from: u64, to: u64) -> impl Iterator<Item = KnownPiece> {
        (from..to).map(move |number| KnownPiece {
            system: 7,
            timeline: line(timeline),
            start: Lsn(number * 16 * MB),
            end: Lsn((number + 1) * 16 * MB),
            last_commit: Some(at(i64::try_from(number).unwrap() * 10 + 9)),
        })
    }

    /// A base at 20 s, WAL until 100 s, a hole, a base at 150 s, WAL until 200 s.
    fn broken() -> Known {
        Known {
            bases: vec![base(1, 1, 16, 20, 20), base(2, 1, 240, 244, 150)],
            pieces: pieces(1, 1, 10).chain(pieces(1, 15, 20)).collect(),
            quiet_until: Some(at(210)),
            ..Known::default()
        }
    }

    fn to(moment: Moment) -> MomentOrder {
        MomentOrder { moment, timeline: None, pause: false }
    }

    fn time(seconds: i64) -> MomentOrder {
        to(Moment::Time { at: at(seconds) })
    }

    fn way(known: &Known, order: &MomentOrder) -> Result<Way, Missed> {
        choose(known, order, None, at(300))
    }

    #[test]
    fn the_newest_base_before_the_moment_is_taken_and_no_more_wal_than_needed() {
        let known = broken();
        let early = way(&known, &time(45)).unwrap();
        assert_eq!((early.base.snapshot, &early.stop), (id(1), &Stop::Time(at(45))));
        // The segment whose commits pass it, and the one after.
        assert_eq!(early.pieces.last().unwrap().end, Lsn(6 * 16 * MB));
        let late = way(&known, &time(160)).unwrap();
        assert_eq!((late.base.snapshot, &late.stop), (id(2), &Stop::Time(at(160))));
        assert_eq!(late.pieces[0].start, Lsn(240 * MB));
    }

    #[test]
    fn a_time_after_the_last_commit_is_the_end() {
        for seconds in [199, 205, 210] {
            assert_eq!(way(&broken(), &time(seconds)).unwrap().stop, Stop::End, "{seconds}");
        }
        assert_eq!(way(&broken(), &time(198)).unwrap().stop, Stop::Time(at(198)));
    }

    #[test]
    fn what_cannot_be_reached_names_what_can() {
        let known = broken();
        let missed = |order: &MomentOrder| way(&known, order).unwrap_err();
        let early = missed(&time(19));
        assert_eq!(*early.why, Fact::MomentTooEarly { at: at(19), first: at(20) });
        let gap = missed(&time(120));
        assert_eq!(*gap.why, Fact::MomentInGap { at: at(120), before: at(99), after: at(150) });
        assert_eq!((gap.before, gap.after), (Some(at(99)), Some(at(150))));
        let open = missed(&time(211));
        assert_eq!(*open.why, Fact::MomentNotStored { at: at(211), before: at(210) });
        let future = missed(&time(301));
        assert_eq!(*future.why, Fact::MomentFuture { at: at(301) });
        let unknown = MomentOrder { timeline: Some(4), ..time(160) };
        assert_eq!(*missed(&unknown).why, Fact::NoTimeline { timeline: 4 });
        let point = to(Moment::RestorePoint { name: "none".to_owned() });
        assert_eq!(*missed(&point).why, Fact::NoRestorePoint { name: "none".to_owned() });
        assert_eq!(missed(&to(Moment::Lsn { at: model::Lsn(1) })).why.code(), "position_too_early");
        let hole = to(Moment::Lsn { at: model::Lsn(200 * MB) });
        assert_eq!(missed(&hole).why.code(), "position_in_gap");
        let nothing = way(&Known::default(), &time(1)).unwrap_err();
        assert_eq!(*nothing.why, Fact::NoBase {});
    }

    #[test]
    fn a_branch_that_was_left_is_reached_by_its_timeline() {
        // At 80 MiB timeline 2 leaves timeline 1, which goes on.
        let history = History::parse(line(2), b"1\t0/5000000\tbefore a restore\n").unwrap();
        let mut known = Known {
            bases: vec![base(1, 1, 16, 20, 20)],
            pieces: pieces(1, 1, 10).chain(pieces(2, 5, 8)).collect(),
            histories: vec![(7, history)],
            ..Known::default()
        };
        let newest = way(&known, &to(Moment::Latest)).unwrap();
        assert_eq!(newest.history.timeline(), line(2));
        assert_eq!(newest.end, Lsn(8 * 16 * MB));
        let lines: Vec<_> = newest.pieces.iter().map(|one| one.timeline.number()).collect();
        assert_eq!(lines, [1, 1, 1, 1, 2, 2, 2]);
        let left = MomentOrder { timeline: Some(1), ..to(Moment::Latest) };
        assert_eq!(way(&known, &left).unwrap().end, Lsn(10 * 16 * MB));
        // A base of the branch that was left is none for the other.
        known.bases.push(base(2, 1, 100, 104, 70));
        assert_eq!(way(&known, &to(Moment::Latest)).unwrap().base.snapshot, id(1));
        assert_eq!(way(&known, &left).unwrap().base.snapshot, id(2));
    }

    #[test]
    fn spans_join_where_bases_follow_without_a_gap() {
        let mut known = broken();
        known.bases.push(base(3, 1, 64, 68, 50));
        assert_eq!(spans(&known), [(at(20), at(99)), (at(150), at(210))]);
    }
}

//! Which moments can be restored, and which cannot. Nothing here asks anybody.

use jiff::Timestamp;
use model::{BaseFacts, RecoveryWindow, SnapshotId, WalGap};
use replication::{Base, History, SystemId, Timeline};

use super::{
    index::{Index, Outline},
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

/// Leaves out what is no gap but on its way: pieces may become durable out of their order, and of
/// what is not acknowledged yet the server keeps its own.
pub(crate) fn without_pending(gaps: &mut Vec<WalGap>, index: &Index, acknowledged: model::Lsn) {
    let is_newest = |gap: &WalGap| {
        let system = gap.system.parse().ok().and_then(|system| index.outline.newest(system));
        system.is_some_and(|newest| newest.number() == gap.timeline)
    };
    gaps.retain(|gap| gap.until_at.is_some() || gap.start < acknowledged || !is_newest(gap));
}

/// The windows, oldest first.
pub(crate) fn reaches(bases: &[BaseAt], index: &Index, quiet: Option<Quiet>) -> Vec<Reach> {
    let mut all = Vec::new();
    for system in index.outline.systems() {
        let mut own: Vec<(&BaseAt, Base)> = bases
            .iter()
            .filter_map(|one| Some((one, one.base()?)))
            .filter(|(_, base)| base.system == system)
            .collect();
        own.sort_by_key(|(_, base)| base.end);
        for history in index.outline.histories(system) {
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

/// Up to where a base leads, along whichever history leads farthest.
pub(crate) fn end(base: &BaseAt, outline: &Outline) -> Option<model::Lsn> {
    let base = base.base()?;
    let along = |history: History| {
        let found = outline.stored.window(&base, &history)?;
        (found.timeline == history.timeline()).then(|| told(found.end))
    };
    outline.histories(base.system).into_iter().filter_map(along).max()
}

/// How far one base leads along `history`, where it leads onto its last timeline.
fn reach(
    at: &BaseAt,
    base: &Base,
    history: History,
    index: &Index,
    quiet: Option<Quiet>,
) -> Option<Reach> {
    let found = index.outline.stored.window(base, &history)?;
    if found.timeline != history.timeline() {
        return None;
    }
    let system = base.system;
    let last_commit_at = index
        .last_commit(system, &history, (found.start, found.end))
        .filter(|commit| *commit >= at.at);
    let is_newest = index.outline.newest(system) == Some(found.timeline);
    let quiet_at =
        quiet.filter(|quiet| is_newest && quiet.at <= told(found.end)).map(|quiet| quiet.heard);
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
        let goes_on = index.outline.goes_on(reach.system, timeline, read(window.end));
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use model::{AppId, Lsn, WalPiece, WalPieceKind, WalPieceState};
    use proptest::prelude::*;

    use super::*;

    const SEGMENT: u64 = 1 << 20;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + secs).unwrap()
    }

    fn piece(timeline: u32, number: u64, part: Option<u64>) -> WalPiece {
        let start = number * SEGMENT;
        WalPiece {
            app_id: AppId::generate(at(0), &mut rand::rng()),
            system: "7".to_owned(),
            timeline,
            kind: part.map_or(WalPieceKind::Segment, |_| WalPieceKind::Beginning),
            name: format!("{timeline:08X}{number:016X}"),
            start: Lsn(start),
            end: Lsn(start + part.unwrap_or(SEGMENT)),
            segment_bytes: SEGMENT,
            hash: String::new(),
            key: format!("{timeline}/{number}/{part:?}"),
            stored_bytes: 1,
            stored_at: at(0),
            modified_at: None,
            last_commit: Some(at(i64::try_from(number).unwrap())),
            history: None,
            state: WalPieceState::Good,
        }
    }

    fn history(timeline: u32, text: &str) -> WalPiece {
        WalPiece {
            kind: WalPieceKind::History,
            name: format!("{timeline:08X}.history"),
            history: Some(text.to_owned()),
            ..piece(timeline, 0, None)
        }
    }

    /// A base that begins in segment `number` and ends in the middle of it.
    fn base(timeline: u32, number: u64) -> BaseAt {
        BaseAt {
            snapshot: SnapshotId::generate(at(0), &mut rand::rng()),
            facts: BaseFacts {
                system: "7".to_owned(),
                timeline,
                start: Lsn(number * SEGMENT + 40),
                end: Lsn(number * SEGMENT + 500),
                segment_bytes: SEGMENT,
                major: 15,
            },
            at: at(i64::try_from(number).unwrap()),
        }
    }

    #[test]
    fn a_hole_parts_two_windows_and_a_base_within_one_makes_none() {
        let pieces = (3..20).filter(|n| *n != 9).map(|n| piece(1, n, None));
        let pieces = pieces.chain([piece(1, 20, Some(4_096)), piece(1, 20, Some(512))]);
        let index = Index::of(pieces);
        let bases = [base(1, 3), base(1, 5), base(1, 12), base(1, 15)];
        let (windows, gaps) = draw(&bases, &index, None);
        assert_eq!(windows.len(), 2, "{windows:#?}");
        assert_eq!((windows[0].base, windows[0].end), (bases[0].snapshot, Lsn(9 * SEGMENT)));
        assert_eq!(windows[0].end_at, at(8));
        assert_eq!(windows[1].base, bases[2].snapshot);
        assert_eq!(windows[1].end, Lsn(20 * SEGMENT + 4_096));
        assert_eq!(windows[1].last_commit_at, Some(at(20)));
        let [gap] = gaps.as_slice() else { panic!("{gaps:#?}") };
        assert_eq!((gap.start, gap.end), (Lsn(9 * SEGMENT), Lsn(10 * SEGMENT)));
        assert_eq!((gap.from_at, gap.until_at), (Some(at(8)), Some(at(12))));
        // Without a base behind the hole, what comes after it leads nowhere.
        let (windows, gaps) = draw(&bases[..2], &index, None);
        assert_eq!(windows.len(), 1);
        assert_eq!((gaps[0].start, gaps[0].until_at), (Lsn(9 * SEGMENT), None));
        // A base whose own WAL is not whole is none.
        let (windows, _) = draw(&[base(1, 9)], &index, None);
        assert!(windows.is_empty(), "{windows:#?}");
    }

    #[test]
    fn what_is_on_its_way_is_no_gap() {
        let index = Index::of((3..12).filter(|n| *n != 9).map(|n| piece(1, n, None)));
        let drawn = |bases: &[BaseAt], acknowledged: u64| {
            let (_, mut gaps) = draw(bases, &index, None);
            without_pending(&mut gaps, &index, Lsn(acknowledged * SEGMENT));
            gaps.len()
        };
        assert_eq!(drawn(&[base(1, 3)], 9), 0);
        assert_eq!(drawn(&[base(1, 3)], 10), 1, "the server was told that it is stored");
        assert_eq!(drawn(&[base(1, 3), base(1, 10)], 9), 1, "a base was taken behind it");
        // A timeline that the server has left is not written any more.
        let left = (3..6).chain(7..9).map(|n| piece(1, n, None));
        let index = Index::of(left.chain([piece(2, 9, None), history(2, "1\t0/300000\tx\n")]));
        let (_, mut gaps) = draw(&[base(1, 3)], &index, None);
        let before = gaps.len();
        without_pending(&mut gaps, &index, Lsn(0));
        assert_eq!((before, gaps.len()), (1, 1));
    }

    #[test]
    fn a_quiet_server_makes_later_moments_restorable() {
        let index = Index::of((3..6).map(|n| piece(1, n, None)));
        let quiet = Quiet { at: Lsn(6 * SEGMENT), heard: at(1_000) };
        let (windows, _) = draw(&[base(1, 3)], &index, Some(quiet));
        assert_eq!(windows[0].end_at, at(1_000));
        assert_eq!(windows[0].last_commit_at, Some(at(5)));
        let beyond = Quiet { at: Lsn(7 * SEGMENT), ..quiet };
        let (windows, _) = draw(&[base(1, 3)], &index, Some(beyond));
        assert_eq!(windows[0].end_at, at(5));
    }

    #[test]
    fn windows_go_on_over_a_fork_and_what_was_left_stays_reachable() {
        let fork = 6 * SEGMENT + 100;
        let text = format!("1\t0/{fork:X}\tno recovery target specified\n");
        let second = (6..9).map(|n| piece(2, n, None)).chain([history(2, &text)]);
        let ends_at_fork = (3..6).map(|n| piece(1, n, None)).chain([piece(1, 6, Some(100))]);
        let (windows, gaps) =
            draw(&[base(1, 3)], &Index::of(ends_at_fork.chain(second.clone())), None);
        assert_eq!(windows.len(), 1, "{windows:#?}");
        assert_eq!((windows[0].timeline, windows[0].end), (2, Lsn(9 * SEGMENT)));
        assert!(gaps.is_empty(), "{gaps:#?}");
        let goes_on = (3..7).map(|n| piece(1, n, None));
        let (windows, _) = draw(&[base(1, 3)], &Index::of(goes_on.chain(second)), None);
        let mut ends: Vec<_> = windows.iter().map(|one| (one.timeline, one.end)).collect();
        ends.sort_unstable();
        assert_eq!(ends, [(1, Lsn(7 * SEGMENT)), (2, Lsn(9 * SEGMENT))]);
    }

    proptest! {
        /// Every position of a window can be replayed to, and none outside of them.
        #[test]
        fn windows_are_true(
            stored in proptest::collection::btree_set(0_u64..24, 0..24),
            bases in proptest::collection::btree_set(0_u64..24, 0..5),
        ) {
            let index = Index::of(stored.iter().map(|n| piece(1, *n, None)));
            let bases: Vec<_> = bases.into_iter().map(|n| base(1, n)).collect();
            let (windows, gaps) = draw(&bases, &index, None);
            let reachable = |number: u64| bases.iter().any(|base| {
                let first = base.facts.start.0 / SEGMENT;
                first <= number && (first..=number).all(|n| stored.contains(&n))
            });
            for number in 0..24 {
                let last = Lsn((number + 1) * SEGMENT);
                let within = windows.iter().any(|one| one.start < last && last <= one.end);
                prop_assert_eq!(within, reachable(number), "{} in {:?}", number, windows);
                for gap in &gaps {
                    let is_missing = gap.start < last && last <= gap.end;
                    prop_assert!(!(is_missing && within), "{} in {:?} and {:?}", number, gap, windows);
                }
            }
            for pair in windows.windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            let history = index.outline.history(7, Timeline::new(1).unwrap());
            for window in &windows {
                let base = bases.iter().find(|base| base.snapshot == window.base).unwrap();
                let span = (read(base.facts.start), read(window.end));
                let needed = index.needed(7, &history, span).unwrap();
                prop_assert_eq!(needed.first().unwrap().start.0, base.facts.start.0 / SEGMENT * SEGMENT);
                prop_assert!(needed.last().unwrap().end >= window.end);
            }
        }
    }

    #[test]
    fn a_base_that_ended_after_all_commits_begins_a_window_of_one_moment() {
        let late = BaseAt { at: at(0) + SignedDuration::from_hours(48), ..base(1, 3) };
        let index = Index::of((3..6).map(|n| piece(1, n, None)));
        let (windows, _) = draw(std::slice::from_ref(&late), &index, None);
        assert_eq!((windows[0].start_at, windows[0].end_at), (late.at, late.at));
        assert_eq!(windows[0].last_commit_at, None);
    }
}

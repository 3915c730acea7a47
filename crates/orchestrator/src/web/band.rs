//! Time as a picture: stretches and marks between two moments. Places are percents of the width, so
//! that a phone and a desk see the same.

use jiff::{Timestamp, tz::TimeZone};
use model::{RecoveryState, WalGap};

use super::{lang::Lang, visitor::Visitor};

/// Marks nearer than this part of the width are one.
const CELLS: i64 = 36;
/// Narrower, a stretch would not be seen; in percent.
const NARROWEST: f64 = 0.4;
/// Up to this length clocks matter more than days; in seconds.
const SHORT: i64 = 3 * 86_400;

/// What a picture shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// Some time in which something held.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stretch {
    pub(super) x: String,
    pub(super) width: String,
    pub(super) class: &'static str,
    pub(super) words: String,
    pub(super) href: String,
}

/// Something that happened, before it has its place.
#[derive(Debug, Clone)]
pub(super) struct Happened {
    pub(super) at: Timestamp,
    pub(super) class: &'static str,
    pub(super) words: String,
    pub(super) href: String,
}

/// One thing that happened, or several that are too near to each other to be told apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dot {
    pub(super) x: String,
    pub(super) class: &'static str,
    pub(super) words: String,
    pub(super) href: String,
    pub(super) count: usize,
}

/// A moment that is written under the picture.
pub(super) struct Tick {
    pub(super) x: &'static str,
    pub(super) anchor: &'static str,
    pub(super) word: String,
}

/// How bad a mark is: of several the worst is seen.
fn weight(class: &str) -> u8 {
    match class {
        "failed" => 3,
        "late" => 2,
        "good" => 1,
        _ => 0,
    }
}

impl Frame {
    /// From one moment to another, a minute at least.
    pub(super) fn new(from: Timestamp, until: Timestamp) -> Self {
        let least = from.saturating_add(jiff::SignedDuration::from_secs(60)).unwrap_or(until);
        Self { from, until: until.max(least) }
    }

    fn secs(self) -> f64 {
        self.until.duration_since(self.from).as_secs_f64().max(1.0)
    }

    fn percent(self, at: Timestamp) -> f64 {
        (100.0 * at.duration_since(self.from).as_secs_f64() / self.secs()).clamp(0.0, 100.0)
    }

    pub(super) fn holds(self, at: Timestamp) -> bool {
        self.from <= at && at <= self.until
    }

    /// A stretch, where any of it is within.
    pub(super) fn stretch(
        self,
        (from, until): (Timestamp, Timestamp),
        class: &'static str,
        words: String,
        href: String,
    ) -> Option<Stretch> {
        if until < self.from || from > self.until {
            return None;
        }
        let (x, end) = (self.percent(from), self.percent(until));
        let width = (end - x).max(NARROWEST);
        let x = x.min(100.0 - width);
        let told = |percent: f64| format!("{percent:.2}%");
        Some(Stretch { x: told(x), width: told(width), class, words, href })
    }

    /// What happened within; `several` tells of those that share a place: how many, and which is
    /// there first and last.
    pub(super) fn dots(
        self,
        mut all: Vec<Happened>,
        several: impl Fn(usize, Timestamp, Timestamp) -> (String, String),
    ) -> Vec<Dot> {
        all.retain(|one| self.holds(one.at));
        all.sort_by_key(|one| one.at);
        let secs = |from: Timestamp, until: Timestamp| until.duration_since(from).as_secs();
        let cell = |at| secs(self.from, at) * CELLS / secs(self.from, self.until).max(1);
        let mut dots = Vec::new();
        for group in all.chunk_by(|a, b| cell(a.at) == cell(b.at)) {
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let worst = group.iter().map(|one| one.class).max_by_key(|class| weight(class));
            let (words, href) = match group {
                [only] => (only.words.clone(), only.href.clone()),
                _ => several(group.len(), first.at, last.at),
            };
            let middle = f64::midpoint(self.percent(first.at), self.percent(last.at));
            dots.push(Dot {
                x: format!("{middle:.2}%"),
                class: worst.unwrap_or(first.class),
                words,
                href,
                count: group.len(),
            });
        }
        dots
    }

    /// Beginning, middle and end.
    pub(super) fn ticks(self, lang: Lang, zone: &TimeZone) -> Vec<Tick> {
        let secs = self.until.duration_since(self.from).as_secs();
        let half = jiff::SignedDuration::from_secs(secs / 2);
        let middle = self.from.saturating_add(half).unwrap_or(self.from);
        let word = |at: Timestamp, with_date: bool| {
            let local = at.to_zoned(zone.clone());
            let clock = format!("{:02}:{:02}", local.hour(), local.minute());
            match (secs <= SHORT, with_date) {
                (true, false) => clock,
                (true, true) => format!("{}, {clock}", lang.date(local.date())),
                (false, _) => lang.date(local.date()),
            }
        };
        vec![
            Tick { x: "0", anchor: "start", word: word(self.from, true) },
            Tick { x: "50%", anchor: "middle", word: word(middle, false) },
            Tick { x: "100%", anchor: "end", word: word(self.until, secs > SHORT / 3) },
        ]
    }

    /// What can be gone back to, and what cannot.
    pub(super) fn archive(
        self,
        state: &RecoveryState,
        page: &str,
        visitor: &Visitor,
    ) -> Vec<Stretch> {
        let windows = state.windows.iter().filter_map(|one| {
            let told = visitor.lang.fill(
                "moments-window",
                [
                    ("from", visitor.when(one.start_at).absolute.into()),
                    ("until", visitor.when(one.end_at).absolute.into()),
                ],
            );
            self.stretch((one.start_at, one.end_at), "good", told, page.to_owned())
        });
        let gaps = state.gaps.iter().filter_map(|gap| {
            let until = gap.until_at.unwrap_or(self.until);
            let from = gap.from_at.unwrap_or(self.from).min(until);
            let told = gap_words(gap, visitor);
            self.stretch((from, until), "gap", told, page.to_owned())
        });
        windows.chain(gaps).collect()
    }
}

/// A gap as a sentence.
pub(super) fn gap_words(gap: &WalGap, visitor: &Visitor) -> String {
    let told = |at: Timestamp| visitor.when(at).absolute;
    let from = gap.from_at.map_or_else(|| visitor.t("moments-gap-before"), told);
    let until = gap.until_at.map_or_else(|| visitor.t("moments-gap-open"), told);
    visitor.lang.fill("moments-gap", [("from", from.into()), ("until", until.into())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}Z").parse().unwrap()
    }

    fn frame() -> Frame {
        Frame::new(at("01T00:00:00"), at("11T00:00:00"))
    }

    #[test]
    fn stretches_lie_within_the_frame() {
        let of = |from: &str, until: &str| {
            let stretch = (at(from), at(until));
            let told = frame().stretch(stretch, "good", String::new(), String::new())?;
            Some((told.x, told.width))
        };
        let pair = |x: &str, width: &str| Some((x.to_owned(), width.to_owned()));
        assert_eq!(of("02T00:00:00", "04T00:00:00"), pair("10.00%", "20.00%"));
        assert_eq!(of("10T00:00:00", "20T00:00:00"), pair("90.00%", "10.00%"));
        // A moment is seen, also at the very end.
        assert_eq!(of("11T00:00:00", "11T00:00:00"), pair("99.60%", "0.40%"));
        assert_eq!(of("12T00:00:00", "13T00:00:00"), None);
    }

    #[test]
    fn what_is_too_near_is_one_mark_as_bad_as_its_worst() {
        let happened = |text: &str, class| Happened {
            at: at(text),
            class,
            words: text.to_owned(),
            href: "/one".to_owned(),
        };
        let all = vec![
            happened("05T00:00:00", "good"),
            happened("02T01:00:00", "failed"),
            happened("02T00:00:00", "good"),
            happened("30T00:00:00", "good"),
        ];
        let dots = frame().dots(all, |count, _, _| (format!("{count} of them"), "/all".to_owned()));
        assert_eq!(dots.len(), 2, "{dots:?}");
        assert_eq!((dots[0].class, dots[0].count, &*dots[0].href), ("failed", 2, "/all"));
        assert_eq!((dots[1].words.as_str(), &*dots[1].href), ("05T00:00:00", "/one"));
        assert_eq!(dots[1].x, "40.00%");
    }

    #[test]
    fn a_frame_without_length_is_a_minute() {
        let frame = Frame::new(at("01T00:00:00"), at("01T00:00:00"));
        assert_eq!(frame.until, at("01T00:01:00"));
        let ticks = frame.ticks(Lang::En, &TimeZone::UTC);
        let words: Vec<_> = ticks.iter().map(|tick| tick.word.as_str()).collect();
        assert_eq!(words, ["1 Nov 2026, 00:00", "00:00", "00:01"]);
    }
}

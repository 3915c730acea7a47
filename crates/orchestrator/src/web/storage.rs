//! What copies take, as a picture with its figures behind it.

use engine::{StorageForecast, StorageTrend};

use super::lang::Lang;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 120.0;
/// Days that are foretold.
const AHEAD: f64 = 30.0;
/// Of the picture: nearer than this, two dates would lie one over the other on a phone.
const ROOM: f64 = 0.45;
/// Each week has a line in the table.
const STEP: usize = 7;

/// A trend, drawn.
pub(super) struct StoragePanel {
    /// The days as a closed shape, and what may come as a line.
    pub(super) area: String,
    pub(super) line: String,
    /// Whether there is more than a day to draw.
    pub(super) is_drawn: bool,
    pub(super) ahead: Option<String>,
    /// Where today is.
    pub(super) today: String,
    pub(super) today_percent: String,
    /// On which side of it its date stands, so that it meets no other.
    pub(super) anchor: &'static str,
    /// All of it in words.
    pub(super) summary: String,
    /// What may come, in words; or how much is known of it yet.
    pub(super) forecast: String,
    /// Whether what is free ends soon.
    pub(super) ends_soon: bool,
    pub(super) free: Option<String>,
    pub(super) most: String,
    /// Where there is room for it.
    pub(super) first: Option<String>,
    pub(super) last: String,
    /// Days and sizes.
    pub(super) rows: Vec<(String, String)>,
}

/// A destination that is full before this many days is to be looked at.
const SOON_DAYS: u32 = 30;

impl StoragePanel {
    /// `None` where there is nothing to draw yet.
    pub(super) fn new(trend: &StorageTrend, lang: Lang) -> Option<Self> {
        let (first, last) = (trend.days.first()?, trend.days.last()?);
        let foretold = trend.forecast.map(|forecast| forecast.in_30_days);
        let most = trend.days.iter().map(|day| day.bytes).chain(foretold).max().unwrap_or(0);
        let known = (trend.days.len() - 1) as f64;
        let all = (known + if foretold.is_some() { AHEAD } else { 0.0 }).max(1.0);
        let point = |day: f64, bytes: u64| {
            let height = HEIGHT * (1.0 - bytes as f64 / most.max(1) as f64);
            format!("{:.1},{height:.1}", WIDTH * day / all)
        };
        let points: Vec<String> =
            trend.days.iter().enumerate().map(|(at, day)| point(at as f64, day.bytes)).collect();
        let line = points.join(" ");
        let mut rows: Vec<_> = trend
            .days
            .iter()
            .rev()
            .step_by(STEP)
            .map(|day| (lang.date(day.date), lang.size(day.bytes)))
            .collect();
        rows.reverse();
        let summary = lang.fill(
            "storage-summary",
            [
                ("from", lang.size(first.bytes).into()),
                ("date", lang.date(first.date).into()),
                ("now", lang.size(trend.bytes).into()),
            ],
        );
        Some(Self {
            area: format!("0,{HEIGHT} {line} {:.1},{HEIGHT}", WIDTH * known / all),
            ahead: foretold.map(|bytes| {
                format!("{} {}", point(known, trend.bytes), point(known + AHEAD, bytes))
            }),
            line,
            is_drawn: trend.days.len() > 1,
            today: format!("{:.1}", WIDTH * known / all),
            today_percent: format!("{:.1}", 100.0 * known / all),
            anchor: match known / all {
                ..0.2 => "start",
                0.2..=0.55 => "middle",
                _ => "end",
            },
            summary,
            forecast: forecast(trend.forecast, trend.days.len(), lang),
            ends_soon: full_in(trend).is_some_and(|days| days < SOON_DAYS),
            free: trend.free_bytes.map(|free| lang.size(free)),
            most: lang.size(most),
            first: (known / all > ROOM).then(|| lang.date(first.date)),
            last: lang.date(last.date),
            rows,
        })
    }
}

fn full_in(trend: &StorageTrend) -> Option<u32> {
    trend.forecast?.full_in_days
}

fn forecast(forecast: Option<StorageForecast>, days: usize, lang: Lang) -> String {
    let Some(forecast) = forecast else { return lang.with("storage-learning", "days", days) };
    let in_30_days = lang.size(forecast.in_30_days);
    let by = lang.size(forecast.bytes_per_day.unsigned_abs());
    let values = || [("by", by.as_str().into()), ("then", in_30_days.as_str().into())];
    let told = match forecast.bytes_per_day {
        ..0 => lang.fill("storage-shrinks", values()),
        0 => lang.t("storage-steady"),
        1.. => lang.fill("storage-grows", values()),
    };
    match forecast.full_in_days {
        Some(days) => format!("{told} {}", lang.with("storage-full", "days", days)),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use engine::StorageDay;
    use jiff::civil::date;

    use super::*;

    fn trend(bytes: &[u64], forecast: Option<StorageForecast>) -> StorageTrend {
        let first = date(2026, 11, 1);
        let day = |(at, bytes): (i64, &u64)| StorageDay {
            date: first.checked_add(jiff::Span::new().days(at)).unwrap(),
            bytes: *bytes,
        };
        StorageTrend {
            days: (0..).zip(bytes).map(day).collect(),
            bytes: bytes.last().copied().unwrap_or(0),
            forecast,
            free_bytes: None,
        }
    }

    #[test]
    fn it_is_drawn_within_its_frame() {
        let forecast =
            StorageForecast { bytes_per_day: 10, in_30_days: 400, full_in_days: Some(12) };
        let drawn = StoragePanel::new(&trend(&[0, 50, 100], Some(forecast)), Lang::En).unwrap();
        assert_eq!(drawn.line, "0.0,120.0 20.0,105.0 40.0,90.0");
        assert_eq!(drawn.ahead.as_deref(), Some("40.0,90.0 640.0,0.0"));
        assert!(drawn.ends_soon && drawn.forecast.contains("12"), "{}", drawn.forecast);
        assert_eq!(drawn.rows, [("3 Nov 2026".to_owned(), "100 B".to_owned())]);
    }

    #[test]
    fn nothing_and_a_single_day_are_drawn_too() {
        assert!(StoragePanel::new(&trend(&[], None), Lang::En).is_none());
        let drawn = StoragePanel::new(&trend(&[0], None), Lang::Es).unwrap();
        assert_eq!((drawn.line.as_str(), drawn.ahead), ("0.0,120.0", None));
    }
}

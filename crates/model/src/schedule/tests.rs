use jiff::{
    SignedDuration, Timestamp,
    civil::{DateTime, Weekday},
    tz::TimeZone,
};
use proptest::prelude::*;

use super::*;

fn schedule(spec: &str, zone: &str) -> Schedule {
    Schedule::new(spec.parse().unwrap(), zone.parse().unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn fires(spec: &str, zone: &str, from: &str, n: usize) -> Vec<String> {
    schedule(spec, zone).upcoming(at(from), n).iter().map(ToString::to_string).collect()
}

#[test]
fn texts_round_trip() {
    for text in [
        "daily",
        "weekly",
        "@hourly",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
        "0 3 * * *",
        "*/15 1-5 * * MON-FRI",
        "@every 4h",
        "@every 1h30m",
        "0 0 29 2 *",
        "0 0 L * *",
    ] {
        let spec: ScheduleSpec = text.parse().unwrap();
        assert_eq!(spec.to_string(), text);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<ScheduleSpec>(&json).unwrap(), spec);
    }
    assert_eq!("  0  3 * * * ".parse::<ScheduleSpec>().unwrap().to_string(), "0 3 * * *");
    assert_eq!("@every 90m".parse::<ScheduleSpec>().unwrap().to_string(), "@every 1h30m");
    assert_eq!("DAILY".parse::<ScheduleSpec>().unwrap(), ScheduleSpec::daily());
}

#[test]
fn what_is_no_schedule_is_refused() {
    for bad in [
        "",
        "soon",
        "* * * *",
        "* * * * * *",
        "0 * * * * * *",
        "@reboot",
        "@every",
        "@every 30s",
        "@every 0m",
        "@every 400d",
        "60 * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 0 * *",
        "@every -1h",
        "0 3 * * * ; rm",
        "0 3 * * @",
        &"1,".repeat(500),
    ] {
        assert!(bad.parse::<ScheduleSpec>().is_err(), "{bad} was accepted");
    }
    assert_eq!("* * * * * *".parse::<ScheduleSpec>(), Err(ScheduleError::Seconds));
    for bad in ["", "Mars/Olympus", "../etc/passwd", "Europe/Berlin\n/x", "+02:00"] {
        assert!(bad.parse::<TimeZoneName>().is_err(), "{bad} was accepted");
    }
    assert_eq!("europe/berlin".parse::<TimeZoneName>().unwrap().as_str(), "Europe/Berlin");
}

#[test]
fn presets_mean_what_they_say() {
    assert_eq!(fires("daily", "UTC", "2026-11-21T03:00:00Z", 1), ["2026-11-22T03:00:00Z"]);
    assert_eq!(fires("weekly", "UTC", "2026-11-21T03:00:00Z", 1), ["2026-11-22T03:00:00Z"]);
    assert_eq!(
        fires("daily", "Europe/Madrid", "2026-11-21T00:00:00Z", 1),
        ["2026-11-21T02:00:00Z"]
    );
}

#[test]
fn berlin_spring_skips_nothing() {
    // 2026-03-29: 02:00 CET becomes 03:00 CEST at 01:00 UTC.
    assert_eq!(
        fires("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    );
    // Four skipped times and the first real one fall together.
    assert_eq!(
        fires("*/15 * * * *", "Europe/Berlin", "2026-03-29T00:44:00Z", 3),
        ["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"],
    );
}

#[test]
fn berlin_autumn_repeats_nothing() {
    // 2026-10-25: 03:00 CEST becomes 02:00 CET at 01:00 UTC.
    assert_eq!(
        fires("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    assert_eq!(
        fires("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"],
    );
    // Asked within the repeated hour, the latest is still the first occurrence.
    let due = schedule("50 2 * * *", "Europe/Berlin")
        .due(at("2026-10-25T00:00:00Z"), at("2026-10-25T01:10:00Z"));
    assert_eq!(due, Some(Due { fire_at: at("2026-10-25T00:50:00Z"), missed: 0 }));
}

#[test]
fn sao_paulo_changed_at_midnight() {
    // 2018-11-04: 00:00 -03 becomes 01:00 -02 at 03:00 UTC.
    assert_eq!(
        fires("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2),
        ["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
    );
    // 2018-02-18: 00:00 -02 becomes 23:00 -03 of the day before at 02:00 UTC.
    assert_eq!(
        fires("30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00:00Z", 2),
        ["2018-02-18T01:30:00Z", "2018-02-19T02:30:00Z"],
    );
}

#[test]
fn intervals_stay_where_they_are() {
    let every = schedule("@every 4h", "Europe/Berlin");
    for from in ["2026-11-21T00:00:00Z", "2026-11-21T03:59:59.999Z"] {
        assert_eq!(every.next_after(at(from)), Some(at("2026-11-21T04:00:00Z")));
    }
}

#[test]
fn a_hundred_misses_are_one_run() {
    let hourly = schedule("@hourly", "UTC");
    let due = hourly.due(at("2026-11-01T00:00:00Z"), at("2026-11-05T04:30:00Z"));
    assert_eq!(due, Some(Due { fire_at: at("2026-11-05T04:00:00Z"), missed: 99 }));
    let every = schedule("@every 1h", "UTC");
    assert_eq!(every.due(at("2026-11-01T00:00:00Z"), at("2026-11-05T04:30:00Z")), due);
    assert_eq!(hourly.due(at("2026-11-05T04:00:00Z"), at("2026-11-05T04:59:59Z")), None);
    // On time, to the second.
    let due = hourly.due(at("2026-11-05T04:00:00Z"), at("2026-11-05T05:00:00Z"));
    assert_eq!(due, Some(Due { fire_at: at("2026-11-05T05:00:00Z"), missed: 0 }));
}

#[test]
fn decades_of_misses_take_no_time() {
    let minutely = schedule("* * * * *", "Europe/Berlin");
    let due = minutely.due(at("1990-01-01T00:00:00Z"), at("2026-11-21T12:00:30Z")).unwrap();
    assert_eq!(due, Due { fire_at: at("2026-11-21T12:00:00Z"), missed: MAX_MISSED });
}

#[test]
fn a_clock_put_back_fires_nothing_again() {
    let daily = schedule("daily", "UTC");
    assert_eq!(daily.due(at("2026-11-21T03:00:00Z"), at("2026-11-20T03:00:00Z")), None);
    assert_eq!(daily.due(at("2026-11-21T03:00:00Z"), at("2026-11-21T03:00:00Z")), None);
}

#[test]
fn jitter_is_bounded_spread_and_always_the_same() {
    let mut daily = schedule("daily", "UTC");
    let fire = at("2026-11-21T03:00:00Z");
    assert_eq!(daily.jitter("shop", fire), SignedDuration::ZERO);
    daily.jitter_secs = 600;
    let delays: Vec<_> = (0..500).map(|n| daily.jitter(&format!("app-{n}"), fire)).collect();
    assert!(delays.iter().all(|d| *d <= SignedDuration::from_secs(600)));
    for sixth in 0..6 {
        let range =
            SignedDuration::from_secs(sixth * 100)..SignedDuration::from_secs(sixth * 100 + 100);
        let count = delays.iter().filter(|d| range.contains(d)).count();
        assert!((40..130).contains(&count), "{count} in {range:?}");
    }
    // Part of what a second replica relies on: never to change.
    assert_eq!(daily.jitter("shop", fire).as_secs(), 312);
}

/// A cron simple enough to be matched by hand.
#[derive(Debug, Clone)]
struct Simple {
    minute: Option<i8>,
    hour: Option<i8>,
    weekday: Option<i8>,
}

impl Simple {
    fn text(&self) -> String {
        let field = |value: Option<i8>| value.map_or("*".into(), |value| value.to_string());
        format!("{} {} * * {}", field(self.minute), field(self.hour), field(self.weekday))
    }

    fn matches(&self, wall: DateTime) -> bool {
        self.minute.is_none_or(|minute| minute == wall.minute())
            && self.hour.is_none_or(|hour| hour == wall.hour())
            && self
                .weekday
                .is_none_or(|day| Weekday::from_sunday_zero_offset(day).unwrap() == wall.weekday())
    }
}

/// Fires in `from..until`, found by looking at the clock on the wall every minute. `last_shown`
/// starts a day earlier, so that a repeated hour at the start is known.
fn watched(cron: &Simple, zone: &TimeZone, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let minute = SignedDuration::from_mins(1);
    let mut fires = Vec::new();
    let mut moment = from - SignedDuration::from_hours(24);
    let mut last_shown = zone.to_datetime(moment - minute);
    while moment < until {
        let mut next = last_shown + minute;
        let shown = zone.to_datetime(moment);
        let mut is_due = false;
        // Everything between what was last shown for the first time and now, skipped or not.
        while next <= shown {
            is_due |= cron.matches(next);
            last_shown = next;
            next += minute;
        }
        if is_due && moment >= from {
            fires.push(moment);
        }
        moment += minute;
    }
    fires
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_wall_clock_time_fires_exactly_once(
        minute in prop::option::weighted(0.7, 0..60_i8),
        hour in prop::option::weighted(0.6, prop_oneof![0..4_i8, 0..24_i8]),
        weekday in prop::option::weighted(0.3, 0..7_i8),
        place in prop::sample::select(vec![
            ("Europe/Berlin", "2026-03-29T01:00:00Z"), ("Europe/Berlin", "2026-10-25T01:00:00Z"),
            ("America/Sao_Paulo", "2018-11-04T03:00:00Z"), ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"), ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00:00Z"), ("UTC", "2026-01-01T00:00:00Z"),
        ]),
        start_minutes in -1500..120_i64,
    ) {
        let cron = Simple { minute, hour, weekday };
        let schedule = schedule(&cron.text(), place.0);
        let zone = schedule.time_zone.zone();
        let from = at(place.1) + SignedDuration::from_mins(start_minutes);
        let until = from + SignedDuration::from_hours(40);
        let expected = watched(&cron, &zone, from, until);
        let mut found = Vec::new();
        let mut last = from - SignedDuration::from_nanos(1);
        while let Some(fire) = schedule.next_after(last).filter(|fire| *fire < until) {
            found.push(fire);
            last = fire;
        }
        prop_assert_eq!(&found, &expected);
        // Asked at any moment, what is due is the latest of them, and the rest was missed.
        for moment in [from, from + SignedDuration::from_mins(777), until - SignedDuration::from_secs(1)] {
            let passed: Vec<_> = expected.iter().filter(|fire| **fire <= moment).collect();
            let due = schedule.due(from - SignedDuration::from_nanos(1), moment);
            let wanted = passed.last().map(|fire| Due {
                fire_at: **fire, missed: u32::try_from(passed.len() - 1).unwrap(),
            });
            prop_assert_eq!(due, wanted);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-0-9*/,@LW# a-zA-Z]{0,40}") {
        if let Ok(spec) = text.parse::<ScheduleSpec>() {
            prop_assert_eq!(spec.to_string().parse::<ScheduleSpec>().unwrap(), spec.clone());
            let schedule = Schedule::new(spec, TimeZoneName::utc());
            let fires = schedule.upcoming(at("2026-11-21T00:00:00Z"), 3);
            for pair in fires.windows(2) {
                prop_assert!(pair[1].duration_since(pair[0]).as_secs() >= 60);
            }
        }
    }
}

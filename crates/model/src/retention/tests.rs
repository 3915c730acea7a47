//! Rules by example, and properties against a slow model that shares no code with the plan.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::prelude::*;

use super::*;
use crate::SnapshotId;

const DAY: i64 = 86_400;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + secs).unwrap()
}

fn candidate(number: u8, taken_at: Timestamp) -> Candidate {
    let id = format!("0000000000000000000000{:04}", u32::from(number)).parse().unwrap();
    Candidate {
        id,
        taken_at,
        pre_deploy: false,
        good: true,
        pinned: false,
        in_use: false,
        locked_until: None,
    }
}

fn daily(count: u8) -> Vec<Candidate> {
    (0..count).map(|n| candidate(n, at(i64::from(n) * DAY))).collect()
}

fn kept(plan: &RetentionPlan) -> BTreeSet<SnapshotId> {
    let keeps = plan.decisions.iter().filter(|one| one.verdict == Verdict::Keep);
    keeps.map(|one| one.id).collect()
}

fn run(policy: &RetentionPolicy, candidates: &[Candidate]) -> RetentionPlan {
    let now = candidates.iter().map(|one| one.taken_at).max().unwrap_or(at(0));
    plan(policy, candidates, now, &TimeZone::UTC, &Guards::default())
}

#[test]
fn the_newest_five_stay() {
    let policy = RetentionPolicy { keep_last: Some(5), ..Default::default() };
    let made = run(&policy, &daily(8));
    assert_eq!(kept(&made), daily(8)[3..].iter().map(|one| one.id).collect());
    assert_eq!(made.decisions[0].reasons[0].to_string(), "last 1 of 5");
    assert_eq!(made.refusal, None);
}

#[test]
fn seven_daily_and_four_weekly() {
    let policy =
        RetentionPolicy { keep_daily: Some(7), keep_weekly: Some(4), ..Default::default() };
    let made = run(&policy, &daily(60));
    // Seven days are in two weeks; two older weeks add one each.
    assert!((9..=10).contains(&kept(&made).len()), "{}", kept(&made).len());
}

#[test]
fn an_empty_policy_keeps_everything() {
    assert_eq!(kept(&run(&RetentionPolicy::default(), &daily(30))).len(), 30);
}

#[test]
fn what_is_not_good_counts_for_nothing_and_goes_only_after_something_better() {
    let policy = RetentionPolicy { keep_last: Some(2), ..Default::default() };
    let mut all = daily(5);
    all[4].good = false;
    all[1].good = false;
    let made = run(&policy, &all);
    // The newest is damaged and stays: nothing newer is good. The last two good ones stay.
    assert_eq!(kept(&made), [4, 3, 2].map(|n| all[n].id).into());
    assert_eq!(made.decisions[3].reasons, [Reason::NotGood]);
    all[3].good = false;
    all[2].good = false;
    all[0].good = false;
    let made = run(&policy, &all);
    assert_eq!(kept(&made).len(), 5, "nothing good is left, so nothing goes");
}

#[test]
fn what_is_locked_waits_and_an_append_only_destination_says_so() {
    let policy = RetentionPolicy { keep_last: Some(1), ..Default::default() };
    let mut all = daily(4);
    // Of two that no rule keeps the lock of one has passed; the newest needs no lock to stay.
    all[0].locked_until = Some(at(DAY));
    all[1].locked_until = Some(at(30 * DAY));
    all[3].locked_until = Some(at(30 * DAY));
    let made = run(&policy, &all);
    assert_eq!(kept(&made), [1, 3].map(|n| all[n].id).into());
    assert_eq!(made.decisions[2].reasons, [Reason::Locked { until: at(30 * DAY) }]);
    let told = made.decisions[2].reasons[0].to_string();
    assert!(told.starts_with("locked until 20") && told.ends_with("UTC"), "{told}");
    assert!(!made.decisions[0].reasons.iter().any(|one| matches!(one, Reason::Locked { .. })));
    let guards = Guards { append_only: true, ..Guards::default() };
    let refused = plan(&policy, &all, at(4 * DAY), &TimeZone::UTC, &guards);
    assert_eq!(refused.refusal, Some(Refusal::AppendOnly));
    let nothing = plan(&policy, &all[3..], at(4 * DAY), &TimeZone::UTC, &guards);
    assert_eq!(nothing.refusal, None);
}

#[test]
fn pinned_used_and_future_ones_stay_and_the_future_does_not_count() {
    let policy = RetentionPolicy { keep_last: Some(1), ..Default::default() };
    let mut all = daily(4);
    all[0].pinned = true;
    all[1].in_use = true;
    all.push(candidate(9, at(365 * DAY)));
    let made = plan(&policy, &all, at(4 * DAY), &TimeZone::UTC, &Guards::default());
    assert!(kept(&made).contains(&all[0].id) && kept(&made).contains(&all[1].id));
    assert!(kept(&made).contains(&all[3].id), "the last good one of the present");
    assert!(kept(&made).contains(&all[4].id));
    assert!(!kept(&made).contains(&all[2].id));
}

#[test]
fn guards_refuse() {
    let policy = RetentionPolicy { keep_last: Some(1), ..Default::default() };
    let with = |guards: Guards, now| plan(&policy, &daily(3), now, &TimeZone::UTC, &guards).refusal;
    let failed = Guards { last_run_failed: true, ..Guards::default() };
    assert_eq!(with(failed, at(3 * DAY)), Some(Refusal::LastRunFailed));
    let odd = Guards { newest_is_anomalous: true, ..Guards::default() };
    assert_eq!(with(odd, at(3 * DAY)), Some(Refusal::Anomalous));
    let jumped = |day| Guards { clock_jumped_at: Some(at(day * DAY)), ..Guards::default() };
    assert_eq!(with(jumped(3), at(3 * DAY + 3_600)), Some(Refusal::ClockJumped));
    assert_eq!(with(jumped(3), at(4 * DAY)), None, "a day is enough");
    assert_eq!(with(jumped(400), at(4 * DAY)), None, "not for ever");
    assert_eq!(with(Guards::default(), at(-3 * DAY)), None, "all are in the future: all stay");
    assert_eq!(with(Guards::default(), at(3 * DAY)), None);
}

#[test]
fn a_jump_of_the_clock_ages_nothing() {
    let policy = RetentionPolicy { keep_within: Some("7d".parse().unwrap()), ..Default::default() };
    let mut all = daily(10);
    // The clock jumps by a year; the next two are made an hour and a day after that.
    let jump = TimeJump { from: at(9 * DAY + 600), to: at(374 * DAY + 600) };
    all.push(candidate(20, at(374 * DAY + 3_600)));
    let now = at(375 * DAY);
    let with = |jumps: &[TimeJump], all: &[Candidate]| {
        let guards = Guards { jumps: jumps.to_vec(), ..Guards::default() };
        plan(&policy, all, now, &TimeZone::UTC, &guards)
    };
    assert_eq!(kept(&with(&[], &all)).len(), 1, "what a jump would do");
    let made = with(&[jump], &all);
    assert_eq!(kept(&made), all[3..].iter().map(|one| one.id).collect());
    all.push(candidate(21, at(375 * DAY)));
    assert_eq!(kept(&with(&[jump], &all)), all[4..].iter().map(|one| one.id).collect());
    // A snapshot made inside the stretch that was skipped (before the clock was set back and
    // jumped again) is no older than the stretch's end.
    all.push(candidate(22, at(100 * DAY)));
    assert!(kept(&with(&[jump], &all)).contains(&all[12].id));
    let back = TimeJump { from: jump.to, to: jump.from };
    assert_eq!(kept(&with(&[back], &all)).len(), 2, "going back skips nothing");
}

#[test]
fn a_false_mark_loses_nothing() {
    let policy =
        RetentionPolicy { keep_daily: Some(3), keep_weekly: Some(4), ..Default::default() };
    let all = daily(40);
    let sound = kept(&run(&policy, &all));
    for marked in 0..all.len() {
        let mut all = all.clone();
        all[marked].good = false;
        let made = run(&policy, &all);
        assert!(kept(&made).is_superset(&sound), "{marked}");
        let others = kept(&made).into_iter().filter(|id| *id != all[marked].id).collect();
        let without: Vec<_> = all.iter().filter(|one| one.good).cloned().collect();
        assert_eq!(kept(&run(&policy, &without)), others, "{marked} counted");
    }
}

#[test]
fn counts_that_are_slips_are_refused() {
    for count in [0, MAX_COUNT + 1] {
        let policy = RetentionPolicy { keep_daily: Some(count), ..Default::default() };
        assert!(policy.check().is_err());
    }
    assert!("0d".parse::<KeepWithin>().is_err());
    assert!("-1d".parse::<KeepWithin>().is_err());
    assert_eq!("30d".parse::<KeepWithin>().unwrap().to_string(), "30d");
}

/// What a plan keeps, the slow way.
fn model(policy: &RetentionPolicy, all: &[Candidate], zone: &TimeZone) -> BTreeSet<SnapshotId> {
    let mut kept = kept_by_rules(policy, all, zone);
    let newest = all.iter().filter(|one| one.good).max_by_key(|one| (one.taken_at, one.id));
    if policy.is_empty() {
        kept.extend(all.iter().map(|one| one.id));
    }
    kept.extend(newest.map(|one| one.id));
    kept.extend(all.iter().filter(|one| one.pinned || one.in_use).map(|one| one.id));
    // What is not good stays as long as it would if it alone were.
    for one in all.iter().filter(|one| !one.good && !policy.is_empty()) {
        let good = |other: &&Candidate| other.good || other.id == one.id;
        let as_good = |c: &Candidate| Candidate { good: true, ..c.clone() };
        let with: Vec<_> = all.iter().filter(good).map(as_good).collect();
        if kept_by_rules(policy, &with, zone).contains(&one.id) {
            kept.insert(one.id);
        }
    }
    let better = |one: &Candidate| {
        newest.is_some_and(|best| (best.taken_at, best.id) > (one.taken_at, one.id))
    };
    kept.extend(all.iter().filter(|one| !one.good && !better(one)).map(|one| one.id));
    kept
}
/// For each rule, group by the period's written name, and take the newest of the newest groups.
fn kept_by_rules(
    policy: &RetentionPolicy,
    all: &[Candidate],
    zone: &TimeZone,
) -> BTreeSet<SnapshotId> {
    let mut kept = BTreeSet::new();
    let good: Vec<_> = all.iter().filter(|one| one.good).collect();
    let newest = good.iter().max_by_key(|one| (one.taken_at, one.id)).copied();
    let rules: [(Option<u32>, &str); 5] = [
        (policy.keep_hourly, "%Y-%m-%d %H %z"),
        (policy.keep_daily, "%Y-%m-%d"),
        (policy.keep_weekly, "%G-W%V"),
        (policy.keep_monthly, "%Y-%m"),
        (policy.keep_yearly, "%Y"),
    ];
    for (count, format) in rules {
        let Some(count) = count else { continue };
        let mut groups: Vec<(String, &Candidate)> = Vec::new();
        for one in &good {
            let name = one.taken_at.to_zoned(zone.clone()).strftime(format).to_string();
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, best)) if (best.taken_at, best.id) < (one.taken_at, one.id) => *best = one,
                Some(_) => {}
                None => groups.push((name, one)),
            }
        }
        groups.sort_by_key(|(_, one)| std::cmp::Reverse((one.taken_at, one.id)));
        kept.extend(groups.iter().take(count as usize).map(|(_, one)| one.id));
    }
    if let Some(count) = policy.keep_last {
        let mut sorted = good.clone();
        sorted.sort_by_key(|one| std::cmp::Reverse((one.taken_at, one.id)));
        kept.extend(sorted.iter().take(count as usize).map(|one| one.id));
    }
    if let (Some(within), Some(newest)) = (policy.keep_within, newest) {
        let length = SignedDuration::from_secs(within.secs().cast_signed());
        kept.extend(
            good.iter()
                .filter(|one| newest.taken_at.duration_since(one.taken_at) < length)
                .map(|one| one.id),
        );
    }
    kept
}

prop_compose! {
    fn policies()(
        last in proptest::option::of(1_u32..6),
        hourly in proptest::option::of(1_u32..30),
        daily in proptest::option::of(1_u32..10),
        weekly in proptest::option::of(1_u32..6),
        monthly in proptest::option::of(1_u32..6),
        yearly in proptest::option::of(1_u32..3),
        within in proptest::option::of(1_u64..100),
    ) -> RetentionPolicy {
        RetentionPolicy {
            keep_last: last,
            keep_hourly: hourly,
            keep_daily: daily,
            keep_weekly: weekly,
            keep_monthly: monthly,
            keep_yearly: yearly,
            keep_pre_deploy: None,
            keep_within: within.map(|hours| format!("{hours}h").parse().unwrap()),
        }
    }
}

prop_compose! {
    fn histories()(
        all in proptest::collection::vec(
            (0_i64..500 * 24, any::<bool>(), proptest::bool::weighted(0.05), proptest::bool::weighted(0.05), proptest::bool::weighted(0.9)),
            0..60,
        )
    ) -> Vec<Candidate> {
        all.into_iter()
            .zip(0_u8..)
            .map(|((hour, half, pinned, in_use, good), number)| Candidate {
                good, pinned, in_use,
                ..candidate(number, at(hour * 3_600 + i64::from(half) * 1_800))
            })
            .collect()
    }
}

#[test]
fn what_was_taken_before_deployments_has_a_count_of_its_own() {
    let all: Vec<_> = (0..30_u8)
        .map(|n| Candidate { pre_deploy: n % 3 != 0, ..candidate(n, at(i64::from(n) * 600)) })
        .collect();
    let now = at(40 * 600);
    let kept = |policy: &RetentionPolicy| {
        let plan = plan(policy, &all, now, &TimeZone::UTC, &Guards::default());
        let is_kept = |one: &&Candidate| {
            plan.decisions.iter().any(|d| d.id == one.id && d.verdict == Verdict::Keep)
        };
        let kept: Vec<_> = all.iter().filter(is_kept).collect();
        let before = kept.iter().filter(|one| one.pre_deploy).count();
        (before, kept.len() - before)
    };
    let none = RetentionPolicy::default();
    assert_eq!(kept(&none), (20, 10));
    // A burst of deployments pushes out nothing that a schedule has made, and the other way round.
    let last = RetentionPolicy { keep_last: Some(4), ..none.clone() };
    assert_eq!(kept(&last), (10, 4));
    let both = RetentionPolicy { keep_pre_deploy: Some(2), ..last };
    assert_eq!(kept(&both), (2, 4));
    // Where nobody gave a count, nothing goes that the other rules have kept so far.
    let long_ago = Candidate { pre_deploy: true, ..candidate(0, at(0)) };
    let later = (1..=20_u8)
        .map(|n| Candidate { pre_deploy: true, ..candidate(n, at(40 * 86_400 + i64::from(n))) });
    let old: Vec<_> = std::iter::once(long_ago).chain(later).collect();
    let monthly = RetentionPolicy { keep_monthly: Some(2), ..RetentionPolicy::default() };
    let now_then = at(41 * 86_400);
    let planned = plan(&monthly, &old, now_then, &TimeZone::UTC, &Guards::default());
    let kept_of = planned.decisions.iter().filter(|d| d.verdict == Verdict::Keep);
    assert_eq!(kept_of.count(), 11);
    // A count for deployments alone expires nothing else.
    let own = RetentionPolicy { keep_pre_deploy: Some(2), ..none };
    assert_eq!(kept(&own), (2, 10));
    assert!(
        RetentionPolicy { keep_pre_deploy: Some(0), ..RetentionPolicy::default() }.check().is_err()
    );
}

proptest! {
    #[test]
    fn the_plan_is_what_the_slow_model_says(
        policy in policies(),
        all in histories(),
        zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/Sao_Paulo"), Just("Asia/Kathmandu")],
    ) {
        let zone = zone.parse::<crate::schedule::TimeZoneName>().unwrap().zone();
        let now = at(500 * DAY);
        let made = plan(&policy, &all, now, &zone, &Guards::default());
        prop_assert_eq!(kept(&made), model(&policy, &all, &zone));
        prop_assert_eq!(made.decisions.len(), all.len());
        prop_assert!(made.decisions.iter().all(|one| !one.reasons.is_empty()));
    }

    #[test]
    fn the_order_of_the_facts_does_not_matter(policy in policies(), all in histories()) {
        let mut reversed = all.clone();
        reversed.reverse();
        prop_assert_eq!(run(&policy, &all), run(&policy, &reversed));
    }

    #[test]
    fn the_last_good_one_always_stays(policy in policies(), all in histories()) {
        let newest = all.iter().filter(|one| one.good).max_by_key(|one| (one.taken_at, one.id));
        if let Some(newest) = newest {
            prop_assert!(kept(&run(&policy, &all)).contains(&newest.id));
        }
    }

    #[test]
    fn planning_again_expires_nothing_more(policy in policies(), all in histories()) {
        let now = at(500 * DAY);
        let again = |all: &[Candidate]| kept(&plan(&policy, all, now, &TimeZone::UTC, &Guards::default()));
        let first = again(&all);
        let left: Vec<_> = all.into_iter().filter(|one| first.contains(&one.id)).collect();
        prop_assert_eq!(again(&left), first);
    }
}

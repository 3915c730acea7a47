//! The plan.

use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};

use super::{
    Candidate, Decision, Guards, Reason, Refusal, RetentionPlan, RetentionPolicy, Rule, Verdict,
};

/// A clock this far behind what was already seen is not trusted with deleting.
const SKEW: SignedDuration = SignedDuration::from_hours(24);
/// Clocks of sources and of this machine may differ by this much.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(10);

/// Decides about every candidate. The same facts in any order give the same plan.
pub fn plan(
    policy: &RetentionPolicy,
    candidates: &[Candidate],
    now: Timestamp,
    zone: &TimeZone,
    guards: &Guards,
) -> RetentionPlan {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by_key(|one| std::cmp::Reverse((one.taken_at, one.id)));
    let horizon = now.saturating_add(TOLERANCE).unwrap_or(now);
    let counts = |one: &Candidate| one.good && one.taken_at <= horizon;

    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); sorted.len()];
    for (rule, of) in policy.rules() {
        let mut last_period = None;
        let mut number = 0;
        for (one, reasons) in sorted.iter().zip(&mut reasons).filter(|(one, _)| counts(one)) {
            if number == of {
                break;
            }
            let period = period(rule, one, zone);
            if last_period.as_ref() != Some(&period) {
                number += 1;
                last_period = Some(period);
                reasons.push(Reason::Rule { rule, number, of });
            }
        }
    }
    let last_good = sorted.iter().position(|one| counts(one));
    if let (Some(within), Some(newest)) = (policy.keep_within, last_good) {
        let length = SignedDuration::from_secs(i64::try_from(within.secs()).unwrap_or(i64::MAX));
        let since = sorted[newest].taken_at.saturating_sub(length).unwrap_or(Timestamp::MIN);
        for (one, reasons) in sorted.iter().zip(&mut reasons) {
            if counts(one) && one.taken_at > since {
                reasons.push(Reason::Within { within });
            }
        }
    }
    for (at, (one, reasons)) in sorted.iter().zip(&mut reasons).enumerate() {
        if policy.is_empty() {
            reasons.push(Reason::NoRules);
        }
        if last_good == Some(at) {
            reasons.push(Reason::LastGood);
        }
        if one.pinned {
            reasons.push(Reason::Pinned);
        }
        if one.in_use {
            reasons.push(Reason::InUse);
        }
        if one.taken_at > horizon {
            reasons.push(Reason::Future);
        }
        if !one.good && last_good.is_none_or(|newest| at < newest) {
            reasons.push(Reason::NothingBetter);
        }
    }

    let decisions: Vec<_> = sorted
        .iter()
        .zip(reasons)
        .map(|(one, mut reasons)| {
            let verdict = if reasons.is_empty() { Verdict::Expire } else { Verdict::Keep };
            if reasons.is_empty() {
                reasons.push(if one.good { Reason::NoRuleKeeps } else { Reason::NotGood });
            }
            Decision { id: one.id, verdict, reasons }
        })
        .collect();
    let refusal = refusal(&sorted, &decisions, now, guards);
    RetentionPlan { decisions, refusal }
}

fn refusal(
    sorted: &[&Candidate],
    decisions: &[Decision],
    now: Timestamp,
    guards: &Guards,
) -> Option<Refusal> {
    let expires = decisions.iter().any(|one| one.verdict == Verdict::Expire);
    if !expires {
        return None;
    }
    let seen = sorted.iter().map(|one| one.taken_at).chain(guards.last_plan_at).max();
    if seen.is_some_and(|seen| seen.duration_since(now) > SKEW) {
        return Some(Refusal::ClockWentBack);
    }
    if decisions.iter().all(|one| one.verdict == Verdict::Expire) {
        return Some(Refusal::DeletesEverything);
    }
    if guards.last_run_failed {
        return Some(Refusal::LastRunFailed);
    }
    guards.newest_is_anomalous.then_some(Refusal::Anomalous)
}

/// The period that a rule counts a snapshot into.
fn period(rule: Rule, one: &Candidate, zone: &TimeZone) -> (i64, i64) {
    let at: Zoned = one.taken_at.to_zoned(zone.clone());
    let year = i64::from(at.year());
    let day = i64::from(at.day_of_year());
    match rule {
        // Every snapshot is a period of its own; two of one moment differ in nothing but the id.
        Rule::Last => {
            let id = one.id.to_string();
            let hash = id
                .bytes()
                .fold(0_i64, |hash, byte| hash.wrapping_mul(31).wrapping_add(i64::from(byte)));
            (one.taken_at.as_microsecond(), hash)
        }
        // An hour that occurs twice is two hours.
        Rule::Hourly => {
            let offset = i64::from(at.offset().seconds());
            ((one.taken_at.as_second() + offset).div_euclid(3_600), offset)
        }
        Rule::Daily => (year, day),
        Rule::Weekly => {
            let week = at.date().iso_week_date();
            (i64::from(week.year()), i64::from(week.week()))
        }
        Rule::Monthly => (year, i64::from(at.month())),
        Rule::Yearly => (year, 0),
    }
}

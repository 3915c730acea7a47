//! The plan.

use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};

use super::{
    Candidate, Decision, Guards, Reason, Refusal, RetentionPlan, RetentionPolicy, Rule, TimeJump,
    Verdict,
};

/// How long a clock that jumped is not trusted with deleting: a person has this long to see it.
pub const DISTRUST: SignedDuration = SignedDuration::from_hours(24);
/// Clocks may differ by this much; what is dated later than that is of the future.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(10);

/// Which snapshots a rule counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// Those that were not taken before a deployment.
    Others,
    /// Those that were.
    PreDeploy,
    /// All, for the sake of those that were.
    All,
}

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
    let horizon = now.saturating_add(CLOCK_TOLERANCE).unwrap_or(now);
    let past = |one: &Candidate| one.taken_at <= horizon;
    let counts = |one: &Candidate| one.good && past(one);

    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); sorted.len()];
    let pre_deploy = policy.pre_deploy().map(|of| (Rule::PreDeploy, of, Counted::PreDeploy));
    // Deployments come in bursts: they are not to push out what schedules have made. Where nobody
    // said how many of theirs are to be kept, the other rules keep of them what they always did.
    let ordinary = policy.rules().flat_map(|(rule, of)| {
        let all = policy.keep_pre_deploy.is_none().then_some((rule, of, Counted::All));
        [(rule, of, Counted::Others)].into_iter().chain(all)
    });
    for (rule, of, counted) in ordinary.chain(pre_deploy) {
        let mut last_period = None;
        let mut number = 0;
        let is_its = |one: &Candidate| match counted {
            Counted::Others => !one.pre_deploy,
            Counted::PreDeploy => one.pre_deploy,
            Counted::All => true,
        };
        let its = sorted.iter().zip(&mut reasons).filter(|(one, _)| past(one) && is_its(one));
        for (one, reasons) in its {
            if number == of {
                break;
            }
            let period = period(rule, one, zone);
            if last_period.as_ref() == Some(&period) {
                continue;
            }
            let is_told = counted != Counted::All || one.pre_deploy;
            if one.good {
                number += 1;
                last_period = Some(period);
                reasons.extend(is_told.then_some(Reason::Rule { rule, number, of }));
            } else {
                // It takes no other's place: the mark may be wrong, or right.
                reasons.extend(is_told.then_some(Reason::IfGood));
            }
        }
    }
    let last_good = sorted.iter().position(|one| counts(one));
    if let (Some(within), Some(newest)) = (policy.keep_within, last_good) {
        let length = SignedDuration::from_secs(i64::try_from(within.secs()).unwrap_or(i64::MAX));
        let newest = sorted[newest].taken_at;
        for (one, reasons) in sorted.iter().zip(&mut reasons) {
            if past(one) && lived(one.taken_at, newest, &guards.jumps) < length {
                reasons.push(if one.good { Reason::Within { within } } else { Reason::IfGood });
            }
        }
    }
    for (at, (one, reasons)) in sorted.iter().zip(&mut reasons).enumerate() {
        let has_no_rule =
            if one.pre_deploy { policy.pre_deploy().is_none() } else { policy.is_empty() };
        if has_no_rule {
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
        if !past(one) {
            reasons.push(Reason::Future);
        }
        if !one.good && last_good.is_none_or(|newest| at < newest) {
            reasons.push(Reason::NothingBetter);
        }
        if let Some(until) = one.locked_until.filter(|until| *until > now && reasons.is_empty()) {
            reasons.push(Reason::Locked { until });
        }
    }

    let decisions: Vec<_> = sorted
        .iter()
        .zip(reasons)
        .map(|(one, mut reasons)| {
            reasons.dedup();
            let verdict = if reasons.is_empty() { Verdict::Expire } else { Verdict::Keep };
            if reasons.is_empty() {
                reasons.push(if one.good { Reason::NoRuleKeeps } else { Reason::NotGood });
            }
            Decision { id: one.id, verdict, reasons }
        })
        .collect();
    let refusal = refusal(&decisions, now, guards);
    RetentionPlan { decisions, refusal }
}

/// The time between two moments, without what the clock jumped over.
pub fn lived(from: Timestamp, to: Timestamp, jumps: &[TimeJump]) -> SignedDuration {
    let skipped: SignedDuration = jumps
        .iter()
        .filter(|jump| jump.from < jump.to && from < jump.to && to >= jump.to)
        .map(|jump| jump.to.duration_since(jump.from.max(from)))
        .sum();
    to.duration_since(from) - skipped
}

fn refusal(decisions: &[Decision], now: Timestamp, guards: &Guards) -> Option<Refusal> {
    let expires = decisions.iter().any(|one| one.verdict == Verdict::Expire);
    if !expires {
        return None;
    }
    if guards.append_only {
        return Some(Refusal::AppendOnly);
    }
    if guards.recovered {
        return Some(Refusal::Recovered);
    }
    // Whichever way it went since: a moment after `now` is no reason to wait for it.
    let trusted_again = |at: &Timestamp| now.duration_since(*at).abs() >= DISTRUST;
    if guards.clock_jumped_at.is_some_and(|at| !trusted_again(&at)) {
        return Some(Refusal::ClockJumped);
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
        Rule::Last | Rule::PreDeploy => {
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

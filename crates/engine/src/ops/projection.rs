//! What a policy comes to in the long run, for people who choose one.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use model::{
    SnapshotId,
    retention::{Candidate, Guards, RetentionPolicy, Verdict, plan},
    schedule::Schedule,
};
use rand::SeedableRng as _;

use crate::Engine;

/// Snapshots simulated at most; a schedule of every few minutes reaches less far back.
const MOST: usize = 4_000;
/// How far back the simulation goes.
const REACH: SignedDuration = SignedDuration::from_hours(24 * 800);

/// What a schedule and a policy come to once they have run for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// Snapshots kept.
    pub kept: usize,
    /// When the oldest of them was taken.
    pub oldest: Option<Timestamp>,
}

impl Engine {
    /// What `schedule` and `policy` would keep had they run without a failure until now; `None`
    /// where the policy keeps everything.
    pub fn project_retention(
        &self,
        schedule: &Schedule,
        policy: &RetentionPolicy,
    ) -> Option<Projection> {
        if policy.is_empty() {
            return None;
        }
        let now = self.now();
        let every = schedule.interval_secs(now).unwrap_or(86_400).max(1);
        let fits = i64::try_from(every.saturating_mul(MOST as u64)).unwrap_or(i64::MAX);
        let reach = REACH.min(SignedDuration::from_secs(fits));
        let start = now.saturating_sub(reach).unwrap_or(Timestamp::MIN);
        // Identities of what does not exist: any seed does.
        let mut rng = rand::rngs::StdRng::seed_from_u64(0);
        let candidates: Vec<Candidate> = schedule
            .upcoming(start, MOST)
            .into_iter()
            .take_while(|at| *at <= now)
            .map(|taken_at| Candidate {
                id: SnapshotId::generate(taken_at, &mut rng),
                taken_at,
                pre_deploy: false,
                good: true,
                pinned: false,
                in_use: false,
                locked_until: None,
            })
            .collect();
        let zone = schedule.time_zone.zone();
        let plan = plan(policy, &candidates, now, &zone, &Guards::default());
        let kept: HashSet<_> = plan
            .decisions
            .iter()
            .filter(|decision| decision.verdict == Verdict::Keep)
            .map(|decision| decision.id)
            .collect();
        let oldest = candidates.iter().filter(|c| kept.contains(&c.id)).map(|c| c.taken_at).min();
        Some(Projection { kept: kept.len(), oldest })
    }
}

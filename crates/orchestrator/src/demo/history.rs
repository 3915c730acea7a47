//! What the demonstration's apps have been through.

use std::collections::BTreeMap;

use catalog::Past;
use engine::{AppDraft, BindingDraft, Engine, EngineError, ScheduleDraft, SourceDraft};
use jiff::{SignedDuration, Timestamp};
use model::{
    App, Artifact, CopyState, Destination, DestinationId, DestinationKind, DestinationOutcome,
    Event, EventId, EventKind, Fact, Failure, FailureCode, Name, Proof, Run, RunId, RunKind,
    RunState, Severity, Snapshot, SnapshotId, SnapshotKind, Stage, StoredCopy, StoredObject,
    Trigger, retention::RetentionPolicy,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// Names of apps; with more apps they come again with a number.
const NAMES: &[&str] = &[
    "shop",
    "wiki",
    "mail",
    "photos",
    "crm",
    "forum",
    "billing",
    "chat",
    "analytics",
    "git",
    "monitoring",
    "intranet",
];
/// Always the same history, up to its dates.
const SEED: u64 = 5550;
/// One run in so many fails.
const FAILS: u32 = 45;
/// One run in so many leaves the second destination without a copy.
const IS_PARTIAL: u32 = 60;
/// Days from one drill to the next.
const DRILL_DAYS: i64 = 14;

/// The history, day by day and app by app.
pub(super) struct History {
    rng: StdRng,
    now: Timestamp,
    apps: Vec<App>,
    destinations: [DestinationId; 2],
    days: i64,
    /// Day and app that come next, the oldest day first.
    at: (i64, usize),
}

impl History {
    /// Adds the apps and their destinations.
    pub(super) async fn new(engine: &Engine, apps: u32, days: u32) -> Result<Self, EngineError> {
        let now = engine.now();
        let mut rng = StdRng::seed_from_u64(SEED);
        let days = i64::from(days);
        let since = ago(now, days * 24);
        let mut destinations = Vec::new();
        for (name, kind, settings) in [
            ("local-disk", DestinationKind::Local, vec![("path", "/srv/backups")]),
            (
                "offsite",
                DestinationKind::S3,
                vec![("bucket", "company-backups"), ("endpoint", "https://s3.example.com")],
            ),
        ] {
            let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
            let one = Destination {
                id: DestinationId::generate(since, &mut rng),
                name: name_of(name)?,
                kind,
                settings: settings.into_iter().map(owned).collect(),
                secrets: BTreeMap::new(),
                append_only: false,
                verify_every_days: Some(30),
                managed_by: None,
                created_at: since,
                updated_at: since,
                version: 1,
                last_check: Some(model::destination::DestinationCheck { at: now, problem: None }),
            };
            engine.catalog().insert_destination(&one).await?;
            destinations.push(one.id);
        }
        let destinations = [destinations[0], destinations[1]];
        let mut all = Vec::new();
        for number in 0..apps as usize {
            let app = engine.new_app(draft(number, destinations)).await?;
            let app = App { created_at: since, updated_at: since, ..app };
            engine.catalog().insert_app(&app).await?;
            all.push(app);
        }
        Ok(Self { rng, now, apps: all, destinations, days, at: (days, 0) })
    }

    /// About `runs` runs more; `None` once today has come.
    pub(super) fn next(&mut self, runs: usize) -> Option<Past> {
        let mut past = Past::default();
        while past.runs.len() < runs && self.at.0 >= 0 {
            let (days_ago, number) = self.at;
            self.one(days_ago, number, &mut past);
            self.at = if number + 1 < self.apps.len() {
                (days_ago, number + 1)
            } else {
                (days_ago - 1, 0)
            };
        }
        (!past.runs.is_empty()).then_some(past)
    }

    /// What one app has been through on one day.
    fn one(&mut self, days_ago: i64, number: usize, past: &mut Past) {
        let minutes = (number as i64 * 7) % 180;
        let fire = ago(self.now, days_ago * 24 + 5);
        let began = fire.saturating_add(SignedDuration::from_mins(minutes)).unwrap_or(fire);
        let app = self.apps[number].clone();
        // The last app has been failing since yesterday, the one before it does not run any more.
        let last = self.apps.len() - 1;
        let fails = self.rng.random_ratio(1, FAILS) || number == last && last > 1 && days_ago < 2;
        if number + 1 == last && last > 2 && days_ago < 2 {
            return;
        }
        let took = SignedDuration::from_secs(self.rng.random_range(20..600));
        let ended = began.saturating_add(took).unwrap_or(began);
        let mut run = self.run(&app, RunKind::Backup, (began, ended));
        if fails {
            run.state = RunState::Failed;
            let why = "the server does not answer: connection refused";
            run.failure = Some(Failure::new(FailureCode::SourceUnreachable, why));
            self.tell(past, &run, EventKind::RunFailed, Severity::Error);
            past.runs.push(run);
            return;
        }
        let is_partial = self.rng.random_ratio(1, IS_PARTIAL);
        let growth = (self.days - days_ago).unsigned_abs() * (3 << 20);
        let size = (number as u64 % 9 + 1) * (180 << 20) + growth;
        let size = size + self.rng.random_range(0..8 << 20);
        let snapshot = self.snapshot(&app, &run, size, is_partial, days_ago);
        for (at, destination) in self.destinations.into_iter().enumerate() {
            let failed = is_partial && at == 1;
            past.outcomes.push(DestinationOutcome {
                run_id: run.id,
                destination_id: destination,
                stage: Stage::Commit,
                state: if failed { RunState::Failed } else { RunState::Succeeded },
                bytes_written: if failed { 0 } else { size / 3 },
                failure: failed.then(|| {
                    Failure::new(FailureCode::DestinationUnavailable, "503 Service Unavailable")
                }),
            });
        }
        run.state = if is_partial { RunState::PartiallyFailed } else { RunState::Succeeded };
        run.bytes_read = size;
        run.snapshot_id = Some(snapshot.id);
        let (kind, severity) = if is_partial {
            (EventKind::RunPartiallyFailed, Severity::Warning)
        } else {
            (EventKind::RunSucceeded, Severity::Info)
        };
        self.tell(past, &run, kind, severity);
        if let Some(proof) = &snapshot.proof {
            let took = SignedDuration::from_secs_f64(proof.took_secs);
            let began = proof.at.saturating_sub(took).unwrap_or(proof.at);
            let mut drill = self.run(&app, RunKind::Drill, (began, proof.at));
            drill.id = proof.run_id;
            drill.snapshot_id = Some(snapshot.id);
            self.tell(past, &drill, EventKind::DrillPassed, Severity::Info);
            past.runs.push(drill);
        }
        past.runs.push(run);
        past.snapshots.push(snapshot);
    }

    fn run(&mut self, app: &App, kind: RunKind, (began, ended): (Timestamp, Timestamp)) -> Run {
        Run {
            id: RunId::generate(began, &mut self.rng),
            app_id: Some(app.id),
            kind,
            trigger: Trigger::Schedule,
            state: RunState::Succeeded,
            stage: Stage::Notify,
            attempt: 1,
            retry_of: None,
            fire_at: Some(began),
            named_at: None,
            missed_fires: 0,
            snapshot_id: None,
            destination_id: None,
            snapshot_kind: SnapshotKind::Automatic,
            label: None,
            git_commit: None,
            deploy: None,
            lenient: false,
            not_before: began,
            queued_at: began,
            started_at: Some(began),
            finished_at: Some(ended),
            bytes_read: 0,
            bytes_expected: None,
            restore: None,
            after: None,
            cancel_requested: false,
            lease: None,
            read_data: false,
            failure: None,
        }
    }

    fn snapshot(
        &mut self,
        app: &App,
        run: &Run,
        size: u64,
        is_partial: bool,
        days_ago: i64,
    ) -> Snapshot {
        let taken_at = run.started_at.unwrap_or(run.queued_at);
        let source = app.sources[0].name.clone();
        let day = taken_at.strftime("%Y%m%d_%H%M");
        let key = format!("apps/{}/{}_{day}.dump.zst", app.name, app.name);
        let wanted = if is_partial { 1 } else { 2 };
        // As daily 7, weekly 4 and monthly 6 leave it, roughly.
        let is_kept = days_ago <= 7 || days_ago % 7 == 0 && days_ago <= 35 || days_ago % 30 == 0;
        let state = if is_kept { CopyState::Good } else { CopyState::Expired };
        let sha = format!("{:064x}", self.rng.random::<u128>());
        let copies = self.destinations[..wanted].iter().map(|destination| StoredCopy {
            destination_id: *destination,
            state,
            manifest_key: format!("{key}.manifest.json"),
            objects: vec![StoredObject {
                source: source.clone(),
                key: key.clone(),
                stored_size_bytes: size / 3,
                stored_sha256: sha.clone(),
                compression: "zstd".to_owned(),
                encryption: "none".to_owned(),
                tree: None,
            }],
            committed_at: run.finished_at.unwrap_or(taken_at),
            verified_at: (days_ago > 0).then(|| ago(self.now, days_ago * 12)),
            expiring_since: (!is_kept).then(|| ago(self.now, (days_ago - 8) * 24)),
            log_key: None,
        });
        let copies = copies.collect();
        let took_secs = 30.0 + size as f64 / f64::from(40 << 20);
        let drilled_at = taken_at.saturating_add(SignedDuration::from_hours(1));
        let proof = (days_ago % DRILL_DAYS == 1).then(|| Proof {
            run_id: RunId::generate(taken_at, &mut self.rng),
            at: drilled_at.unwrap_or(taken_at),
            passed: true,
            took_secs,
        });
        Snapshot {
            id: SnapshotId::generate(taken_at, &mut self.rng),
            app_id: app.id,
            run_id: run.id,
            taken_at,
            kind: SnapshotKind::Automatic,
            label: None,
            git_commit: None,
            pinned: false,
            verified_by_source: true,
            anomalous: false,
            warnings: Vec::new(),
            app_state: None,
            proof,
            artifacts: vec![Artifact {
                source,
                part: None,
                began_at: Some(taken_at),
                ended_at: run.finished_at,
                file_name: "db.dump".to_owned(),
                format: Some("pg_dump_Fc".to_owned()),
                content_type: None,
                size_bytes: size,
                sha256: sha,
                contents: None,
                base: None,
                image: None,
            }],
            copies,
        }
    }

    fn tell(&mut self, past: &mut Past, run: &Run, kind: EventKind, severity: Severity) {
        let at = run.finished_at.unwrap_or(run.queued_at);
        let sentence = match &run.failure {
            Some(failure) => failure.clone().into(),
            None => Fact::RunDone {}.into(),
        };
        past.events.push(Event {
            id: EventId::generate(at, &mut self.rng),
            at,
            kind,
            severity,
            app_id: run.app_id,
            run_id: Some(run.id),
            snapshot_id: run.snapshot_id,
            destination_id: None,
            sentence,
        });
    }
}

fn ago(now: Timestamp, hours: i64) -> Timestamp {
    now.saturating_sub(SignedDuration::from_hours(hours)).unwrap_or(now)
}

fn name_of(text: &str) -> Result<Name, EngineError> {
    text.parse().map_err(|error| EngineError::invalid("name", error))
}

fn draft(number: usize, destinations: [DestinationId; 2]) -> AppDraft {
    let name = NAMES[number % NAMES.len()];
    let name = match number / NAMES.len() {
        0 => name.to_owned(),
        round => format!("{name}-{}", round + 1),
    };
    let settings = [("host", format!("{name}-db")), ("database", name.clone())];
    let folder = format!("apps/{name}");
    AppDraft {
        sources: vec![SourceDraft {
            name: "db".to_owned(),
            kind: "postgres".to_owned(),
            settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            ..SourceDraft::default()
        }],
        destinations: destinations
            .iter()
            .map(|id| BindingDraft {
                destination: id.to_string(),
                folder: folder.clone(),
                ..BindingDraft::default()
            })
            .collect(),
        schedule: Some(ScheduleDraft { spec: "0 3 * * *".to_owned(), ..ScheduleDraft::default() }),
        retention: RetentionPolicy {
            keep_daily: Some(7),
            keep_weekly: Some(4),
            keep_monthly: Some(6),
            ..RetentionPolicy::default()
        },
        name,
        ..AppDraft::default()
    }
}

//! What the demonstration's apps have been through.

use std::collections::{BTreeMap, BTreeSet};

use catalog::Past;
use engine::{Engine, EngineError};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    AlertKind, App, Destination, DestinationId, DestinationKind, DestinationOutcome, Event,
    EventId, EventKind, Fact, Failure, FailureCode, LogLevel, LogLine, Name, Run, RunId, RunKind,
    RunState, Severity, SnapshotId, SnapshotKind, Stage, Trigger,
    retention::{Candidate, Guards, Verdict, plan},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    company::{self, Kept},
    told::{lines, report},
};

/// Always the same history, up to its dates.
const SEED: u64 = 5550;
/// One run in so many fails.
const FAILS: u32 = 45;
/// One run in so many leaves the second destination without a copy.
const IS_PARTIAL: u32 = 60;
/// Days for which logs are kept.
const LOG_DAYS: i64 = 7;
/// Bytes that are read in a second.
pub(super) const RATE: u64 = 40 << 20;

/// The history, day by day and app by app.
pub(super) struct History {
    pub(super) rng: StdRng,
    pub(super) now: Timestamp,
    /// The midnight before the last runs.
    today: Timestamp,
    apps: Vec<App>,
    pub(super) destinations: [DestinationId; 2],
    pub(super) days: i64,
    /// Days ago whose snapshots retention has kept.
    pub(super) kept: BTreeSet<i64>,
    /// Day and app that come next, the oldest day first.
    at: (i64, usize),
    troubles: Vec<Trouble>,
}

/// Something that is still wrong.
pub(super) struct Trouble {
    pub(super) kind: AlertKind,
    pub(super) severity: Severity,
    pub(super) app: App,
    pub(super) run: Option<RunId>,
    pub(super) since: Timestamp,
    pub(super) fact: Fact,
}

impl History {
    /// Adds the apps and their destinations.
    pub(super) async fn new(engine: &Engine, apps: u32, days: u32) -> Result<Self, EngineError> {
        let now = engine.now();
        let mut rng = StdRng::seed_from_u64(SEED);
        let days = i64::from(days);
        // The day's runs are over some hours after 3 in the morning.
        let today = hours(now, -7).to_zoned(TimeZone::UTC).start_of_day();
        let today = today.map_or(now, |today| today.timestamp());
        let since = hours(today, -days * 24);
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
                last_check: Some(model::destination::DestinationCheck {
                    at: now,
                    problem: None,
                    fact: None,
                }),
            };
            engine.catalog().insert_destination(&one).await?;
            destinations.push(one.id);
        }
        let destinations = [destinations[0], destinations[1]];
        let mut all = Vec::new();
        // The last drills were yesterday's, the next are a week after them.
        let drilled_on = hours(today, -24).to_zoned(TimeZone::UTC).weekday();
        let drilled_on = drilled_on.to_sunday_zero_offset();
        for number in 0..apps as usize {
            let draft = company::draft(number, destinations, drilled_on);
            let app = engine.new_app(draft).await?;
            let app = App { created_at: since, updated_at: since, ..app };
            engine.catalog().insert_app(&app).await?;
            all.push(app);
        }
        let kept = kept(now, today, days, &mut rng);
        let (at, troubles) = ((days, 0), Vec::new());
        Ok(Self { rng, now, today, apps: all, destinations, days, kept, at, troubles })
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

    /// What is wrong at the end of it.
    pub(super) fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    pub(super) fn apps(&self) -> &[App] {
        &self.apps
    }

    pub(super) fn today(&self) -> Timestamp {
        self.today
    }

    /// What one app has been through on one day.
    fn one(&mut self, days_ago: i64, number: usize, past: &mut Past) {
        let app = self.apps[number].clone();
        let kept = company::app(number).1;
        let minutes = 180 + company::minutes(number) as i64;
        let began = after(hours(self.today, -days_ago * 24), minutes * 60);
        // At the end the last app has been failing since yesterday, the one before it does not run
        // any more, and the one before that lacks a copy.
        let from_end = self.apps.len() - 1 - number;
        let is_bad = |which: usize| from_end == which && self.apps.len() > which + 2;
        if is_bad(1) && days_ago < 3 {
            if days_ago == 2 {
                let at = after(began, -24 * 3600);
                let objective = "2d".to_owned();
                let fact = Fact::OverdueSince { app: app.name.to_string(), at, objective };
                let since = after(began, 24 * 3600);
                self.is_wrong(AlertKind::Overdue, Severity::Error, &app, None, since, fact);
            }
            return;
        }
        let fails = days_ago > 1 && self.rng.random_ratio(1, FAILS);
        if fails || is_bad(0) && days_ago < 2 {
            let ended = after(began, self.rng.random_range(3..40));
            let run = self.failed(&app, (began, ended), past);
            if days_ago == 1 {
                let fact = Fact::RunEndedBadly {};
                let (kind, at) = (AlertKind::BackupFailed, Severity::Error);
                self.is_wrong(kind, at, &app, Some(run), ended, fact);
            }
            return;
        }
        let is_partial =
            is_bad(2) && days_ago == 0 || days_ago > 0 && self.rng.random_ratio(1, IS_PARTIAL);
        let run = self.run(&app, RunKind::Backup, (began, began));
        let run = self.succeeded(&app, kept, run, days_ago, is_partial, past);
        if is_partial && days_ago == 0 {
            let fact = Fact::RunEndedBadly {};
            let (kind, at) = (AlertKind::BackupPartial, Severity::Warning);
            self.is_wrong(kind, at, &app, Some(run), after(began, 300), fact);
        }
        if company::is_shop(number) && days_ago % 7 == 2 {
            self.deployment(&app, kept, days_ago, past);
        }
    }

    /// A snapshot that a pipeline asked for.
    fn deployment(&mut self, app: &App, kept: &[Kept], days_ago: i64, past: &mut Past) {
        let began = after(hours(self.today, -days_ago * 24), 14 * 3600 + 12 * 60);
        let release = 40 - days_ago / 7;
        let run = Run {
            trigger: Trigger::Manual,
            fire_at: None,
            snapshot_kind: SnapshotKind::PreDeploy,
            label: Some(format!("release 2.{release}")),
            git_commit: Some(format!("{:040x}", self.rng.random::<u128>())),
            deploy: Some(format!("release 2.{release}")),
            ..self.run(app, RunKind::Backup, (began, began))
        };
        self.succeeded(app, kept, run, days_ago, false, past);
    }

    fn failed(&mut self, app: &App, when: (Timestamp, Timestamp), past: &mut Past) -> RunId {
        let why = "the server does not answer: connection refused";
        let source = &app.sources[0].name;
        let run = Run {
            state: RunState::Failed,
            failure: Some(Failure::new(FailureCode::SourceUnreachable, why)),
            ..self.run(app, RunKind::Backup, when)
        };
        self.tell(past, &run, EventKind::RunFailed, Severity::Error);
        let asking = format!("asking `{source}` for its export");
        self.log(
            past,
            &run,
            &[
                (0, LogLevel::Info, Stage::Export, asking),
                (2, LogLevel::Error, Stage::Export, why.to_owned()),
            ],
        );
        let id = run.id;
        past.runs.push(run);
        id
    }

    /// A run that leaves a snapshot; gives its id.
    fn succeeded(
        &mut self,
        app: &App,
        kept: &[Kept],
        mut run: Run,
        days_ago: i64,
        is_partial: bool,
        past: &mut Past,
    ) -> RunId {
        let artifacts = self.artifacts(kept, &run, days_ago);
        let size: u64 = artifacts.iter().map(|one| one.size_bytes).sum();
        let began = run.queued_at;
        let ended = after(began, (size / RATE).cast_signed() + self.rng.random_range(4..25));
        run.finished_at = Some(ended);
        run.state = if is_partial { RunState::PartiallyFailed } else { RunState::Succeeded };
        run.bytes_read = size;
        let snapshot = self.snapshot(app, &run, artifacts, is_partial, days_ago);
        let stored: u64 = snapshot.copies[0].objects.iter().map(|one| one.stored_size_bytes).sum();
        run.snapshot_id = Some(snapshot.id);
        for (at, destination) in self.destinations.into_iter().enumerate() {
            let failed = is_partial && at == 1;
            past.outcomes.push(DestinationOutcome {
                run_id: run.id,
                destination_id: destination,
                stage: Stage::Commit,
                state: if failed { RunState::Failed } else { RunState::Succeeded },
                bytes_written: if failed { 0 } else { stored },
                failure: failed.then(|| {
                    Failure::new(FailureCode::DestinationUnavailable, "503 Service Unavailable")
                }),
            });
        }
        let (kind, severity) = if is_partial {
            (EventKind::RunPartiallyFailed, Severity::Warning)
        } else {
            (EventKind::RunSucceeded, Severity::Info)
        };
        self.tell(past, &run, kind, severity);
        if days_ago < LOG_DAYS {
            let lines = lines(&snapshot, is_partial, (size / RATE).cast_signed());
            self.log(past, &run, &lines);
        }
        if let Some(proof) = &snapshot.proof {
            let took = SignedDuration::from_secs_f64(proof.took_secs);
            let began = proof.at.saturating_sub(took).unwrap_or(proof.at);
            let mut drill = self.run(app, RunKind::Drill, (began, proof.at));
            drill.id = proof.run_id;
            drill.snapshot_id = Some(snapshot.id);
            self.tell(past, &drill, EventKind::DrillPassed, Severity::Info);
            past.drills.push((drill.id, report(kept, &snapshot, proof.took_secs)));
            past.runs.push(drill);
        }
        let id = run.id;
        past.runs.push(run);
        past.snapshots.push(snapshot);
        id
    }

    pub(super) fn run(
        &mut self,
        app: &App,
        kind: RunKind,
        (began, ended): (Timestamp, Timestamp),
    ) -> Run {
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

    fn log(&self, past: &mut Past, run: &Run, lines: &[(i64, LogLevel, Stage, String)]) {
        for (seq, (secs, level, stage, message)) in (1..).zip(lines) {
            let at = after(run.queued_at, *secs);
            let line = LogLine { seq, at, level: *level, stage: *stage, message: message.clone() };
            past.logs.push((run.id, line));
        }
    }

    fn is_wrong(
        &mut self,
        kind: AlertKind,
        severity: Severity,
        app: &App,
        run: Option<RunId>,
        since: Timestamp,
        fact: Fact,
    ) {
        let app = app.clone();
        self.troubles.push(Trouble { kind, severity, app, run, since, fact });
    }
}

/// The days whose snapshots retention keeps, where none failed.
fn kept(now: Timestamp, today: Timestamp, days: i64, rng: &mut StdRng) -> BTreeSet<i64> {
    let taken = |ago: i64| after(hours(today, -ago * 24), 4 * 3600);
    let all = (0..=days).map(|ago| Candidate {
        id: SnapshotId::generate(taken(ago), rng),
        taken_at: taken(ago),
        pre_deploy: false,
        good: true,
        pinned: false,
        in_use: false,
        locked_until: None,
    });
    let all: Vec<_> = all.collect();
    let of_it = plan(&company::retention(), &all, now, &TimeZone::UTC, &Guards::default());
    let stays = of_it.decisions.iter().filter(|one| one.verdict == Verdict::Keep);
    let stays: BTreeSet<SnapshotId> = stays.map(|one| one.id).collect();
    (0..).zip(&all).filter(|(_, one)| stays.contains(&one.id)).map(|(ago, _)| ago).collect()
}

/// `at`, and so many hours more.
pub(super) fn hours(at: Timestamp, more: i64) -> Timestamp {
    after(at, more * 3600)
}

/// `at`, and so many seconds more.
pub(super) fn after(at: Timestamp, secs: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(secs)).unwrap_or(at)
}

pub(super) fn name_of(text: &str) -> Result<Name, EngineError> {
    text.parse().map_err(|error| EngineError::invalid("name", error))
}

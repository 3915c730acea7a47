//! A server of our own that replays WAL on a restored data directory: nobody but us reaches it.

use std::{
    collections::BTreeMap,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use model::{
    App, DirectKind, DirectSource, Fact, Failure, FailureCode, Landing, Name, Source, SourceKind,
};
use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::{
    choose::{Stop, Way},
    control::Control,
    home::{Home, Inside, Lan, Life},
    prepare, replay,
};
use crate::{
    Engine, EngineConfig,
    docker::scratch::FOLDER,
    process::{self, Program},
    run::{RunContext, drill::scratch},
    source::{
        direct::Asked,
        postgres::{
            session::Session,
            told,
            tools::{self, Tools},
        },
        tool::{Tool, Where},
    },
    target::{blocking, refused},
};

/// Longest that a server may be at it.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long its programs may take to answer.
const ANSWER: Duration = Duration::from_secs(60);
/// How long it may take to become a server of its own, or to end in order.
const LAST_STEPS: Duration = Duration::from_secs(1800);
/// How long it may take to let go of everything.
const QUITTING: Duration = Duration::from_secs(10);
/// How often it is asked how far it is, at first and at last.
const ASKED: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Without a target it waits for more at the end: after so long without any there is none.
const STEADY: Duration = Duration::from_secs(5);

const STATE: &str = "SELECT pg_is_in_recovery(), \
    CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END, \
    coalesce(pg_last_wal_replay_lsn()::text, '0/0'), \
    coalesce((extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint::text, '')";
const TIMELINE: &str = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
const SUPERUSER: &str = "SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin \
    ORDER BY oid LIMIT 1";

/// The programs of one version of PostgreSQL on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Those of version `major`: no other understands its files.
    pub(crate) async fn of(config: &EngineConfig, major: u32) -> Result<Self, Failure> {
        let home = config.postgres_home.join(major.to_string()).join("bin");
        if process::is_program(&home.join("postgres")) {
            return Ok(Self { folder: home });
        }
        if let Some(found) = process::find(config, "postgres")
            && let Some(folder) = found.parent()
            && let Ok(told) =
                Program::new(config, &found).args(["--version"]).output(1_024, ANSWER).await
            && major_in(&String::from_utf8_lossy(&told)) == Some(major)
        {
            return Ok(Self { folder: folder.to_owned() });
        }
        let missing = Fact::NoServerToReplay { major: major.into() };
        Err(Failure::new(FailureCode::SourceConfig, missing))
    }

    /// One of them, run by nobody in particular: servers refuse to be run by root.
    fn program(&self, config: &EngineConfig, name: &str) -> Program {
        let program = scratch::program(config, &self.folder.join(name), user());
        program.env("LC_ALL", "C")
    }

    /// Where `name` of these programs is, for people.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// What `data` says of itself.
    pub(crate) async fn control(
        &self,
        config: &EngineConfig,
        data: &Path,
    ) -> Result<Control, Failure> {
        let program = self.program(config, "pg_controldata").args([data]);
        let told = program.output(64 << 10, ANSWER).await?;
        Control::parse(&String::from_utf8_lossy(&told))
    }
}

/// Who runs the server and has its files.
pub(crate) fn user() -> Option<(u32, u32)> {
    scratch::user(&["postgres"])
}

pub(super) fn major_in(told: &str) -> Option<u32> {
    let (_, after) = told.split_once("(PostgreSQL) ")?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What is to be replayed, and where.
pub(crate) struct Plan<'a> {
    pub(crate) app: &'a App,
    /// The source that it was.
    pub(crate) source: &'a Name,
    /// As whom the source was read, and which database.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) way: &'a Way,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// A folder with a short name for its socket.
    pub(crate) room: PathBuf,
    /// The volume that the data directory is in, and the image of the containers that replay on it;
    /// without it `data` and `room` are folders of this machine.
    pub(crate) inside: Option<Inside>,
    /// Where an app waits for it that is to be booted on it, in such a container.
    pub(crate) lan: Option<Lan>,
    /// It is thrown away afterwards.
    pub(crate) is_scratch: bool,
    /// It is to wait at its moment.
    pub(crate) pause: bool,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    in_recovery: bool,
    is_paused: bool,
    at: u64,
    last_commit_at: Option<Timestamp>,
}

/// A server on a restored data directory. Dropped, it ends at once; in a container, at the run's
/// end.
pub(crate) struct Server {
    life: Life,
    /// It, as a source whose user may do everything.
    pub(crate) source: Source,
    pub(crate) tools: Tools,
    /// A database to ask about the whole.
    pub(crate) maintenance: String,
    pub(crate) landing: Landing,
    home: Home,
    data: PathBuf,
}

impl Server {
    /// Replays as `plan` says, and promotes the server unless it is to wait.
    pub(crate) async fn replayed(context: &RunContext, plan: &Plan<'_>) -> Result<Self, Failure> {
        let home = || async {
            Ok::<_, Failure>(match &plan.inside {
                Some(inside) => Home::Inside(inside.clone()),
                None => {
                    Home::Here(Programs::of(context.engine.config(), plan.way.base.major).await?)
                }
            })
        };
        if plan.inside.is_none() {
            give(plan).await?;
        }
        let mut control = home().await?.control(context, &plan.data).await?;
        if control.system() != Some(plan.way.base.base.system.to_string().as_str()) {
            return Err(refused(Fact::OtherCluster {}));
        }
        let mut is_open_ended = plan.way.stop == Stop::End;
        loop {
            let way = Way {
                stop: if is_open_ended { Stop::End } else { plan.way.stop.clone() },
                ..plan.way.clone()
            };
            let mut server = Self::start(context, plan, &way, home().await?, &control).await?;
            let followed = match server.equip(context, plan).await {
                Ok(()) => server.follow(context, plan, &way).await,
                Err(failure) => Err(failure),
            };
            if followed.is_err() {
                server.quit(context).await;
            }
            let now = server.home.control(context, &plan.data).await?;
            // WAL itself may say that more is needed: replay waits, or ends, until it is given.
            if now.needs_more_than(&control) {
                server.quit(context).await;
                control = now;
                continue;
            }
            match followed {
                // What is stored holds nothing after the moment: all of it is before.
                Err(failure) if !is_open_ended && is_short(&failure) => {
                    context.journal.warn(&failure.message);
                    is_open_ended = true;
                }
                Err(failure) => return Err(failure),
                Ok(()) => match server.come(context, plan, &way).await {
                    Ok(()) => return Ok(server),
                    Err(failure) => {
                        server.quit(context).await;
                        return Err(failure);
                    }
                },
            }
        }
    }

    async fn start(
        context: &RunContext,
        plan: &Plan<'_>,
        way: &Way,
        home: Home,
        control: &Control,
    ) -> Result<Self, Failure> {
        let waits_at_end = plan.pause && way.stop == Stop::End;
        let life = match &home {
            Home::Here(programs) => {
                mark(plan, "standby.signal", waits_at_end)?;
                mark(plan, "recovery.signal", !waits_at_end)?;
                let running = programs
                    .program(context.engine.config(), "postgres")
                    .args([format!("-D{}", plan.data.display())])
                    .args(replay::arguments(&plan.room, control, way, plan.is_scratch))
                    // By this it is known again after this process was killed.
                    .env("TMPDIR", plan.room.clone())
                    // Killed, it would leave its piece of shared memory to this machine for ever.
                    .dying_by("QUIT")
                    .start(LIFE)?;
                Life::Program(running)
            }
            Home::Inside(inside) => {
                let signal = if waits_at_end { "standby.signal" } else { "recovery.signal" };
                let mut arguments =
                    replay::arguments(Path::new(FOLDER), control, way, plan.is_scratch);
                arguments.push(format!("-cport={}", port(plan)));
                let lan = plan.lan.as_ref();
                Life::Container(inside.serve(context, signal, arguments, lan).await?)
            }
        };
        let user = plan.settings.get("user").cloned().unwrap_or_else(|| "postgres".to_owned());
        Ok(Self {
            source: stand_in(plan, &user, &life),
            life,
            tools: Tools::nowhere(way.base.major),
            maintenance: "postgres".to_owned(),
            landing: Landing { base: Some(way.base.snapshot), ..Landing::default() },
            home,
            data: plan.data.clone(),
        })
    }

    /// Looks which tools ask it.
    async fn equip(&mut self, context: &RunContext, plan: &Plan<'_>) -> Result<(), Failure> {
        let place = Where::of(self.life.container());
        match tools::all(&context.engine, &place).await {
            Ok(all) => self.tools = tools::fit(all, plan.way.base.major, &place)?,
            Err(failure) => {
                let said = self.life.has_ended().await;
                return Err(said.map_or(failure, |said| refused(Fact::ReplayEnded { said })));
            }
        }
        Ok(())
    }

    /// Waits until it has come to its end, or its moment.
    async fn follow(
        &mut self,
        context: &RunContext,
        plan: &Plan<'_>,
        way: &Way,
    ) -> Result<(), Failure> {
        let waits_at_end = plan.pause && way.stop == Stop::End;
        let last_segment = way.base.segment.start_of(replication::Lsn(way.end.0.saturating_sub(1)));
        let (mut wait, mut steady_since) = (ASKED.0, Instant::now());
        let (mut before, mut told_at) = (way.base.base.start.0, Instant::now());
        loop {
            context.keep_going()?;
            match self.state(&context.engine, plan).await {
                Ok(state) => {
                    let moved = state.at.saturating_sub(before);
                    if moved > 0 {
                        context.journal.add_bytes(usize::try_from(moved).unwrap_or(0));
                        (before, steady_since) = (state.at, Instant::now());
                    }
                    self.landing.replayed_to = Some(model::Lsn(state.at));
                    self.landing.replay_end = Some(model::Lsn(way.end.0));
                    self.landing.last_commit_at = state.last_commit_at;
                    let is_steady = waits_at_end
                        && state.at >= last_segment.0
                        && steady_since.elapsed() >= STEADY;
                    if !state.in_recovery || state.is_paused || is_steady {
                        return Ok(());
                    }
                }
                Err(failure) => {
                    if let Some(said) = self.life.has_ended().await {
                        return Err(refused(Fact::ReplayEnded { said }));
                    }
                    tracing::trace!(%failure.message, "the server does not answer yet");
                }
            }
            if told_at.elapsed() >= Duration::from_secs(10) {
                let (at, end) = (model::Lsn(before), model::Lsn(way.end.0));
                context.journal.info(format!("replayed to {at}; there is WAL up to {end}"));
                told_at = Instant::now();
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 5 / 4).min(ASKED.1);
        }
    }

    /// At its moment: says where that is, and makes it a server of its own unless it is to wait.
    async fn come(
        &mut self,
        context: &RunContext,
        plan: &Plan<'_>,
        way: &Way,
    ) -> Result<(), Failure> {
        let reached = self.landing.replayed_to.unwrap_or_default();
        // All there is was asked for: where replay ends far before that, something is wrong with it.
        let short = way.end.0.saturating_sub(reached.0);
        if way.stop == Stop::End && short >= way.base.segment.bytes() {
            let (at, end) = (reached.to_string(), way.end.to_string());
            return Err(refused(Fact::ReplayShort { at, end }));
        }
        context.journal.info(landed(&self.landing).to_string());
        if plan.pause {
            return Ok(());
        }
        if self.state(&context.engine, plan).await?.in_recovery {
            self.promote(&context.engine).await?;
        }
        let until = Instant::now() + LAST_STEPS;
        while self.state(&context.engine, plan).await.is_ok_and(|state| state.in_recovery) {
            context.keep_going()?;
            if let Some(said) = self.life.has_ended().await {
                return Err(refused(Fact::ReplayEnded { said }));
            }
            if Instant::now() > until {
                return Err(Failure::new(FailureCode::Timeout, Fact::NotPromoted {}));
            }
            tokio::time::sleep(ASKED.0).await;
        }
        let engine = &context.engine;
        let superuser = self.ask(engine, plan.app, SUPERUSER).await?;
        if let Some(name) = superuser.into_iter().flatten().next() {
            self.source = stand_in(plan, &name, &self.life);
        }
        let timeline = self.ask(engine, plan.app, TIMELINE).await?;
        let timeline = timeline.first().and_then(|row| row.first()).map(String::as_str);
        self.landing.timeline = timeline.and_then(|text| u32::from_str_radix(text, 16).ok());
        self.landing.is_promoted = true;
        Ok(())
    }

    async fn promote(&self, engine: &Engine) -> Result<(), Failure> {
        let data = format!("-D{}", self.data.display());
        let rest = ["promote", "--no-wait", "--silent"];
        let told = match &self.home {
            Home::Here(programs) => {
                let promote = programs.program(engine.config(), "pg_ctl").args([data]).args(rest);
                promote.output(64 << 10, ANSWER).await
            }
            Home::Inside(_) => {
                let place = Where::of(self.life.container());
                let promote = Tool::new(engine, &place, "pg_ctl").arg(data).args(rest);
                promote.output(64 << 10, ANSWER).await
            }
        };
        told.map(drop)
    }

    /// The container that it is in.
    pub(crate) fn container(&self) -> Option<&str> {
        self.life.container()
    }

    /// A session as somebody who may do everything.
    pub(crate) async fn session<'a>(
        &'a self,
        engine: &'a Engine,
        app: &'a App,
    ) -> Result<Session<'a>, Failure> {
        Session::of(&asked(engine, app, &self.source)?).await
    }

    async fn ask(
        &self,
        engine: &Engine,
        app: &App,
        query: &str,
    ) -> Result<Vec<Vec<String>>, Failure> {
        self.session(engine, app).await?.ask(&self.tools, &self.maintenance, query).await
    }

    /// Asks how far it is; of users and databases that most servers have, the first that are there.
    async fn state(&mut self, engine: &Engine, plan: &Plan<'_>) -> Result<State, Failure> {
        let failure = match self.ask(engine, plan.app, STATE).await {
            Ok(rows) => return state(&rows),
            Err(failure) => failure,
        };
        if told::is_no_such_database(&failure) {
            "template1".clone_into(&mut self.maintenance);
        } else if failure.message.contains("role \"") {
            self.source = stand_in(plan, "postgres", &self.life);
        }
        Err(failure)
    }

    /// Ends it in order, so that its data directory is as whole as a server's that was stopped.
    pub(crate) async fn end(mut self, context: &RunContext) -> Result<(), Failure> {
        let said = self.life.end_by(context, Signal::SIGINT, LAST_STEPS).await;
        let control = self.home.control(context, &self.data).await?;
        if control.is_shut_down() { Ok(()) } else { Err(refused(Fact::ReplayEnded { said })) }
    }

    /// Ends it at once: nothing of it is used any more.
    pub(crate) async fn quit(&mut self, context: &RunContext) {
        self.life.end_by(context, Signal::SIGQUIT, QUITTING).await;
    }
}

/// Whether the server refused to end because it has not seen the moment pass.
fn is_short(failure: &Failure) -> bool {
    failure.message.contains("recovery ended before configured recovery target was reached")
}

/// Where it landed, in a sentence.
pub(crate) fn landed(landing: &Landing) -> Fact {
    let position = landing.replayed_to.unwrap_or_default().to_string();
    match landing.last_commit_at {
        Some(at) => Fact::Landed { position, at },
        None => Fact::LandedBeforeAny { position },
    }
}

fn state(rows: &[Vec<String>]) -> Result<State, Failure> {
    let row: Vec<_> = rows.first().into_iter().flatten().map(String::as_str).collect();
    let parsed = match row.as_slice() {
        [recovery, paused, at, commit] => at.parse::<model::Lsn>().ok().map(|at| State {
            in_recovery: *recovery == "t",
            is_paused: *paused == "t",
            at: at.0,
            last_commit_at: commit.parse().ok().and_then(|at| Timestamp::from_microsecond(at).ok()),
        }),
        _ => None,
    };
    parsed.ok_or_else(|| {
        let message = "the restored server does not answer as PostgreSQL does";
        Failure::new(FailureCode::SourceFailed, message)
    })
}

/// Makes the files ready that the server is told of, and gives it what it works in.
async fn give(plan: &Plan<'_>) -> Result<(), Failure> {
    let (data, room) = (plan.data.clone(), plan.room.clone());
    // Who may not enter the one may not enter the other within it.
    for folder in [&room, &data] {
        scratch::give(folder, user())?;
    }
    let given = blocking(move || {
        std::fs::write(room.join("postgresql.conf"), "")?;
        std::fs::write(room.join("pg_hba.conf"), "local all all trust\n")?;
        std::fs::write(room.join("pg_ident.conf"), "")?;
        prepare::give_all(&room, user())?;
        prepare::give_all(&data, user())
    });
    given.await?.map_err(|error| {
        let (path, why) = (plan.data.display().to_string(), error.to_string());
        refused(Fact::NotForScratch { path, why })
    })
}

/// An empty folder that only we, and who runs the server, can look into.
pub(crate) async fn room(folder: &Path) -> Result<(), Failure> {
    let told = |error: std::io::Error| {
        let (path, why) = (folder.display().to_string(), error.to_string());
        Failure::new(FailureCode::RestoreRefused, Fact::ScratchNotMade { path, why })
    };
    crate::removal::remove_with_workers(folder).await.map_err(told)?;
    let making = folder.to_owned();
    let made = blocking(move || {
        if let Some(parent) = making.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(&making)
    });
    made.await?.map_err(told)
}

/// Puts a file that the server looks for into its data directory, or sees to it that it is not
/// there.
fn mark(plan: &Plan<'_>, name: &str, is_wanted: bool) -> Result<(), Failure> {
    let file = plan.data.join(name);
    let done = if is_wanted { std::fs::write(&file, "") } else { prepare::remove(&file) };
    done.and_then(|()| match (is_wanted, user()) {
        (true, Some((uid, gid))) => std::os::unix::fs::chown(&file, Some(uid), Some(gid)),
        _ => Ok(()),
    })
    .map_err(|error| {
        let (path, why) = (file.display().to_string(), error.to_string());
        refused(Fact::NotWritable { path, why })
    })
}

fn port(plan: &Plan<'_>) -> u16 {
    plan.lan.as_ref().and_then(|lan| lan.port).unwrap_or(replay::PORT)
}

/// The server as a source that goes by the name of the old one.
fn stand_in(plan: &Plan<'_>, user: &str, life: &Life) -> Source {
    let container = life.container();
    let host =
        if container.is_some() { FOLDER.to_owned() } else { plan.room.display().to_string() };
    let settings = [
        ("host", host),
        ("port", port(plan).to_string()),
        ("user", user.to_owned()),
        ("database", plan.settings.get("database").cloned().unwrap_or_default()),
    ];
    let within = container.map(|name| ("container", name.to_owned()));
    let settings = settings.into_iter().chain(within);
    let settings = settings.map(|(key, value)| (key.to_owned(), value)).collect();
    let what = DirectKind::Postgres;
    let kind = SourceKind::Direct(DirectSource { what, settings, secrets: BTreeMap::new() });
    Source { name: plan.source.clone(), kind }
}

fn asked<'a>(engine: &'a Engine, app: &'a App, source: &'a Source) -> Result<Asked<'a>, Failure> {
    match &source.kind {
        SourceKind::Direct(direct) => Ok(Asked { engine, app, source, direct }),
        SourceKind::Contract(_) => Err(Failure::new(FailureCode::Internal, "it is no server")),
    }
}

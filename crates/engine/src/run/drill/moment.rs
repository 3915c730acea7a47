//! Base backups, brought to a moment with their WAL on a server of our own that nobody else can
//! reach: in containers of the source's image where it is here, else by this machine's programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use bollard::Docker;
use jiff::Timestamp;
use model::{
    DrillCheck, DrillState, Duty, Fact, Failure, FailureCode, Landing, Moment as Wanted,
    MomentOrder,
};

use tokio::sync::Mutex;

use super::{
    Restored, Trial, Way, asked, check,
    reader::{self, READER},
    rows::compared,
    scratch::{self, Image},
};
use crate::{
    docker::{self, served::Served},
    duty::Owed,
    pitr::restore::{
        home::{Inside, Lan},
        server::{self, Plan, Server},
    },
    run::RunContext,
    source::postgres::session::Session,
    target::{
        Aim, Placing,
        moment::{self, Goal},
        postgres::database,
        refused,
    },
};

/// Longest that the last heartbeat may be before the moment: one comes each minute, and a busy
/// server may be late.
const LATE_SECS: i64 = 90;

pub(super) struct Moment;

/// Where the volume is mounted, and the folder in it.
const MOUNTED: (&str, &str) = ("/backup-orchestrator-data", "data");

/// A server at its moment.
struct At {
    server: Mutex<Server>,
    order: MomentOrder,
    landing: Landing,
    place: Fact,
    /// The volume that its data are in.
    volume: Mutex<Option<Owed>>,
}

/// What it is tried in, where it is containers of an image.
struct Contained {
    docker: Docker,
    image: Image,
    inside: Inside,
    owner: (u32, u32),
    volume: Owed,
}

impl Contained {
    /// Makes a volume for the drill, where an image that is here understands the base backup; `None`
    /// where it is to be tried on this machine.
    async fn of(trial: &Trial<'_>, major: u32) -> Result<Option<Self>, Failure> {
        let context = trial.context;
        let Some(image) = Image::of(trial.aim).await else { return Ok(None) };
        let docker = docker::connect(context.engine.config()).await?;
        let served = match trial.aim.asked() {
            Ok(asked) => Served::of(&docker, &asked).await.ok().flatten(),
            Err(_) => None,
        };
        let volume = format!("backup-drill-{}-{}", context.run.id, trial.aim.tag).to_lowercase();
        let owed = context.owe(Duty::RemoveVolume { volume: volume.clone() }).await?;
        let inside = Inside {
            image: image.name.clone(),
            user: served.map_or_else(|| "postgres".to_owned(), |served| served.user),
            volume: volume.clone(),
            at: MOUNTED.0.to_owned(),
            data: format!("{}/{}", MOUNTED.0, MOUNTED.1),
        };
        let found = async {
            moment::make_volume(&docker, &volume, trial.aim.tag).await?;
            let has = inside.major(context).await?;
            if has != Some(major) {
                let message = format!("it is PostgreSQL {has:?}, and not {major}");
                return Err(Failure::new(FailureCode::SourceConfig, message));
            }
            inside.owner(context).await
        };
        let found = found.await;
        match scratch::or_here(trial, &image, found)? {
            Some(owner) => Ok(Some(Self { docker, image, inside, owner, volume: owed })),
            None => {
                let settled = context.settle(owed).await;
                settled.map(|()| None)
            }
        }
    }

    /// Puts the data directory `data` of this machine into the volume.
    async fn fill(&self, trial: &Trial<'_>, data: &Path) -> Result<(), Failure> {
        let goal = Goal {
            volume: &self.inside.volume,
            image: &self.inside.image,
            within: MOUNTED.1,
            owner: self.owner,
        };
        moment::pour(trial.context, trial.aim, &self.docker, &goal, data).await?;
        crate::removal::remove(data).await.map_err(|error| {
            let (what, why) = (data.display().to_string(), error.to_string());
            refused(Fact::NotRemoved { what, why })
        })
    }
}

#[async_trait::async_trait]
impl Way for Moment {
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure> {
        let (context, aim) = (trial.context, trial.aim);
        let archive = moment::known(aim).await?;
        let order = match aim.moment {
            Some(order) => order.clone(),
            None => of_this_base(trial, &archive)?,
        };
        let way = moment::way(aim, &archive, &order)?;
        let data = trial.folder.join("data");
        let placing = Placing { context, aim, made: "" };
        let contained = Contained::of(trial, way.base.major).await?;
        moment::files(&placing, &archive, &way, trial.supply, &data).await?;
        if let Some(contained) = &contained {
            contained.fill(trial, &data).await?;
        }
        let inside = contained.as_ref().map(|contained| contained.inside.clone());
        let lan = match &contained {
            Some(_) => scratch::joined(trial).await?.map(|joined| Lan {
                joined,
                port: scratch::port(trial).and_then(|port| port.parse().ok()),
            }),
            None => None,
        };
        let plan = Plan {
            app: aim.app,
            source: &aim.artifact.source,
            settings: moment::settings(aim),
            way: &way,
            data: inside.as_ref().map_or(data, |inside| inside.data.clone().into()),
            room: trial.folder.clone(),
            inside,
            lan,
            is_scratch: true,
            pause: false,
        };
        let server = Server::replayed(context, &plan).await?;
        let kind = format!("PostgreSQL {}", way.base.major);
        let place = match &contained {
            Some(contained) => contained.image.place(kind),
            None => Fact::ScratchServer { kind, path: trial.folder.display().to_string() },
        };
        let volume = Mutex::new(contained.map(|contained| contained.volume));
        let landing = server.landing.clone();
        Ok(Box::new(At { server: Mutex::new(server), order, landing, place, volume }))
    }
}

/// Any moment that this base backup reaches.
fn of_this_base(
    trial: &Trial<'_>,
    archive: &crate::pitr::restore::known::Archive,
) -> Result<MomentOrder, Failure> {
    let mut own = archive.clone();
    own.known.bases.retain(|one| {
        archive.bases.iter().any(|base| {
            base.id == one.snapshot
                && base.artifacts.iter().any(|artifact| artifact == trial.aim.artifact)
        })
    });
    let any = trial.context.engine.any_moment(&own);
    any.ok_or_else(|| refused(Fact::NoBase {}))
}

#[async_trait::async_trait]
impl Restored for At {
    fn place(&self) -> Fact {
        self.place.clone()
    }

    fn landing(&self) -> Option<Landing> {
        Some(self.landing.clone())
    }

    async fn check(&self, trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure> {
        let server = self.server.lock().await;
        let mut checks = vec![self.landed()];
        let databases = databases(trial, &server).await?;
        if trial.aim.app.recovery.as_ref().is_some_and(|plan| plan.heartbeat) {
            checks.push(self.heartbeats(trial, &server, &databases).await?);
        }
        checks.push(amcheck(trial, &server, &databases).await?);
        checks.push(counted(trial, &server, &databases).await?);
        checks.extend(questions(trial, &server, &databases).await?);
        Ok(checks)
    }

    /// Under its own name, on its own roles: whoever may log in there may do so here.
    async fn lend(&self, trial: &Trial<'_>) -> Result<(), Failure> {
        let server = self.server.lock().await;
        scratch::known(trial, server.container(), "PostgreSQL").await.map(drop)
    }

    async fn end(&self, context: &RunContext) {
        self.server.lock().await.quit(context).await;
        if let Some(volume) = self.volume.lock().await.take()
            && let Err(failure) = context.settle(volume).await
        {
            context.journal.warn(failure.message);
        }
    }
}

impl At {
    fn wanted_at(&self) -> Option<Timestamp> {
        match self.order.moment {
            Wanted::Time { at } => Some(at),
            _ => None,
        }
    }

    /// Whether replay ended where it was to.
    fn landed(&self) -> DrillCheck {
        let landing = &self.landing;
        let late = self.wanted_at().zip(landing.last_commit_at).filter(|(wanted, at)| at > wanted);
        if let Some((wanted, at)) = late {
            return check("moment", DrillState::Failed, Fact::LandedLate { at, wanted });
        }
        check("moment", DrillState::Passed, server::landed(landing))
    }

    /// Whether the rows that were written each minute are there up to the moment, and none after.
    async fn heartbeats(
        &self,
        trial: &Trial<'_>,
        server: &Server,
        databases: &[String],
    ) -> Result<DrillCheck, Failure> {
        let moment = self.wanted_at().or(self.landing.last_commit_at);
        let (session, tools) = (session(trial, server).await?, &server.tools);
        for database in databases {
            // A view would run what somebody wrote into it.
            let is_there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                WHERE n.nspname = 'backup_orchestrator' AND c.relname = 'heartbeat' \
                AND c.relkind = 'r')";
            if session.value(tools, database, is_there).await? != "t" {
                continue;
            }
            let last = "SELECT count(*), \
                coalesce((extract(epoch FROM max(at)) * 1000000)::bigint::text, '') \
                FROM backup_orchestrator.heartbeat";
            let rows = session.ask(tools, database, last).await?;
            let row = rows.first().map(Vec::as_slice).unwrap_or_default();
            let count = row.first().and_then(|text| text.parse().ok()).unwrap_or(0);
            let last = row.get(1).and_then(|text| text.parse().ok());
            let last = last.and_then(|micros| Timestamp::from_microsecond(micros).ok());
            return Ok(judged(count, last, moment));
        }
        Ok(check("heartbeat", DrillState::Skipped, Fact::HeartbeatsNone {}))
    }
}

fn judged(count: u64, last: Option<Timestamp>, moment: Option<Timestamp>) -> DrillCheck {
    let (Some(last), Some(moment)) = (last, moment) else {
        return check("heartbeat", DrillState::Skipped, Fact::HeartbeatsNone {});
    };
    let (state, fact) = if last > moment {
        (DrillState::Failed, Fact::HeartbeatAfter { at: last, moment })
    } else if moment.duration_since(last).as_secs() > LATE_SECS {
        (DrillState::Failed, Fact::HeartbeatMissing { at: last, moment })
    } else {
        (DrillState::Passed, Fact::HeartbeatsTo { count, at: last })
    };
    check("heartbeat", state, fact)
}

async fn session<'a>(trial: &'a Trial<'_>, server: &'a Server) -> Result<Session<'a>, Failure> {
    let session = server.session(&trial.context.engine, trial.aim.app).await?;
    Ok(session.patient(trial.aim.timeout()))
}

async fn databases(trial: &Trial<'_>, server: &Server) -> Result<Vec<String>, Failure> {
    session(trial, server).await?.databases().await
}

/// Every table and index of every database, page by page.
async fn amcheck(
    trial: &Trial<'_>,
    server: &Server,
    databases: &[String],
) -> Result<DrillCheck, Failure> {
    let session = session(trial, server).await?;
    let tool = session
        .tool(&server.tools, "pg_amcheck")
        .args(["--install-missing", "--heapallindexed", "--no-password"])
        .arg(format!("--maintenance-db={}", server.maintenance))
        .arg(format!("--host={}", session.server.host.as_deref().unwrap_or_default()))
        .arg(format!("--port={}", session.server.port))
        .arg(format!("--username={}", session.server.user))
        .args(databases.iter().map(|name| format!("--database={}", pattern(name))));
    Ok(match tool.output(1 << 20, trial.aim.timeout()).await {
        Ok(_) => check("pg_amcheck", DrillState::Passed, Fact::AllSound {}),
        Err(failure) if failure.code == FailureCode::Cancelled => return Err(failure),
        Err(failure) if super::postgres::no_amcheck(&failure) => {
            check("pg_amcheck", DrillState::Skipped, failure)
        }
        Err(failure) => check("pg_amcheck", DrillState::Failed, failure),
    })
}

/// A name that is meant as it is where a pattern is read.
fn pattern(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reads every row of every table.
async fn counted(
    trial: &Trial<'_>,
    server: &Server,
    databases: &[String],
) -> Result<DrillCheck, Failure> {
    let query = "SELECT n.nspname || '.' || c.relname, \
                   pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
                 WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' \
                   AND n.nspname <> 'information_schema' ORDER BY 1";
    let session = session(trial, server).await?;
    let mut counts = BTreeMap::new();
    for database in databases {
        for row in session.ask(&server.tools, database, query).await? {
            let [table, quoted] = row.as_slice() else { continue };
            trial.context.keep_going()?;
            let count = format!("SELECT count(*) FROM ONLY {quoted}");
            let count = session.value(&server.tools, database, &count).await?;
            counts.insert(format!("{database}.{table}"), count.parse::<u64>().unwrap_or(0));
        }
    }
    Ok(compared(&counts, 0, None))
}

/// Asks as somebody who may read everything and do nothing else. A question to the dump of one
/// database is one to that database here.
async fn questions(
    trial: &Trial<'_>,
    server: &Server,
    databases: &[String],
) -> Result<Vec<DrillCheck>, Failure> {
    let Some(of) = trial.aim.source.map(|source| source.name.as_str()) else {
        return Ok(Vec::new());
    };
    let named = moment::settings(trial.aim);
    let usual = named.get("database").and_then(|all| all.split(',').next()).map(str::trim);
    let usual = usual.filter(|name| databases.iter().any(|one| one == name)).unwrap_or("postgres");
    let meant = |artifact: &str| {
        let part = artifact.strip_prefix(of)?;
        let part = part.strip_prefix('.').or(part.is_empty().then_some(""))?;
        Some(databases.iter().find(|name| *name == part).map_or(usual, String::as_str).to_owned())
    };
    let asked = trial.aim.app.drill.questions.iter();
    let asked: Vec<_> =
        asked.filter_map(|one| Some((one, meant(one.artifact.as_str())?))).collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let of: BTreeSet<&str> = asked.iter().map(|(_, database)| database.as_str()).collect();
    let of: Vec<&str> = of.into_iter().collect();
    reader::make(&session(trial, server).await?, &server.tools, &of).await?;
    let path = named.get("user").map_or("postgres", String::as_str);
    let path = format!("{}, public", database::ident(path));
    let mut source = server.source.clone();
    if let model::SourceKind::Direct(direct) = &mut source.kind {
        direct.settings.insert("user".to_owned(), READER.to_owned());
    }
    let aim = Aim { source: Some(&source), ..*trial.aim };
    let reader = Session::of(&aim.asked()?).await?.patient(trial.aim.timeout());
    let mut checks = Vec::new();
    for (question, database) in asked {
        let answer = reader.value_along(&path, &server.tools, &database, &question.sql).await;
        checks.push(asked::judge(question, answer));
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_end_at_the_moment() {
        let at = |secs: i64| Some(Timestamp::from_second(1_700_000_000 + secs).unwrap());
        let state = |last, moment| judged(3, last, moment).state;
        assert_eq!(state(at(0), at(60)), DrillState::Passed);
        assert_eq!(state(at(60), at(60)), DrillState::Passed);
        assert_eq!(state(at(61), at(60)), DrillState::Failed);
        assert_eq!(state(at(0), at(100)), DrillState::Failed);
        assert_eq!(state(None, at(60)), DrillState::Skipped);
    }
}

//! Snapshots of Redis and Valkey: loaded by a server of our own that nobody else can reach.

use model::{DrillCheck, DrillState, Fact, Failure, FailureCode};

use super::{Restored, Trial, Way, asked, check, scratch};
use crate::{
    docker::scratch::FOLDER,
    process,
    run::RunContext,
    source::tool::{Tool, Where},
    target::{
        redis::{scratch::Scratch, told::Told},
        unpacking,
    },
};

/// Most of what the second reader says.
const MAX_TOLD: usize = 16 << 20;

pub(super) struct Redis;

#[async_trait::async_trait]
impl Way for Redis {
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure> {
        let file = trial.folder.join("dump.rdb");
        unpacking::spool(trial.supply, &file).await?;
        let scratch = Scratch::start(trial).await?;
        match scratch.loaded(trial).await {
            Ok(told) => Ok(Box::new(Server { scratch, told: Told(told) })),
            Err(failure) => {
                scratch.end(trial.context).await;
                Err(failure)
            }
        }
    }
}

struct Server {
    scratch: Scratch,
    told: Told,
}

impl Server {
    /// What the second reader says, where there is one.
    async fn counted(&self, trial: &Trial<'_>, name: &str) -> Option<Result<Vec<u8>, Failure>> {
        let engine = &trial.context.engine;
        if let Some(container) = self.scratch.container() {
            let place = Where::Container(container.to_owned());
            let tool = Tool::new(engine, &place, name).arg(format!("{FOLDER}/dump.rdb"));
            let told = tool.output(MAX_TOLD, trial.aim.timeout()).await;
            // An image need not have one.
            let is_there = !told.as_ref().is_err_and(|one| one.code == FailureCode::SourceConfig);
            return is_there.then_some(told);
        }
        let program = process::find(engine.config(), name)?;
        let user = scratch::user(&[self.scratch.kind]);
        let reader = scratch::program(engine.config(), &program, user);
        let reader = reader.args([self.scratch.file.display().to_string()]);
        Some(reader.output(MAX_TOLD, trial.aim.timeout()).await)
    }

    /// A second reader of the same file has to find as many keys.
    async fn second(&self, trial: &Trial<'_>) -> DrillCheck {
        let name = format!("{}-check-rdb", self.scratch.kind);
        let Some(told) = self.counted(trial, &name).await else {
            let missing = Fact::ProgramMissing { program: name.clone() };
            return check(name, DrillState::Skipped, missing);
        };
        let told = match told {
            Ok(told) => String::from_utf8_lossy(&told).into_owned(),
            Err(failure) => return check(name, DrillState::Failed, failure),
        };
        let number = |end: &str| {
            let line = told.lines().find_map(|line| line.strip_suffix(end))?;
            line.split_whitespace().last()?.parse::<u64>().ok()
        };
        let (Some(read), Some(expired)) = (number(" keys read"), number(" already expired")) else {
            return check(name, DrillState::Skipped, Fact::KeysUncounted {});
        };
        if read == 0 {
            return check(name, DrillState::Skipped, Fact::KeysNone {});
        }
        let loaded = self.told.keys();
        // Keys may have expired since the server loaded them.
        let agrees = loaded <= read && loaded + expired >= read;
        let state = if agrees { DrillState::Passed } else { DrillState::Failed };
        check(name, state, Fact::KeysInFile { read, expired, loaded })
    }
}

#[async_trait::async_trait]
impl Restored for Server {
    fn place(&self) -> Fact {
        self.scratch.place(self.told.server())
    }

    async fn lend(&self, trial: &Trial<'_>) -> Result<(), Failure> {
        self.scratch.lend(trial).await
    }

    async fn end(&self, context: &RunContext) {
        self.scratch.end(context).await;
    }

    async fn check(&self, trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure> {
        let told: Vec<_> = self
            .told
            .databases()
            .iter()
            .map(|one| format!("db{}: {}", one.number, one.keys))
            .collect();
        let mut checks = vec![if told.is_empty() {
            check("keys", DrillState::Skipped, Fact::KeysNone {})
        } else {
            check("keys", DrillState::Passed, Fact::KeysLoaded { keys: told.join(", ") })
        }];
        checks.push(self.second(trial).await);
        for question in asked::of(trial) {
            let name = format!("question: {}", question.sql);
            checks.push(check(name, DrillState::Skipped, Fact::QuestionsNeedSql {}));
        }
        Ok(checks)
    }
}

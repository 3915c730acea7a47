//! Snapshots of Redis and Valkey: loaded by a server of this machine's own that nobody else can
//! reach.

use model::{DrillCheck, DrillState, Fact, Failure};

use super::{Restored, Trial, Way, asked, check, scratch};
use crate::{
    process,
    target::{
        redis::{scratch::Scratch, told::Told},
        unpacking,
    },
};

pub(super) struct Redis;

#[async_trait::async_trait]
impl Way for Redis {
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure> {
        let file = trial.folder.join("dump.rdb");
        unpacking::spool(trial.supply, &file).await?;
        let scratch = Scratch::start(trial).await?;
        let told = Told(scratch.loaded(trial).await?);
        Ok(Box::new(Server { scratch, told }))
    }
}

struct Server {
    scratch: Scratch,
    told: Told,
}

impl Server {
    /// A second reader of the same file has to find as many keys.
    async fn second(&self, trial: &Trial<'_>) -> DrillCheck {
        let name = format!("{}-check-rdb", self.scratch.kind);
        let config = trial.context.engine.config();
        let Some(program) = process::find(config, &name) else {
            let missing = Fact::ProgramMissing { program: name.clone() };
            return check(name, DrillState::Skipped, missing);
        };
        let user = scratch::user(&[self.scratch.kind]);
        let told = scratch::program(config, &program, user)
            .args([self.scratch.file.display().to_string()])
            .output(16 << 20, trial.aim.timeout())
            .await;
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
        Fact::ScratchServer {
            kind: self.scratch.kind.to_owned(),
            path: self.scratch.file.display().to_string(),
        }
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

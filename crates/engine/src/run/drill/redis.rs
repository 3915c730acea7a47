//! Snapshots of Redis and Valkey: loaded by a server of this machine's own that nobody else can
//! reach.

use model::{DrillCheck, DrillState, Failure};

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
            let message = format!("{name} is not on this machine");
            return check(name, DrillState::Skipped, message);
        };
        let user = scratch::user(&[self.scratch.kind]);
        let told = scratch::program(config, &program, user)
            .args([self.scratch.file.display().to_string()])
            .output(16 << 20, trial.aim.timeout())
            .await;
        let told = match told {
            Ok(told) => String::from_utf8_lossy(&told).into_owned(),
            Err(failure) => return check(name, DrillState::Failed, failure.message),
        };
        let number = |end: &str| {
            let line = told.lines().find_map(|line| line.strip_suffix(end))?;
            line.split_whitespace().last()?.parse::<u64>().ok()
        };
        let (Some(read), Some(expired)) = (number(" keys read"), number(" already expired")) else {
            return check(name, DrillState::Skipped, "it does not say how many keys it has read");
        };
        if read == 0 {
            return check(name, DrillState::Skipped, "there is no key in the file");
        }
        let loaded = self.told.keys();
        // Keys may have expired since the server loaded them.
        let agrees = loaded <= read && loaded + expired >= read;
        let state = if agrees { DrillState::Passed } else { DrillState::Failed };
        let message =
            format!("{read} keys are in the file, {expired} of them expired; {loaded} were loaded");
        check(name, state, message)
    }
}

#[async_trait::async_trait]
impl Restored for Server {
    fn place(&self) -> String {
        format!("a scratch {} on {}", self.scratch.kind, self.scratch.file.display())
    }

    async fn check(&self, trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure> {
        let told: Vec<_> = self
            .told
            .databases()
            .iter()
            .map(|one| format!("db{}: {}", one.number, one.keys))
            .collect();
        let mut checks = vec![if told.is_empty() {
            check("keys", DrillState::Skipped, "there is no key in it: there is nothing to prove")
        } else {
            let message = format!("the snapshot was loaded whole; keys: {}", told.join(", "));
            check("keys", DrillState::Passed, message)
        }];
        checks.push(self.second(trial).await);
        for question in asked::of(trial) {
            let name = format!("question: {}", question.sql);
            let message = "questions are for databases that know SQL: remove it";
            checks.push(check(name, DrillState::Skipped, message));
        }
        Ok(checks)
    }
}

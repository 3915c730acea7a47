//! Tools that read a source: run on this machine, or inside a container.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use model::{Duty, Fact, Failure, FailureCode, Size};
use rand::RngExt;
use secrecy::{ExposeSecret as _, SecretString};

use super::{SourceMeta, SourceOutcome, SourceStream};
use crate::{
    Engine,
    docker::exec::{self, Exec},
    duty::Owed,
    process::{self, Program},
    run::RunContext,
};

/// Where a tool is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    /// On this machine.
    Here,
    /// Inside a container that runs already.
    Container(String),
}

impl Where {
    /// The container that a setting names, or here.
    pub(crate) fn of(container: Option<&str>) -> Self {
        container.map_or(Self::Here, |name| Self::Container(name.to_owned()))
    }
}

/// A tool that is to be run.
pub(crate) struct Tool<'a> {
    engine: &'a Engine,
    place: &'a Where,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    secret_env: Vec<(String, SecretString)>,
    input_bytes: Option<u64>,
}

impl<'a> Tool<'a> {
    /// The tool `program`, found by name at `place` or at its path there. It speaks English.
    pub(crate) fn new(engine: &'a Engine, place: &'a Where, program: impl Into<PathBuf>) -> Self {
        let (program, args, env, secret_env) = (program.into(), vec![], vec![], vec![]);
        Self { engine, place, program, args, env, secret_env, input_bytes: None }.env("LC_ALL", "C")
    }

    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A variable for this tool alone.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A variable for this tool alone; what it says of its troubles does not show the value.
    pub(crate) fn secret_env(mut self, name: &str, value: &SecretString) -> Self {
        self.secret_env.push((name.to_owned(), value.clone()));
        self
    }

    /// It is given `count` bytes to read, through [`Reading::feed`].
    pub(crate) fn fed(mut self, count: u64) -> Self {
        self.input_bytes = Some(count);
        self
    }

    /// Its whole output, for short answers.
    pub(crate) async fn output(
        &self,
        limit_bytes: usize,
        deadline: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let container = match self.place {
            Where::Here => return self.program().output(limit_bytes, deadline).await,
            Where::Container(container) => container,
        };
        let marker = marker(self.engine, "asking");
        let asked = async {
            let mut running = self.exec(container, &marker, deadline).await?;
            let mut all = Vec::new();
            while let Some(chunk) = running.chunk().await? {
                if all.len() + chunk.len() > limit_bytes {
                    let program = self.program.display().to_string();
                    let size = Size(limit_bytes as u64);
                    let too_much = Fact::ProgramTooMuch { program, size };
                    return Err(Failure::new(FailureCode::SourceFailed, too_much));
                }
                all.extend_from_slice(&chunk);
            }
            Ok(all)
        };
        let asked = asked.await;
        if asked.is_err() {
            // It may still be at it. Where even this fails, its own end is near.
            let _ = exec::end(&self.engine.0.config, container, &marker).await;
        }
        asked
    }

    /// Gives it all of `input` to read, for a run, and waits for its good end. Nothing of the input
    /// is in the failure: a tool that complains of a statement may quote it.
    pub(crate) async fn told(
        self,
        context: &RunContext,
        input: &SecretString,
        deadline: Duration,
    ) -> Result<(), Failure> {
        let input = input.expose_secret().as_bytes();
        let told = async {
            let mut reading = self.fed(input.len() as u64).start(context, deadline).await?;
            if reading.feed(input).await? {
                reading.end_of_input();
            }
            while reading.chunk().await?.is_some() {}
            Ok(())
        };
        told.await.map_err(|failure: Failure| failure.reworded(unquoted))
    }

    /// Starts it for a run, which ends it however it goes on itself.
    pub(crate) async fn start(
        &self,
        context: &RunContext,
        deadline: Duration,
    ) -> Result<Reading, Failure> {
        match self.place {
            Where::Here => Ok(Reading(By::Program(self.program().start(deadline)?))),
            Where::Container(container) => {
                let marker = marker(self.engine, &context.run.id.to_string());
                let duty = Duty::EndExec { container: container.clone(), marker: marker.clone() };
                let owed = context.owe(duty).await?;
                let running = self.exec(container, &marker, deadline).await?;
                Ok(Reading(By::Exec(running, Some((context.clone(), owed)))))
            }
        }
    }

    fn program(&self) -> Program {
        let mut program =
            Program::new(&self.engine.0.config, &self.program).args(self.args.iter().cloned());
        for (name, value) in &self.env {
            program = program.env(name, value);
        }
        for (name, value) in &self.secret_env {
            program = program.secret_env(name, value);
        }
        if self.input_bytes.is_some() { program.fed() } else { program }
    }

    async fn exec(
        &self,
        container: &str,
        marker: &str,
        deadline: Duration,
    ) -> Result<exec::Running, Failure> {
        let mut argv = vec![self.program.display().to_string()];
        argv.extend(self.args.iter().cloned());
        let (env, secret_env) = (&self.env, &self.secret_env);
        let input_bytes = self.input_bytes;
        let exec = Exec { container, argv: &argv, env, secret_env, marker, input_bytes };
        exec.start(&self.engine.0.config, deadline).await
    }
}

/// A complaint without what it quotes of what it complains of.
fn unquoted(message: &str) -> String {
    const RULE: &str = "--------------";
    let mut message = message.to_owned();
    // MariaDB's shell shows the whole statement between two of these.
    if let (Some(from), Some(to)) = (message.find(RULE), message.rfind(RULE)) {
        message.replace_range(from..to + RULE.len(), "…");
    }
    let ends = [" near ", "LINE ", "STATEMENT"].into_iter().filter_map(|end| message.find(end));
    if let Some(end) = ends.min() {
        message.truncate(end);
    }
    message
}

fn marker(engine: &Engine, what: &str) -> String {
    format!("backup-orchestrator-{what}-{:08x}", engine.with_rng(RngExt::random::<u32>))
}

/// What a tool writes. Dropped, the tool is ended: here at once, in a container at the run's end.
pub(crate) struct Reading(By);

enum By {
    Program(process::Running),
    Exec(exec::Running, Option<(RunContext, Owed)>),
}

impl Reading {
    /// Gives it `bytes` to read; `false` when it reads no more, and [`Self::chunk`] tells why.
    pub(crate) async fn feed(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        match &mut self.0 {
            By::Program(running) => running.feed(bytes).await,
            By::Exec(running, _) => running.feed(bytes).await,
        }
    }

    /// Says that it has been given everything.
    pub(crate) fn end_of_input(&mut self) {
        // One in a container counts by itself.
        if let By::Program(running) = &mut self.0 {
            running.end_of_input();
        }
    }

    /// What it writes next; `None` when it has ended with exit code 0.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match &mut self.0 {
            By::Program(running) => running.chunk().await,
            By::Exec(running, owed) => {
                let chunk = running.chunk().await?;
                if chunk.is_none()
                    && let Some((context, owed)) = owed.take()
                {
                    context.settle(owed).await?;
                }
                Ok(chunk)
            }
        }
    }
}

/// A tool's output as the stream of a source: its exit code decides.
pub(crate) struct ToolStream {
    reading: Reading,
    meta: SourceMeta,
    size_bytes: u64,
    max_size_bytes: u64,
    has_ended: bool,
    explain: fn(Failure) -> Failure,
    warnings: Vec<String>,
}

impl ToolStream {
    /// `explain` turns what the tool said into what it means.
    pub(crate) fn new(
        reading: Reading,
        meta: SourceMeta,
        max_size_bytes: u64,
        explain: fn(Failure) -> Failure,
    ) -> Self {
        let (size_bytes, has_ended, warnings) = (0, false, Vec::new());
        Self { reading, meta, size_bytes, max_size_bytes, has_ended, explain, warnings }
    }

    /// With what is to be known of it.
    pub(crate) fn warning(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }
}

#[async_trait::async_trait]
impl SourceStream for ToolStream {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let chunk = self.reading.chunk().await.map_err(self.explain)?;
        match &chunk {
            None => self.has_ended = true,
            Some(chunk) => self.size_bytes += chunk.len() as u64,
        }
        within(self.size_bytes, self.max_size_bytes, &self.meta.file_name)?;
        Ok(chunk)
    }

    fn outcome(&self) -> Option<SourceOutcome> {
        self.has_ended.then_some(SourceOutcome {
            size_bytes: self.size_bytes,
            sha256: None,
            verified_by_source: false,
        })
    }

    fn allows_empty(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

/// Errs when `size` is above `limit`.
pub(crate) fn within(size: u64, limit: u64, what: &str) -> Result<(), Failure> {
    if size <= limit {
        return Ok(());
    }
    let message = format!(
        "{what} has more than the {limit} bytes that are allowed: raise BACKUP_MAX_SIZE_MB or the \
         app's own limit"
    );
    Err(Failure::new(FailureCode::SourceTooLarge, message))
}

#[cfg(test)]
mod tests {
    use super::unquoted;

    #[test]
    fn complaints_do_not_quote_statements() {
        for said in [
            "mariadb ended with exit code 1: --------------;CREATE USER x IDENTIFIED BY \
             'canary';--------------;;ERROR 1064 (42000) at line 1: right syntax to use near \
             'canary' at line 1",
            "psql: ERROR:  syntax error at or near \"'canary'\";LINE 1: ALTER ROLE 'canary'",
        ] {
            let told = unquoted(said);
            assert!(!told.contains("canary") && told.contains("ERROR"), "{told}");
        }
    }
}

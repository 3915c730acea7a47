//! Targets: where a restore goes. Each looks before it changes anything, brings everything in
//! beside what is there, and only then puts it in its place.

mod contract;
mod files;
pub(crate) mod folder;
pub(crate) mod moment;
pub(crate) mod mysql;
pub(crate) mod postgres;
pub(crate) mod redis;
mod sqlite;
pub(crate) mod supply;
pub(crate) mod unpacking;
pub(crate) mod version;
mod volume;

use artifact::Dump;
use model::{
    App, Artifact, DirectKind, DirectSource, Fact, Failure, FailureCode, Landing, MomentOrder,
    Name, PreflightLevel, RestoreTarget, Selection, Sentence, Source, SourceKind,
};

use crate::{Engine, run::RunContext, source::direct::Asked};
pub(crate) use supply::Supply;

/// One artifact, and where it is to go.
pub(crate) struct Aim<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) app: &'a App,
    /// The artifact's source as it is now; `None` where the app has none of that name any more.
    pub(crate) source: Option<&'a Source>,
    pub(crate) artifact: &'a Artifact,
    pub(crate) selection: Option<&'a Selection>,
    pub(crate) target: &'a RestoreTarget,
    /// The moment that a base backup is brought to.
    pub(crate) moment: Option<&'a MomentOrder>,
    /// The restore in the place of a server that is gone back on.
    pub(crate) undoes: Option<model::RunId>,
    /// Whether several artifacts are restored together.
    pub(crate) is_one_of_many: bool,
    /// A short word of letters and digits that no other restore has.
    pub(crate) tag: &'a str,
}

impl<'a> Aim<'a> {
    /// Its source, asked directly.
    pub(crate) fn asked(&self) -> Result<Asked<'a>, Failure> {
        let Some(source) = self.source else { return Err(self.no_source()) };
        let SourceKind::Direct(direct) = &source.kind else { return Err(self.no_source()) };
        Ok(Asked { engine: self.engine, app: self.app, source, direct })
    }

    fn no_source(&self) -> Failure {
        refused(Fact::SourceGone {
            app: self.app.name.to_string(),
            artifact: self.artifact.source.to_string(),
        })
    }

    /// What the new one is to be called, where it goes beside; `None` elsewhere.
    pub(crate) fn beside(&self) -> Option<String> {
        let RestoreTarget::Beside { name } = self.target else { return None };
        let own = self.artifact.source.as_str();
        Some(if self.is_one_of_many { format!("{name}_{own}") } else { name.to_string() })
    }

    /// What dump it is, where its format says so.
    pub(crate) fn dump(&self) -> Option<Dump> {
        self.artifact.format.as_deref().and_then(Dump::of)
    }

    /// How long bringing it in may take.
    pub(crate) fn timeout(&self) -> std::time::Duration {
        let config = &self.engine.0.config;
        let own = self.app.limits.timeout_secs.map(std::time::Duration::from_secs);
        own.unwrap_or(config.source_timeout)
    }

    /// The tables asked for; empty is all.
    pub(crate) fn tables(&self) -> &'a [String] {
        self.selection.map_or(&[], |selection| &selection.tables)
    }

    /// The paths asked for; empty is all.
    pub(crate) fn paths(&self) -> &'a [String] {
        self.selection.map_or(&[], |selection| &selection.paths)
    }
}

/// An artifact that a run puts into its place.
#[derive(Clone, Copy)]
pub(crate) struct Placing<'a> {
    pub(crate) context: &'a RunContext,
    pub(crate) aim: &'a Aim<'a>,
    /// The name of what [`Target::load`] makes of it.
    pub(crate) made: &'a str,
}

/// What a target found when it looked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// Where the artifact would go, for people.
    pub(crate) target: Sentence,
    /// What is there and would be replaced, for people.
    pub(crate) replaces: Option<Sentence>,
    pub(crate) checks: Vec<(PreflightLevel, Sentence)>,
    /// The server that it would be loaded into, where there is one.
    pub(crate) server: Option<version::Version>,
}

impl Look {
    pub(crate) fn at(target: impl Into<Sentence>) -> Self {
        Self { target: target.into(), ..Self::default() }
    }

    pub(crate) fn good(&mut self, message: impl Into<Sentence>) {
        self.checks.push((PreflightLevel::Good, message.into()));
    }

    pub(crate) fn warn(&mut self, message: impl Into<Sentence>) {
        self.checks.push((PreflightLevel::Warning, message.into()));
    }

    pub(crate) fn block(&mut self, message: impl Into<Sentence>) {
        self.checks.push((PreflightLevel::Blocked, message.into()));
    }
}

/// What came of bringing an artifact in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    /// Things to know.
    pub(crate) notes: Vec<Sentence>,
    /// Where a server's replay ended, where it was one.
    pub(crate) landing: Option<Landing>,
}

/// What came of putting it in its place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switched {
    /// Where what was there before is kept.
    pub(crate) kept: Option<String>,
    pub(crate) notes: Vec<Sentence>,
}

/// How what was there came to be as it was, after a step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutBack {
    /// Nothing of it was changed, or only its name for a while.
    AsItWas,
    /// From the copy that was kept of it, which stays.
    FromKept,
}

/// A kind of place that artifacts can go to.
#[async_trait::async_trait]
pub(crate) trait Target: Send + Sync {
    /// What a restore would meet. Changes nothing. Errs where it cannot even look.
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure>;

    /// The exact name of what [`Self::load`] will make: written down before it is made.
    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure>;

    /// Removes what an earlier try left under that name. Done twice it does no harm.
    async fn clear(&self, aim: &Aim<'_>, made: &str) -> Result<(), Failure>;

    /// Brings the artifact into something new called `made`.
    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure>;

    /// Makes a copy of what is there, where [`Self::switch`] would lose it, and gives its name.
    /// Changes nothing of what is there. Called again, it goes on where it was.
    async fn keep(&self, _placing: &Placing<'_>) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// Puts `made` in the place of what is there. After it was cut off it is called again, and
    /// goes on where it was. Where the new one is to stay beside, there is nothing to do.
    async fn switch(&self, placing: &Placing<'_>, supply: &Supply<'_>)
    -> Result<Switched, Failure>;

    /// Whether this failure of [`Self::switch`] says that it has changed nothing.
    fn is_untouched(&self, _failure: &Failure) -> bool {
        false
    }

    /// After [`Self::switch`] failed: sees to it that what was there is in its place as it was,
    /// and that nobody waits for us. Where that cannot be, it errs with what is where and what a
    /// person can do.
    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        let Placing { made, .. } = *placing;
        Err(refused(Fact::HalfWay { made: made.to_owned() }))
    }
}

/// The target for an artifact.
pub(crate) fn target(aim: &Aim<'_>) -> Result<&'static dyn Target, Failure> {
    if aim.artifact.base.is_some() {
        return Ok(&moment::Moment);
    }
    if matches!(aim.target, RestoreTarget::Folder { .. }) {
        return Ok(&folder::Folder);
    }
    let source = aim.source.ok_or_else(|| aim.no_source())?;
    match &source.kind {
        SourceKind::Direct(DirectSource { what: DirectKind::Postgres, .. }) => {
            Ok(&postgres::Postgres)
        }
        SourceKind::Direct(DirectSource { what: DirectKind::Files, .. }) => Ok(&files::Files),
        SourceKind::Direct(DirectSource { what: DirectKind::Volume, .. }) => Ok(&volume::Volume),
        SourceKind::Direct(DirectSource { what: DirectKind::Mysql, .. }) => Ok(&mysql::Mysql),
        SourceKind::Direct(DirectSource { what: DirectKind::Sqlite, .. }) => Ok(&sqlite::Sqlite),
        SourceKind::Direct(DirectSource { what: DirectKind::Redis, .. }) => Ok(&redis::Redis),
        SourceKind::Contract(_) => Ok(&contract::Contract),
    }
}

/// A restore that cannot begin or go on as it was asked for.
pub(crate) fn refused(message: impl Into<Sentence>) -> Failure {
    Failure::new(FailureCode::RestoreRefused, message)
}

/// Does `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| Failure::new(FailureCode::Internal, panic.to_string()))
}

/// Whether an artifact of this name is all that `source` gives, or a part of it.
pub(crate) fn is_of(source: &Source, artifact: &Name) -> bool {
    let rest = artifact.as_str().strip_prefix(source.name.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The source of `app` that gave `artifact`: of that name, or of the name before its part's.
pub(crate) fn source_of<'a>(app: &'a App, artifact: &Artifact) -> Option<&'a Source> {
    let whole = |name: &Name| app.sources.iter().find(|source| source.name == *name);
    match &artifact.part {
        None => whole(&artifact.source),
        // Names of parts may be cut: the longest source that begins it has given it.
        Some(_) => app
            .sources
            .iter()
            .filter(|source| {
                let own = source.name.as_str();
                artifact.source.as_str().strip_prefix(own).is_some_and(|rest| rest.starts_with('.'))
            })
            .max_by_key(|source| source.name.as_str().len()),
    }
}

//! Which of the PostgreSQL tools there are is to be used.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use model::{Fact, Failure, FailureCode};

use super::super::tool::{Tool, Where};
use crate::{
    Engine,
    process::{self, is_program},
};

const ANSWER: Duration = Duration::from_secs(20);

/// The tools of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tools {
    pub(crate) major: u32,
    folder: Option<PathBuf>,
}

impl Tools {
    /// Those of version `major`, by their names alone, until it is known where they are.
    pub(crate) fn nowhere(major: u32) -> Self {
        Self { major, folder: None }
    }

    /// One of them, by its name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.as_deref().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
    }
}

/// All tools at `place`, oldest first.
pub(crate) async fn all(engine: &Engine, place: &Where) -> Result<Vec<Tools>, Failure> {
    let Where::Container(container) = place else {
        let config = &engine.0.config;
        let mut folders = homes(&config.postgres_home).await;
        // What is on the path may choose among the others by itself: it counts last.
        folders.extend(process::find(config, "pg_dump").and_then(|f| Some(f.parent()?.to_owned())));
        let mut all: Vec<Tools> = Vec::new();
        for folder in folders {
            let program = folder.join("pg_dump");
            let Ok(major) = version(engine, place, &program).await else { continue };
            if !all.iter().any(|known| known.major == major) {
                all.push(Tools { major, folder: Some(folder) });
            }
        }
        all.sort_by_key(|tools| tools.major);
        if all.is_empty() {
            return Err(Failure::new(FailureCode::SourceConfig, Fact::NoPgDump {}));
        }
        return Ok(all);
    };
    let major = version(engine, place, Path::new("pg_dump")).await.map_err(|failure| {
        let container = container.clone();
        failure.told_in(|first| Fact::NoPostgresIn { first, container })
    })?;
    Ok(vec![Tools { major, folder: None }])
}

/// The tools for a server of this version: its own, else the next newer ones, whose dumps the
/// server's own tools may not read. Older ones cannot dump it.
pub(crate) fn fit(all: Vec<Tools>, server: u32, place: &Where) -> Result<Tools, Failure> {
    let newest = all.last().map_or(0, |tools| tools.major);
    all.into_iter().find(|tools| tools.major >= server).ok_or_else(|| {
        let advice = match place {
            Where::Here => Fact::DoPgDump { major: server.to_string() },
            Where::Container(name) => Fact::DoOwnContainer { container: name.clone() },
        };
        let (server, newest) = (server.to_string(), newest.to_string());
        let old = Fact::PgDumpOld { server, newest, then: advice.into() };
        Failure::new(FailureCode::SourceConfig, old)
    })
}

/// Folders `ROOT/VERSION/bin` that hold a `pg_dump`, as Debian has them.
async fn homes(root: &Path) -> Vec<PathBuf> {
    let root = root.to_owned();
    let found = tokio::task::spawn_blocking(move || {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        entries
            .map(|home| home.path().join("bin"))
            .filter(|bin| is_program(&bin.join("pg_dump")))
            .collect()
    });
    found.await.unwrap_or_default()
}

async fn version(engine: &Engine, place: &Where, program: &Path) -> Result<u32, Failure> {
    let told = Tool::new(engine, place, program).arg("--version").output(1_024, ANSWER).await?;
    let told = String::from_utf8_lossy(&told);
    major(&told).ok_or_else(|| {
        let (program, said) = (program.display().to_string(), told.trim().to_owned());
        Failure::new(FailureCode::SourceConfig, Fact::VersionUntold { program, said })
    })
}

/// The major version in `pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn major(told: &str) -> Option<u32> {
    let (_, after) = told.split_once("(PostgreSQL) ")?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(major: u32) -> Tools {
        Tools { major, folder: None }
    }

    #[test]
    fn the_version_is_read() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major("pg_dump (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("pg_dump: command not found\n"), None);
    }

    #[test]
    fn the_closest_tools_that_can_are_taken() {
        let all = vec![tools(13), tools(15), tools(17)];
        for (server, taken) in [(12, 13), (13, 13), (14, 15), (17, 17)] {
            assert_eq!(fit(all.clone(), server, &Where::Here).unwrap(), tools(taken));
        }
        let failure = fit(all, 18, &Where::Here).unwrap_err();
        assert_eq!(failure.code, FailureCode::SourceConfig);
        assert!(!failure.retryable);
        assert!(failure.message.contains("apt-get install postgresql-client-18"), "{failure:?}");
    }
}

//! SQLite files: written to scratch and read by SQLite itself.

use std::{path::PathBuf, time::Instant};

use model::{DrillCheck, DrillState, Fact, Failure, FailureCode};
use rusqlite::{Connection, types::ValueRef};

use super::{Restored, Trial, Way, asked, check, rows::compared};
use crate::{source::sqlite::copy, target::unpacking};

pub(super) struct Sqlite;

#[async_trait::async_trait]
impl Way for Sqlite {
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure> {
        let file = trial.folder.join("drill.sqlite3");
        unpacking::spool(trial.supply, &file).await?;
        Ok(Box::new(File(file)))
    }
}

struct File(PathBuf);

#[async_trait::async_trait]
impl Restored for File {
    fn place(&self) -> Fact {
        Fact::FileAt { path: self.0.display().to_string() }
    }

    async fn check(&self, trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure> {
        let file = self.0.clone();
        let questions: Vec<_> = asked::of(trial).cloned().collect();
        let contents = trial.aim.artifact.contents.clone();
        let checked = copy::with(self.0.clone(), Instant::now() + trial.aim.timeout(), {
            move |database| {
                let mut checks = vec![match copy::check(database, &file) {
                    Ok(warnings) if warnings.is_empty() => {
                        check("integrity_check", DrillState::Passed, Fact::FileSound {})
                    }
                    Ok(warnings) => {
                        check("integrity_check", DrillState::Skipped, warnings.join("; "))
                    }
                    Err(failure) => check("integrity_check", DrillState::Failed, failure),
                }];
                match copy::counts(database) {
                    Ok(counted) => {
                        let (tables, unread) = (&counted.tables, counted.uncounted);
                        checks.push(compared(tables, unread, contents.as_ref()));
                    }
                    Err(error) => checks.push(check("rows", DrillState::Failed, error.to_string())),
                }
                checks.push(references(database));
                for question in &questions {
                    let answer = answer(database, &question.sql)
                        .map_err(|error| Failure::new(FailureCode::DrillFailed, error.to_string()));
                    checks.push(asked::judge(question, answer));
                }
                Ok(checks)
            }
        });
        tokio::select! {
            biased;
            failure = trial.context.stopped() => Err(failure),
            checked = checked => checked,
        }
    }
}

/// Rows that refer to others which are not there: SQLite lets apps write them, so they may well
/// have been so before.
fn references(database: &Connection) -> DrillCheck {
    let name = "foreign_key_check";
    let count = "SELECT count(*) FROM pragma_foreign_key_check";
    match copy::number(database, count) {
        Ok(0) => check(name, DrillState::Passed, Fact::ReferencesGood {}),
        Ok(count) => check(name, DrillState::Skipped, Fact::ReferencesLost { count }),
        Err(error) => check(name, DrillState::Skipped, error.to_string()),
    }
}

/// The first value of the first row, as text.
fn answer(database: &Connection, sql: &str) -> rusqlite::Result<String> {
    database.execute_batch("PRAGMA query_only = ON")?;
    database.query_row(sql, [], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Null => String::new(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(bytes) => hex::encode(bytes),
        })
    })
}

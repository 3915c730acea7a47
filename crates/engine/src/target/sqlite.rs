//! SQLite: the file is written beside the live one, checked, and then taken into it by SQLite
//! itself in one transaction, so that whoever has it open goes on. What was there is copied first.

mod change;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use artifact::contents::Counted;
use model::{Contents, Fact, Failure, FailureCode, RestoreTarget, Sentence, Size};
use rusqlite::Connection;

use super::{
    Aim, Loaded, Look, Placing, PutBack, Supply, Switched, Target, blocking,
    folder::{allowed, room, told},
    refused, unpacking,
};
use crate::{
    durable,
    source::sqlite::{busy_timeout, copy},
};

use change::Change;

/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-journal", "-shm"];

pub(crate) struct Sqlite;

#[async_trait::async_trait]
impl Target for Sqlite {
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure> {
        let place = place(aim)?;
        let mut look = Look::at(Fact::FileAt { path: place.display().to_string() });
        if !aim.paths().is_empty() {
            look.block(Fact::DatabaseHasTables {});
        }
        if !aim.tables().is_empty() && aim.beside().is_none() {
            look.block(Fact::TablesBeside {});
        }
        if let Err(failure) = allowed(aim, &place) {
            look.block(failure);
            return Ok(look);
        }
        let mut needed_bytes = aim.artifact.size_bytes;
        match tokio::fs::symlink_metadata(&place).await {
            Ok(_) if aim.beside().is_some() => {
                look.block(Fact::IsThere { what: place.display().to_string() });
            }
            Ok(there) if there.is_file() => {
                let opened = tokio::fs::OpenOptions::new().write(true).open(&place).await;
                if let Err(error) = opened {
                    look.block(Fact::NotWritable {
                        path: place.display().to_string(),
                        why: error.to_string(),
                    });
                }
                // Its copy, and the journal of its replacement.
                needed_bytes += there.len() * 2;
                look.replaces = Some(
                    Fact::FileKeptBeside {
                        path: place.display().to_string(),
                        size: Size(there.len()),
                    }
                    .into(),
                );
                look.warn(Fact::LastStepLost {});
            }
            Ok(_) => look.block(Fact::NotFile { path: place.display().to_string() }),
            Err(_) => look.good(Fact::FileMade { path: place.display().to_string() }),
        }
        room(&mut look, &place, needed_bytes).await;
        Ok(look)
    }

    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure> {
        let place = place(aim)?;
        let made = place.with_file_name(format!(".{}.restoring-{}", name(&place), aim.tag));
        Ok(made.display().to_string())
    }

    async fn clear(&self, aim: &Aim<'_>, made: &str) -> Result<(), Failure> {
        let half = half_copy(&place(aim)?, aim.tag);
        let made = PathBuf::from(made);
        let cleared = tokio::task::spawn_blocking(move || {
            remove(&half)?;
            remove(&marker(&made))?;
            remove(&made)
        });
        cleared.await.map_err(|error| refused(error.to_string()))?
    }

    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
        let Placing { context, aim, made } = *placing;
        let (place, made) = (place(aim)?, PathBuf::from(made));
        allowed(aim, &place)?;
        unpacking::spool(supply, &made).await?;
        let ends_by = Instant::now() + aim.timeout();
        let proven = copy::with(made.clone(), ends_by, {
            let made = made.clone();
            move |database| prove(database, &made)
        });
        let (notes, counted) = tokio::select! {
            biased;
            failure = context.stopped() => return Err(failure),
            proven = proven => proven?,
        };
        agrees(&counted, aim.artifact.contents.as_ref())?;
        let mut notes: Vec<_> = notes.into_iter().map(Sentence::from).collect();
        let tables = aim.tables().to_vec();
        if !tables.is_empty() {
            notes.push(Fact::TriggersLeftOut {}.into());
        }
        let given = tokio::task::spawn_blocking(move || {
            if !tables.is_empty() {
                keep_only(&made, &tables)?;
            }
            give_as(&made, &place)?;
            sync(&made)
        });
        given.await.map_err(|error| refused(error.to_string()))??;
        Ok(Loaded { notes, ..Loaded::default() })
    }

    async fn switch(
        &self,
        placing: &Placing<'_>,
        _supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let Placing { aim, made, .. } = *placing;
        let change = change(aim, made)?;
        allowed(aim, &change.place)?;
        // Not to be given up half-way: it ends by itself.
        let switched = tokio::task::spawn_blocking(move || change.make()).await;
        switched.map_err(|error| refused(error.to_string()))?
    }

    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        let Placing { aim, made, .. } = *placing;
        let change = change(aim, made)?;
        blocking(move || change.put_back()).await?
    }
}

fn change(aim: &Aim<'_>, made: &str) -> Result<Change, Failure> {
    let place = place(aim)?;
    Ok(Change {
        made: PathBuf::from(made),
        before: place.with_file_name(format!("{}.before-{}", name(&place), aim.tag)),
        half: half_copy(&place, aim.tag),
        is_new: aim.beside().is_some(),
        busy_timeout: busy_timeout(&aim.asked()?),
        ends_by: Instant::now() + aim.timeout(),
        place,
    })
}

/// The file that is there in the end.
fn place(aim: &Aim<'_>) -> Result<PathBuf, Failure> {
    let live = PathBuf::from(aim.asked()?.setting("path").unwrap_or_default());
    match aim.target {
        RestoreTarget::App => Ok(live),
        _ => {
            let name = aim.beside().ok_or_else(|| {
                Failure::new(FailureCode::Internal, "the order names no database")
            })?;
            Ok(live.with_file_name(name))
        }
    }
}

fn name(place: &Path) -> String {
    place.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(end);
    whole.into()
}

/// The copy of what is there, while it is made.
fn half_copy(place: &Path, tag: &str) -> PathBuf {
    place.with_file_name(format!(".{}.before-{tag}.half", name(place)))
}

/// Where it is written down what the live file was like before the switch.
fn marker(made: &Path) -> PathBuf {
    with_end(made, ".switching")
}

/// Removes a database with all that SQLite keeps beside it.
fn remove(database: &Path) -> Result<(), Failure> {
    for path in BESIDE.iter().map(|end| with_end(database, end)).chain([database.to_owned()]) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(told(|what, why| Fact::NotRemoved { what, why }, &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Errs where the database is not sound; gives what could not be looked at, and its rows.
pub(crate) fn prove(database: &Connection, file: &Path) -> Result<(Vec<String>, Counted), Failure> {
    let notes = copy::check(database, file)?;
    let counted = copy::counts(database).map_err(|error| copy::failed(file, error))?;
    Ok((notes, counted))
}

/// Errs where a table has other rows than when it was stored.
fn agrees(counted: &Counted, stored: Option<&Contents>) -> Result<(), Failure> {
    let Some(Contents::Tables { tables, .. }) = stored else { return Ok(()) };
    match tables.iter().find(|one| counted.tables.get(&one.table) != Some(&one.rows)) {
        None => Ok(()),
        Some(one) => Err(refused(Fact::OtherRows { table: one.table.clone(), rows: one.rows })),
    }
}

/// Leaves only `tables` of those in a file of ours, with their indexes and triggers, and no view.
fn keep_only(file: &Path, tables: &[String]) -> Result<(), Failure> {
    let failed = |error| copy::failed(file, error);
    let mut database = copy::open(file, Duration::ZERO)?;
    let is_wanted = |name: &str| tables.iter().any(|table| table.eq_ignore_ascii_case(name));
    let changing = database.transaction().map_err(failed)?;
    let named = |kind: &str| -> rusqlite::Result<Vec<String>> {
        // Virtual tables first: what they keep their rows in goes with them.
        let mut asked = changing.prepare(
            "SELECT name FROM sqlite_master WHERE type = ?1 AND name NOT LIKE 'sqlite\\_%' ESCAPE \
             '\\' ORDER BY sql NOT LIKE 'create virtual%'",
        )?;
        let names = asked.query_map([kind], |row| row.get(0))?;
        names.collect()
    };
    let (views, all) = (named("view").map_err(failed)?, named("table").map_err(failed)?);
    if let Some(missing) =
        tables.iter().find(|one| !all.iter().any(|a| a.eq_ignore_ascii_case(one)))
    {
        return Err(refused(Fact::NoTable { table: missing.clone() }));
    }
    let keeps_rows_of = |name: &str| {
        tables.iter().any(|table| {
            name.get(..table.len()).is_some_and(|start| start.eq_ignore_ascii_case(table))
                && name[table.len()..].starts_with('_')
        })
    };
    let drop = |kind: &str, name: &str| {
        let name = name.replace('"', "\"\"");
        changing.execute_batch(&format!("DROP {kind} IF EXISTS \"{name}\""))
    };
    for view in &views {
        drop("VIEW", view).map_err(failed)?;
    }
    for table in all.iter().filter(|name| !is_wanted(name) && !keeps_rows_of(name)) {
        drop("TABLE", table).map_err(failed)?;
    }
    changing.commit().map_err(failed)?;
    database.execute_batch("VACUUM").map_err(failed)
}

/// Gives `made` to whoever has `place`, or else the folder it is in.
fn give_as(made: &Path, place: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let like =
        std::fs::metadata(place).or_else(|_| std::fs::metadata(place.parent().unwrap_or(place)));
    let like =
        like.map_err(|error| told(|what, why| Fact::NotRead { what, why }, place, &error))?;
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(made, Some(like.uid()), Some(like.gid()))
            .map_err(|error| told(|what, why| Fact::NotOwned { what, why }, made, &error))?;
    }
    let mode = if like.is_file() { like.mode() & 0o777 } else { 0o600 };
    std::fs::set_permissions(made, std::fs::Permissions::from_mode(mode))
        .map_err(|error| told(|what, why| Fact::NotOfMode { what, why }, made, &error))
}

fn sync(path: &Path) -> Result<(), Failure> {
    durable::sync(path)
        .map_err(|error| told(|what, why| Fact::NotDurable { what, why }, path, &error))
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

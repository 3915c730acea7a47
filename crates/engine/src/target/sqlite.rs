//! SQLite: the file is written beside the live one, checked, and then taken into it by SQLite
//! itself in one transaction, so that whoever has it open goes on. What was there is copied first.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use artifact::contents::Counted;
use model::{Contents, Fact, Failure, RestoreTarget, Sentence, Size};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::{
    Aim, Loaded, Look, Supply, Switched, Target,
    folder::{allowed, room, told},
    refused, unpacking,
};
use crate::{
    run::RunContext,
    source::sqlite::{
        busy_timeout,
        copy::{self, Copying},
    },
};

/// Pages between two looks at the clock.
const PAGES: i32 = 2_048;
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
        if !aim.tables().is_empty() {
            look.block(Fact::SqliteWhole {});
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

    async fn load(
        &self,
        context: &RunContext,
        aim: &Aim<'_>,
        made: &str,
        supply: &Supply<'_>,
    ) -> Result<Loaded, Failure> {
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
        let notes = notes.into_iter().map(Sentence::from).collect();
        let given = tokio::task::spawn_blocking(move || give_as(&made, &place));
        given.await.map_err(|error| refused(error.to_string()))??;
        Ok(Loaded { notes })
    }

    async fn switch(
        &self,
        _context: &RunContext,
        aim: &Aim<'_>,
        made: &str,
        _supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let place = place(aim)?;
        allowed(aim, &place)?;
        let change = Change {
            made: PathBuf::from(made),
            before: place.with_file_name(format!("{}.before-{}", name(&place), aim.tag)),
            half: half_copy(&place, aim.tag),
            is_new: aim.beside().is_some(),
            busy_timeout: busy_timeout(&aim.asked()?),
            ends_by: Instant::now() + aim.timeout(),
            place,
        };
        // Not to be given up half-way: it ends by itself.
        let switched = tokio::task::spawn_blocking(move || change.make()).await;
        switched.map_err(|error| refused(error.to_string()))?
    }
}

/// The file that is there in the end.
fn place(aim: &Aim<'_>) -> Result<PathBuf, Failure> {
    let live = PathBuf::from(aim.asked()?.setting("path").unwrap_or_default());
    match aim.target {
        RestoreTarget::App => Ok(live),
        _ => {
            let name = aim.beside().ok_or_else(|| refused("this is no place for a database"))?;
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
                return Err(told("cannot be removed", &path, &error));
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

/// Gives `made` to whoever has `place`, or else the folder it is in.
fn give_as(made: &Path, place: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let like =
        std::fs::metadata(place).or_else(|_| std::fs::metadata(place.parent().unwrap_or(place)));
    let like = like.map_err(|error| told("cannot be looked at", place, &error))?;
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(made, Some(like.uid()), Some(like.gid()))
            .map_err(|error| told("cannot be given away", made, &error))?;
    }
    let mode = if like.is_file() { like.mode() & 0o777 } else { 0o600 };
    std::fs::set_permissions(made, std::fs::Permissions::from_mode(mode))
        .map_err(|error| told("cannot be given its mode", made, &error))
}

fn sync(path: &Path) -> Result<(), Failure> {
    let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| told("cannot be made durable", path, &error))
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The last step, which may be called again wherever it was cut off.
struct Change {
    made: PathBuf,
    place: PathBuf,
    before: PathBuf,
    half: PathBuf,
    is_new: bool,
    busy_timeout: Duration,
    ends_by: Instant,
}

impl Change {
    fn make(&self) -> Result<Switched, Failure> {
        if !exists(&self.made) {
            if exists(&self.place) {
                return Ok(self.switched(Vec::new()));
            }
            return Err(refused(Fact::IsGone { what: self.made.display().to_string() }));
        }
        let mut notes = Vec::new();
        if exists(&self.place) {
            if self.is_new {
                let what = self.place.display().to_string();
                return Err(refused(Fact::IsThere { what }));
            }
            if copy::is_sound(&self.place, self.busy_timeout)? {
                self.take_in()?;
                remove(&self.made)?;
                remove(&marker(&self.made))?;
                return Ok(self.switched(notes));
            }
            notes.push(Fact::StartAgain {}.into());
        }
        self.exchange()?;
        Ok(self.switched(notes))
    }

    fn switched(&self, notes: Vec<Sentence>) -> Switched {
        let kept = exists(&self.before).then(|| self.before.display().to_string());
        Switched { kept, notes }
    }

    /// Puts the new file where the old one was, and all that belongs to the old one aside: what is
    /// left of it beside the new one would be read into it.
    fn exchange(&self) -> Result<(), Failure> {
        for end in ["", "-wal", "-journal", "-shm"] {
            let (old, aside) = (with_end(&self.place, end), with_end(&self.before, end));
            if exists(&old) {
                std::fs::rename(&old, &aside)
                    .map_err(|error| told("cannot be moved aside", &old, &error))?;
            }
        }
        std::fs::rename(&self.made, &self.place)
            .map_err(|error| told("cannot take its place", &self.place, &error))?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> Result<(), Failure> {
        self.place.parent().map_or(Ok(()), sync)
    }

    /// Copies what is there, and has SQLite write the new one over it in one transaction.
    fn take_in(&self) -> Result<(), Failure> {
        let failed = |error| copy::failed(&self.place, error);
        let new = copy::open(&self.made, Duration::ZERO)?;
        let mut live = copy::open(&self.place, self.busy_timeout)?;
        let version = schema_version(&live).map_err(failed)?;
        if let Ok(noted) = std::fs::read_to_string(marker(&self.made))
            && noted.parse().is_ok_and(|noted: i64| noted + 1 == version)
            && schema(&live).map_err(failed)? == schema(&new).map_err(failed)?
        {
            // Cut off right after it was done.
            return Ok(());
        }
        self.keep()?;
        let note = marker(&self.made);
        std::fs::write(&note, version.to_string())
            .map_err(|error| told("cannot be written", &note, &error))?;
        sync(&note)?;
        let mode = |database: &Connection, pragma: &str| {
            database.query_row(pragma, [], |row| row.get::<_, String>(0))
        };
        let size = |database: &Connection| copy::number(database, "PRAGMA page_size");
        let was = mode(&live, "PRAGMA journal_mode").map_err(failed)?;
        // With a log pages keep their size.
        let changes = was == "wal" && size(&live).map_err(failed)? != size(&new).map_err(failed)?;
        if changes && !mode(&live, "PRAGMA journal_mode = DELETE").is_ok_and(|is| is == "delete") {
            return Err(refused(format!(
                "{} has pages of another size: stop the app, so that the file is not in use",
                self.place.display()
            )));
        }
        self.write_over(&new, &mut live)?;
        if changes {
            mode(&live, "PRAGMA journal_mode = WAL").map_err(failed)?;
        }
        Ok(())
    }

    fn write_over(&self, new: &Connection, live: &mut Connection) -> Result<(), Failure> {
        let failed = |error| copy::failed(&self.place, error);
        let taking = Backup::new(new, live).map_err(failed)?;
        let mut busy_since = None;
        loop {
            if Instant::now() >= self.ends_by {
                return Err(copy::too_late());
            }
            match taking.step(PAGES).map_err(failed)? {
                StepResult::Done => return Ok(()),
                StepResult::More => busy_since = None,
                _ => {
                    let since = *busy_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > self.busy_timeout {
                        return Err(copy::busy(&self.place));
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    /// A copy of what is there, whole before it has its name.
    fn keep(&self) -> Result<(), Failure> {
        remove(&self.half)?;
        let copying = Copying {
            busy_timeout: self.busy_timeout,
            ends_by: self.ends_by,
            max_size_bytes: u64::MAX,
        };
        // Not to be read by others while it has no owner.
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .write(true)
            .create_new(true)
            .open(&self.half)
            .map_err(|error| told("cannot be made", &self.half, &error))?;
        copying.here(&self.place, &self.half)?;
        give_as(&self.half, &self.place)?;
        sync(&self.half)?;
        std::fs::rename(&self.half, &self.before)
            .map_err(|error| told("cannot be named", &self.before, &error))?;
        self.sync_folder()
    }
}

fn schema_version(database: &Connection) -> rusqlite::Result<i64> {
    database.query_row("PRAGMA schema_version", [], |row| row.get(0))
}

fn schema(database: &Connection) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    let mut asked = database.prepare("SELECT name, sql FROM sqlite_master ORDER BY 1, 2")?;
    let rows = asked.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(path: &Path, rows: u32) -> Connection {
        let database = Connection::open(path).unwrap();
        let fill = format!(
            "PRAGMA journal_mode = WAL; CREATE TABLE t(a); CREATE TABLE u{rows}(a);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO t SELECT i FROM n"
        );
        database.execute_batch(&fill).unwrap();
        database
    }

    fn count(path: &Path) -> u64 {
        copy::number(&Connection::open(path).unwrap(), "SELECT count(*) FROM t").unwrap()
    }

    /// A live file of 5 rows that an app has open, and a new one of 70.
    fn change(folder: &Path) -> (Change, Connection) {
        let place = folder.join("live.db");
        let change = Change {
            made: folder.join("made"),
            before: folder.join("live.db.before-x"),
            half: half_copy(&place, "x"),
            is_new: false,
            busy_timeout: Duration::from_secs(1),
            ends_by: Instant::now() + Duration::from_secs(60),
            place,
        };
        drop(database(&change.made, 70));
        let app = database(&change.place, 5);
        (change, app)
    }

    fn is_finished(change: &Change, live: u64, kept: u64) {
        let switched = change.make().unwrap();
        assert_eq!(switched.kept.as_deref(), change.before.to_str());
        assert_eq!((count(&change.place), count(&change.before)), (live, kept));
        assert!(!exists(&change.made) && !exists(&marker(&change.made)) && !exists(&change.half));
        change.make().unwrap();
        assert_eq!(count(&change.place), live, "again it does no harm");
    }

    #[test]
    fn cut_off_anywhere_it_goes_on_and_loses_nothing() {
        // Before anything.
        let folder = tempfile::tempdir().unwrap();
        let (change, _app) = change(folder.path());
        is_finished(&change, 70, 5);

        // While and after what is there was copied: what the app wrote since is kept as well.
        let folder = tempfile::tempdir().unwrap();
        let (change, app) = self::change(folder.path());
        std::fs::write(&change.half, "half a copy").unwrap();
        change.keep().unwrap();
        std::fs::write(&change.half, "half a copy").unwrap();
        app.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        is_finished(&change, 70, 6);

        // Right after the new one was taken in: what the app wrote since stays.
        let folder = tempfile::tempdir().unwrap();
        let (change, app) = self::change(folder.path());
        change.take_in().unwrap();
        app.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        is_finished(&change, 71, 5);

        // Between two files that are exchanged.
        let folder = tempfile::tempdir().unwrap();
        let (change, app) = self::change(folder.path());
        drop(app);
        std::fs::rename(&change.place, &change.before).unwrap();
        is_finished(&change, 70, 5);
    }

    #[test]
    fn a_locked_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (mut change, app) = change(folder.path());
        change.busy_timeout = Duration::ZERO;
        app.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
        let failure = change.make().unwrap_err();
        assert_eq!(failure.code, model::FailureCode::SourceBusy, "{failure:?}");
        app.execute_batch("COMMIT").unwrap();
        assert_eq!(count(&change.place), 6);
        is_finished(&change, 70, 6);
    }
}

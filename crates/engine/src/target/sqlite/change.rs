//! A restored SQLite database takes the place of the live one.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use model::{Fact, Failure, Sentence, Told};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::{
    super::{PutBack, Switched, folder::told, refused},
    exists, give_as, marker, remove, sync, with_end,
};
use crate::source::sqlite::copy::{self, Copying};

/// Pages between two looks at the clock.
const PAGES: i32 = 2_048;

/// The last step, which may be called again wherever it was cut off.
pub(super) struct Change {
    pub(super) made: PathBuf,
    pub(super) place: PathBuf,
    pub(super) before: PathBuf,
    pub(super) half: PathBuf,
    pub(super) is_new: bool,
    pub(super) busy_timeout: Duration,
    pub(super) ends_by: Instant,
}

impl Change {
    pub(super) fn make(&self) -> Result<Switched, Failure> {
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
        let kept = self.kept();
        Switched { kept: (!kept.is_empty()).then(|| kept.join(", ")), notes }
    }

    /// What is kept: of a switch that was cut off there may be more than one.
    fn kept(&self) -> Vec<String> {
        let all = (1..).map(|number| self.numbered(number)).take_while(|path| exists(path));
        all.map(|path| path.display().to_string()).collect()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        if number == 1 {
            self.before.clone()
        } else {
            with_end(&self.before, &format!("-{number}"))
        }
    }

    /// After a switch that failed: what was moved aside gets its name again. What SQLite has not
    /// written to its end it takes back by itself.
    pub(super) fn put_back(&self) -> Result<PutBack, Failure> {
        let by_hand = |first: Told| {
            refused(Fact::FileByHand {
                path: self.place.display().to_string(),
                first,
                before: self.before.display().to_string(),
                made: self.made.display().to_string(),
            })
        };
        let may_be_done = || by_hand(Fact::MayBeDone {}.into());
        if !exists(&self.made) {
            return Err(may_be_done());
        }
        if !exists(&self.place) {
            for end in ["", "-wal", "-journal", "-shm"] {
                let (old, aside) = (with_end(&self.place, end), with_end(&self.before, end));
                if exists(&aside) && !exists(&old) {
                    std::fs::rename(&aside, &old)
                        .map_err(|error| by_hand(error.to_string().into()))?;
                }
            }
            self.sync_folder()?;
            return Ok(PutBack::AsItWas);
        }
        let noted = std::fs::read_to_string(marker(&self.made)).ok();
        let Some(noted) = noted.and_then(|noted| noted.parse::<i64>().ok()) else {
            return Ok(PutBack::AsItWas);
        };
        let live = copy::open(&self.place, self.busy_timeout);
        let version = live.and_then(|live| {
            schema_version(&live).map_err(|error| copy::failed(&self.place, error))
        });
        let version = version.map_err(|failure| by_hand(failure.into()))?;
        if version != noted || self.kept().len() > 1 {
            return Err(may_be_done());
        }
        // Untouched: its copy is of no use.
        remove(&self.before)?;
        Ok(PutBack::AsItWas)
    }

    /// Puts the new file where the old one was, and all that belongs to the old one aside: what is
    /// left of it beside the new one would be read into it.
    fn exchange(&self) -> Result<(), Failure> {
        for end in ["", "-wal", "-journal", "-shm"] {
            let (old, aside) = (with_end(&self.place, end), with_end(&self.before, end));
            if exists(&old) {
                std::fs::rename(&old, &aside).map_err(|error| {
                    told(|what, why| Fact::NotMovedAside { what, why }, &old, &error)
                })?;
            }
        }
        std::fs::rename(&self.made, &self.place).map_err(|error| {
            told(|what, why| Fact::NotPlaced { what, why }, &self.place, &error)
        })?;
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
        let noted = std::fs::read_to_string(marker(&self.made)).ok();
        let noted = noted.and_then(|noted| noted.parse::<i64>().ok());
        if noted.is_some_and(|noted| noted + 1 == version)
            && schema(&live).map_err(failed)? == schema(&new).map_err(failed)?
        {
            // Cut off right after it was done.
            return Ok(());
        }
        self.keep(noted.is_some_and(|noted| noted != version))?;
        let note = marker(&self.made);
        std::fs::write(&note, version.to_string())
            .map_err(|error| told(|path, why| Fact::NotWritable { path, why }, &note, &error))?;
        sync(&note)?;
        let mode = |database: &Connection, pragma: &str| {
            database.query_row(pragma, [], |row| row.get::<_, String>(0))
        };
        let size = |database: &Connection| copy::number(database, "PRAGMA page_size");
        let was = mode(&live, "PRAGMA journal_mode").map_err(failed)?;
        // With a log pages keep their size.
        let changes = was == "wal" && size(&live).map_err(failed)? != size(&new).map_err(failed)?;
        if changes && !mode(&live, "PRAGMA journal_mode = DELETE").is_ok_and(|is| is == "delete") {
            return Err(refused(Fact::OtherPages { path: self.place.display().to_string() }));
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

    /// A copy of what is there, whole before it has its name. None is replaced where what is
    /// there may be the new one already.
    fn keep(&self, may_be_new: bool) -> Result<(), Failure> {
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
            .map_err(|error| told(|what, why| Fact::NotMade { what, why }, &self.half, &error))?;
        copying.here(&self.place, &self.half)?;
        give_as(&self.half, &self.place)?;
        sync(&self.half)?;
        let mut before = (1..).map(|number| self.numbered(number));
        let before = before.find(|path| !may_be_new || !exists(path));
        let before = before.unwrap_or_else(|| self.before.clone());
        std::fs::rename(&self.half, &before)
            .map_err(|error| told(|what, why| Fact::NotPlaced { what, why }, &before, &error))?;
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
    use std::path::Path;

    use super::{super::half_copy, *};

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
        change.keep(false).unwrap();
        std::fs::write(&change.half, "half a copy").unwrap();
        app.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        is_finished(&change, 70, 6);

        // Right after the new one was taken in: what the app wrote since stays.
        let folder = tempfile::tempdir().unwrap();
        let (change, app) = self::change(folder.path());
        change.take_in().unwrap();
        app.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        is_finished(&change, 71, 5);

        // The same, and the app has changed its tables since.
        let folder = tempfile::tempdir().unwrap();
        let (change, app) = self::change(folder.path());
        change.take_in().unwrap();
        app.execute_batch("INSERT INTO t VALUES (1); CREATE TABLE newer(a)").unwrap();
        let kept = change.make().unwrap().kept.unwrap();
        let second = with_end(&change.before, "-2");
        assert_eq!(kept, format!("{}, {}", change.before.display(), second.display()));
        assert_eq!((count(&change.before), count(&second)), (5, 71), "nothing is lost");
        assert_eq!(count(&change.place), 70);

        // Between two files that are exchanged.
        let folder = tempfile::tempdir().unwrap();
        let (change, app) = self::change(folder.path());
        drop(app);
        std::fs::rename(&change.place, &change.before).unwrap();
        is_finished(&change, 70, 5);
    }

    #[test]
    fn what_failed_is_put_back_as_long_as_it_is_sure_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (change, app) = change(folder.path());
        change.keep(false).unwrap();
        let version = schema_version(&app).unwrap().to_string();
        std::fs::write(marker(&change.made), &version).unwrap();
        assert_eq!(change.put_back().unwrap(), PutBack::AsItWas);
        assert!(!exists(&change.before) && count(&change.place) == 5);

        change.take_in().unwrap();
        let failure = change.put_back().unwrap_err();
        for path in [&change.place, &change.before, &change.made] {
            assert!(failure.message.contains(path.to_str().unwrap()), "{failure:?}");
            assert!(exists(path));
        }
        drop(app);

        let folder = tempfile::tempdir().unwrap();
        let (change, app) = self::change(folder.path());
        drop(app);
        std::fs::rename(&change.place, &change.before).unwrap();
        assert_eq!(change.put_back().unwrap(), PutBack::AsItWas);
        assert_eq!(count(&change.place), 5);
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

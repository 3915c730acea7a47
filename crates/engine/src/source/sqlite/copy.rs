//! A copy of one moment of a database, by SQLite itself.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use artifact::contents::Counted;
use model::{Fact, Failure, FailureCode};
use rusqlite::{
    Connection, Error, ErrorCode, InterruptHandle, OpenFlags,
    backup::{Backup, StepResult},
};
use tokio::sync::oneshot;

/// Pages copied between two looks at the clock.
const PAGES: i32 = 2_048;
/// Complaints of a check that are told.
const COMPLAINTS: usize = 3;

/// The bounds of a copy.
pub(crate) struct Copying {
    pub(crate) busy_timeout: Duration,
    pub(crate) ends_by: Instant,
    pub(crate) max_size_bytes: u64,
}

/// A copy that is whole.
pub(crate) struct Copied {
    pub(crate) warnings: Vec<String>,
    /// The rows of its tables.
    pub(crate) counted: Counted,
}

impl Copying {
    /// Copies `from` to the new file `to`, and checks the copy. Given up, it stops soon.
    pub(super) async fn start(self, from: PathBuf, to: PathBuf) -> Result<Copied, Failure> {
        let ends_by = self.ends_by;
        let (sender, interrupt) = oneshot::channel();
        let work = tokio::task::spawn_blocking(move || self.copy(&from, &to, sender));
        // Dropped with this future, it interrupts whatever SQLite is at.
        let _guard = Guard(interrupt);
        match tokio::time::timeout_at(ends_by.into(), work).await {
            Err(_) => Err(too_late()),
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => Err(Failure::new(FailureCode::Internal, panic.to_string())),
        }
    }

    /// The same on a thread that may block.
    pub(crate) fn here(&self, from: &Path, to: &Path) -> Result<Copied, Failure> {
        let (sender, _interrupt) = oneshot::channel();
        self.copy(from, to, sender)
    }

    fn copy(
        &self,
        from: &Path,
        to: &Path,
        interrupt: oneshot::Sender<InterruptHandle>,
    ) -> Result<Copied, Failure> {
        let told = |error: Error| failed(from, error);
        // Nobody waits any more when the time is over.
        let left = self.ends_by.saturating_duration_since(Instant::now());
        let source = open(from, self.busy_timeout.min(left))?;
        let mut target = Connection::open_with_flags(
            to,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(told)?;
        // It is checked as a whole, and is of no use to anybody before.
        target
            .execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")
            .map_err(told)?;
        // One moment for the whole copy: a writer neither changes it nor makes it begin again.
        source.execute_batch("BEGIN").map_err(told)?;
        let _: u64 = number(&source, "SELECT count(*) FROM sqlite_master").map_err(told)?;
        let page_bytes: u64 = number(&source, "PRAGMA page_size").map_err(told)?;
        let pages: u64 = number(&source, "PRAGMA page_count").map_err(told)?;
        if page_bytes.saturating_mul(pages) > self.max_size_bytes {
            let message = format!(
                "{}: {pages} pages of {page_bytes} bytes are more than the \
                                   {} bytes allowed",
                from.display(),
                self.max_size_bytes
            );
            return Err(Failure::new(FailureCode::SourceTooLarge, message));
        }
        let (cancelled, handle) = (Cancelled(interrupt), target.get_interrupt_handle());
        let backup = Backup::new(&source, &mut target).map_err(told)?;
        let mut busy_since = None;
        loop {
            if Instant::now() >= self.ends_by || cancelled.is_cancelled() {
                return Err(too_late());
            }
            match backup.step(PAGES).map_err(told)? {
                StepResult::Done => break,
                StepResult::More => busy_since = None,
                _ => {
                    let since = *busy_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > self.busy_timeout {
                        return Err(busy(from));
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
        drop(backup);
        source.execute_batch("COMMIT").map_err(told)?;
        drop(source);
        if !cancelled.hand_over(handle) {
            return Err(too_late());
        }
        let warnings = check(&target, from)?;
        let counted = counts(&target).map_err(told)?;
        target.close().map_err(|(_, error)| told(error))?;
        Ok(Copied { warnings, counted })
    }
}

/// Whether anybody still waits for the copy.
struct Cancelled(oneshot::Sender<InterruptHandle>);

impl Cancelled {
    fn is_cancelled(&self) -> bool {
        self.0.is_closed()
    }

    /// From here on whoever waits interrupts by the handle; `false` if nobody waits.
    fn hand_over(self, handle: InterruptHandle) -> bool {
        self.0.send(handle).is_ok()
    }
}

struct Guard(oneshot::Receiver<InterruptHandle>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.close();
        if let Ok(handle) = self.0.try_recv() {
            handle.interrupt();
        }
    }
}

/// Works with the database `file` on a thread of its own; given up, it stops soon.
pub(crate) async fn with<T: Send + 'static>(
    file: PathBuf,
    ends_by: Instant,
    work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, interrupt) = oneshot::channel();
    let work = tokio::task::spawn_blocking(move || {
        let connection = open(&file, Duration::ZERO)?;
        if sender.send(connection.get_interrupt_handle()).is_err() {
            return Err(too_late());
        }
        work(&connection)
    });
    let _guard = Guard(interrupt);
    match tokio::time::timeout_at(ends_by.into(), work).await {
        Err(_) => Err(too_late()),
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => Err(Failure::new(FailureCode::Internal, panic.to_string())),
    }
}

/// The rows of every table; those that SQLite cannot read without the app are not counted.
pub(crate) fn counts(database: &Connection) -> rusqlite::Result<Counted> {
    let mut asked = database.prepare(
        "SELECT name FROM sqlite_master \
         WHERE type = 'table' AND rootpage > 0 AND substr(name, 1, 7) <> 'sqlite_'",
    )?;
    let names = asked.query_map([], |row| row.get::<_, String>(0))?;
    let mut counted = Counted::default();
    for name in names {
        let name = name?;
        let query = format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\""));
        match number(database, &query) {
            Ok(rows) => _ = counted.tables.insert(name, rows),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
                counted.uncounted += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(counted)
}

pub(crate) fn open(file: &Path, busy_timeout: Duration) -> Result<Connection, Failure> {
    let told = |error| failed(file, error);
    // To be written only where a crashed app left something to be undone, as by anybody who opens
    // it; never made.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(told)?;
    connection.busy_timeout(busy_timeout).map_err(told)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF").map_err(told)?;
    // Reads the header: what is no database is known from here on.
    let _: u64 = number(&connection, "SELECT count(*) FROM sqlite_master").map_err(told)?;
    Ok(connection)
}

pub(crate) fn number(connection: &Connection, query: &str) -> rusqlite::Result<u64> {
    let number: i64 = connection.query_row(query, [], |row| row.get(0))?;
    Ok(u64::try_from(number).unwrap_or_default())
}

/// Errs where the copy is damaged; gives what could not be checked.
pub(crate) fn check(copy: &Connection, from: &Path) -> Result<Vec<String>, Failure> {
    match complaints(copy, "PRAGMA integrity_check(3)") {
        Ok(found) => verdict(from, &found).map(|()| Vec::new()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Err(too_late())
        }
        // Collations and functions of the app's own are not known here.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
            check_without_indexes(copy, from, &error)
        }
        Err(error) => Err(failed(from, error)),
    }
}

/// Whether SQLite can work with `file`; errs where that cannot be told.
pub(crate) fn is_sound(file: &Path, busy_timeout: Duration) -> Result<bool, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = Connection::open_with_flags(file, flags).and_then(|database| {
        database.busy_timeout(busy_timeout)?;
        complaints(&database, "PRAGMA integrity_check(1)")
    });
    match found {
        Ok(found) => Ok(found == ["ok"]),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Ok(false),
            // A collation or function of the app's own.
            Some(ErrorCode::Unknown) => Ok(true),
            _ => Err(failed(file, error)),
        },
    }
}

/// What an index holds cannot be judged without the collation; everything else can.
fn check_without_indexes(
    copy: &Connection,
    from: &Path,
    why: &Error,
) -> Result<Vec<String>, Failure> {
    let stand_in = |copy: &Connection, name: &str| copy.create_collation(name, str::cmp);
    copy.collation_needed(stand_in).map_err(|error| failed(from, error))?;
    match complaints(copy, "PRAGMA quick_check(3)") {
        Ok(found) => verdict(from, &found).map(|()| {
            vec![format!("the copy is sound, but its indexes could not be checked: {why}")]
        }),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
            Ok(vec![format!("the copy is complete, but could not be checked: {error}")])
        }
        Err(error) => Err(failed(from, error)),
    }
}

fn complaints(copy: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    let mut asked = copy.prepare(query)?;
    let found = asked.query_map([], |row| row.get::<_, String>(0))?;
    found.collect()
}

fn verdict(from: &Path, found: &[String]) -> Result<(), Failure> {
    if found == ["ok"] {
        return Ok(());
    }
    let shown: Vec<_> = found.iter().take(COMPLAINTS).map(String::as_str).collect();
    let message = format!(
        "{} is damaged, and so is its copy: {}; repair it with `sqlite3 FILE .recover`",
        from.display(),
        shown.join("; ")
    );
    Err(Failure { retryable: false, ..Failure::new(FailureCode::SourceFailed, message) })
}

/// What `file` is, for people.
pub(super) async fn look(file: PathBuf, busy_timeout: Duration) -> Result<Fact, Failure> {
    let work = tokio::task::spawn_blocking(move || {
        let told = |error| failed(&file, error);
        let connection = open(&file, busy_timeout)?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(told)?;
        let tables = number(&connection, "SELECT count(*) FROM sqlite_master WHERE type='table'")
            .map_err(told)?;
        Ok(Fact::SqliteReads { version: rusqlite::version().to_owned(), tables, mode })
    });
    work.await.map_err(|panic| Failure::new(FailureCode::Internal, panic.to_string()))?
}

pub(crate) fn too_late() -> Failure {
    Failure::new(FailureCode::Timeout, Fact::CopyLate {})
}

pub(crate) fn busy(file: &Path) -> Failure {
    Failure::new(FailureCode::SourceBusy, Fact::FileLocked { path: file.display().to_string() })
}

pub(crate) fn failed(file: &Path, error: Error) -> Failure {
    let (code, advice) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return busy(file),
        Some(ErrorCode::OperationInterrupted) => return too_late(),
        Some(ErrorCode::NotADatabase) => (FailureCode::SourceConfig, Fact::NotSqlite {}),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            (FailureCode::SourceConfig, Fact::DoSqliteRights {})
        }
        Some(ErrorCode::DiskFull) => (FailureCode::SourceFailed, Fact::NoRoomWritten {}),
        _ => (FailureCode::SourceFailed, Fact::DoLookSqlite {}),
    };
    let (path, said) = (file.display().to_string(), error.to_string());
    Failure::new(code, Fact::SqliteSaid { path, said, then: advice.into() })
}

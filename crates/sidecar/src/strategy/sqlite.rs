//! SQLite, by `sqlite3`: a copy of one moment of a file in use.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::process::Command;

use crate::{config::Target, export::ExportError};

/// What may stand in a `file:` URI as it is.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The database's file, which must be there: SQLite would make an empty one.
pub(super) fn source(target: &Target, workdir: &Path) -> Result<PathBuf, ExportError> {
    let file = workdir.join(target.database.as_deref().unwrap_or_default());
    match file.metadata() {
        Ok(meta) if meta.is_file() => Ok(file),
        Ok(_) => Err(ExportError::Failed(format!("{} is no file", file.display()))),
        Err(error) => Err(ExportError::Failed(format!("{}: {error}", file.display()))),
    }
}

/// Copies page by page within one read transaction, so that a writer neither changes the copy nor
/// makes it begin again. Unlike `VACUUM INTO` it keeps every rowid.
pub(crate) fn copy(
    mut command: Command,
    source: &Path,
    copy: &Path,
    options: &[String],
) -> Result<Command, ExportError> {
    let (uri, copy) = (uri(source, "mode=rw")?, quoted(copy)?);
    command.args(["-batch", "-bail", "-init", "/dev/null"]).args(options).arg(uri).args([
        ".timeout 60000",
        "BEGIN",
        "SELECT count(*) FROM sqlite_master",
        &format!(".backup main {copy}"),
        "COMMIT",
    ]);
    Ok(command)
}

/// A `file:` URI, which says how it is opened.
pub(crate) fn uri(file: &Path, how: &str) -> Result<String, ExportError> {
    Ok(format!("file:{}?{how}", utf8_percent_encode(text(file)?, ENCODED)))
}

/// A file's name as an argument of a command of the shell's own.
pub(crate) fn quoted(file: &Path) -> Result<String, ExportError> {
    Ok(format!("\"{}\"", text(file)?.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn text(file: &Path) -> Result<&str, ExportError> {
    let told = || ExportError::Failed("a path of the database is not UTF-8".to_owned());
    file.to_str().ok_or_else(told)
}

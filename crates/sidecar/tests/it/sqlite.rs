//! SQLite by its preset: a copy of a file that is being written.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::{
    daemon::{installed, output},
    presets::dump,
};

fn sql(file: &Path, text: &str) -> String {
    output(Command::new("sqlite3").args(["-bail", "-cmd", ".timeout 20000"]).arg(file).arg(text))
}

/// Writes pairs without an end: whoever sees one half of a pair has no consistent copy.
struct Writer(Child);

impl Writer {
    fn start(file: &Path) -> Self {
        let script = "while true; do echo \"BEGIN IMMEDIATE; \
            INSERT INTO left_side(x) VALUES (hex(randomblob(500))); \
            INSERT INTO right_side(x) VALUES (hex(randomblob(500))); COMMIT;\"; sleep 0.01; done | \
            sqlite3 -cmd '.timeout 20000' \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(file).stderr(Stdio::null());
        Self(std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn sqlite_is_copied_while_it_is_written() {
    if installed("sqlite3").is_none() {
        return;
    }
    for mode in ["wal", "delete"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's \"100%\" ñ#?.db");
        sql(
            &file,
            &format!(
                "PRAGMA journal_mode={mode}; CREATE TABLE left_side(x); \
                 CREATE TABLE right_side(x); CREATE TABLE fixed(x); \
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) \
                 INSERT INTO fixed SELECT hex(randomblob(100)) FROM n; \
                 DELETE FROM fixed WHERE rowid % 3 = 0"
            ),
        );
        // Asked before anybody writes: a reader beside a writer may find the file locked.
        let fixed = "SELECT count(*), sum(rowid), max(x) FROM fixed";
        let expected = sql(&file, fixed);
        let writer = Writer::start(&file);
        let config = json!({ "preset": "sqlite", "database": file });
        let mut counts = Vec::new();
        for _ in 0..3 {
            let dump = dump("sqlite3", &config, &[]).await.unwrap();
            assert_eq!(dump.format, "sqlite3");
            assert_eq!(dump.content_type, "application/vnd.sqlite3");
            assert!(dump.filename.ends_with(".sqlite3"));
            let copy = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(copy.path(), &dump.bytes).unwrap();
            assert_eq!(sql(copy.path(), "PRAGMA integrity_check").trim(), "ok");
            let count = |side| sql(copy.path(), &format!("SELECT count(*) FROM {side}"));
            assert_eq!(count("left_side"), count("right_side"));
            counts.push(count("left_side"));
            assert_eq!(sql(copy.path(), fixed), expected);
        }
        drop(writer);
        counts.dedup();
        assert!(counts.len() > 1, "{mode}: nothing was written meanwhile");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text.db");
    std::fs::write(&file, "this is no database, but long enough to look at".repeat(100)).unwrap();
    let config = json!({ "preset": "sqlite", "database": file });
    assert!(dump("sqlite3", &config, &[]).await.is_err());
}

//! Commands whose output nobody reads to its end.

use std::process::{Command, Output, Stdio};

use crate::server::{PASSWORD, Place};

/// The exit code of a command that SIGPIPE ended, as shells tell it.
const UNREAD: Option<i32> = Some(141);

/// Runs a command that writes into a pipe whose reader has gone; both of its outputs lead there
/// where `all` is said.
fn unread(place: &Place, arguments: &[&str], all: bool) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.program(arguments);
    let errors = if all { writer.try_clone().unwrap().into() } else { Stdio::piped() };
    command.stdout(writer).stderr(errors).output().unwrap()
}

#[tokio::test]
async fn what_nobody_reads_ends_quietly() {
    let server = Place::new(&[("APP_ADMIN_PASS", PASSWORD)]).serve().await;
    let place = &server.place;
    for words in [
        "recovery-kit",
        "recovery-kit --json",
        "overview",
        "user list",
        "token create ci --scope read",
        "audit",
        "audit --csv",
        "config schema",
        "runs",
        "storage",
        "completions bash",
        "schedule next daily",
        "schedule next daily --json",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        for all in [false, true] {
            // The second token would be refused for its name.
            let words =
                if all && words[0] == "token" { vec!["token", "list"] } else { words.clone() };
            let done = unread(place, &words, all);
            assert_eq!(done.status.code(), UNREAD, "{words:?}: {done:?}");
            let told = String::from_utf8_lossy(&done.stderr);
            let is_quiet = told.is_empty() || words[0] == "token";
            assert!(is_quiet && !told.contains("panicked"), "{words:?}: {told}");
        }
    }
    let fresh = Place::new(&[]);
    assert_eq!(unread(&fresh, &["init"], true).status.code(), UNREAD);
    // What goes wrong is told by its own code, whoever listens.
    assert_eq!(unread(place, &["run", "nothing"], true).status.code(), Some(4));
}

#[tokio::test]
async fn a_shell_takes_the_first_line() {
    let server = Place::new(&[]).serve().await;
    let program = env!("CARGO_BIN_EXE_backup-orchestrator");
    let script = format!("'{program}' recovery-kit | head -n 1; echo \"${{PIPESTATUS[0]}}\"");
    // Of the program only the environment is taken: it is the shell's, too.
    let like = server.place.program(&[]);
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).env_clear();
    for (name, value) in like.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let done = shell.output().unwrap();
    let told = String::from_utf8(done.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "RECOVERY KIT OF THE BACKUP ORCHESTRATOR", "{told}");
    // It may have written everything before the other end closed.
    assert!(matches!(lines[1], "0" | "141"), "{told}");
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
}

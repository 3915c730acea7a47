//! Work trees of git, for tests.

use std::{path::Path, process::Command};

/// What `git` says in `tree`.
pub(crate) fn git(tree: &Path, args: &[&str]) -> String {
    let done = Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-C"])
        .arg(tree)
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "git {args:?}: {said}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// Commits `text` as what `app.txt` holds; gives the commit.
pub(crate) fn commit(tree: &Path, text: &str) -> String {
    std::fs::write(tree.join("app.txt"), text).unwrap();
    git(tree, &["add", "app.txt"]);
    git(tree, &["commit", "--quiet", "--message", text]);
    git(tree, &["rev-parse", "HEAD"])
}

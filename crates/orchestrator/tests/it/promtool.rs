//! Prometheus' own tool: what it reads without complaint is what Prometheus reads.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Whether it is installed. In CI it must be.
pub(crate) fn is_there() -> bool {
    let version = Command::new("promtool").arg("--version").stdout(Stdio::null()).status();
    let found = version.is_ok_and(|status| status.success());
    assert!(found || std::env::var_os("CI").is_none(), "install the package prometheus");
    if !found {
        eprintln!("left out: promtool (package prometheus) is not installed");
    }
    found
}

/// Reads a page of metrics, and looks at names, help and types.
pub(crate) fn read(page: &str) {
    if !is_there() {
        return;
    }
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let done = tool.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && told.is_empty(), "{told}\n{page}");
}

/// Checks a file: `what` is `config`, `rules` …
pub(crate) fn check(what: &[&str], file: &Path) {
    if !is_there() {
        return;
    }
    let done = Command::new("promtool").args(what).arg(file).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

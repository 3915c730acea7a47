//! Stock restic.

use std::path::PathBuf;

/// Debian 12's restic and 0.18: by variables, on the path, or where `cargo xtask test` puts it. One
/// that is missing is told, and is a failure in CI.
pub(crate) fn restics() -> Vec<PathBuf> {
    let old = std::env::var_os("RESTIC_0_14").map_or("/usr/bin/restic".into(), PathBuf::from);
    let new = std::env::var_os("RESTIC_0_18").map(PathBuf::from).or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        Some(cache?.join("backup-orchestrator/restic-0.18/usr/bin/restic"))
    });
    let mut found = Vec::new();
    for program in [Some(old), new].into_iter().flatten() {
        let is_there = program.is_file();
        assert!(is_there || std::env::var_os("CI").is_none(), "{} is needed", program.display());
        if is_there {
            found.push(program);
        } else {
            eprintln!("left out: {} is not there (`cargo xtask test` does it)", program.display());
        }
    }
    found
}

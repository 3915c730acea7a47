//! What would make a run of files fail.

use archive::quoted;

use super::{
    basis::{Kind, mounts},
    paths::Wanted,
};
use crate::{Report, doctor::CheckState, source::direct::Asked};

/// Looks for the paths, whether they can be read, and what snapshots need.
pub(super) async fn doctor(asked: &Asked<'_>, report: &mut Report) {
    let wanted = match Wanted::find(asked).await {
        Ok(wanted) => wanted,
        Err(failure) => {
            let advice = "name the folder in BACKUP_FILE_ROOTS, mount it where the orchestrator \
                          runs, and check its spelling";
            return report.failed("paths", failure.message, advice);
        }
    };
    let shown: Vec<_> = wanted.paths.iter().take(5).map(|path| quoted(path)).collect();
    let more = wanted.paths.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    report.ok("paths", format!("{}{more}", shown.join(", ")));
    for path in &wanted.paths {
        let looked = path.clone();
        let read = tokio::task::spawn_blocking(move || {
            if looked.is_dir() {
                std::fs::read_dir(&looked).map(drop)
            } else {
                std::fs::File::open(&looked).map(drop)
            }
        });
        if let Ok(Err(error)) = read.await {
            let advice = "let the orchestrator's user read it, or run the orchestrator as root";
            return report.failed("readable", format!("{}: {error}", quoted(path)), advice);
        }
    }
    report.ok("readable", "all of them can be opened");
    for folder in &wanted.destinations {
        report.push(
            "destination",
            CheckState::Warning,
            format!("copies of the app are kept in {}, within what is read", quoted(folder)),
            Some("they are left out; keep them on another disk".into()),
        );
    }
    if let Some(kind) = Kind::asked(asked) {
        snapshots(asked, kind, &wanted, report).await;
    }
}

async fn snapshots(asked: &Asked<'_>, kind: Kind, wanted: &Wanted, report: &mut Report) {
    let advice = "install what the file system needs, and let the orchestrator run as root";
    if let Err(failure) = kind.is_installed(&asked.engine.0.config) {
        return report.failed("snapshot", failure.message, advice);
    }
    let mounts = match mounts::all().await {
        Ok(mounts) => mounts,
        Err(failure) => return report.failed("snapshot", failure.message, advice),
    };
    let mut volumes = Vec::new();
    for path in &wanted.paths {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        match kind.volume(asked.engine, &mounts, &real).await {
            Ok(volume) => volumes.push(volume.id),
            Err(failure) => {
                let advice = "set `snapshot` to the kind of file system that the path is on";
                return report.failed("snapshot", failure.message, advice);
            }
        }
    }
    if !nix::unistd::geteuid().is_root() {
        let found = "snapshots are for root, and the orchestrator is another user";
        return report.push("snapshot", CheckState::Warning, found, Some(advice.into()));
    }
    volumes.dedup();
    report.ok("snapshot", format!("snapshots are taken of {}", volumes.join(", ")));
}

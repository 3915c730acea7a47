//! What would make a run of files fail.

use archive::quoted;
use model::Fact;

use super::{
    basis::{Kind, mounts},
    paths::Wanted,
};
use crate::{Report, doctor::CheckState, source::direct::Asked};

/// Looks for the paths, whether they can be read, and what snapshots need.
pub(super) async fn doctor(asked: &Asked<'_>, report: &mut Report) {
    let wanted = match Wanted::find(asked).await {
        Ok(wanted) => wanted,
        Err(failure) => return report.failed("paths", failure, Fact::DoFileRoots {}),
    };
    let shown: Vec<_> = wanted.paths.iter().take(5).map(|path| quoted(path)).collect();
    let paths = shown.join(", ");
    report.ok(
        "paths",
        match wanted.paths.len().saturating_sub(shown.len()) as u64 {
            0 => Fact::PathsAt { paths },
            more => Fact::PathsAndMore { paths, more },
        },
    );
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
            let unread = Fact::NotRead { what: quoted(path), why: error.to_string() };
            return report.failed("readable", unread, Fact::DoLetRead {});
        }
    }
    report.ok("readable", Fact::AllOpen {});
    for folder in &wanted.destinations {
        report.push(
            "destination",
            CheckState::Warning,
            Fact::CopiesWithin { path: quoted(folder) },
            Some(Fact::DoElsewhere {}),
        );
    }
    if let Some(kind) = Kind::asked(asked) {
        snapshots(asked, kind, &wanted, report).await;
    }
}

async fn snapshots(asked: &Asked<'_>, kind: Kind, wanted: &Wanted, report: &mut Report) {
    if let Err(failure) = kind.is_installed(&asked.engine.0.config) {
        return report.failed("snapshot", failure, Fact::DoFileSystem {});
    }
    let mounts = match mounts::all().await {
        Ok(mounts) => mounts,
        Err(failure) => return report.failed("snapshot", failure, Fact::DoFileSystem {}),
    };
    let mut volumes = Vec::new();
    for path in &wanted.paths {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        match kind.volume(asked.engine, &mounts, &real).await {
            Ok(volume) => volumes.push(volume.id),
            Err(failure) => return report.failed("snapshot", failure, Fact::DoSnapshotKind {}),
        }
    }
    if !nix::unistd::geteuid().is_root() {
        let (found, advice) = (Fact::SnapshotsForRoot {}, Fact::DoFileSystem {});
        return report.push("snapshot", CheckState::Warning, found, Some(advice));
    }
    volumes.dedup();
    report.ok("snapshot", Fact::SnapshotsOf { volumes: volumes.join(", ") });
}

//! WAL that waits in the spool while its destination is away, and is altered there.

use std::{fs, os::unix::fs::FileExt as _, path::Path, sync::Arc, time::Duration};

use engine::SystemClock;
use model::WalPieceKind;

use crate::{wal::Archived, wal_faults::away, wal_outage::md5};

/// Alters every file without a name that this process has open in `spool`; how many.
fn alter(spool: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let own = open.filter(|one| fs::read_link(one.path()).is_ok_and(|to| to.starts_with(spool)));
    let altered = own.filter(|one| {
        let file = fs::OpenOptions::new().write(true).open(one.path());
        file.is_ok_and(|file| file.write_all_at(b"not what came", 100_000).is_ok())
    });
    altered.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_altered_in_the_spool_is_never_stored_but_comes_again() {
    // Segments of 1 MiB would wait in memory.
    let clock = Arc::new(SystemClock);
    let made = ["--wal-segsize=16"];
    let Some(archived) = Archived::unplanned("disk", &made, clock).await else { return };
    archived.sql("ALTER SYSTEM SET wal_keep_size = '1GB'");
    archived.sql("SELECT pg_reload_conf()");
    archived.plan(|_| {}).await;
    archived.until("a first window", |state| state.windows.len() == 1).await;
    archived.write(2);
    let base = archived.caught_up().await.windows[0].clone();

    let back = away(&archived);
    archived.write(60);
    let spool = archived.world.folder.path().join("spool");
    let mut altered = 0;
    for turn in 0.. {
        assert!(turn < 100, "nothing waits in {}", spool.display());
        altered = altered.max(alter(&spool));
        if altered >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    back();

    let state = archived.caught_up().await;
    assert!(state.gaps.is_empty() && state.windows.len() == 1, "{state:#?}");
    archived.sql("SELECT pg_switch_wal()");
    let state = archived.caught_up().await;
    assert_eq!(state.windows[0].base, base.base);
    let mut compared = 0;
    for piece in archived.pieces(WalPieceKind::Segment).await {
        if piece.end <= base.end {
            continue;
        }
        let ours = archived.fetched(&piece.name).await.unwrap();
        let theirs =
            archived.sql(&format!("SELECT md5(pg_read_binary_file('pg_wal/{}'))", piece.name));
        assert_eq!(md5(&archived, &ours), theirs, "{}", piece.name);
        compared += 1;
    }
    assert!(compared >= 3, "{compared}");
}

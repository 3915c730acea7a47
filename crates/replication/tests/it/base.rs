//! Base backups: written out, verified by PostgreSQL's own program, started.

use std::{
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::Path,
};

use replication::{
    Algorithm, BaseBackup, BaseOptions, Connection, Error, Finished, Kind, Part, Problem,
};

use crate::{
    cluster::Cluster,
    receiving::{flushed, options, work},
};

/// Writes all files below `data`, tablespaces below `spaces`.
async fn written(mut backup: BaseBackup, data: &Path, spaces: &Path) -> (u64, Finished) {
    let folders = |path: &Path| {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
    };
    folders(data);
    let mut root = data.to_owned();
    let mut file = None;
    let mut bytes = 0;
    while let Some(part) = backup.next().await.unwrap() {
        match part {
            Part::Archive(None) => root = data.to_owned(),
            Part::Archive(Some(oid)) => {
                root = spaces.join(oid.to_string());
                folders(&root);
                folders(&data.join("pg_tblspc"));
                symlink(&root, data.join("pg_tblspc").join(oid.to_string())).unwrap();
            }
            Part::Member(member) => {
                let path = root.join(&member.path);
                match member.kind {
                    Kind::Folder => folders(&path),
                    Kind::Link(target) => symlink(target, path).unwrap(),
                    Kind::File => {
                        let mut open = std::fs::OpenOptions::new();
                        open.write(true).create_new(true).mode(member.mode);
                        file = Some(open.open(&path).unwrap());
                    }
                }
            }
            Part::Data(data) => {
                bytes += data.len() as u64;
                file.as_mut().unwrap().write_all(&data).unwrap();
            }
            Part::End => file = None,
        }
    }
    let (connection, finished) = backup.finish().await.unwrap();
    connection.close().await;
    std::fs::write(data.join("backup_manifest"), &finished.manifest_bytes).unwrap();
    (bytes, finished)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_and_its_wal_make_a_server() {
    let Some(cluster) = Cluster::start(&["--wal-segsize=1"]) else { return };
    let place = cluster.folder().join("space");
    std::fs::create_dir(&place).unwrap();
    cluster.owned(&place);
    cluster.sql(&format!("CREATE TABLESPACE space LOCATION '{}'", place.display()));
    cluster.sql("CREATE TABLE apart TABLESPACE space AS SELECT generate_series(1, 5000) AS x");
    assert!(cluster.pgbench(&["-i", "-s", "3"]).status().unwrap().success());
    let mut open = Connection::open(&cluster.settings()).await.unwrap();
    open.create_slot("ours").await.unwrap();
    open.close().await;
    let mut work = work(&cluster.settings(), options(Some("ours")), |_| false);
    let mut bench = cluster.pgbench(&["-c", "2", "-T", "4"]).spawn().unwrap();

    for (algorithm, name) in [(Algorithm::Sha256, "restored"), (Algorithm::Crc32c, "second")] {
        let open = Connection::open(&cluster.settings()).await.unwrap();
        let taken = BaseOptions {
            checksums: algorithm,
            label: "it's one".into(),
            ..BaseOptions::default()
        };
        let backup = open.base_backup(&taken).await.unwrap();
        let start = backup.start();
        let (estimate, _) = backup.progress();
        assert_eq!(backup.tablespaces().len(), 2);
        let data = cluster.folder().join(name);
        let spaces = cluster.folder().join(format!("{name}-spaces"));
        let (bytes, finished) = written(backup, &data, &spaces).await;
        assert!(bytes > 20 << 20 && estimate > bytes / 2, "{bytes} of {estimate}");
        assert!(finished.end > start);
        assert_eq!(finished.manifest.wal[0].start, start);
        assert_eq!(finished.manifest.wal[0].end, finished.end);
        cluster.owned(&data);
        cluster.owned(&spaces);
        let shown = data.display().to_string();
        // The tablespaces' map is replaced by links, as a restore does.
        assert!(std::fs::read_to_string(data.join("tablespace_map")).unwrap().contains("space"));
        assert!(cluster.try_run("pg_verifybackup", &["-n", "-e", &shown]), "{name}");
    }
    bench.wait().unwrap();
    cluster.sql("CREATE TABLE last_one AS SELECT 42 AS x");
    work.until(flushed(&cluster)).await;
    work.stop();
    let total = cluster.sql("SELECT count(*), sum(delta) FROM pgbench_history");
    cluster.down("immediate");

    // What was received, the unfinished segment too, filled up with zeros.
    let wal = cluster.folder().join("wal");
    std::fs::create_dir(&wal).unwrap();
    {
        let kept = work.kept.lock().unwrap();
        for (name, bytes) in &kept.segments {
            std::fs::write(wal.join(name), bytes).unwrap();
        }
        let (name, prefix) = kept.partial.last_key_value().unwrap();
        let mut padded = prefix.clone();
        padded.resize(1 << 20, 0);
        std::fs::write(wal.join(name), padded).unwrap();
    }
    cluster.owned(&wal);
    let restored = cluster.restored("restored");
    std::fs::remove_file(restored.data().join("tablespace_map")).unwrap();
    restored.configure(&[&format!("restore_command = 'cp {}/%f %p'", wal.display())]);
    restored.append("recovery.signal", &[]);
    restored.up();
    // It lets readers in before it has replayed everything.
    let begun = std::time::Instant::now();
    while restored.sql("SELECT pg_is_in_recovery()") == "t" {
        assert!(begun.elapsed().as_secs() < 60, "it replays without an end");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(restored.sql("SELECT x FROM last_one"), "42");
    assert_eq!(restored.sql("SELECT count(*) FROM apart"), "5000");
    assert_eq!(restored.sql("SELECT count(*), sum(delta) FROM pgbench_history"), total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_is_refused_or_left_cleanly() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    cluster.sql("CREATE ROLE plain LOGIN");
    let open = Connection::open(&cluster.settings_as("plain")).await;
    let error = open.err().unwrap();
    assert_eq!(error.server().unwrap().problem, Problem::NoReplicationRight, "{error}");

    let open = Connection::open(&cluster.settings()).await.unwrap();
    let options = BaseOptions { max_rate: Some(1), ..BaseOptions::default() };
    assert!(matches!(open.base_backup(&options).await, Err(Error::Settings(_))));

    // A slow one is left in the middle: the server ends it.
    let open = Connection::open(&cluster.settings()).await.unwrap();
    let options = BaseOptions { max_rate: Some(256), ..BaseOptions::default() };
    let mut backup = open.base_backup(&options).await.unwrap();
    while !matches!(backup.next().await.unwrap(), Some(Part::End)) {}
    assert_eq!(cluster.sql("SELECT count(*) FROM pg_stat_progress_basebackup"), "1");
    drop(backup);
    let begun = std::time::Instant::now();
    while cluster.sql("SELECT count(*) FROM pg_stat_progress_basebackup") != "0" {
        assert!(begun.elapsed().as_secs() < 20, "the server goes on");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

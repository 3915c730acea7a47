//! A disk without room refuses what is new, and is written to again as soon as there is some.

use std::{io::Write as _, path::PathBuf, time::Duration};

use catalog::{Catalog, CatalogError};

/// A small file system, unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: PathBuf) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&at);
        let mounted = mount.status().is_ok_and(|status| status.success());
        assert!(mounted || std::env::var_os("CI").is_none(), "mounting needs root");
        mounted.then_some(Self(at))
    }

    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let mut file = std::fs::File::options().append(true).create(true).open(&filler).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        filler
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_written_to_again_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(tmpfs) = Tmpfs::mount(folder.path().to_owned()) else { return };
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("catalog.sqlite").display());
    let catalog = Catalog::open(&url.into(), 3).await.unwrap();
    let long = "x".repeat(20_000);
    for round in 0..3 {
        let filler = tmpfs.fill();
        let mut kept = Vec::new();
        let mut refused = 0;
        for number in 0..200 {
            let name = format!("{round}-{number}");
            match catalog.set_setting(&name, &long).await {
                Ok(()) => kept.push(name),
                Err(error) => {
                    assert!(matches!(error, CatalogError::Unavailable(_)), "{error}");
                    assert!(error.is_retryable());
                    assert_eq!(catalog.setting(&name).await.unwrap(), None, "refused, and there");
                    refused += 1;
                }
            }
            if refused == 12 {
                break;
            }
        }
        assert_eq!(refused, 12, "round {round}: it is never full");
        std::fs::remove_file(filler).unwrap();
        // At once, by several at a time, and in the time that one write takes.
        let begun = std::time::Instant::now();
        let writes = (0..12).map(|number| {
            let catalog = catalog.clone();
            tokio::spawn(async move { catalog.set_setting(&format!("after-{number}"), "y").await })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap().unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "round {round}: {:?}", begun.elapsed());
        for name in &kept {
            assert_eq!(catalog.setting(name).await.unwrap().as_ref(), Some(&long), "{name}");
            catalog.set_setting(name, "").await.unwrap();
        }
    }
    catalog.close().await.unwrap();
}

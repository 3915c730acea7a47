//! A small command over a repository in a folder, for measuring:
//! `keep COMMAND REPOSITORY [WHAT] [TO]`, with the password in `RESTIC_PASSWORD`.
//!
//! `init`; `folder PATH`, with the latest snapshot of the same folder for its parent; `stream NAME`
//! from standard input; `object NAME` from standard input too, as objects are kept (a tar as the
//! files in it); `get NAME`, an object to standard output; `restore PATH TO` of the latest snapshot of it; `check`, which
//! reads all data; `prune`, which forgets every snapshot but the last and deletes at once.

use std::{path::Path, sync::Arc, time::Instant};

use futures::TryStreamExt as _;
use repository::{
    CheckOptions, FileKind, InitOptions, Lock, LockKind, Objects, ObjectsOptions, PruneOptions,
    ReadData, Reader, Repository, Snapshot, Surroundings, Version,
    chunk::Polynomial,
    write::{Folder, Stored, WriteOptions, Writer},
};
use secrecy::SecretString;
use store::{CreateOptions, Key, Local, Store as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

type Any<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Any<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, root, rest @ ..] = &arguments[..] else {
        return Err("keep COMMAND REPOSITORY".into());
    };
    let what = rest.first().map_or("", String::as_str);
    let store: Arc<dyn store::Store> = Arc::new(Local::open(Path::new(root)).await?);
    let password = SecretString::from(std::env::var("RESTIC_PASSWORD")?);
    let surroundings = Surroundings::of_this_process();
    if command == "init" {
        let mut numbers =
            std::iter::repeat_with(|| surroundings.random::<8>().map(u64::from_le_bytes));
        let polynomial = Polynomial::random(|| numbers.next().and_then(Result::ok).unwrap_or(1));
        let options = InitOptions {
            version: Version::V2,
            kdf: repository::Kdf::default(),
            polynomial: polynomial.bits(),
        };
        Repository::init(store, &password, &options, surroundings.clone()).await?;
        return Ok(());
    }
    let repository = Repository::open(store, &password, surroundings).await?;
    let begun = Instant::now();
    match command.as_str() {
        "restore" => {
            let to = rest.get(1).map(String::as_str).unwrap_or_default();
            return restore(&repository, what, Path::new(to)).await;
        }
        "check" => return check(&repository).await,
        "prune" => return prune(&repository).await,
        "object" | "get" => return object(repository, command == "get", what).await,
        _ => {}
    }
    let lock = repository.lock(LockKind::Shared).await?;
    let latest = latest(&repository, what).await?;
    let index = Arc::new(repository.load_index().await?.index);
    let mut options = WriteOptions::default();
    if let Ok(level) = std::env::var("KEEP_LEVEL") {
        options.level = level.parse()?;
    }
    if std::env::var_os("KEEP_LANES").is_some() {
        options.hashing = repository::hash::Hashing::Lanes;
    }
    let writer = Writer::begin(&repository, index, options)?;
    let stored = match command.as_str() {
        "folder" => {
            let folder = Folder::new(Path::new(what));
            let parent = latest.as_ref().map(|snapshot| snapshot.tree);
            writer.folder(parent.into_iter().fold(folder, Folder::parent)).await?
        }
        "stream" => writer.stream(what, tokio::io::stdin()).await?,
        other => return Err(format!("no command `{other}`").into()),
    };
    let written = writer.finish(&lock).await?;
    let statistics = written.statistics;
    commit(&repository, &lock, written, &stored, what).await?;
    lock.release().await?;
    eprintln!("{:.2} s, {statistics:?}, {stored:?}", begun.elapsed().as_secs_f64());
    Ok(())
}

async fn object(repository: Repository, is_read: bool, name: &str) -> Any<()> {
    let (begun, key) = (Instant::now(), Key::new(name)?);
    let objects = Objects::new(repository, ObjectsOptions::default());
    if is_read {
        let mut read = objects.read(&key, None).await?;
        let mut to = tokio::io::stdout();
        while let Some(bytes) = read.try_next().await? {
            to.write_all(&bytes).await?;
        }
        to.flush().await?;
    } else {
        let mut upload = objects.create(&key, &CreateOptions::default()).await?;
        let mut from = tokio::io::stdin();
        loop {
            let mut chunk = bytes::BytesMut::with_capacity(1 << 20);
            if from.read_buf(&mut chunk).await? == 0 {
                break;
            }
            upload.write(chunk.freeze()).await?;
        }
        upload.finish().await?;
    }
    objects.rest().await;
    eprintln!("{:.2} s", begun.elapsed().as_secs_f64());
    Ok(())
}

async fn latest(repository: &Repository, path: &str) -> Any<Option<Snapshot>> {
    let mut latest: Option<Snapshot> = None;
    for file in repository.list(FileKind::Snapshot).await? {
        let snapshot = repository.load_snapshot(&file.id).await?;
        if snapshot.paths == [path] && latest.as_ref().is_none_or(|l| l.time < snapshot.time) {
            latest = Some(snapshot);
        }
    }
    Ok(latest)
}

async fn restore(repository: &Repository, path: &str, to: &Path) -> Any<()> {
    let lock = repository.lock(LockKind::Shared).await?;
    let snapshot = latest(repository, path).await?.ok_or("no such snapshot")?;
    let reader = Reader::open(repository).await?;
    let restored = reader.restore(&snapshot.tree, path.as_bytes(), to).await?;
    eprintln!("{restored:?}");
    lock.release().await?;
    Ok(())
}

async fn check(repository: &Repository) -> Any<()> {
    let lock = repository.lock(LockKind::Shared).await?;
    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let checked = repository.check(&options).await?;
    lock.release().await?;
    if checked.is_whole() { Ok(()) } else { Err(format!("{:?}", checked.problems).into()) }
}

async fn prune(repository: &Repository) -> Any<()> {
    let lock = repository.lock(LockKind::Exclusive).await?;
    let mut snapshots = Vec::new();
    for file in repository.list(FileKind::Snapshot).await? {
        snapshots.push((repository.load_snapshot(&file.id).await?.time, file.id));
    }
    snapshots.sort_unstable();
    snapshots.pop();
    let old: Vec<_> = snapshots.into_iter().map(|(_, id)| id).collect();
    repository.forget(&lock, &old).await?;
    // Twice: what the first marks, the second deletes.
    let options = PruneOptions { grace: jiff::SignedDuration::ZERO, ..PruneOptions::default() };
    for _ in 0..2 {
        eprintln!("{:?}", repository.prune(&lock, &options).await?);
    }
    lock.release().await?;
    Ok(())
}

async fn commit(
    repository: &Repository,
    lock: &Lock,
    written: repository::write::Written,
    stored: &Stored,
    path: &str,
) -> Any<()> {
    let mut snapshot = Snapshot::new(repository.surroundings().now(), stored.tree);
    snapshot.paths = vec![if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }];
    snapshot.hostname.clone_from(&repository.surroundings().hostname);
    let id = written.commit(lock, &snapshot).await?;
    println!("{id}");
    Ok(())
}

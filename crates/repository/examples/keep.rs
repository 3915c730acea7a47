//! A small command over a repository in a folder, for measuring and for killing:
//! `keep init|folder|stream|tar REPOSITORY [WHAT]`, with the password in `RESTIC_PASSWORD`.
//!
//! `folder` takes the latest snapshot of the same folder for its parent; `stream` and `tar` read
//! standard input.

use std::{path::Path, sync::Arc, time::Instant};

use repository::{
    FileKind, InitOptions, Lock, LockKind, Repository, Snapshot, Surroundings, Version,
    chunk::Polynomial,
    write::{Folder, Stored, WriteOptions, Writer},
};
use secrecy::SecretString;
use store::Local;

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
        "tar" => writer.tar(tokio::io::stdin()).await?,
        other => return Err(format!("no command `{other}`").into()),
    };
    let written = writer.finish(&lock).await?;
    let statistics = written.statistics;
    commit(&repository, &lock, written, &stored, what).await?;
    lock.release().await?;
    eprintln!("{:.2} s, {statistics:?}, {stored:?}", begun.elapsed().as_secs_f64());
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

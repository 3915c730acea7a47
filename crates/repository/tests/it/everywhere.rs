//! All that is done with a repository, over every kind of store, with stock restic beside it.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use repository::{
    CheckOptions, FileKind, LockKind, LockTimes, Objects, ObjectsOptions, PruneOptions, ReadData,
    Reader, Repository, RepositoryError, Version, write::WriteOptions,
};
use store::{Azblob, Key, LocalConfig, RcloneConfig, Store, StoreConfig, open};

use crate::{
    azurite::Azurite,
    conformance,
    moto::{Moto, PLAIN},
    rest,
    servers::{self, Server},
    streams::sample as stream,
    world::{PASSWORD, init_at, open_at, restics},
    writer::{noise, sample},
};

/// How stock restic reaches the same repository.
struct Stock {
    address: String,
    options: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

impl Stock {
    fn at(address: String) -> Self {
        Self { address, options: Vec::new(), variables: Vec::new() }
    }

    /// Through rclone, whose remote it is.
    fn through(remote: &RcloneConfig) -> Self {
        let config = remote.config_file.as_ref().unwrap().display().to_string();
        Self {
            variables: vec![("RCLONE_CONFIG", config)],
            ..Self::at(format!("rclone:{}:{}", remote.remote, remote.path))
        }
    }

    fn command(&self, restic: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(restic);
        command
            .args(["-r", &self.address, "--no-cache", "-q"])
            .args(self.options.iter().flat_map(|option| ["-o", option.as_str()]))
            .args(args)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("RESTIC_PASSWORD", PASSWORD);
        command
    }

    fn run(&self, restic: &Path, args: &[&str]) -> String {
        let output = self.command(restic, args).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{} {args:?} at {}: {told}",
            restic.display(),
            self.address
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a lock of ours has to refuse.
    fn refused(&self, restic: &Path, args: &[&str]) {
        let output = self.command(restic, args).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        let is_refused = !output.status.success() && told.contains("already locked");
        assert!(is_refused, "{} {args:?} at {}: {told}", restic.display(), self.address);
    }
}

fn quick() -> LockTimes {
    LockTimes { settle: Duration::from_millis(20), ..LockTimes::default() }
}

fn objects(repository: &Repository) -> Objects {
    let options = ObjectsOptions {
        write: WriteOptions { pack_bytes: 1 << 20, workers: 2, ..WriteOptions::default() },
        lock: quick(),
        idle: Duration::from_millis(20),
        ..ObjectsOptions::default()
    };
    Objects::new(repository.clone(), options)
}

async fn assert_whole(repository: &Repository) {
    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let checked = repository.check(&options).await.unwrap();
    assert!(checked.is_whole(), "{:?}", checked.problems);
}

fn is_locked<T>(result: &Result<T, RepositoryError>) -> bool {
    matches!(result, Err(RepositoryError::Locked { .. }))
}

async fn all(store: Arc<dyn Store>, stock: &Stock) {
    init_at(store.clone(), Version::V2).await;
    let repository = open_at(store.clone()).await;
    let first = sample(&repository).await;
    streams(&repository).await;
    let kept = sample(&repository).await;
    assert_whole(&repository).await;
    restored(&repository, &kept).await;
    locked(&repository).await;
    freed(&open_at(store.clone()).await, &first).await;
    for restic in restics() {
        beside(&repository, stock, &restic).await;
        kept_out(&repository, stock, &restic).await;
    }
    assert_whole(&open_at(store.clone()).await).await;
    assert!(repository.list(FileKind::Lock).await.unwrap().is_empty());
}

/// Streams are written, listed, read whole and in part, and forgotten.
async fn streams(repository: &Repository) {
    let objects = objects(repository);
    let content = stream(1, 3_000_000);
    conformance::put(&objects, "shop/one.sql", &content).await.unwrap();
    conformance::put(&objects, "shop/two.sql", &content[..2_000_000]).await.unwrap();
    let names = ["shop/one.sql", "shop/two.sql"].map(str::to_owned);
    assert_eq!(conformance::list(&objects, "shop").await.unwrap(), BTreeSet::from(names));
    assert!(conformance::get(&objects, "shop/one.sql").await.unwrap() == content);
    let one = Key::new("shop/one.sql").unwrap();
    let part = objects.read(&one, Some(1_500_000..1_500_100)).await.unwrap();
    let part: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(part).await.unwrap();
    assert!(part.concat() == content[1_500_000..1_500_100]);
    objects.delete(&Key::new("shop/two.sql").unwrap()).await.unwrap();
    assert!(conformance::get(&objects, "shop/two.sql").await.unwrap_err().is_not_found());
    assert!(conformance::get(&objects, "shop/one.sql").await.unwrap() == content);
    objects.rest().await;
}

/// A snapshot of files is restored whole and in part.
async fn restored(repository: &Repository, id: &repository::Id) {
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader::open(repository).await.unwrap();
    let tree = repository.load_snapshot(id).await.unwrap().tree;
    let to = folder.path().join("whole");
    assert_eq!(reader.restore(&tree, b"", &to).await.unwrap().files, 4);
    let big: Vec<u8> = (0..5).flat_map(|n| noise(n, 500_000)).collect();
    assert!(std::fs::read(to.join("big")).unwrap() == big);
    let part = folder.path().join("part");
    assert_eq!(reader.restore(&tree, b"sub", &part).await.unwrap().files, 2);
}

/// Ours keep each other out, and go.
async fn locked(repository: &Repository) {
    let shared = repository.lock_with(LockKind::Shared, quick()).await.unwrap();
    shared.ensure().await.unwrap();
    assert!(is_locked(&repository.lock_with(LockKind::Exclusive, quick()).await));
    shared.release().await.unwrap();
    let alone = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    assert!(is_locked(&repository.lock_with(LockKind::Shared, quick()).await));
    alone.release().await.unwrap();
    assert!(repository.list(FileKind::Lock).await.unwrap().is_empty());
}

/// What is forgotten is freed, and nothing else.
async fn freed(repository: &Repository, id: &repository::Id) {
    let before = repository.list(FileKind::Pack).await.unwrap().len();
    let lock = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    repository.forget(&lock, &[*id]).await.unwrap();
    let now = PruneOptions { grace: SignedDuration::ZERO, ..PruneOptions::default() };
    repository.prune(&lock, &now).await.unwrap();
    repository.prune(&lock, &now).await.unwrap();
    lock.release().await.unwrap();
    let after = repository.list(FileKind::Pack).await.unwrap().len();
    assert!(after < before, "{before} packs, then {after}");
    assert_whole(repository).await;
}

/// Stock restic checks, restores and writes there; we read what it wrote.
async fn beside(repository: &Repository, stock: &Stock, restic: &Path) {
    stock.run(restic, &["check", "--read-data"]);
    let told = stock.run(restic, &["snapshots", "--json"]);
    assert!(told.contains("shop/one.sql") && !told.contains("shop/two.sql"), "{told}");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("to");
    let target = to.to_str().unwrap();
    stock.run(restic, &["restore", "latest", "--path", "/shop/one.sql", "--target", target]);
    assert!(std::fs::read(to.join("shop/one.sql")).unwrap() == stream(1, 3_000_000));
    let file = folder.path().join("of restic");
    std::fs::write(&file, noise(77, 700_000)).unwrap();
    stock.run(restic, &["backup", "--tag", "restics", file.to_str().unwrap()]);
    let mut found = None;
    for entry in repository.list(FileKind::Snapshot).await.unwrap() {
        let snapshot = repository.load_snapshot(&entry.id).await.unwrap();
        if snapshot.paths == [file.to_str().unwrap()] {
            found = Some(snapshot);
        }
    }
    let reader = Reader::open(repository).await.unwrap();
    let back = folder.path().join("back");
    let tree = found.unwrap().tree;
    reader.restore(&tree, file.to_str().unwrap().as_bytes(), &back).await.unwrap();
    assert!(std::fs::read(back.join("of restic")).unwrap() == noise(77, 700_000));
    stock.run(restic, &["unlock"]);
}

/// Locks of ours keep restic out, and the other way round; then it forgets and prunes, and all is whole.
async fn kept_out(repository: &Repository, stock: &Stock, restic: &Path) {
    let lock = repository.lock_with(LockKind::Shared, quick()).await.unwrap();
    stock.refused(restic, &["prune"]);
    stock.refused(restic, &["forget", "--tag", "restics", "--keep-last", "1", "--prune"]);
    // Who only reads or adds is let in, and removes no lock that is alive.
    stock.run(restic, &["snapshots"]);
    stock.run(restic, &["stats"]);
    stock.run(restic, &["backup", "--tag", "restics", "/etc/hostname"]);
    stock.run(restic, &["unlock"]);
    lock.ensure().await.unwrap();
    lock.release().await.unwrap();
    let alone = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    stock.refused(restic, &["backup", "/etc/hostname"]);
    stock.refused(restic, &["check"]);
    alone.release().await.unwrap();

    // A restic at work: it waits for what its input still brings.
    let mut writer = stock
        .command(restic, &["backup", "--stdin", "--tag", "restics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut tries = 0;
    while repository.list(FileKind::Lock).await.unwrap().is_empty() {
        tries += 1;
        assert!(tries < 500, "restic takes no lock at {}", stock.address);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_locked(&repository.lock_with(LockKind::Exclusive, quick()).await));
    repository.lock_with(LockKind::Shared, quick()).await.unwrap().release().await.unwrap();
    writer.stdin.take().unwrap().write_all(b"what came in the end").unwrap();
    assert!(writer.wait().unwrap().success());
    repository.lock_with(LockKind::Exclusive, quick()).await.unwrap().release().await.unwrap();

    stock.run(restic, &["forget", "--tag", "restics", "--keep-last", "1", "--prune"]);
    stock.run(restic, &["check", "--read-data"]);
    assert_whole(&open_at(repository.store().clone()).await).await;
}

async fn opened(config: StoreConfig) -> Arc<dyn Store> {
    open(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    let stock = Stock::at(root.display().to_string());
    all(opened(StoreConfig::Local(LocalConfig { root, closed: None })).await, &stock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_s3() {
    let Some(server) = Moto::start().await else { return };
    let config = server.config(PLAIN, None);
    let stock = Stock {
        variables: vec![
            ("AWS_ACCESS_KEY_ID", "key-id".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "key-secret".to_owned()),
            ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ],
        options: vec!["s3.bucket-lookup=path".to_owned()],
        ..Stock::at(format!("s3:{}/{PLAIN}/deep", config.endpoint.as_ref().unwrap()))
    };
    all(opened(StoreConfig::S3(config)).await, &stock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_sftp() {
    let Some(sshd) = servers::sshd() else { return };
    let server = Server::sshd(&sshd).await;
    let config = server.sshd_config("repository");
    let key = server.folder().parent().unwrap().join("user");
    let stock = Stock {
        options: vec![format!(
            "sftp.command=ssh -p {} -i {} -o StrictHostKeyChecking=no -o \
             UserKnownHostsFile=/dev/null {}@127.0.0.1 -s sftp",
            server.port(),
            key.display(),
            config.username
        )],
        ..Stock::at(format!("sftp:{}@127.0.0.1:{}", config.username, config.path))
    };
    all(opened(StoreConfig::Sftp(config)).await, &stock).await;
}

/// restic knows no WebDAV; it reads the repository through rclone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_webdav() {
    let Some(rclone) = servers::rclone() else { return };
    let server = Server::webdav(&rclone).await;
    let stock = Stock::through(&server.remote(&rclone, "repository"));
    all(opened(StoreConfig::Webdav(server.webdav_config("repository"))).await, &stock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_rest_server() {
    let Some(rclone) = servers::rclone() else { return };
    let server = Server::restic(&rclone, &[]).await;
    let config = rest::config(&server, "shop");
    let stock = Stock::at(format!("rest:http://ana:a%20word@127.0.0.1:{}/shop/", server.port()));
    all(opened(StoreConfig::Rest(config)).await, &stock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rclone() {
    let Some(program) = servers::rclone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = remote(&program, folder.path(), "type = local", "repository");
    let config =
        RcloneConfig { path: folder.path().join("repository").display().to_string(), ..config };
    let stock = Stock::through(&config);
    all(opened(StoreConfig::Rclone(config)).await, &stock).await;
}

/// restic speaks to Azure's own addresses alone; to Azurite it goes through rclone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_azure() {
    let (Some(program), Some(server)) = (servers::rclone(), Azurite::start().await) else { return };
    let config = server.config("deep/repository");
    let rights = server.config_with_sas("rwdlc").sas_token.unwrap();
    let rights = secrecy::ExposeSecret::expose_secret(&rights).to_owned();
    let address = format!("{}/{}{rights}", config.endpoint.as_ref().unwrap(), config.container);
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("type = azureblob\nsas_url = {address}");
    let stock =
        Stock::through(&remote(&program, folder.path(), &settings, "copies/deep/repository"));
    all(Arc::new(Azblob::open(&config).unwrap()), &stock).await;
}

/// A remote of rclone with `settings`, in a file of `folder`.
fn remote(program: &Path, folder: &Path, settings: &str, path: &str) -> RcloneConfig {
    let config_file: PathBuf = folder.join("rclone.conf");
    std::fs::write(&config_file, format!("[remote]\n{settings}\n")).unwrap();
    RcloneConfig {
        program: program.to_owned(),
        config_file: Some(config_file),
        remote: "remote".to_owned(),
        path: path.to_owned(),
        root_folder_id: None,
        env: Vec::new(),
    }
}

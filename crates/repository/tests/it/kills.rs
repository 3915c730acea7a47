//! Whoever is killed at any moment, while it writes, forgets or frees, leaves a repository that is
//! sound, with every snapshot that it had said to be there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::TryStreamExt as _;
use jiff::SignedDuration;
use repository::{
    CheckOptions, FileKind, Id, LockKind, LockTimes, Node, NodeKind, PruneOptions, ReadData,
    Reader, Repository, Version,
    chunk::Chunking,
    write::{WriteOptions, Writer},
};

use crate::{
    streams::snapshot,
    world::{World, open_at, restics},
    writer::noise,
};

/// Tells the process that it is the one to be killed, and in which folder.
const ROLE: &str = "REPOSITORY_TO_BE_KILLED";
const TEST: &str = "kills::killed_at_any_moment_the_repository_stays_sound";
/// How often somebody is killed.
const KILLS: usize = 200;
/// Longest that somebody works, once the repository is open, in microseconds: in turn hardly long
/// enough to begin, and long enough to come to an end.
const LONGEST: [u64; 2] = [30_000, 200_000];
/// How many snapshots are kept.
const KEPT: usize = 5;
/// A file is this many pieces of this many bytes.
const PIECES: u8 = 12;
const PIECE_BYTES: usize = 16 << 10;

fn quick() -> LockTimes {
    LockTimes { settle: Duration::from_millis(1), ..LockTimes::default() }
}

/// Every third piece is its own, the others are shared with neighbours: freeing has to write anew.
fn content(seed: u8) -> Vec<u8> {
    let piece = |n: u8| match n % 3 {
        0 => noise(seed, PIECE_BYTES + usize::from(n)),
        1 => noise(seed / 2, PIECE_BYTES + usize::from(n)),
        _ => noise(n, PIECE_BYTES),
    };
    (0..PIECES).flat_map(|n| piece(n).into_iter().take(PIECE_BYTES)).collect()
}

/// What the killed one says, line by line, of what it does and did.
struct Diary(std::fs::File);

impl Diary {
    fn open(path: &Path) -> Self {
        Self(std::fs::File::options().create(true).append(true).open(path).unwrap())
    }

    fn note(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// What was noted: what was under way at the end, what was kept, and what was to be forgotten.
#[derive(Default)]
struct Told {
    doing: String,
    kept: BTreeMap<Id, u8>,
    forgotten: BTreeSet<Id>,
}

fn read_diary(path: &Path) -> Told {
    let mut told = Told::default();
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["kept", id, seed] => {
                told.kept.insert(id.parse().unwrap(), seed.parse().unwrap());
            }
            ["forgets", id] => {
                told.forgotten.insert(id.parse().unwrap());
            }
            [doing] => doing.clone_into(&mut told.doing),
            _ => panic!("{line}"),
        }
    }
    told
}

/// Writes, forgets and frees, again and again, until somebody ends it.
async fn work_on(folder: &Path) {
    let store = store::Local::open(&folder.join("repository")).await.unwrap();
    let repository = open_at(Arc::new(store)).await;
    let mut diary = Diary::open(&folder.join("diary"));
    let random = || repository.surroundings().random::<1>().unwrap()[0];
    diary.note("opened");
    // Now this, now that comes first: not everybody lives to see the second.
    for turn in (random() % 3..3).chain((0..3).cycle()) {
        match turn {
            0 => write(&repository, &mut diary, random()).await,
            1 => forget(&repository, &mut diary).await,
            _ => free(&repository, &mut diary).await,
        }
    }
}

async fn write(repository: &Repository, diary: &mut Diary, seed: u8) {
    diary.note("writes");
    let lock = repository.lock_with(LockKind::Shared, quick()).await.unwrap();
    let index = Arc::new(repository.load_index().await.unwrap().index);
    let options = WriteOptions { pack_bytes: 64 << 10, workers: 2, ..WriteOptions::default() };
    let writer = Writer::begin(repository, index, options).unwrap();
    let source = Cursor::new(content(seed));
    let stored = writer.contents("file", source, &Chunking::Fixed(PIECE_BYTES)).await.unwrap();
    let mut node = Node::new(b"file", NodeKind::File);
    node.size = stored.size_bytes;
    node.content = Some(stored.blobs);
    let tree = writer.tree(vec![node]).await.unwrap();
    let written = writer.finish(&lock).await.unwrap();
    let id = written.commit(&lock, &snapshot(tree, "/file".as_ref())).await.unwrap();
    diary.note(&format!("kept {id} {seed}"));
    lock.release().await.unwrap();
}

async fn forget(repository: &Repository, diary: &mut Diary) {
    diary.note("forgets");
    let lock = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    let mut there = Vec::new();
    for file in repository.list(FileKind::Snapshot).await.unwrap() {
        there.push((repository.load_snapshot(&file.id).await.unwrap().time, file.id));
    }
    there.sort_unstable();
    let old: Vec<_> = there.iter().rev().skip(KEPT).map(|(_, id)| *id).collect();
    for id in &old {
        diary.note(&format!("forgets {id}"));
    }
    repository.forget(&lock, &old).await.unwrap();
    lock.release().await.unwrap();
}

async fn free(repository: &Repository, diary: &mut Diary) {
    diary.note("frees");
    let lock = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    let options = PruneOptions {
        grace: SignedDuration::ZERO,
        max_unused_percent: 0,
        pack_bytes: 64 << 10,
        ..PruneOptions::default()
    };
    repository.prune(&lock, &options).await.unwrap();
    lock.release().await.unwrap();
}

/// Lets somebody work for a while and kills it; what it was at.
fn kill_one(folder: &Path, after: Duration) {
    let diary = folder.join("diary");
    let before = std::fs::metadata(&diary).map_or(0, |meta| meta.len());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST])
        .env(ROLE, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while std::fs::metadata(&diary).map_or(0, |meta| meta.len()) == before {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(after);
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn read_back(reader: &Reader, id: &Id) -> Vec<u8> {
    let tree = reader.repository().load_snapshot(id).await.unwrap().tree;
    let blobs = reader.tree(&tree).await.unwrap().nodes.remove(0).content.unwrap();
    let pieces: Vec<_> = reader.stream(&blobs).try_collect().await.unwrap();
    pieces.concat()
}

/// What was told to be kept, and was not to be forgotten, is there.
async fn assert_kept(repository: &Repository, told: &Told, all: bool) -> Vec<Id> {
    let there = repository.list(FileKind::Snapshot).await.unwrap();
    let wanted: Vec<Id> =
        told.kept.keys().filter(|id| !told.forgotten.contains(id)).copied().collect();
    for id in &wanted {
        assert!(there.iter().any(|file| file.id == *id), "{id} is gone");
    }
    let reader = Reader::open(repository).await.unwrap();
    let read = if all { wanted.len() } else { 1 };
    for id in wanted.iter().take(read) {
        assert!(read_back(&reader, id).await == content(told.kept[id]), "{id} is another");
    }
    wanted
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_repository_stays_sound() {
    if let Ok(folder) = std::env::var(ROLE) {
        return work_on(folder.as_ref()).await;
    }
    let world = World::new();
    let made = world.init(Version::V2).await;
    let (folder, restics) = (world.folder.path(), restics());
    let mut doing: BTreeMap<String, u32> = BTreeMap::new();
    let mut locks = 0;
    for kill in 1..=KILLS {
        let random = u64::from_le_bytes(made.surroundings().random().unwrap());
        kill_one(folder, Duration::from_micros(random % LONGEST[kill % 2]));
        let told = read_diary(&folder.join("diary"));
        // It opens, and what the dead one held is in nobody's way.
        let repository = world.open().await;
        locks += repository.list(FileKind::Lock).await.unwrap().len();
        let lock = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
        assert_kept(&repository, &told, kill.is_multiple_of(10)).await;
        if kill.is_multiple_of(10) {
            let checked = repository.check(&CheckOptions::default()).await.unwrap();
            assert!(checked.is_whole(), "{:?} after it {}", checked.problems, told.doing);
        }
        lock.release().await.unwrap();
        *doing.entry(told.doing).or_default() += 1;
        if kill.is_multiple_of(50)
            && let Some(restic) = restics.get(kill / 50 % restics.len().max(1))
        {
            world.restic_ok(restic, &["check"]);
        }
    }
    println!("{doing:?}, {locks} locks were left");
    for what in ["writes", "forgets", "frees"] {
        assert!(doing.get(what).is_some_and(|times| *times >= 10), "{what}: {doing:?}");
    }
    assert!(locks >= 50, "{locks} locks");
    assert_sound_for_all(&world, &restics).await;
}

/// Every byte is read, by us and by stock restic, and every snapshot restored.
async fn assert_sound_for_all(world: &World, restics: &[PathBuf]) {
    let (repository, told) = (world.open().await, read_diary(&world.path("diary")));
    let wanted = assert_kept(&repository, &told, true).await;
    assert!(wanted.len() >= KEPT.min(3), "{} snapshots", wanted.len());
    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let checked = repository.check(&options).await.unwrap();
    assert!(checked.is_whole(), "{:?}", checked.problems);
    for restic in restics {
        world.restic_ok(restic, &["check", "--read-data"]);
        for id in &wanted {
            let dumped = world.restic(restic, &["dump", &id.to_hex(), "/file"]);
            assert!(dumped.status.success() && dumped.stdout == content(told.kept[id]));
        }
    }
}

//! Whatever happens to a file of a repository, the check finds it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use repository::{
    BlobKind, CheckOptions, Checked, FileKind, Id, IndexBuilder, IndexedPack, PackBuilder,
    ReadData, Reader, Repository, RepositoryError, SealedBlob, Snapshot, Surroundings, Version,
};

use crate::{
    world::{World, password},
    writer::{Writer, sample},
};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

async fn all_ids(repository: &Repository) -> Vec<(FileKind, Id)> {
    let mut expected = Vec::new();
    for kind in [FileKind::Snapshot, FileKind::Key] {
        let files = repository.list(kind).await.unwrap();
        expected.extend(files.into_iter().map(|file| (kind, file.id)));
    }
    expected
}

async fn check(world: &World, expected: &[(FileKind, Id)]) -> Result<Checked, RepositoryError> {
    let here = Surroundings::of_this_process();
    let repository = Repository::open(world.store().await, &password(), here).await?;
    let options = CheckOptions { read_data: ReadData::All, expected: expected.to_vec() };
    repository.check(&options).await
}

/// Not found is what opens, and is whole.
async fn is_found(world: &World, expected: &[(FileKind, Id)]) -> bool {
    !check(world, expected).await.is_ok_and(|checked| checked.is_whole())
}

#[tokio::test]
async fn every_flip_cut_deletion_and_swap_is_found() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    sample(&repository).await;
    let mut writer = Writer::new(&repository);
    let file = writer.file(b"another", &[b"another content"]).await;
    writer.finish(vec![file]).await;
    repository.add_key(&"second".to_owned().into(), crate::world::LIGHT).await.unwrap();
    let expected = all_ids(&repository).await;
    let whole = check(&world, &expected).await.unwrap();
    assert!(whole.is_whole() && whole.notes.is_empty(), "{whole:?}");
    let all = files(&world.path("repository"));
    assert!(all.len() >= 12, "{all:?}");
    for path in &all {
        let honest = fs::read(path).unwrap();
        let length = honest.len();
        let spread = (0..5).map(|n| n * (length - 1) / 4);
        let edges = [15, 16, length - 5, length - 21];
        for at in spread.chain(edges.into_iter().filter(|at| *at < length)) {
            let mut flipped = honest.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(path, flipped).unwrap();
            assert!(is_found(&world, &expected).await, "{} byte {at}", path.display());
        }
        for cut in [0, 1, length / 2, length - 1] {
            fs::write(path, &honest[..cut]).unwrap();
            assert!(is_found(&world, &expected).await, "{} cut to {cut}", path.display());
        }
        fs::write(path, [honest.as_slice(), b"x"].concat()).unwrap();
        assert!(is_found(&world, &expected).await, "{} and a byte", path.display());
        fs::remove_file(path).unwrap();
        assert!(is_found(&world, &expected).await, "{} gone", path.display());
        fs::write(path, &honest).unwrap();
    }
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            let (a, b) = (fs::read(one).unwrap(), fs::read(other).unwrap());
            fs::write(one, &b).unwrap();
            fs::write(other, &a).unwrap();
            let found = is_found(&world, &expected).await;
            assert!(found, "{} and {} swapped", one.display(), other.display());
            fs::write(one, &a).unwrap();
            fs::write(other, &b).unwrap();
        }
    }
    assert!(!is_found(&world, &expected).await);
}

/// Blobs that lie about themselves, written by somebody who has the key.
#[tokio::test]
async fn what_lies_with_the_right_key_is_found() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let lies: [(&[u8], Option<u32>, &str); 3] = [
        (b"{\"nodes\":[{\"name\":\"../x\",\"type\":\"file\"}]}", None, "refused"),
        (b"not what the id says", None, "SHA-256"),
        (b"not compressed", Some(1 << 30), "cannot be read"),
    ];
    for (plain, uncompressed_length, wanted) in lies {
        let id = if wanted == "SHA-256" { Id::of(b"else") } else { Id::of(plain) };
        let sealed = repository.seal(plain).unwrap();
        let mut pack = PackBuilder::default();
        pack.add(&SealedBlob { kind: BlobKind::Tree, id, uncompressed_length, sealed }).unwrap();
        let (bytes, blobs) = pack.finish(repository.key(), [1; 16]).unwrap();
        let pack = Id::of(&bytes);
        repository.save(FileKind::Pack, pack, bytes.into()).await.unwrap();
        let mut index = IndexBuilder::default();
        assert!(index.add(IndexedPack::new(pack, blobs)).is_none());
        repository.save_index(&index.finish().unwrap()).await.unwrap();
        let snapshot = Snapshot::new(jiff::Timestamp::now(), id);
        repository.save_snapshot(&snapshot).await.unwrap();
        let checked = repository.check(&CheckOptions::default()).await.unwrap();
        let told = format!("{:?}", checked.problems);
        assert!(told.contains(wanted), "{wanted}: {told}");
        let reader = Reader::open(&repository).await.unwrap();
        let to = world.path("hostile");
        assert!(reader.restore(&id, b"", &to).await.is_err());
        assert!(!world.path("x").exists());
    }
}

#[tokio::test]
async fn there_is_advice_for_what_is_wrong() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    sample(&repository).await;
    let advice =
        || async { repository.check(&CheckOptions::default()).await.unwrap().advice().join("\n") };
    assert_eq!(advice().await, "");
    let pack = repository.list(FileKind::Pack).await.unwrap()[0].id;
    repository.remove(FileKind::Pack, &pack).await.unwrap();
    let told = advice().await;
    assert!(told.starts_with("Change nothing") && told.contains("repair packs"), "{told}");
}

/// Parts of the packs in turn are all of them.
#[tokio::test]
async fn parts_make_a_whole() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    sample(&repository).await;
    let (mut read, mut packs) = (0, 0);
    for part in 0..7 {
        let read_data = ReadData::Part { part, of: 7 };
        let options = CheckOptions { read_data, ..CheckOptions::default() };
        let checked = repository.check(&options).await.unwrap();
        (read, packs) = (read + checked.packs_read, checked.packs);
    }
    assert_eq!(read, packs);
}

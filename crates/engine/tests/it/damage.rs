//! A thousand random flips, cuts, deletions and swaps over objects and manifests: verify finds
//! every one, and reindex every one that can be seen without reading the objects.

use std::path::{Path, PathBuf};

use model::{CopyState, Snapshot};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{app_server::Export, world::World};

const SNAPSHOTS: usize = 20;
const ROUNDS: usize = 50;
const CASES: usize = SNAPSHOTS * ROUNDS;

/// What was done to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Flip,
    Cut,
    Longer,
    Delete,
    Swap,
}

const HARMS: [Harm; 5] = [Harm::Flip, Harm::Cut, Harm::Longer, Harm::Delete, Harm::Swap];

struct Files {
    manifest: PathBuf,
    object: PathBuf,
}

impl Files {
    fn of(disk: &Path, snapshot: &Snapshot) -> Self {
        let copy = &snapshot.copies[0];
        Self { manifest: disk.join(&copy.manifest_key), object: disk.join(&copy.objects[0].key) }
    }
}

/// Does `harm` to the file at `path`; `other` is one of another snapshot, of the same kind.
fn do_harm(rng: &mut StdRng, harm: Harm, path: &Path, other: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = rng.random_range(0..bytes.len());
    match harm {
        Harm::Flip => bytes[at] ^= 1 << rng.random_range(0..8_u32),
        Harm::Cut => bytes.truncate(at),
        Harm::Longer => bytes.insert(at, rng.random()),
        Harm::Delete => return std::fs::remove_file(path).unwrap(),
        Harm::Swap => bytes = std::fs::read(other).unwrap(),
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_one_of_a_thousand_damages_is_found() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let world = World::new(&["disk"]).await;
    let mut snapshots = Vec::new();
    for number in 0..SNAPSHOTS {
        // Each of its own length, so that swapped objects differ in size as well as in bytes.
        let content: Vec<u8> = (0..200 + number).map(|_| rng.random()).collect();
        world.server.answer_with(Export::Trailers(content));
        snapshots.push(world.good_snapshot().await);
    }
    let disk = world.folder.path().join("disk");
    let destination = world.engine.catalog().destination_by_name("disk").await.unwrap();
    let files: Vec<_> = snapshots.iter().map(|one| Files::of(&disk, one)).collect();
    let whole: Vec<_> = files
        .iter()
        .map(|one| (std::fs::read(&one.manifest).unwrap(), std::fs::read(&one.object).unwrap()))
        .collect();
    let mut met = std::collections::HashMap::new();
    for round in 0..ROUNDS {
        let mut visible = Vec::new();
        for (at, one) in files.iter().enumerate() {
            let harm = HARMS[rng.random_range(0..HARMS.len())];
            let is_manifest = rng.random_bool(0.5);
            *met.entry((is_manifest, harm as u8)).or_insert(0) += 1;
            // What was put aside: the other's file may have been harmed already.
            let other = (at + 1 + rng.random_range(0..SNAPSHOTS - 1)) % SNAPSHOTS;
            let spare = world.folder.path().join("spare");
            let (manifest, object) = &whole[other];
            std::fs::write(&spare, if is_manifest { manifest } else { object }).unwrap();
            let path = if is_manifest { &one.manifest } else { &one.object };
            do_harm(&mut rng, harm, path, &spare);
            visible.push(is_manifest || harm != Harm::Flip);
        }

        // Without reading an object: names, sizes and manifests.
        let report = world.engine.reindex(&destination).await.unwrap();
        let seen = world.states(&snapshots).await;
        for (at, state) in seen.iter().enumerate() {
            assert_eq!(
                *state != CopyState::Good,
                visible[at],
                "seed {seed}, round {round}, snapshot {at}: {state}; {report:?}"
            );
        }

        let runs = world.engine.verify_destination(destination.id).await.unwrap();
        assert_eq!(runs.len(), SNAPSHOTS);
        world.quiet().await;
        for (at, state) in world.states(&snapshots).await.iter().enumerate() {
            assert!(
                matches!(state, CopyState::Damaged | CopyState::Missing),
                "seed {seed}, round {round}, snapshot {at} counts as {state}"
            );
        }

        for (one, (manifest, object)) in files.iter().zip(&whole) {
            std::fs::write(&one.manifest, manifest).unwrap();
            std::fs::write(&one.object, object).unwrap();
        }
        for one in &snapshots {
            let now = world.engine.catalog().snapshot(one.id).await.unwrap();
            let good = world.engine.catalog().found_copy(one.id, &now.copies[0], CopyState::Good);
            assert!(good.await.unwrap());
        }
    }
    assert_eq!(met.values().sum::<i32>(), i32::try_from(CASES).unwrap());
    assert_eq!(met.len(), 2 * HARMS.len(), "{met:?}");
}

//! How often a large archive of WAL is listed.

use std::{sync::Arc, time::Duration};

use model::{EventKind, RecoveryPlan, WalWay};
use store::{Faulty, Local, Operation};

use crate::world::{World, source};

const SEGMENTS: u64 = 10_000;
const CLUSTER: &str = "apps/shop/wal/7412345678901234567-16m/00000001";

async fn gaps(world: &World) -> usize {
    let query = catalog::EventQuery { limit: 500, ..catalog::EventQuery::default() };
    let events = world.engine.catalog().events(query).await.unwrap();
    events.iter().filter(|event| event.kind == EventKind::WalGap).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_segments_are_listed_seldom_and_a_lost_one_is_found() {
    let settings = [("host", "127.0.0.1"), ("port", "1"), ("database", "postgres")];
    let mut config = crate::wal::hasty();
    config.wal.scan = Duration::from_secs(1);
    config.wal.tend = Duration::from_secs(3_600);
    let world = World::reading(vec![source("pg", "postgres", &settings, &[])], config).await;
    let disk = world.folder.path().join("disk");
    let folder = disk.join(CLUSTER);
    std::fs::create_dir_all(&folder).unwrap();
    let name = |n: u64| format!("00000001{:08X}{:08X}-0123456789abcdef-0.zst", n / 256, n % 256);
    for n in 0..SEGMENTS {
        std::fs::write(folder.join(name(n)), b"x").unwrap();
    }
    let store = Arc::new(Faulty::new(Arc::new(Local::open(&disk).await.unwrap())));
    let destination = world.engine.catalog().destination_by_name("disk").await.unwrap();
    world.engine.use_store(&destination, store.clone());
    let plan = RecoveryPlan {
        source: "pg".parse().unwrap(),
        way: WalWay::Stream,
        destination: destination.id,
        base_every_hours: 24,
        window_days: 7,
        heartbeat: false,
        most_kept_bytes: None,
    };
    world.change_app(|app| app.recovery = Some(plan)).await;
    let catalog = world.engine.catalog();
    for turn in 0.. {
        assert!(turn < 600, "the catalog does not learn what is there");
        let known = catalog.wal_of_app(world.app.id).await.unwrap().len() as u64;
        if known == SEGMENTS
            && catalog.setting(&format!("wal_tended/{}", world.app.id)).await.unwrap().is_some()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // None of what the listing shows whole is asked for by itself.
    assert_eq!(store.calls(Operation::Stat), 0);
    // Ten answers of a store, four of which it may be asked for in each time of a scan.
    let before = store.calls(Operation::List);
    let began = std::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let listings = store.calls(Operation::List) - before;
    let most = began.elapsed().as_secs_f64() / 2.5 + 1.0;
    println!("{listings} listings of {SEGMENTS} segments in {:?}", began.elapsed());
    assert!((1.0..=most).contains(&(listings as f64)), "{listings}, at most {most}");
    assert_eq!(gaps(&world).await, 0);

    // A listing tells of what is gone, wherever in the archive it was.
    std::fs::remove_file(folder.join(name(4_711))).unwrap();
    let before = store.calls(Operation::List);
    for turn in 0.. {
        assert!(turn < 300, "nobody tells of it");
        if gaps(&world).await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(store.calls(Operation::List) - before <= 2, "not by the next listing");
    // What it takes is part of what is shown.
    let card = world.engine.card(catalog.app(world.app.id).await.unwrap()).await.unwrap();
    assert!(card.stored_bytes >= SEGMENTS - 1, "{}", card.stored_bytes);
    let trend = world.engine.storage().await.unwrap();
    assert!(trend.bytes >= SEGMENTS - 1, "{trend:?}");
    // An app's own trend ends with what its card tells, and a destination's holds it too.
    let own = world.engine.storage_of(world.app.id).await.unwrap();
    assert_eq!(own.bytes, card.stored_bytes);
    let archived = world.engine.archived_bytes().await.unwrap();
    assert!(archived[&destination.id] >= SEGMENTS - 1, "{archived:?}");
}

//! What every store must do.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::TryStreamExt as _;
use store::{CreateOptions, Key, Prefix, Store, StoreError};

pub(crate) async fn all(store: Arc<dyn Store>) {
    let store = store.as_ref();
    round_trip(store).await;
    big_stream(store).await;
    names(store).await;
    never_replaces(store).await;
    unfinished_uploads_are_not_there(store).await;
    prefixes_end_at_parts(store).await;
    deletes_exactly(store).await;
    sweeps_nothing_finished(store).await;
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub(crate) async fn put(store: &dyn Store, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let mut upload = store.create(&key(name), &CreateOptions::default()).await?;
    for chunk in bytes.chunks(100_000) {
        upload.write(Bytes::copy_from_slice(chunk)).await?;
    }
    let meta = upload.finish().await?;
    assert_eq!(meta.size_bytes, bytes.len() as u64, "{name}");
    Ok(())
}

pub(crate) async fn get(store: &dyn Store, name: &str) -> Result<Vec<u8>, StoreError> {
    let chunks: Vec<Bytes> = store.read(&key(name), None).await?.try_collect().await?;
    Ok(chunks.concat())
}

pub(crate) async fn list(store: &dyn Store, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
    let prefix = if prefix.is_empty() { Prefix::root() } else { Prefix::new(prefix).unwrap() };
    let found: Vec<_> = store.list(&prefix).await?.try_collect().await?;
    Ok(found.into_iter().map(|meta| meta.key.to_string()).collect())
}

async fn round_trip(store: &dyn Store) {
    put(store, "round/trip.bin", b"hello").await.unwrap();
    assert_eq!(get(store, "round/trip.bin").await.unwrap(), b"hello");
    let meta = store.stat(&key("round/trip.bin")).await.unwrap();
    assert_eq!(meta.size_bytes, 5);
    let part: Vec<Bytes> =
        store.read(&key("round/trip.bin"), Some(1..3)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(part.concat(), b"el");

    put(store, "round/empty", b"").await.unwrap();
    assert_eq!(store.stat(&key("round/empty")).await.unwrap().size_bytes, 0);
    assert_eq!(get(store, "round/empty").await.unwrap(), b"");

    assert!(store.stat(&key("round/absent")).await.unwrap_err().is_not_found());
    assert!(get(store, "round/absent").await.unwrap_err().is_not_found());
    // A folder is no object. (The S3 server of these tests keeps keys as files in folders, and
    // shows the folders.)
    if store.capability().kind != "s3" {
        assert!(store.stat(&key("round")).await.unwrap_err().is_not_found());
    }
}

async fn big_stream(store: &dyn Store) {
    let mut upload = store.create(&key("big.bin"), &CreateOptions::default()).await.unwrap();
    let mut sent = ring::digest::Context::new(&ring::digest::SHA256);
    let mut block = vec![0_u8; 300_007];
    for round in 0_u32..110 {
        for (at, byte) in (0_u32..).zip(block.iter_mut()) {
            *byte = (at.wrapping_mul(2_654_435_761) ^ round).to_le_bytes()[1];
        }
        sent.update(&block);
        upload.write(Bytes::copy_from_slice(&block)).await.unwrap();
    }
    let meta = upload.finish().await.unwrap();
    assert_eq!(meta.size_bytes, 110 * 300_007);
    let mut found = ring::digest::Context::new(&ring::digest::SHA256);
    let mut stream = store.read(&key("big.bin"), None).await.unwrap();
    while let Some(chunk) = stream.try_next().await.unwrap() {
        found.update(&chunk);
    }
    assert_eq!(sent.finish().as_ref(), found.finish().as_ref());
}

async fn names(store: &dyn Store) {
    let odd =
        ["names/--config", "names/-x", "names/a b.dump", "names/ñandú ☂.dump", "names/100% #1+?.x"];
    for name in odd {
        put(store, name, name.as_bytes()).await.unwrap();
    }
    for name in odd {
        assert_eq!(get(store, name).await.unwrap(), name.as_bytes());
    }
    let listed = list(store, "names").await.unwrap();
    assert_eq!(listed, odd.iter().map(|name| (*name).to_owned()).collect());
    for name in odd {
        store.delete(&key(name)).await.unwrap();
    }
    assert!(list(store, "names").await.unwrap().is_empty());
}

async fn never_replaces(store: &dyn Store) {
    put(store, "kept.bin", b"first").await.unwrap();
    let second = store.create(&key("kept.bin"), &CreateOptions::default()).await;
    assert!(second.err().unwrap().is_already_exists());
    assert_eq!(get(store, "kept.bin").await.unwrap(), b"first");
}

async fn unfinished_uploads_are_not_there(store: &dyn Store) {
    let aborted = key("unfinished/aborted.bin");
    let mut upload = store.create(&aborted, &CreateOptions::default()).await.unwrap();
    upload.write(Bytes::from(vec![1; 3_000_000])).await.unwrap();
    assert!(store.stat(&aborted).await.unwrap_err().is_not_found());
    upload.abort().await.unwrap();
    assert!(store.stat(&aborted).await.unwrap_err().is_not_found());

    let dropped = key("unfinished/dropped.bin");
    let mut upload = store.create(&dropped, &CreateOptions::default()).await.unwrap();
    upload.write(Bytes::from(vec![1; 3_000_000])).await.unwrap();
    drop(upload);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(store.stat(&dropped).await.unwrap_err().is_not_found());
    assert!(list(store, "unfinished").await.unwrap().is_empty());
    // The name is still free.
    put(store, "unfinished/dropped.bin", b"whole").await.unwrap();
}

async fn prefixes_end_at_parts(store: &dyn Store) {
    put(store, "app/one", b"1").await.unwrap();
    put(store, "app/deep/two", b"2").await.unwrap();
    put(store, "app_archive/three", b"3").await.unwrap();
    let listed = list(store, "app").await.unwrap();
    assert_eq!(listed, BTreeSet::from(["app/one".to_owned(), "app/deep/two".to_owned()]));
    assert!(list(store, "").await.unwrap().is_superset(&listed));
    assert!(list(store, "nothing/here").await.unwrap().is_empty());
}

async fn deletes_exactly(store: &dyn Store) {
    put(store, "delete/a", b"a").await.unwrap();
    put(store, "delete/ab", b"ab").await.unwrap();
    store.delete(&key("delete/a")).await.unwrap();
    store.delete(&key("delete/a")).await.unwrap();
    store.delete(&key("delete/never-there")).await.unwrap();
    assert_eq!(list(store, "delete").await.unwrap(), BTreeSet::from(["delete/ab".to_owned()]));
}

async fn sweeps_nothing_finished(store: &dyn Store) {
    let before = list(store, "").await.unwrap();
    let later = SystemTime::now() + Duration::from_secs(3_600);
    store.sweep(&Prefix::root(), Duration::ZERO, later).await.unwrap();
    assert_eq!(list(store, "").await.unwrap(), before);
}

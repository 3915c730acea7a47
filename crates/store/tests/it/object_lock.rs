//! Object Lock, against a service that knows it.

use jiff::{SignedDuration, Timestamp};
use store::{Key, LockMode, S3, Store as _, StoreErrorKind};

use crate::{
    conformance::{self, get, put},
    moto::{LOCKED, Moto, PLAIN, lock},
};

fn days_from_now(until: Timestamp) -> f64 {
    until.duration_since(Timestamp::now()).as_secs_f64() / 86_400.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_locked_but_for_what_comes_and_goes() {
    let Some(moto) = Moto::start().await else { return };
    for (mode, word) in [(LockMode::Governance, "GOVERNANCE"), (LockMode::Compliance, "COMPLIANCE")]
    {
        let store = S3::open(&moto.config(LOCKED, Some(lock(mode, 30, "locks")))).unwrap();
        assert!(store.has_object_lock().await.unwrap());
        let name = format!("app/{word} ñ.sql");
        // Small, and in parts.
        let big = format!("app/{word}.big");
        put(&store, &name, b"kept").await.unwrap();
        put(&store, &big, &vec![7; 20 << 20]).await.unwrap();
        for name in [&name, &big] {
            let (mode, until) = moto.lock_of(name).await.unwrap();
            assert_eq!(mode, word);
            assert!((29.9..30.1).contains(&days_from_now(until)), "{until}");
        }
        put(&store, &format!("locks/{word}"), b"passing").await.unwrap();
        assert_eq!(moto.lock_of(&format!("locks/{word}")).await, None);
        // The name goes, the bytes do not.
        store.delete(&Key::new(&big).unwrap()).await.unwrap();
        assert!(store.stat(&Key::new(&big).unwrap()).await.unwrap_err().is_not_found());
        assert!(moto.purge(&big).await.contains(&403));
        assert_eq!(get(&store, &name).await.unwrap(), b"kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_knows_no_lock_takes_nothing() {
    let Some(moto) = Moto::start().await else { return };
    let store =
        S3::open(&moto.config(PLAIN, Some(lock(LockMode::Governance, 1, "locks")))).unwrap();
    assert!(!store.has_object_lock().await.unwrap());
    let error = put(&store, "a.sql", b"not locked").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    assert!(store.stat(&Key::new("a.sql").unwrap()).await.unwrap_err().is_not_found());
    let absent = S3::open(&moto.config("no-such-bucket", None)).unwrap();
    assert!(absent.has_object_lock().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_bucket_does_what_every_store_must() {
    let Some(moto) = Moto::start().await else { return };
    let config = moto.config(LOCKED, Some(lock(LockMode::Governance, 1, "locks")));
    conformance::all(std::sync::Arc::new(S3::open(&config).unwrap())).await;
    let until = moto.lock_of("round/trip.bin").await.unwrap().1;
    assert!(until > Timestamp::now() + SignedDuration::from_hours(23));
}

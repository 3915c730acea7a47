//! Object Lock, against a service that knows it.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use store::{Key, LockMode, S3, Store as _, StoreConfig, StoreErrorKind};

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

/// Only ever to a later moment, and never in a weaker mode.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_prolonged_and_never_shortened() {
    let Some(moto) = Moto::start().await else { return };
    let at = |mode, days| {
        let config = StoreConfig::S3(moto.config(LOCKED, Some(lock(mode, days, "locks"))));
        store::open(config)
    };
    let days = |n: i64| SystemTime::from(Timestamp::now() + SignedDuration::from_hours(24 * n));
    for (mode, word) in [(LockMode::Governance, "GOVERNANCE"), (LockMode::Compliance, "COMPLIANCE")]
    {
        let store = at(mode, 10).await.unwrap();
        let locking = store.locking().unwrap();
        assert_eq!(locking.length(), Duration::from_secs(10 * 86_400));
        let name = format!("app/{word} ñ.pack");
        let key = Key::new(&name).unwrap();
        put(store.as_ref(), &name, b"kept").await.unwrap();
        assert_eq!(locking.lock_of(&key).await.unwrap().unwrap().mode, mode);

        // Long enough already: nothing is asked for.
        let same = locking.prolong(&key, days(9), days(90)).await.unwrap();
        assert!(!same.is_longer);
        assert!((9.9..10.1).contains(&days_from_now(moto.lock_of(&name).await.unwrap().1)));

        let longer = locking.prolong(&key, days(12), days(15)).await.unwrap();
        let (told, until) = moto.lock_of(&name).await.unwrap();
        assert!(longer.is_longer && told == word, "{longer:?} {told}");
        assert!((14.9..15.1).contains(&days_from_now(until)), "{until}");
        assert_eq!(SystemTime::from(until), longer.until);

        // A destination with fewer days, or a weaker word, takes nothing back.
        let weaker = at(LockMode::Governance, 1).await.unwrap();
        let weaker = weaker.locking().unwrap();
        assert!(!weaker.prolong(&key, days(1), days(2)).await.unwrap().is_longer);
        assert!(weaker.prolong(&key, days(20), days(20)).await.unwrap().is_longer);
        let (told, until) = moto.lock_of(&name).await.unwrap();
        assert_eq!(told, word);
        assert!((19.9..20.1).contains(&days_from_now(until)), "{until}");
    }
    // What was written before anything was locked.
    let plain = S3::open(&moto.config(LOCKED, None)).unwrap();
    assert!(plain.locking().is_none());
    put(&plain, "old.pack", b"kept").await.unwrap();
    assert_eq!(moto.lock_of("old.pack").await, None);
    let store = at(LockMode::Compliance, 10).await.unwrap();
    let locking = store.locking().unwrap();
    assert_eq!(locking.lock_of(&Key::new("old.pack").unwrap()).await.unwrap(), None);
    let old = Key::new("old.pack").unwrap();
    assert!(locking.prolong(&old, days(3), days(4)).await.unwrap().is_longer);
    assert_eq!(moto.lock_of("old.pack").await.unwrap().0, "COMPLIANCE");
    let absent = Key::new("no.pack").unwrap();
    assert!(locking.prolong(&absent, days(3), days(4)).await.unwrap_err().is_not_found());
}

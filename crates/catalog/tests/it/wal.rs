//! Archives of WAL, on either database.

use catalog::{Catalog, CatalogError};
use jiff::{SignedDuration, Timestamp};
use model::{AppId, ArchiveStanding, Lsn, RestorePoint, WalPiece, WalPieceKind, WalPieceState};
use secrecy::SecretString;

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn piece(app_id: AppId, number: u64) -> WalPiece {
    WalPiece {
        app_id,
        system: "7412345678901234567".to_owned(),
        timeline: 1,
        kind: WalPieceKind::Segment,
        name: format!("0000000100000000{number:08X}"),
        start: Lsn(number << 24),
        end: Lsn((number + 1) << 24),
        segment_bytes: 1 << 24,
        hash: "0123456789abcdef".to_owned(),
        key: format!("wal/{number}"),
        stored_bytes: 7,
        stored_at: now(),
        modified_at: None,
        last_commit: Some(now()),
        history: None,
        state: WalPieceState::Good,
    }
}

pub(crate) async fn pieces_are_kept_by_object(url: &SecretString) {
    let catalog = Catalog::open(url, 4).await.unwrap();
    let app = AppId::generate(now(), &mut rand::rng());
    let other = AppId::generate(now(), &mut rand::rng());
    for number in [3, 1, 2] {
        catalog.put_wal(&piece(app, number)).await.unwrap();
    }
    catalog.put_wal(&piece(other, 1)).await.unwrap();
    let changed = WalPiece { state: WalPieceState::Missing, ..piece(app, 2) };
    catalog.put_wal(&changed).await.unwrap();
    let all = catalog.wal_of_app(app).await.unwrap();
    assert_eq!(all, [piece(app, 1), changed.clone(), piece(app, 3)]);
    assert_eq!(
        catalog.wal_named(app, &changed.name).await.unwrap(),
        std::slice::from_ref(&changed)
    );
    catalog.forget_wal(app, std::slice::from_ref(&changed.key)).await.unwrap();
    assert_eq!(catalog.wal_of_app(app).await.unwrap().len(), 2);
    assert_eq!(catalog.wal_of_app(other).await.unwrap().len(), 1);
    let standing = ArchiveStanding { stored_to: Some(Lsn(9)), ..ArchiveStanding::default() };
    assert_eq!(catalog.wal_standing(app).await.unwrap(), None);
    for _ in 0..2 {
        catalog.set_wal_standing(app, &standing).await.unwrap();
    }
    assert_eq!(catalog.wal_standing(app).await.unwrap(), Some(standing));
    let point = RestorePoint {
        name: "before".to_owned(),
        at: Lsn(5),
        made_at: now(),
        system: "1".to_owned(),
        timeline: 1,
    };
    catalog.add_restore_point(app, &point).await.unwrap();
    let again = catalog.add_restore_point(app, &point).await;
    assert!(matches!(again, Err(CatalogError::NameTaken { .. })), "{again:?}");
    assert_eq!(catalog.restore_points(app).await.unwrap(), std::slice::from_ref(&point));
    catalog.forget_restore_point(app, &point.name).await.unwrap();
    assert!(catalog.restore_points(app).await.unwrap().is_empty());
}

pub(crate) async fn one_orchestrator_receives(url: &SecretString) {
    let catalog = Catalog::open(url, 4).await.unwrap();
    let app = AppId::generate(now(), &mut rand::rng());
    let lease = SignedDuration::from_secs(30);
    let take = |owner: &'static str, after: i64| {
        let at = now() + SignedDuration::from_secs(after);
        let catalog = &catalog;
        async move { catalog.take_receiver(app, owner, at, lease).await.unwrap() }
    };
    let first = take("one", 0).await.unwrap();
    assert_eq!(take("two", 10).await, None);
    assert_eq!(take("one", 20).await, Some(first));
    assert_eq!(take("two", 45).await, None);
    let second = take("two", 60).await.unwrap();
    assert!(second > first);
    let at = now() + SignedDuration::from_secs(61);
    assert!(catalog.holds_receiver(app, second, at).await.unwrap());
    assert!(!catalog.holds_receiver(app, first, at).await.unwrap());
    catalog.leave_receiver(app, first).await.unwrap();
    assert_eq!(take("one", 61).await, None);
    catalog.leave_receiver(app, second).await.unwrap();
    assert!(take("one", 61).await.unwrap() > second);
}

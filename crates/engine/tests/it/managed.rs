//! What is declared is brought about once, and never takes what is somebody's.

use engine::{AppDraft, BindingDraft, DeclareError, Declared, EngineError, Entry};
use model::{ManagedBy, SourceKind};

use crate::world::{TOKEN, World, local, quick};

const BY: ManagedBy = ManagedBy::File;

fn declared(world: &World, name: &str, token: &str) -> Declared {
    let app = AppDraft {
        name: name.to_owned(),
        url: world.server.url(),
        token: Some(token.into()),
        destinations: vec![BindingDraft {
            destination: "tape".to_owned(),
            ..BindingDraft::default()
        }],
        ..AppDraft::default()
    };
    Declared {
        destinations: vec![local("tape", &world.folder.path().join("tape"))],
        apps: vec![app],
        ..Declared::default()
    }
}

#[tokio::test]
async fn a_declaration_is_brought_about_once() {
    let world = World::with(&["disk"], quick("one")).await;
    let (engine, catalog) = (&world.engine, world.engine.catalog());
    let first = declared(&world, "store", TOKEN);
    let told = engine.try_declared(BY, &first).await.unwrap();
    assert_eq!(told.added, ["tape", "store"]);
    assert!(catalog.app_by_name("store").await.is_err(), "a try changes nothing");
    assert_eq!(engine.reconcile(BY, &first).await.unwrap(), told);
    let again = engine.reconcile(BY, &first).await.unwrap();
    assert!(!again.is_change(), "{again:?}");
    assert_eq!(catalog.app_by_name("store").await.unwrap().version, 1);

    // Another token is a rotation, as it is by hand.
    let rotated = declared(&world, "store", "another-token-of-it");
    assert_eq!(engine.reconcile(BY, &rotated).await.unwrap().changed, ["store"]);
    let app = catalog.app_by_name("store").await.unwrap();
    let SourceKind::Contract(server) = &app.sources[0].kind else { panic!("a contract") };
    assert!(server.previous_token.is_some());
    assert!(!engine.reconcile(BY, &rotated).await.unwrap().is_change());

    // By hand it is not changed; labels do not take what a file declares.
    let by_hand = engine.set_app_enabled(&app, false).await.unwrap_err();
    assert!(matches!(by_hand, EngineError::Conflict(_)), "{by_hand}");
    let by_labels = engine.reconcile(ManagedBy::Labels, &rotated).await.unwrap_err();
    assert!(matches!(by_labels, DeclareError::Wrong(_)), "{by_labels}");

    // Let go, changed by somebody, and theirs from then on.
    let gone = Declared::default();
    assert_eq!(engine.reconcile(BY, &gone).await.unwrap().released, ["store", "tape"]);
    let app = catalog.app_by_name("store").await.unwrap();
    assert!(!app.enabled && app.managed_by.is_none());
    engine.set_app_enabled(&app, true).await.unwrap();
    let Err(DeclareError::Wrong(wrong)) = engine.reconcile(BY, &rotated).await else {
        panic!("it was taken")
    };
    assert_eq!(wrong.len(), 1, "the destination comes back, nobody has touched it: {wrong:?}");
    assert_eq!(wrong[0].0, Entry::App(0));
    assert!(catalog.app_by_name("store").await.unwrap().managed_by.is_none());
}

#[tokio::test]
async fn one_fault_stops_all_of_it() {
    let world = World::with(&["disk"], quick("one")).await;
    let mut both = declared(&world, "store", TOKEN);
    both.apps.push(AppDraft { name: "SHOP".to_owned(), ..both.apps[0].clone() });
    both.apps.push(both.apps[0].clone());
    both.destinations.push(local("relative", std::path::Path::new("/x")));
    both.destinations[1].settings.insert("nonsense".to_owned(), "x".to_owned());
    let Err(DeclareError::Wrong(wrong)) = world.engine.reconcile(BY, &both).await else {
        panic!("it was taken")
    };
    let entries: Vec<_> = wrong.iter().map(|(entry, _)| *entry).collect();
    assert_eq!(entries, [Entry::Destination(1), Entry::App(1), Entry::App(2)], "{wrong:?}");
    assert!(world.engine.catalog().app_by_name("store").await.is_err());
    assert!(world.engine.catalog().destination_by_name("tape").await.is_err());
}

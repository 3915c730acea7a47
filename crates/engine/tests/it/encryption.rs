//! Destinations that are encrypted for themselves.

use engine::{CheckState, DestinationDraft, EngineError};
use model::{CopyState, Destination, FailureCode, RunState, Snapshot};
use secrecy::{ExposeSecret as _, SecretString};

use crate::world::{World, local, sample};

/// Makes `vault` encrypted; gives the identity that was made for it.
async fn encrypt(world: &World) -> SecretString {
    let current = destination(world).await;
    let mut draft = local("vault", &world.folder.path().join("vault"));
    draft.settings.insert("encryption".into(), "age".into());
    let identity = draft.generate_identity(Some(&current)).unwrap();
    edit(world, draft).await;
    identity
}

async fn destination(world: &World) -> Destination {
    world.engine.catalog().destination_by_name("vault").await.unwrap()
}

async fn edit(world: &World, draft: DestinationDraft) {
    let current = destination(world).await;
    world.engine.edit_destination(current.id, current.version, draft).await.unwrap();
}

/// The draft that leaves all as it is.
async fn same(world: &World) -> DestinationDraft {
    let current = destination(world).await;
    DestinationDraft {
        name: "vault".into(),
        settings: current.settings,
        ..DestinationDraft::default()
    }
}

async fn set_identity(world: &World, identity: Option<&SecretString>) {
    let mut draft = same(world).await;
    match identity {
        Some(text) => _ = draft.secrets.insert("age_identity".into(), text.clone()),
        None => draft.forget_secrets = vec!["age_identity".into()],
    }
    edit(world, draft).await;
}

async fn read(world: &World, snapshot: &Snapshot) -> Result<Vec<u8>, EngineError> {
    use futures::TryStreamExt as _;
    let id = destination(world).await.id;
    let source = snapshot.artifacts[0].source.to_string();
    let stream = world.engine.read_artifact(snapshot, &source, Some(id)).await?;
    Ok(stream.try_collect::<Vec<_>>().await?.concat())
}

async fn state(world: &World, snapshot: &Snapshot) -> CopyState {
    let id = destination(world).await.id;
    let snapshot = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
    snapshot.copies.iter().find(|copy| copy.destination_id == id).unwrap().state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_destinations_is_encrypted_and_both_verify_and_restore() {
    let world = World::new(&["disk", "vault"]).await;
    let identity = encrypt(&world).await;
    let snapshot = world.good_snapshot().await;
    assert_eq!(world.server.exports(), 1);
    let verify = world.engine.verify_now(snapshot.id, None).await.unwrap();
    let verify = world.ended(&verify).await;
    assert_eq!(verify.state, RunState::Succeeded, "{:?}", verify.failure);
    assert_eq!(world.restored(&snapshot).await, sample(1));
    assert_eq!(read(&world, &snapshot).await.unwrap(), sample(1));

    let (plain, sealed) = (world.files("disk"), world.files("vault"));
    assert!(!plain.iter().any(|file| file.extension().is_some_and(|e| e == "age")), "{plain:?}");
    let object = sealed.iter().find(|file| file.extension().is_some_and(|e| e == "age")).unwrap();
    assert!(std::fs::read(object).unwrap().starts_with(b"age-encryption.org/v1\n"));
    // Neither the files nor the logs nor the catalog's words tell the identity.
    let mut told = world.everything_told().await;
    for file in plain.iter().chain(&sealed) {
        told += &String::from_utf8_lossy(&std::fs::read(file).unwrap());
    }
    let now = destination(&world).await;
    told = format!("{told}{}", format_args!("{now:?}{}", serde_json::to_string(&now).unwrap()));
    assert!(told.contains("sha256:"), "the manifest names the recipients' fingerprints");
    assert!(!told.contains(identity.expose_secret()) && !told.contains("AGE-SECRET-KEY"));
    let report = world.engine.doctor_destination(&now).await.unwrap();
    assert!(report.checks.iter().any(|c| c.id == "encryption" && c.state == CheckState::Ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_identity_runs_go_on_and_what_cannot_be_checked_is_told() {
    let world = World::new(&["vault"]).await;
    let identity = encrypt(&world).await;
    set_identity(&world, None).await;
    let snapshot = world.good_snapshot().await;
    let report = world.engine.doctor_destination(&destination(&world).await).await.unwrap();
    assert!(report.is_well());
    assert!(report.checks.iter().any(|c| c.id == "encryption" && c.state == CheckState::Warning));

    let verify = world.engine.verify_now(snapshot.id, None).await.unwrap();
    let verify = world.ended(&verify).await;
    assert_eq!(verify.state, RunState::Succeeded, "{:?}", verify.failure);
    assert!(world.everything_told().await.contains("could not be checked"));
    let error = read(&world, &snapshot).await.unwrap_err();
    assert!(matches!(error, EngineError::Locked(_)), "{error}");
    assert!(error.to_string().contains("enter the age identity"), "{error}");

    // Another's identity: a failure that says so, and no mark on the copy.
    let mut stranger = local("x", world.folder.path());
    stranger.settings.insert("encryption".into(), "age".into());
    let wrong = stranger.generate_identity(None).unwrap();
    let mut draft = same(&world).await;
    let recipients = draft.settings.remove("age_recipients").unwrap();
    draft.secrets.insert("age_identity".into(), wrong);
    edit(&world, draft).await;
    let verify = world.engine.verify_now(snapshot.id, None).await.unwrap();
    let verify = world.ended(&verify).await;
    assert_eq!(verify.state, RunState::Failed);
    assert_eq!(verify.failure.unwrap().code, FailureCode::SecretUnreadable);
    assert_eq!(state(&world, &snapshot).await, CopyState::Good);
    let error = read(&world, &snapshot).await.unwrap_err();
    assert!(matches!(error, EngineError::Locked(_)), "{error}");

    // Damage is damage, whatever the key.
    let sealed = world.files("vault");
    let object = sealed.iter().find(|file| file.extension().is_some_and(|e| e == "age")).unwrap();
    let whole = std::fs::read(object).unwrap();
    let mut bytes = whole.clone();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(object, bytes).unwrap();
    let verify = world.engine.verify_now(snapshot.id, None).await.unwrap();
    assert_eq!(world.ended(&verify).await.failure.unwrap().code, FailureCode::Damaged);
    assert_eq!(state(&world, &snapshot).await, CopyState::Damaged);
    std::fs::write(object, whole).unwrap();

    // Given back, the key opens it.
    let mut draft = same(&world).await;
    draft.settings.insert("age_recipients".into(), recipients);
    draft.secrets.insert("age_identity".into(), identity);
    edit(&world, draft).await;
    let verify = world.engine.verify_now(snapshot.id, None).await.unwrap();
    assert_eq!(world.ended(&verify).await.state, RunState::Succeeded);
    let snapshot = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
    assert_eq!(read(&world, &snapshot).await.unwrap(), sample(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_sealed_for_where_they_go() {
    let world = World::new(&["disk", "vault"]).await;
    let identity = encrypt(&world).await;
    let blocker = world.folder.path().join("vault/apps");
    std::fs::write(&blocker, "in the way").unwrap();
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::PartiallyFailed);
    std::fs::remove_file(&blocker).unwrap();
    let vault = destination(&world).await;
    let id = run.snapshot_id.unwrap();
    let copy = world.engine.copy_now(id, vault.id).await.unwrap();
    let copy = world.ended(&copy).await;
    assert_eq!(copy.state, RunState::Succeeded, "{:?}", copy.failure);
    let snapshot = world.engine.catalog().snapshot(id).await.unwrap();
    assert!(snapshot.copies.iter().any(model::StoredCopy::is_encrypted));
    assert_eq!(read(&world, &snapshot).await.unwrap(), sample(1));

    // And back to where nothing is encrypted, from the encrypted one alone.
    let third = local("third", &world.folder.path().join("third"));
    let third = world.engine.add_destination(third).await.unwrap();
    for file in world.files("disk") {
        std::fs::remove_file(file).unwrap();
    }
    let verify = world.engine.verify_now(id, None).await.unwrap();
    world.ended(&verify).await;
    set_identity(&world, None).await;
    let refused = world.engine.copy_now(id, third.id).await.unwrap();
    let refused = world.ended(&refused).await.failure.unwrap();
    assert_eq!(refused.code, FailureCode::SecretUnreadable, "{refused:?}");
    set_identity(&world, Some(&identity)).await;
    let copy = world.engine.copy_now(id, third.id).await.unwrap();
    let copy = world.ended(&copy).await;
    assert_eq!(copy.state, RunState::Succeeded, "{:?}", copy.failure);
    let verify = world.engine.verify_now(id, Some(third.id)).await.unwrap();
    assert_eq!(world.ended(&verify).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_contradict_each_other_are_refused() {
    let world = World::new(&["vault"]).await;
    let base = || {
        let mut draft = local("new", &world.folder.path().join("new"));
        draft.settings.insert("encryption".into(), "age".into());
        draft
    };
    let mut both = base();
    both.generate_identity(None).unwrap();
    both.secrets.insert("age_passphrase".into(), "canary words".into());
    let mut word = base();
    word.settings.insert("encryption".into(), "rot13".into());
    let mut nonsense = base();
    nonsense.settings.insert("age_recipients".into(), "age1nonsense".into());
    let mut stranger = base();
    stranger.generate_identity(None).unwrap();
    let mut other = base();
    stranger.secrets.insert("age_identity".into(), other.generate_identity(None).unwrap());
    for wrong in [base(), both, word, nonsense, stranger] {
        let error = world.engine.add_destination(wrong).await.unwrap_err();
        assert!(matches!(error, EngineError::Invalid(_)), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let mut phrase = base();
    phrase.secrets.insert("age_passphrase".into(), "canary words".into());
    assert!(phrase.generate_identity(None).is_none());
    world.engine.add_destination(phrase).await.unwrap();
}

//! Users, sessions, tokens and the audit log, on either database.

use catalog::{AuditQuery, Catalog, CatalogError};
use jiff::{SignedDuration, Timestamp};
use model::{
    ApiToken, AuditEntry, AuditId, Identity, PasswordHash, Role, Scope, Session, SessionId,
    TokenId, User, UserId,
};
use secrecy::SecretString;

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn later(secs: i64) -> Timestamp {
    now() + SignedDuration::from_secs(secs)
}

async fn open(url: &SecretString) -> Catalog {
    Catalog::open(url, 8).await.unwrap()
}

fn user(name: &str, role: Role) -> User {
    User {
        id: UserId::generate(now(), &mut rand::rng()),
        name: name.parse().unwrap(),
        password_hash: PasswordHash::from_phc("$argon2id$x".to_owned()),
        role,
        second_factor: None,
        unconfirmed_factor: None,
        identity: None,
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

fn session(of: &User, secret: &str, seen_at: Timestamp) -> Session {
    Session {
        id: SessionId::generate(now(), &mut rand::rng()),
        user_id: of.id,
        secret_sha256: secret.to_owned(),
        from: "10.0.0.1".to_owned(),
        browser: "Firefox, Linux".to_owned(),
        by_provider: false,
        created_at: now(),
        seen_at,
    }
}

pub(crate) async fn users_are_kept_and_their_names_unique(url: &SecretString) {
    let catalog = open(url).await;
    let ana = user("Ana", Role::Admin);
    catalog.insert_user(&ana).await.unwrap();
    let again = catalog.insert_user(&user("ANA", Role::Viewer)).await;
    assert!(matches!(again, Err(CatalogError::NameTaken { what: "user", .. })));
    assert_eq!(catalog.user_by_name("aNa").await.unwrap(), ana);
    assert_eq!(catalog.user(ana.id).await.unwrap(), ana);
    let hash = PasswordHash::from_phc("$argon2id$y".to_owned());
    let next = User { password_hash: hash, ..ana.clone() };
    let next = catalog.update_user(&next, later(1)).await.unwrap();
    assert_eq!((next.version, next.updated_at), (2, later(1)));
    assert!(matches!(catalog.update_user(&ana, later(2)).await, Err(CatalogError::Stale { .. })));
    assert_eq!(catalog.all_users().await.unwrap(), [next]);
    assert!(matches!(catalog.user_by_name("bo").await, Err(CatalogError::NotFound { .. })));
}

pub(crate) async fn an_admin_is_always_left(url: &SecretString) {
    let catalog = open(url).await;
    let (ana, bo) = (user("ana", Role::Admin), user("bo", Role::Operator));
    catalog.insert_user(&ana).await.unwrap();
    catalog.insert_user(&bo).await.unwrap();
    let demoted = User { role: Role::Viewer, ..ana.clone() };
    let refused = catalog.update_user(&demoted, now()).await;
    assert!(matches!(refused, Err(CatalogError::LastAdmin { .. })));
    assert!(matches!(catalog.remove_user(&ana).await, Err(CatalogError::LastAdmin { .. })));
    let bo = catalog.update_user(&User { role: Role::Admin, ..bo }, now()).await.unwrap();
    // Each demotes the other at once: one of them must fail.
    let tasks = [ana.clone(), bo.clone()].map(|one| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            catalog.update_user(&User { role: Role::Viewer, ..one }, now()).await.is_ok()
        })
    });
    let mut done = 0;
    for task in tasks {
        done += usize::from(task.await.unwrap());
    }
    assert_eq!(done, 1);
    let all = catalog.all_users().await.unwrap();
    let demoted = all.iter().find(|one| one.role == Role::Viewer).unwrap();
    catalog.remove_user(demoted).await.unwrap();
    assert_eq!(catalog.all_users().await.unwrap().len(), 1);
}

pub(crate) async fn a_login_elsewhere_belongs_to_one_user(url: &SecretString) {
    let catalog = open(url).await;
    let identity = |issuer: &str, subject: &str| Identity {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
    };
    let linked = |name: &str, subject: &str| User {
        identity: Some(identity("https://login.example", subject)),
        ..user(name, Role::Admin)
    };
    let (ana, bo) = (linked("ana", "1"), linked("bo", "2"));
    catalog.insert_user(&ana).await.unwrap();
    catalog.insert_user(&bo).await.unwrap();
    let again = catalog.insert_user(&linked("eve", "1")).await;
    assert!(matches!(again, Err(CatalogError::IdentityTaken { by }) if by == "ana"));
    let stolen = User { identity: ana.identity.clone(), ..bo.clone() };
    let stolen = catalog.update_user(&stolen, now()).await;
    assert!(matches!(stolen, Err(CatalogError::IdentityTaken { .. })));
    let found = async |issuer, subject| {
        catalog.user_by_identity(&identity(issuer, subject)).await.unwrap().map(|user| user.id)
    };
    assert_eq!(found("https://login.example", "1").await, Some(ana.id));
    assert_eq!(found("https://other.example", "1").await, None);
    assert_eq!(found("https://login.example", "3").await, None);
    let ana = catalog.update_user(&User { identity: None, ..ana }, now()).await.unwrap();
    catalog.update_user(&User { identity: bo.identity, ..ana }, now()).await.unwrap_err();
}

pub(crate) async fn sessions_end_when_they_are_told_to(url: &SecretString) {
    let catalog = open(url).await;
    let (ana, bo) = (user("ana", Role::Admin), user("bo", Role::Viewer));
    catalog.insert_user(&ana).await.unwrap();
    catalog.insert_user(&bo).await.unwrap();
    let long_ago = later(-1_000);
    let first = session(&ana, "one", now());
    let others = [session(&ana, "two", now()), session(&bo, "three", later(-5))];
    for one in [&first, &others[0], &others[1]] {
        catalog.insert_session(one, long_ago, long_ago).await.unwrap();
    }
    let found = |secret| catalog.session_by_digest(secret);
    assert_eq!(found("one").await.unwrap(), Some(first.clone()));
    assert_eq!(catalog.session(first.id).await.unwrap(), first);
    catalog.touch_session(&first, later(60)).await.unwrap();
    let ids = |all: Vec<Session>| all.into_iter().map(|one| one.id).collect::<Vec<_>>();
    let of_ana = ids(catalog.sessions_of(ana.id).await.unwrap());
    assert_eq!(of_ana, [first.id, others[0].id], "the one last used first");
    let all = ids(catalog.all_sessions().await.unwrap());
    assert_eq!(all, [first.id, others[0].id, others[1].id]);
    catalog.end_other_sessions(bo.id, others[1].id).await.unwrap();
    assert_eq!(catalog.all_sessions().await.unwrap().len(), 3, "another's stay");
    assert_eq!(found("one").await.unwrap().unwrap().seen_at, later(60));
    catalog.end_session(first.id).await.unwrap();
    catalog.end_session(first.id).await.unwrap();
    assert_eq!(found("one").await.unwrap(), None);
    catalog.end_sessions_of(ana.id).await.unwrap();
    assert_eq!(found("two").await.unwrap(), None);
    assert!(matches!(catalog.session(first.id).await, Err(CatalogError::NotFound { .. })));
    assert!(found("three").await.unwrap().is_some());
    // A login sweeps out what was last used too long ago.
    catalog.insert_session(&session(&ana, "four", now()), later(-1), long_ago).await.unwrap();
    assert_eq!(found("three").await.unwrap(), None);
    catalog.insert_session(&session(&bo, "five", now()), long_ago, long_ago).await.unwrap();
    catalog.remove_user(&bo).await.unwrap();
    assert_eq!(found("five").await.unwrap(), None, "gone with its user");
}

pub(crate) async fn what_was_refused_stands_in_nobodys_way(url: &SecretString) {
    let catalog = open(url).await;
    let token = ApiToken {
        id: TokenId::generate(now(), &mut rand::rng()),
        name: "ci".parse().unwrap(),
        secret_sha256: "digest".to_owned(),
        scopes: vec![Scope::Read],
        apps: Vec::new(),
        created_by: "ana".to_owned(),
        created_at: now(),
        expires_at: None,
        last_used_at: None,
    };
    for _ in 0..100 {
        // It has written nothing, and is still rolled back when the next one begins.
        assert!(matches!(catalog.remove_token(&token).await, Err(CatalogError::NotFound { .. })));
        catalog.insert_token(&token).await.unwrap();
        catalog.remove_token(&token).await.unwrap();
    }
}

pub(crate) async fn tokens_are_found_by_digest_until_revoked(url: &SecretString) {
    let catalog = open(url).await;
    let token = |name: &str, digest: &str| ApiToken {
        id: TokenId::generate(now(), &mut rand::rng()),
        name: name.parse().unwrap(),
        secret_sha256: digest.to_owned(),
        scopes: vec![Scope::Read, Scope::Append],
        apps: Vec::new(),
        created_by: "ana".to_owned(),
        created_at: now(),
        expires_at: Some(later(5)),
        last_used_at: None,
    };
    let first = token("ci", "digest");
    catalog.insert_token(&first).await.unwrap();
    let again = catalog.insert_token(&token("CI", "other")).await;
    assert!(matches!(again, Err(CatalogError::NameTaken { what: "token", .. })));
    assert_eq!(catalog.token_by_digest("digest").await.unwrap(), Some(first.clone()));
    assert_eq!(catalog.token_by_name("Ci").await.unwrap(), first);
    assert_eq!(catalog.all_tokens().await.unwrap(), std::slice::from_ref(&first));
    catalog.touch_token(&first, later(60)).await.unwrap();
    let used = catalog.token_by_name("ci").await.unwrap();
    assert_eq!(used, ApiToken { last_used_at: Some(later(60)), ..first.clone() });
    catalog.remove_token(&first).await.unwrap();
    assert_eq!(catalog.token_by_digest("digest").await.unwrap(), None);
    assert!(matches!(catalog.remove_token(&first).await, Err(CatalogError::NotFound { .. })));
    catalog.touch_token(&first, later(61)).await.unwrap();
    assert!(catalog.all_tokens().await.unwrap().is_empty(), "a revoked one stays away");
    catalog.insert_token(&token("ci", "new")).await.unwrap();
}

pub(crate) async fn the_audit_log_tells_the_newest_first(url: &SecretString) {
    let catalog = open(url).await;
    for (n, who) in [(0, "ana"), (1, "bo"), (2, "ana")] {
        let entry = AuditEntry {
            id: AuditId::generate(later(n), &mut rand::rng()),
            at: later(n),
            who: who.to_owned(),
            from: "10.0.0.1".to_owned(),
            action: "login".to_owned(),
            target: n.to_string(),
            detail: String::new(),
        };
        catalog.append_audit(&entry).await.unwrap();
    }
    let targets = async |query: AuditQuery| -> Vec<String> {
        catalog.audit(&query).await.unwrap().into_iter().map(|one| one.target).collect()
    };
    assert_eq!(
        targets(AuditQuery { limit: u64::MAX, ..Default::default() }).await,
        ["2", "1", "0"]
    );
    let query =
        AuditQuery { who: Some("ana".to_owned()), offset: 1, limit: 5, ..Default::default() };
    assert_eq!(targets(query).await, ["0"]);
}

pub(crate) async fn the_audit_log_is_filtered(url: &SecretString) {
    let catalog = open(url).await;
    let entry = |n: i64, action: &str, detail: &str| AuditEntry {
        id: AuditId::generate(later(n), &mut rand::rng()),
        at: later(n),
        who: "ana".to_owned(),
        from: String::new(),
        action: action.to_owned(),
        target: n.to_string(),
        detail: detail.to_owned(),
    };
    // What an entry says elsewhere is no action.
    let forged = r#"","action":"app.run","x":""#;
    for (n, action, detail) in [
        (0, "app.add", ""),
        (1, "app.run", ""),
        (2, "app", ""),
        (3, "apple.eat", ""),
        (4, "login", forged),
        (5, "app_run", ""),
    ] {
        catalog.append_audit(&entry(n, action, detail)).await.unwrap();
    }
    let found = async |query: AuditQuery| -> Vec<String> {
        let query = AuditQuery { limit: 500, ..query };
        catalog.audit(&query).await.unwrap().into_iter().map(|one| one.target).collect()
    };
    let action = |text: &str| AuditQuery { action: Some(text.to_owned()), ..Default::default() };
    assert_eq!(found(action("app.run")).await, ["1"]);
    assert_eq!(found(action("app")).await, ["2", "1", "0"]);
    for none in ["ap", "app.", "%", "a\"", "'", "\\", "_pp"] {
        assert_eq!(found(action(none)).await, [""; 0], "{none}");
    }
    let between = AuditQuery { from: Some(later(1)), to: Some(later(3)), ..Default::default() };
    assert_eq!(found(between.clone()).await, ["2", "1"]);
    let both = AuditQuery { who: Some("ana".to_owned()), ..action("app") };
    assert_eq!(found(AuditQuery { to: between.to, from: between.from, ..both }).await, ["2", "1"]);
    let first = catalog.audit(&AuditQuery { limit: 4, ..Default::default() }).await.unwrap();
    let last = first.last().unwrap();
    let rest = AuditQuery { after: Some((last.at, last.id)), ..Default::default() };
    assert_eq!(found(rest).await, ["1", "0"]);
}

//! Who is let in, how, and what is said to those who are not.

use replication::{Connection, Error, Problem, Settings, Tls};

use crate::cluster::Cluster;

/// The default only since 14.
const SCRAM: &str = "ALTER ROLE postgres SET password_encryption = 'scram-sha-256'";

async fn refused(settings: &Settings) -> Error {
    match Connection::open(settings).await {
        Ok(_) => panic!("it was let in"),
        Err(error) => error,
    }
}

fn says(error: &Error, problem: Problem, words: &[&str]) {
    let server = error.server().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(server.problem, problem, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "\"{word}\" is missing: {error}");
    }
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let Some(cluster) = Cluster::start(&["--auth=trust"]) else { return };
    cluster.sql(SCRAM);
    cluster.sql("CREATE ROLE \"o'dd \"\"one\" LOGIN REPLICATION PASSWORD 'right'");
    cluster.sql("CREATE ROLE plain LOGIN PASSWORD 'right'");
    let hba = cluster.data().join("pg_hba.conf");
    std::fs::write(&hba, "host all all 127.0.0.1/32 trust\nlocal replication all scram-sha-256\n")
        .unwrap();
    cluster.owned(&hba);
    cluster.sql("SELECT pg_reload_conf()");

    let role = "o'dd \"one";
    let error = refused(&cluster.settings_as(role)).await;
    says(&error, Problem::NotAdmitted, &["host replication", "pg_reload_conf", "\"o'dd \"\"one\""]);
    assert!(!error.is_retryable());

    let mut settings = cluster.socket(role);
    settings.password = Some("wrong".to_owned().into());
    let error = refused(&settings).await;
    says(&error, Problem::Password, &["ALTER ROLE \"o'dd \"\"one\" PASSWORD", "28P01"]);
    assert!(!format!("{error:?} {error}").contains("wrong"), "{error:?}");
    settings.password = None;
    assert!(matches!(refused(&settings).await, Error::Authentication(_)));

    let mut settings = cluster.socket("plain");
    settings.password = Some("right".to_owned().into());
    let error = refused(&settings).await;
    says(&error, Problem::NoReplicationRight, &["ALTER ROLE \"plain\" REPLICATION;"]);

    cluster.down("fast");
    let error = refused(&cluster.settings()).await;
    assert!(matches!(error, Error::Network { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn passwords_and_tls() {
    let Some(cluster) = Cluster::start(&["--auth=trust"]) else { return };
    let mut authority = rcgen::CertificateParams::new(vec![]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    for (file, text) in [("server.crt", leaf.pem()), ("server.key", key.serialize_pem())] {
        let path = cluster.data().join(file);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        cluster.owned(&path);
    }
    cluster.sql("SET password_encryption = 'md5'; CREATE ROLE old LOGIN REPLICATION PASSWORD 'pw'");
    cluster.sql(SCRAM);
    cluster.sql("CREATE ROLE new LOGIN REPLICATION PASSWORD 'pässword'");
    cluster.sql("CREATE ROLE clear LOGIN REPLICATION PASSWORD 'pw'");
    let hba = cluster.data().join("pg_hba.conf");
    let lines = "host replication old all md5\nhost replication new all scram-sha-256\n\
                 host replication clear all password\nhost all all all trust\n";
    std::fs::write(&hba, lines).unwrap();
    cluster.owned(&hba);
    cluster.sql("SELECT pg_reload_conf()");

    let of = |role: &str, password: &str, tls: Tls| {
        let mut settings = cluster.settings_as(role);
        settings.password = Some(password.to_owned().into());
        settings.tls = tls;
        settings
    };
    // Without TLS at the server.
    for (role, password) in [("old", "pw"), ("new", "pässword")] {
        let open = Connection::open(&of(role, password, Tls::Prefer)).await.unwrap();
        assert!(!open.is_encrypted());
        open.close().await;
    }
    let error = refused(&of("clear", "pw", Tls::Prefer)).await;
    assert!(matches!(&error, Error::Authentication(how) if how.contains("in clear")), "{error}");
    let error = refused(&of("new", "pässword", Tls::Require)).await;
    assert!(matches!(&error, Error::Tls { how, .. } if how.contains("ssl = on")), "{error}");

    // With TLS.
    cluster.configure(&["ssl = on"]);
    cluster.down("fast");
    cluster.up();
    for (role, password) in [("old", "pw"), ("new", "pässword"), ("clear", "pw")] {
        let mut open = Connection::open(&of(role, password, Tls::Prefer)).await.unwrap();
        assert!(open.is_encrypted());
        assert!(open.identify().await.unwrap().system > 0);
        open.close().await;
    }
    // What the server logs of the new one would fail if the binding were wrong.
    let mut strict = of("new", "pässword", Tls::VerifyFull);
    strict.roots = Some(root.clone().into_bytes());
    let error = refused(&strict).await;
    assert!(matches!(&error, Error::Tls { how, .. } if how.contains("verify-ca")), "{error}");
    strict.tls = Tls::VerifyCa;
    assert!(Connection::open(&strict).await.unwrap().is_encrypted());
    strict.tls = Tls::VerifyFull;
    strict.host = replication::Host::Tcp("localhost".into(), cluster.port);
    assert!(Connection::open(&strict).await.unwrap().is_encrypted());
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    for tls in [Tls::Require, Tls::VerifyCa, Tls::VerifyFull] {
        strict.tls = tls;
        strict.roots = Some(other.cert.pem().into_bytes());
        let error = refused(&strict).await;
        assert!(matches!(&error, Error::Tls { .. }), "{tls:?}: {error}");
    }
    strict.roots = None;
    strict.tls = Tls::VerifyCa;
    assert!(matches!(refused(&strict).await, Error::Settings(_)));
}

#[tokio::test]
async fn slots_are_made_read_and_dropped() {
    let Some(cluster) = Cluster::start_with(&[], &["max_replication_slots = 1"]) else { return };
    let mut open = Connection::open(&cluster.settings()).await.unwrap();
    assert!(open.major() >= 13, "{}", open.version());
    assert_eq!(open.segment_size().await.unwrap().bytes(), 16 << 20);
    assert_eq!(open.show("data_directory_mode").await.unwrap(), "0700");
    assert!(matches!(open.show("x; DROP").await, Err(Error::Settings(_))));
    let reads = open.major() >= 15;
    let before = open.read_slot("ours").await;
    assert!(if reads { before.unwrap().is_none() } else { before.is_err() });
    assert!(open.create_slot("ours").await.unwrap());
    assert!(!open.create_slot("ours").await.unwrap());
    if reads {
        let held = open.read_slot("ours").await.unwrap().unwrap();
        assert!(held.restart.is_some() && held.timeline.is_some(), "{held:?}");
    }
    let held = cluster.sql("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'ours'");
    assert!(held.parse::<replication::Lsn>().unwrap().0 > 0);
    let error = open.create_slot("another").await.unwrap_err();
    assert_eq!(error.server().unwrap().problem, Problem::NoFreeSlot, "{error}");
    assert!(matches!(open.create_slot("No good").await, Err(Error::Settings(_))));
    // The connection is good for more after each refusal.
    assert!(open.drop_slot("ours").await.unwrap());
    assert!(!open.drop_slot("ours").await.unwrap());
    open.close().await;
}

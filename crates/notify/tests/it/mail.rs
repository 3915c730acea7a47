//! Mail to a real server: `aiosmtpd`, in each way of encrypting.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use notify::{Channel, Kind, Level, Message, SettingsError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;

use crate::{message, open};

const FROM: &str = "Backups <backups@example.com>";
const LOGIN: (&str, &str) = ("backups", "open-sesame");

struct MailServer {
    child: Child,
    port: String,
    folder: tempfile::TempDir,
    authority: String,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python to run it with: where `cargo xtask test` installed it, or the machine's own.
fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let own = cache.map(|cache| cache.join("backup-orchestrator/aiosmtpd/bin/python3"));
    let python = own.filter(|python| python.exists()).unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", "import aiosmtpd"]).output();
    let is_there = found.is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "aiosmtpd is needed in CI");
    if !is_there {
        eprintln!("skipped: aiosmtpd is not installed (`cargo xtask test` does it)");
    }
    is_there.then_some(python)
}

impl MailServer {
    fn start(mode: &str) -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&cert, leaf.pem()).unwrap();
        std::fs::write(&key, own.serialize_pem()).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/smtpd.py");
        let mut child = Command::new(python)
            .args([script, &port])
            .arg(folder.path())
            .arg(mode)
            .args([&cert, &key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the mail server did not start");
        Some(Self { child, port, folder, authority })
    }

    fn channel(
        &self,
        more: &[(&str, &str)],
        login: Option<(&str, &str)>,
    ) -> Result<Channel, SettingsError> {
        let mut settings = vec![
            ("host", "localhost"),
            ("port", self.port.as_str()),
            ("from", FROM),
            ("to", "ops@example.com, Ana <ana@example.org>"),
            ("ca_certificate", self.authority.as_str()),
        ];
        settings.retain(|(key, _)| more.iter().all(|(other, _)| other != key));
        settings.extend_from_slice(more);
        settings.extend(login.map(|(name, _)| ("username", name)));
        let secrets: Vec<_> = login.iter().map(|(_, password)| ("password", *password)).collect();
        open(Kind::Email, &settings, &secrets)
    }

    fn mails(&self) -> Vec<Value> {
        let mut found: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        found.sort();
        found
            .iter()
            .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
            .collect()
    }
}

#[tokio::test]
async fn it_is_encrypted_logged_in_and_taken() {
    for mode in ["starttls", "tls"] {
        let Some(server) = MailServer::start(mode) else { return };
        let channel = server.channel(&[("encryption", mode)], Some(LOGIN)).unwrap();
        channel.send(&message(Level::Error)).await.unwrap();
        let [mail] = <[Value; 1]>::try_from(server.mails()).unwrap();
        assert_eq!(mail["from"], "backups@example.com");
        assert_eq!(mail["to"], serde_json::json!(["ops@example.com", "ana@example.org"]));
        assert_eq!(mail["encrypted"], true, "{mode}");
        assert_eq!(mail["login"], "backups");
        let data = mail["data"].as_str().unwrap();
        for line in [
            "From: Backups <backups@example.com>",
            "Subject: shop has not been backed up",
            "Message-ID: <01JDQ8Z5N3@example.com>",
            "Auto-Submitted: auto-generated",
            "Date: Sun, 22 Nov 2026 03:00:00 +0000",
        ] {
            assert!(data.contains(line), "{line} is missing in {data}");
        }
        assert!(data.contains("App: shop_eu"), "{data}");
        assert!(data.contains("text/html"), "{data}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_certificate_are_told() {
    let Some(server) = MailServer::start("starttls") else { return };
    let channel = server.channel(&[], Some(("backups", "canary-pass"))).unwrap();
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("535"), "{error}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");

    let unknown = server.channel(&[("ca_certificate", "")], Some(LOGIN)).unwrap();
    let error = unknown.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");

    // The certificate is the name's, not the address's.
    let other = server.channel(&[("host", "127.0.0.1")], Some(LOGIN)).unwrap();
    let error = other.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn what_does_not_encrypt_gets_nothing() {
    let Some(server) = MailServer::start("plain") else { return };
    let channel = server.channel(&[], Some(LOGIN)).unwrap();
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("STARTTLS"), "{error}");
    assert!(server.mails().is_empty());
    let plain = server.channel(&[("encryption", "none")], None).unwrap();
    plain.send(&message(Level::Recovery)).await.unwrap();
    assert_eq!(server.mails().len(), 1);
    let error = server.channel(&[("encryption", "none")], Some(LOGIN)).unwrap_err();
    assert!(error.to_string().contains("`encryption` is needed"), "{error}");
}

#[tokio::test]
async fn now_is_another_thing_than_never() {
    let Some(server) = MailServer::start("plain") else { return };
    for (to, again, said) in
        [("later@example.com", true, "come back later"), ("nobody@example.com", false, "no such")]
    {
        let channel = server.channel(&[("encryption", "none"), ("to", to)], None).unwrap();
        let error = channel.send(&message(Level::Error)).await.unwrap_err();
        assert_eq!(error.is_transient(), again, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn nothing_in_a_name_becomes_a_header() {
    let Some(server) = MailServer::start("plain") else { return };
    let channel = server.channel(&[("encryption", "none")], None).unwrap();
    let hostile = Message {
        id: "1>\r\nBcc: eve@example.net".to_owned(),
        title: "shop\r\nBcc: eve@example.net\r\n\r\n<html>\u{202e}".to_owned(),
        body: ".\r\nRSET\r\nMAIL FROM:<eve@example.net>\r\n.\r\n".to_owned(),
        ..message(Level::Error)
    };
    channel.send(&hostile).await.unwrap();
    let [mail] = <[Value; 1]>::try_from(server.mails()).unwrap();
    assert_eq!(mail["to"], serde_json::json!(["ops@example.com", "ana@example.org"]));
    let data = mail["data"].as_str().unwrap();
    let head = data.split("\r\n\r\n").next().unwrap();
    assert!(head.lines().all(|line| !line.to_ascii_lowercase().starts_with("bcc")), "{head}");
    assert!(head.contains("Subject: shop"), "{head}");
}

#[test]
fn addresses_are_judged() {
    let refused = |settings: &[(&str, &str)]| {
        let mut all = vec![("host", "smtp.example.com"), ("from", FROM), ("to", "a@example.com")];
        all.retain(|(key, _)| settings.iter().all(|(other, _)| other != key));
        all.extend_from_slice(settings);
        open(Kind::Email, &all, &[]).unwrap_err().to_string()
    };
    assert!(refused(&[("from", "nobody")]).contains("no mail address"));
    assert!(refused(&[("to", "a@example.com, b")]).contains("`b`"));
    assert!(refused(&[("to", "a@example.com\r\nBcc: c@example.com")]).contains("no mail address"));
    assert!(refused(&[("host", "smtp.example.com:25")]).contains("port is a setting"));
    assert!(refused(&[("host", "a b")]).contains("name of a mail server"));
    assert!(refused(&[("port", "0")]).contains("65535"));
    assert!(refused(&[("encryption", "ssl")]).contains("one of starttls, tls, none"));
    assert!(refused(&[("to", "")]).contains("`to` is needed"));
}

use std::{collections::BTreeMap, time::Duration};

use notify::{Channel, Kind, Level, Limits};

use crate::message;

/// A server that takes connections and says nothing.
async fn silent() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    port
}

#[tokio::test]
async fn a_server_that_says_nothing_holds_nobody_up() {
    let port = silent().await.to_string();
    let limits = Limits { total: Duration::from_secs(1), ..Limits::default() };
    let mail = [("host", "127.0.0.1"), ("from", "a@b.example"), ("to", "c@d.example")];
    let mail = mail.into_iter().chain([("port", port.as_str()), ("encryption", "none")]);
    let url = format!("http://127.0.0.1:{port}/");
    for (kind, settings) in
        [(Kind::Webhook, vec![("url", url.as_str())]), (Kind::Email, mail.collect())]
    {
        let settings: BTreeMap<_, _> =
            settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let channel = Channel::open(kind, &settings, &BTreeMap::new(), limits.clone()).unwrap();
        let told = message(Level::Info);
        let sent = tokio::time::timeout(Duration::from_secs(10), channel.send(&told));
        let error = sent.await.expect("it ends").unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(error.to_string().contains("within 1 s"), "{kind}: {error}");
    }
}

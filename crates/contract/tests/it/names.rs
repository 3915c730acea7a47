//! Where the client connects to, and where it does not.

use contract::{ContractClient, ContractError, NetPolicy};
use url::Url;

use crate::{
    good,
    server::{Server, Step, TOKEN, limits, loopback},
};

fn client(url: &str, policy: NetPolicy) -> Result<ContractClient, ContractError> {
    ContractClient::new(Url::parse(url).unwrap(), TOKEN.into(), policy, limits())
}

#[tokio::test]
async fn this_machine_is_refused_in_every_spelling_and_nothing_is_sent() {
    let server = Server::exporting(vec![Step::Send(good::spooled(b"abc"))]).await;
    let port = server.port;
    for host in [
        "127.0.0.1",
        "127.1",
        "127.255.255.254",
        "0177.1",
        "0x7f.1",
        "2130706433",
        "0",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::ffff:0:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "①②⑦.0.0.1",
        "[::]",
        "localhost",
        "LOCALHOST",
    ] {
        let refused = match client(&format!("http://{host}:{port}"), NetPolicy::default()) {
            Err(error) => error,
            Ok(client) => client.capabilities().await.unwrap_err(),
        };
        assert!(matches!(refused, ContractError::Refused { .. }), "{host}: {refused}");
        assert!(!refused.is_retryable());
    }
    assert!(server.asked().is_empty(), "{:?}", server.lines());
}

#[tokio::test]
async fn a_name_is_judged_by_the_address_that_it_leads_to() {
    let server = Server::exporting(vec![Step::Send(good::json(
        "200 OK",
        &serde_json::json!({ "version": "v1", "types": ["db"], "est_seconds": 1, "est_size": 1 }),
    ))])
    .await;
    let url = format!("http://localhost:{}", server.port);
    // The form of the URL is right: it is refused where the name has been looked up.
    let named = client(&url, NetPolicy::default()).unwrap();
    let error = named.capabilities().await.unwrap_err();
    assert!(matches!(error, ContractError::Refused { .. }), "{error}");
    let elsewhere = NetPolicy {
        allow_loopback: false,
        allowed: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
    };
    let error = client(&url, elsewhere).unwrap().capabilities().await.unwrap_err();
    assert!(matches!(error, ContractError::Refused { .. }), "{error}");
    assert!(server.asked().is_empty());
    client(&url, loopback()).unwrap().capabilities().await.unwrap();
}

#[tokio::test]
async fn metadata_and_special_addresses_are_refused_even_where_loopback_is_allowed() {
    for host in [
        "169.254.169.254",
        "169.254.170.2",
        "0xa9fea9fe",
        "2852039166",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "0.0.0.0",
        "[::]",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
    ] {
        let refused = client(&format!("http://{host}"), loopback());
        assert!(matches!(refused, Err(ContractError::Refused { .. })), "{host} was accepted");
    }
}

#[test]
fn user_info_queries_and_other_schemes_are_refused_and_no_password_is_shown() {
    for url in [
        "http://user:canary-password@app:8080",
        "http://user@app",
        "http://:canary-password@app",
        "http://app/?token=canary-password",
        "http://app/#x",
        "ftp://app",
        "file:///etc/passwd",
        "unix:/run/docker.sock",
        "gopher://app",
    ] {
        let error = client(url, loopback()).unwrap_err();
        assert!(matches!(error, ContractError::Refused { .. }), "{url}");
        let told = format!("{error} {error:?}");
        assert!(!told.contains("canary-password"), "{told}");
    }
}

#[tokio::test]
async fn a_base_address_may_have_a_path() {
    let server = Server::exporting(vec![Step::Send(good::json(
        "200 OK",
        &serde_json::json!({ "version": "v1", "types": [] }),
    ))])
    .await;
    for base in ["/shop", "/shop/"] {
        let url = server.url().join(base).unwrap();
        client(url.as_str(), loopback()).unwrap().capabilities().await.unwrap();
    }
    assert_eq!(server.lines(), vec!["GET /shop/backup/capabilities"; 2]);
}

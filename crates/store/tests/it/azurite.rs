//! Azurite: Microsoft's own Blob Storage for tests, with faults by a script before it.

use std::path::PathBuf;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use ring::hmac;
use store::AzblobConfig;
use tokio::net::TcpListener;

use crate::{
    script::{Ask, Broken, Script, Wrong, xml_error},
    servers::Server,
};

const ACCOUNT: &str = "tester";
const KEY: &[u8] = b"the key of an account that only tests know";

pub(crate) struct Azurite {
    _server: Server,
    upstream: String,
    relayed: String,
    pub(crate) script: Script,
}

/// The program that `cargo xtask test` installs; without it the tests that need it end early,
/// except in CI.
fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let found = cache
        .map(|cache| cache.join("backup-orchestrator/azurite/node_modules/.bin/azurite-blob"))
        .filter(|program| program.exists());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "azurite is needed in CI");
    if found.is_none() {
        eprintln!("skipped: azurite is not installed (`cargo xtask test` does it)");
    }
    found
}

impl Azurite {
    /// Starts it, with the container `copies`.
    pub(crate) async fn start() -> Option<Self> {
        Self::with_pages("").await
    }

    /// Starts it; lists are asked for with `more` in their query.
    pub(crate) async fn with_pages(more: &'static str) -> Option<Self> {
        let program = program()?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = Server::start(|folder, port| {
            let mut command = std::process::Command::new(program);
            command
                .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
                .args(["--silent", "--disableTelemetry", "--location"])
                .arg(folder.join("served"))
                .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", BASE64_STANDARD.encode(KEY)));
            command
        })
        .await;
        let upstream = format!("http://127.0.0.1:{}", server.port());
        let script = Script::default();
        let relayed = relay(upstream.clone(), script.clone(), more).await;
        let azurite = Self { _server: server, upstream, relayed, script };
        let made = azurite.asked("PUT", "copies?restype=container", "").await;
        assert_eq!(made.0, 201, "{}", made.1);
        Some(azurite)
    }

    /// Asks the server itself, with a signature of its own.
    pub(crate) async fn asked(&self, method: &str, rest: &str, body: &str) -> (u16, String) {
        let joint = if rest.contains('?') { '&' } else { '?' };
        let url = format!("{}/{ACCOUNT}/{rest}{joint}{}", self.upstream, sas("rwdlc"));
        let answer = reqwest::Client::new()
            .request(method.parse().unwrap(), url)
            .header("content-length", body.len())
            .header("x-ms-blob-type", "BlockBlob")
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) fn config(&self, prefix: &str) -> AzblobConfig {
        AzblobConfig {
            account: ACCOUNT.to_owned(),
            container: "copies".to_owned(),
            endpoint: Some(format!("{}/{ACCOUNT}", self.relayed)),
            prefix: Some(prefix.to_owned()),
            account_key: Some(BASE64_STANDARD.encode(KEY).into()),
            sas_token: None,
        }
    }

    pub(crate) fn config_with_sas(&self, rights: &str) -> AzblobConfig {
        AzblobConfig {
            account_key: None,
            sas_token: Some(format!("?{}", sas(rights)).into()),
            ..self.config("")
        }
    }
}

/// A signature of the account that allows `rights`.
fn sas(rights: &str) -> String {
    let (version, until) = ("2020-08-04", "2099-01-01T00:00:00Z");
    let told = format!("{ACCOUNT}\n{rights}\nb\nsco\n\n{until}\n\n\n{version}\n");
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    let proof = BASE64_STANDARD.encode(hmac::sign(&key, told.as_bytes()));
    let proof = proof.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("sv={version}&ss=b&srt=sco&sp={rights}&se={until}&sig={proof}")
}

fn ask(request: &Request<Incoming>) -> Ask {
    let query = request.uri().query().unwrap_or_default();
    let has = |pair: &str| query.split('&').any(|one| one == pair);
    match request.method().as_str() {
        "PUT" if has("comp=block") => Ask::Part,
        "PUT" if has("comp=blocklist") => Ask::Complete,
        "PUT" => Ask::Put,
        "HEAD" => Ask::Head,
        "DELETE" => Ask::Delete,
        _ if has("comp=list") => Ask::List,
        _ => Ask::Get,
    }
}

/// Hands every request on to `upstream`, unless the script has something else for it.
async fn relay(upstream: String, script: Script, more: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let http = reqwest::Client::new();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (upstream, script, http) = (upstream.clone(), script.clone(), http.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let played = service_fn(move |request| {
                    relayed(upstream.clone(), script.clone(), http.clone(), more, request)
                });
                let _ = server.serve_connection(TokioIo::new(stream), played).await;
            });
        }
    });
    address
}

async fn relayed(
    upstream: String,
    script: Script,
    http: reqwest::Client,
    more: &str,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Broken> {
    let ask = ask(&request);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let wrong = script.next(ask);
    match &wrong {
        Some(Wrong::Closed) => return Err(Broken),
        Some(Wrong::Status(status, code)) => {
            let answer = Response::builder().status(*status).header("x-ms-error-code", *code);
            return answer.body(Full::from(xml_error(code))).map_err(|_| Broken);
        }
        Some(Wrong::Answer(body)) => return Ok(Response::new(Full::from(body.clone()))),
        Some(Wrong::Silent(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    let mut url = format!("{upstream}{}", parts.uri);
    if ask == Ask::List {
        url.push_str(more);
    }
    let answer = http.request(parts.method, url).headers(parts.headers).body(body).send();
    let answer = answer.await.map_err(|_| Broken)?;
    let mut built = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != hyper::header::TRANSFER_ENCODING {
            built = built.header(name, value);
        }
    }
    let mut body = answer.bytes().await.map_err(|_| Broken)?;
    match wrong {
        Some(Wrong::LostReply) => return Err(Broken),
        Some(Wrong::HalfAnswer) => {
            if let Some(headers) = built.headers_mut() {
                headers.remove(hyper::header::CONTENT_LENGTH);
            }
            body = body.slice(..body.len() / 2);
        }
        _ => {}
    }
    built.body(Full::from(body)).map_err(|_| Broken)
}

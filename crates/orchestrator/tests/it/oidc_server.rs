//! Services that log people in: a real one (the package `oidc-provider`), and one that lies.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

pub(crate) const CLIENT: &str = "backups";
pub(crate) const SECRET: &str = "the-secret-of-the-client";
/// Where browsers are told to find the server under test.
pub(crate) const PUBLIC: &str = "http://backups.test";

/// The package that `cargo xtask test` installs; without it the tests that need it end early,
/// except in CI.
fn package() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let main = "backup-orchestrator/oidc-provider/node_modules/oidc-provider/lib/index.js";
    let found = cache.map(|cache| cache.join(main)).filter(|main| main.exists());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "oidc-provider is needed in CI");
    if found.is_none() {
        eprintln!("skipped: oidc-provider is not installed (`cargo xtask test` does it)");
    }
    found
}

/// The real one.
pub(crate) struct Provider {
    process: Child,
    pub(crate) issuer: String,
}

impl Provider {
    /// Starts it for a server that browsers find at `public`.
    pub(crate) async fn start(public: &str) -> Option<Self> {
        let package = package()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/oidc_provider.mjs");
        let process = Command::new("node")
            .arg(script)
            .arg(package)
            .arg(port.to_string())
            .arg(format!("{public}/login/oidc/callback"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let provider = Self { process, issuer: format!("http://127.0.0.1:{port}") };
        let until = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "oidc-provider did not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(provider)
    }

    /// From now on this person logs in there.
    pub(crate) async fn be(&self, subject: &str, name: &str, groups: &str) {
        let url = format!("{}/be?sub={subject}&name={name}&groups={groups}", self.issuer);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200);
    }

    /// Goes through its pages as a browser that has never been there; gives what it leads back to.
    pub(crate) async fn log_in(&self, url: &str) -> String {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut at = url.to_owned();
        let mut cookies: Vec<String> = Vec::new();
        for _ in 0..8 {
            let request = http.get(&at).header("cookie", cookies.join("; "));
            let reply = request.send().await.unwrap();
            for cookie in reply.headers().get_all("set-cookie") {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
                let name = pair.split('=').next().unwrap().to_owned();
                cookies.retain(|known| known.split('=').next() != Some(&name));
                cookies.push(pair);
            }
            let status = reply.status();
            let Some(to) = reply.headers().get("location") else {
                panic!("{at}: {status} {}", reply.text().await.unwrap())
            };
            let to = url::Url::parse(&at).unwrap().join(to.to_str().unwrap()).unwrap().to_string();
            if to.starts_with(PUBLIC) {
                return to;
            }
            at = to;
        }
        panic!("it does not lead back: {at}")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the one that lies says next.
#[derive(Debug, Clone)]
pub(crate) struct Lie {
    /// Changes of the claims; `null` takes one away.
    pub(crate) claims: Value,
    /// `ES256`, `none` or `HS256`.
    pub(crate) alg: &'static str,
    /// Signs with another key than the one that is published.
    pub(crate) foreign_key: bool,
}

impl Lie {
    pub(crate) fn claims(claims: Value) -> Self {
        Self { claims, alg: "ES256", foreign_key: false }
    }
}

struct Inner {
    issuer: String,
    own: EcdsaKeyPair,
    foreign: EcdsaKeyPair,
    lie: Mutex<Lie>,
    nonce: Mutex<String>,
    asked: Mutex<Vec<String>>,
}

/// The one that lies, as told.
#[derive(Clone)]
pub(crate) struct Liar(Arc<Inner>);

fn pair() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap()
}

impl Liar {
    pub(crate) async fn serve() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let liar = Self(Arc::new(Inner {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            own: pair(),
            foreign: pair(),
            lie: Mutex::new(Lie::claims(json!({}))),
            nonce: Mutex::default(),
            asked: Mutex::default(),
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/jwks", get(keys))
            .route("/token", post(token))
            .with_state(liar.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        liar
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.0.issuer
    }

    pub(crate) fn say(&self, lie: Lie) {
        *self.0.lie.lock().unwrap() = lie;
    }

    pub(crate) fn knows_nonce(&self, nonce: &str) {
        nonce.clone_into(&mut self.0.nonce.lock().unwrap());
    }

    /// The bodies that its token endpoint was sent.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.asked.lock().unwrap().clone()
    }
}

async fn configuration(State(liar): State<Liar>) -> Json<Value> {
    let issuer = liar.issuer();
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256", "HS256", "none"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    }))
}

async fn keys(State(liar): State<Liar>) -> Json<Value> {
    let point = liar.0.own.public_key().as_ref();
    Json(json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "one",
        "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65]),
    }] }))
}

async fn token(State(liar): State<Liar>, body: String) -> (StatusCode, Json<Value>) {
    liar.0.asked.lock().unwrap().push(body.clone());
    if !body.contains("code=good") {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" })));
    }
    let lie = liar.0.lie.lock().unwrap().clone();
    let now = jiff::Timestamp::now().as_second();
    let mut claims = json!({
        "iss": liar.issuer(), "sub": "sub-1", "aud": CLIENT, "iat": now, "exp": now + 300,
        "nonce": *liar.0.nonce.lock().unwrap(), "preferred_username": "ana",
        "groups": ["admins"],
    });
    for (name, value) in lie.claims.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    let head = json!({ "alg": lie.alg, "kid": "one", "typ": "JWT" });
    let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
    let signature = match lie.alg {
        "ES256" => {
            let key = if lie.foreign_key { &liar.0.foreign } else { &liar.0.own };
            key.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
        }
        "HS256" => {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
            ring::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
        }
        _ => Vec::new(),
    };
    let id_token = format!("{text}.{}", BASE64.encode(signature));
    let answer = json!({
        "access_token": "access", "token_type": "Bearer", "expires_in": 300, "id_token": id_token,
    });
    (StatusCode::OK, Json(answer))
}

//! A large archive at a slow destination: the page says how far it is read, and follows by itself.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    app::App,
    browsing,
    chromium::{Chromium, Look, is_there},
    restore_pages::fits,
    s3_server::{KEY, S3Server, SECRET},
    server::{PASSWORD, Place},
};

const ADMIN: &[(&str, &str)] = &[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)];
/// What an answer may have before the gate is looked at, in bytes.
const FREE: usize = 3 << 20;
const SIZE: usize = 9 << 20;

/// What stands before a server, and holds its long answers up while it is shut.
struct Gate {
    url: String,
    is_open: watch::Sender<bool>,
}

impl Gate {
    async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (is_open, seen) = watch::channel(true);
        let behind = server.trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            while let Ok((asking, _)) = listener.accept().await {
                let answering = TcpStream::connect(&behind).await.unwrap();
                tokio::spawn(pass(asking, answering, seen.clone()));
            }
        });
        Self { url, is_open }
    }
}

async fn pass(asking: TcpStream, answering: TcpStream, mut is_open: watch::Receiver<bool>) {
    let (mut questions, mut to_asking) = asking.into_split();
    let (mut answers, mut to_answering) = answering.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut questions, &mut to_answering).await });
    let (mut block, mut passed) = (vec![0; 32 << 10], 0);
    while let Ok(count @ 1..) = answers.read(&mut block).await {
        passed += count;
        if passed > FREE && is_open.wait_for(|is_open| *is_open).await.is_err() {
            return;
        }
        if to_asking.write_all(&block[..count]).await.is_err() {
            return;
        }
    }
}

/// A tar with one large file that does not compress.
async fn archive() -> App {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    });
    let noise: Vec<u8> = noise.take(SIZE).collect();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o640);
    header.set_size(SIZE as u64);
    tar.append_data(&mut header, "srv/film.mkv", &noise[..]).unwrap();
    App::serve_file("media.tar", tar.into_inner().unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_says_how_far_an_archive_is_read() {
    if !is_there() {
        return;
    }
    let app = archive().await;
    let s3 = S3Server::start("box").await;
    let gate = Gate::before(&s3.url).await;
    let server = Place::new(ADMIN).serve().await;
    let disk = json!({ "name": "disk", "kind": "s3",
        "settings": { "bucket": "box", "endpoint": gate.url },
        "secrets": { "access_key_id": KEY, "secret_access_key": SECRET } });
    server.done("POST", "destinations", disk).await;
    let snapshot = browsing::snapshot(&server, "media", &app).await;
    let page = format!("/snapshots/{snapshot}/browse/media");

    gate.is_open.send_replace(false);
    for (lang, dark, width) in
        [("en", false, 1280), ("es", true, 1280), ("es", false, 390), ("en", true, 390)]
    {
        let browser = Chromium::open(&server.base, Look { lang, dark, width }).await;
        browser.log_in("ana", PASSWORD).await;
        browser.go(&page).await;
        let look = format!("{lang}-{}-{width}", if dark { "dark" } else { "light" });
        fits(&browser, &format!("being-read-{look}"), lang).await;
        let percent = browser.ask("return document.querySelector('progress').value").await;
        assert!((1.0..100.0).contains(&percent.as_f64().unwrap()), "{percent}");
        browser.close().await;
    }
    let desktop = Look { lang: "en", dark: false, width: 1280 };
    let browser = Chromium::open(&server.base, desktop).await;
    // It follows without a script.
    browser.tell("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    browser.log_in("ana", PASSWORD).await;
    browser.go(&page).await;
    browser.sees("What is in it is being read.").await;
    gate.is_open.send_replace(true);
    browser.sees("srv/").await;
    browser.close().await;
}

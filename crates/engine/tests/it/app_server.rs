//! An app that serves backup contract v1 over a raw socket, as well or as badly as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// How the next exports are answered.
#[derive(Clone, Debug)]
pub(crate) enum Export {
    /// As the contract says, checksum in trailers.
    Trailers(Vec<u8>),
    /// As the contract says, checksum in headers.
    Headers(Vec<u8>),
    /// Chunked, but the last chunk and the trailers never come.
    NoFinalChunk(Vec<u8>),
    /// `Content-Length` promises more than is sent.
    ShortBody(Vec<u8>),
    /// Neither length nor chunks: the end of the connection is the end.
    CloseDelimited(Vec<u8>),
    /// Headers whose checksum is that of other bytes.
    WrongChecksum(Vec<u8>),
    /// One bit differs from what the checksum tells.
    FlippedBit(Vec<u8>),
    /// `X-Size` is one more than what is sent.
    SizePlusOne(Vec<u8>),
    /// `X-Size` with this text.
    SizeText(Vec<u8>, &'static str),
    /// 200 with this body and media type, checksum right.
    Page(&'static str, &'static str),
    /// Sends one byte at a time with this pause, for ever.
    Drip(Duration),
    /// Headers, then nothing.
    Silence,
    /// Some bytes, then a reset.
    Reset(Vec<u8>),
    /// This status and no export.
    Status(u16),
    /// 202, then a job that stays in this state.
    Job(&'static str),
    /// Sends the bytes slowly enough that a test can act meanwhile: pause after each 64 KiB.
    Slow(Vec<u8>, Duration),
    /// Headers say this format, the body is these bytes, checksum right.
    Format(&'static str, &'static str, Vec<u8>),
}

/// How imports are answered: each answer once, and 200 after the last. Without one the app takes
/// nothing back.
pub(crate) type Answers = Vec<(u16, &'static str)>;

/// How an import goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broken {
    /// The connection breaks after this many bytes of the body.
    Within(usize),
    /// It is done, and the connection breaks before the answer.
    BeforeAnswer,
    /// Nothing is read after this many bytes of the body.
    StalledWithin(usize),
    /// It is done, and never answered.
    NoAnswer,
}

/// A running app.
pub(crate) struct AppServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    token: Mutex<String>,
    export: Mutex<Export>,
    exports: AtomicUsize,
    cancels: AtomicUsize,
    answers: Mutex<Option<Answers>>,
    broken: Mutex<Vec<Broken>>,
    /// Imports that were begun, whole or not.
    begun: AtomicUsize,
    /// Heads and bodies of the imports that came whole.
    imports: Mutex<Vec<(String, Vec<u8>)>>,
}

impl AppServer {
    pub(crate) async fn start(token: &str, export: Export) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            token: Mutex::new(token.to_owned()),
            export: Mutex::new(export),
            exports: AtomicUsize::new(0),
            cancels: AtomicUsize::new(0),
            answers: Mutex::new(None),
            broken: Mutex::default(),
            begun: AtomicUsize::new(0),
            imports: Mutex::new(Vec::new()),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _ = answer(stream, &state).await;
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn answer_with(&self, export: Export) {
        *self.state.export.lock().unwrap() = export;
    }

    pub(crate) fn rotate_token(&self, token: &str) {
        token.clone_into(&mut self.state.token.lock().unwrap());
    }

    pub(crate) fn exports(&self) -> usize {
        self.state.exports.load(Ordering::SeqCst)
    }

    /// From now on it takes artifacts back, and answers so.
    pub(crate) fn take_back(&self, answers: Answers) {
        *self.state.answers.lock().unwrap() = Some(answers);
    }

    /// Heads and bodies of the imports that came whole.
    pub(crate) fn imports(&self) -> Vec<(String, Vec<u8>)> {
        self.state.imports.lock().unwrap().clone()
    }

    /// So many of the next imports go wrong, the last of these first.
    pub(crate) fn break_imports(&self, broken: Vec<Broken>) {
        *self.state.broken.lock().unwrap() = broken;
    }

    /// Imports that were begun, whole or not, and are as far as they get.
    pub(crate) fn begun(&self) -> usize {
        self.state.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn cancels(&self) -> usize {
        self.state.cancels.load(Ordering::SeqCst)
    }
}

async fn answer(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let head = read_head(&mut stream).await?;
    let line = head.lines().next().unwrap_or_default().to_owned();
    let path = line.split(' ').nth(1).unwrap_or_default();
    let method = line.split(' ').next().unwrap_or_default();
    if path == "/healthz" {
        return plain(&mut stream, 200, "text/plain", b"ok").await;
    }
    let mut body = vec![0; length(&head)];
    let broken = (path == "/backup/import").then(|| state.broken.lock().unwrap().pop()).flatten();
    if let Some(Broken::Within(bytes) | Broken::StalledWithin(bytes)) = broken {
        stream.read_exact(&mut body[..bytes]).await?;
        state.begun.fetch_add(1, Ordering::SeqCst);
        if let Some(Broken::StalledWithin(_)) = broken {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        return stream.set_zero_linger();
    }
    stream.read_exact(&mut body).await?;
    let expected = format!("authorization: bearer {}", state.token.lock().unwrap());
    if !head.lines().any(|line| line.to_lowercase() == expected.to_lowercase()) {
        return plain(&mut stream, 401, "text/plain", b"").await;
    }
    match (method, path) {
        ("GET", "/backup/capabilities") => {
            let restore = state.answers.lock().unwrap().is_some();
            let body = format!(
                r#"{{"version":"v1","types":["db"],"est_seconds":1,"est_size":1024,"restore":{restore}}}"#
            );
            plain(&mut stream, 200, "application/json", body.as_bytes()).await
        }
        ("POST", "/backup/import") => {
            state.imports.lock().unwrap().push((head.to_lowercase(), body));
            state.begun.fetch_add(1, Ordering::SeqCst);
            match broken {
                Some(Broken::NoAnswer) => tokio::time::sleep(Duration::from_secs(600)).await,
                Some(_) => return stream.set_zero_linger(),
                None => {}
            }
            let answer = state.answers.lock().unwrap().as_mut().and_then(Vec::pop);
            let (status, text) = answer.unwrap_or((200, r#"{"kept":"what was there"}"#));
            plain(&mut stream, status, "application/json", text.as_bytes()).await
        }
        ("POST", "/backup/export") => {
            state.exports.fetch_add(1, Ordering::SeqCst);
            let export = state.export.lock().unwrap().clone();
            send(&mut stream, export).await
        }
        ("GET", "/jobs/1") => {
            let Export::Job(job) = state.export.lock().unwrap().clone() else {
                return plain(&mut stream, 404, "text/plain", b"").await;
            };
            let body = format!(r#"{{"job_id":"1","state":"{job}","progress":0.1}}"#);
            plain(&mut stream, 200, "application/json", body.as_bytes()).await
        }
        ("DELETE", "/jobs/1") => {
            state.cancels.fetch_add(1, Ordering::SeqCst);
            plain(&mut stream, 204, "text/plain", b"").await
        }
        _ => plain(&mut stream, 404, "text/plain", b"").await,
    }
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await? == 0 {
            break;
        }
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Bytes that follow a head.
fn length(head: &str) -> usize {
    head.lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0)
}

async fn plain(
    stream: &mut TcpStream,
    status: u16,
    media: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {media}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

fn head(
    length: Option<usize>,
    size: &str,
    checksum: &str,
    media: &str,
    format: &str,
    file: &str,
) -> String {
    let length = length.map(|n| format!("content-length: {n}\r\n")).unwrap_or_default();
    format!(
        "HTTP/1.1 200 OK\r\n{length}content-type: {media}\r\nx-format: {format}\r\n\
         content-disposition: attachment; filename=\"{file}\"\r\nx-size: {size}\r\n\
         x-checksum-sha256: {checksum}\r\nconnection: close\r\n\r\n"
    )
}

fn dump_head(length: Option<usize>, size: usize, checksum: &str) -> String {
    head(length, &size.to_string(), checksum, "application/octet-stream", "raw", "app.dump")
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\
    trailer: X-Checksum-SHA256, X-Size\r\ncontent-type: application/octet-stream\r\n\
    x-format: raw\r\ncontent-disposition: attachment; filename=\"app.dump\"\r\n\
    connection: close\r\n\r\n";

async fn chunks(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for chunk in bytes.chunks(64 << 10) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
        stream.write_all(chunk).await?;
        stream.write_all(b"\r\n").await?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

async fn trailers(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let end =
        format!("0\r\nx-checksum-sha256: {}\r\nx-size: {}\r\n\r\n", sha256(bytes), bytes.len());
    stream.write_all(end.as_bytes()).await
}

// One arm for each way to answer: a table, however long.
#[expect(clippy::too_many_lines)]
async fn send(stream: &mut TcpStream, export: Export) -> std::io::Result<()> {
    match export {
        Export::Trailers(bytes) => {
            stream.write_all(CHUNKED.as_bytes()).await?;
            chunks(stream, &bytes, Duration::ZERO).await?;
            trailers(stream, &bytes).await?;
        }
        Export::Slow(bytes, pause) => {
            stream.write_all(CHUNKED.as_bytes()).await?;
            chunks(stream, &bytes, pause).await?;
            trailers(stream, &bytes).await?;
        }
        Export::Headers(bytes) => {
            let head = dump_head(Some(bytes.len()), bytes.len(), &sha256(&bytes));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Export::NoFinalChunk(bytes) => {
            stream.write_all(CHUNKED.as_bytes()).await?;
            chunks(stream, &bytes, Duration::ZERO).await?;
        }
        Export::ShortBody(bytes) => {
            let head = dump_head(Some(bytes.len() + 10), bytes.len() + 10, &sha256(&bytes));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Export::CloseDelimited(bytes) => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Export::WrongChecksum(bytes) => {
            let head = dump_head(Some(bytes.len()), bytes.len(), &sha256(b"other bytes"));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Export::FlippedBit(mut bytes) => {
            let head = dump_head(Some(bytes.len()), bytes.len(), &sha256(&bytes));
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Export::SizePlusOne(bytes) => {
            let head = dump_head(Some(bytes.len()), bytes.len() + 1, &sha256(&bytes));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Export::SizeText(bytes, size) => {
            let head = head(
                Some(bytes.len()),
                size,
                &sha256(&bytes),
                "application/octet-stream",
                "raw",
                "app.dump",
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Export::Page(media, body) => {
            let bytes = body.as_bytes();
            let size = bytes.len().to_string();
            let head =
                head(Some(bytes.len()), &size, &sha256(bytes), media, "pg_dump_Fc", "app.dump");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(bytes).await?;
        }
        Export::Format(format, file, bytes) => {
            let size = bytes.len().to_string();
            let head = head(
                Some(bytes.len()),
                &size,
                &sha256(&bytes),
                "application/octet-stream",
                format,
                file,
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Export::Drip(pause) => {
            let head = dump_head(Some(1 << 20), 1 << 20, &sha256(b""));
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(pause).await;
            }
        }
        Export::Silence => {
            let head = dump_head(Some(1 << 20), 1 << 20, &sha256(b""));
            stream.write_all(head.as_bytes()).await?;
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Export::Reset(bytes) => {
            let head = dump_head(Some(bytes.len() * 2), bytes.len() * 2, &sha256(&bytes));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            stream.set_zero_linger()?;
            return Ok(());
        }
        Export::Status(status) => return plain(stream, status, "text/plain", b"no").await,
        Export::Job(_) => {
            let body = r#"{"job_id":"1","status_url":"/jobs/1","download":"/jobs/1/download"}"#;
            let head = format!(
                "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nretry-after: 1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
        }
    }
    stream.shutdown().await
}

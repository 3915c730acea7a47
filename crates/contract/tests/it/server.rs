//! A server over a raw socket that says exactly what it is told to, as well or as badly.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use contract::{ContractClient, ContractError, Download, ExportRequest, Limits, NetPolicy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) const TOKEN: &str = "canary-token-of-the-contract";

/// What a connection does, one step after the other; after the last it closes.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Sends these bytes again and again with this pause, until the client goes away.
    Drip(Vec<u8>, Duration),
    /// RST instead of FIN.
    Reset,
    /// Stays open and says nothing more.
    Hang,
    /// Let go when the connection ends, however it ends.
    Hold(Arc<()>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Everything, head and body.
    pub(crate) raw: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// How many requests with the same method and path came before.
    pub(crate) nth: usize,
}

impl Asked {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.raw).into_owned();
        text.lines().take_while(|line| !line.is_empty()).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    pub(crate) fn is_authorized(&self) -> bool {
        self.header("authorization") == Some(format!("Bearer {TOKEN}"))
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Bytes that were taken by the sockets, all connections together.
    sent: Arc<Mutex<usize>>,
}

impl Server {
    pub(crate) async fn start<F>(answer: F) -> Self
    where
        F: Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::<Asked>::new()));
        let sent = Arc::new(Mutex::new(0));
        let (seen, counted) = (Arc::clone(&asked), Arc::clone(&sent));
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, answer, counted) =
                    (Arc::clone(&seen), Arc::clone(&answer), Arc::clone(&counted));
                tokio::spawn(async move {
                    let Some(mut request) = read(&mut stream).await else { return };
                    let steps = {
                        let mut seen = seen.lock().unwrap();
                        request.nth = seen.iter().filter(|a| a.line() == request.line()).count();
                        seen.push(request.clone());
                        drop(seen);
                        answer(&request)
                    };
                    play(stream, steps, &counted).await;
                });
            }
        });
        Self { port, asked, sent }
    }

    /// One that answers every export with these steps.
    pub(crate) async fn exporting(steps: Vec<Step>) -> Self {
        Self::start(move |_| steps.clone()).await
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}", self.port)).unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }

    pub(crate) fn sent(&self) -> usize {
        *self.sent.lock().unwrap()
    }

    pub(crate) fn client(&self) -> ContractClient {
        self.client_within(limits())
    }

    pub(crate) fn client_within(&self, limits: Limits) -> ContractClient {
        ContractClient::new(self.url(), TOKEN.into(), loopback(), limits).unwrap()
    }
}

pub(crate) fn loopback() -> NetPolicy {
    NetPolicy { allow_loopback: true, allowed: Vec::new() }
}

/// Short, so that what hangs is seen soon.
pub(crate) fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(1),
        total_timeout: Duration::from_secs(8),
        max_size_bytes: 8 << 20,
        poll: (Duration::from_millis(20), Duration::from_millis(200)),
        ..Limits::default()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut raw = Vec::new();
    let end = loop {
        if let Some(at) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut first = head.lines().next()?.split(' ').map(str::to_owned);
    let (method, path) = (first.next()?, first.next()?);
    let length = head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    while raw.len() < end + length.unwrap_or(0) {
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    }
    let body = raw[end..].to_vec();
    Some(Asked { method, path, raw, body, nth: 0 })
}

async fn play(mut stream: TcpStream, steps: Vec<Step>, sent: &Mutex<usize>) {
    for step in steps {
        match step {
            Step::Send(bytes) => {
                for part in bytes.chunks(16 << 10) {
                    if stream.write_all(part).await.is_err() {
                        return;
                    }
                    *sent.lock().unwrap() += part.len();
                }
            }
            Step::Pause(pause) => tokio::time::sleep(pause).await,
            Step::Drip(bytes, pause) => {
                while stream.write_all(&bytes).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
                return;
            }
            Step::Reset => {
                // The client may still be reading what was sent before.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.set_zero_linger().unwrap();
                return;
            }
            Step::Hold(held) => drop(held),
            Step::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
        }
    }
}

/// The whole of an export: what came, and how it ended.
pub(crate) async fn export(client: &ContractClient) -> (Vec<u8>, Result<Download, ContractError>) {
    let mut bytes = Vec::new();
    let asked = client.open(&ExportRequest::default(), CancellationToken::new()).await;
    let mut download = match asked {
        Ok(download) => download,
        Err(error) => return (bytes, Err(error)),
    };
    loop {
        match download.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, Ok(download)),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

/// The error of an export that must not succeed.
pub(crate) async fn refused(client: &ContractClient) -> (Vec<u8>, ContractError) {
    match export(client).await {
        (_, Ok(download)) => panic!("it was accepted: {:?}", download.outcome()),
        (bytes, Err(error)) => {
            assert!(!error.to_string().contains(TOKEN), "the token is in: {error}");
            assert!(!format!("{error:?}").contains(TOKEN), "the token is in: {error:?}");
            (bytes, error)
        }
    }
}

//! An address that messages are posted to, which takes them as well or as badly as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) path: String,
    /// The body; `Null` where it is no JSON.
    pub(crate) body: Value,
}

impl Taken {
    /// What it tells, as `opened backup_failed shop`.
    pub(crate) fn told(&self) -> String {
        told(&self.body["data"]["change"], &self.body["data"]["alert"])
    }

    /// The same of each entry of a digest.
    pub(crate) fn digest(&self) -> Vec<String> {
        let entries = self.body["data"]["digest"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|one| told(&one[0], &one[1])).collect()
    }

    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_default().to_owned()
    }
}

fn told(change: &Value, alert: &Value) -> String {
    let about = alert["app"].as_str().or(alert["destination"].as_str()).unwrap_or("-");
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{} {} {about}", word(change), word(&alert["kind"]))
}

/// A running server.
pub(crate) struct Hook {
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    /// Every request, also those that were not taken.
    asked: Arc<Mutex<Vec<Taken>>>,
    status: Arc<Mutex<u16>>,
    /// How long it thinks before it answers.
    thinks: Arc<Mutex<Duration>>,
    task: Option<JoinHandle<()>>,
}

impl Hook {
    pub(crate) async fn start() -> Self {
        let mut hook = Self::down();
        hook.come_up().await;
        hook
    }

    /// An address where nobody answers yet.
    pub(crate) fn down() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            taken: Arc::default(),
            asked: Arc::default(),
            status: Arc::new(Mutex::new(200)),
            thinks: Arc::default(),
            task: None,
        }
    }

    pub(crate) async fn come_up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (taken, asked, status) =
            (Arc::clone(&self.taken), Arc::clone(&self.asked), Arc::clone(&self.status));
        let thinks = Arc::clone(&self.thinks);
        self.task = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let status = *status.lock().unwrap();
                let thought = *thinks.lock().unwrap();
                let (taken, asked) = (Arc::clone(&taken), Arc::clone(&asked));
                tokio::spawn(async move {
                    let Some(one) = answer(stream, status, thought, &asked).await else { return };
                    if status == 200 {
                        taken.lock().unwrap().push(one);
                    }
                });
            }
        }));
    }

    pub(crate) fn answer_with(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    /// Every answer comes so late from now on.
    pub(crate) fn think(&self, length: Duration) {
        *self.thinks.lock().unwrap() = length;
    }

    /// Waits until it was asked `count` times, whether it has answered or not.
    pub(crate) async fn is_asked(&self, count: usize) {
        for _ in 0..1_500 {
            if self.asked() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it was to be asked {count} times, and was {}", self.asked());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The ids of all requests, in order.
    pub(crate) fn asked_ids(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(Taken::id).collect()
    }

    /// What was told at `path`, in order.
    pub(crate) fn told(&self, path: &str) -> Vec<String> {
        let path = format!("/{path}");
        self.taken().iter().filter(|one| one.path == path).map(Taken::told).collect()
    }

    /// Waits until `count` messages were taken.
    pub(crate) async fn takes(&self, count: usize) {
        for _ in 0..1_500 {
            if self.taken().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} messages were to come: {:#?}", self.taken());
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn answer(
    mut stream: TcpStream,
    status: u16,
    thought: Duration,
    asked: &Mutex<Vec<Taken>>,
) -> Option<Taken> {
    let mut request = Vec::new();
    let mut chunk = [0; 4_096];
    let head = loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&chunk[..count]);
    };
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let whole = head + 4 + length.unwrap_or(0);
    while request.len() < whole {
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&chunk[..count]);
    }
    let path = text.lines().next()?.split(' ').nth(1)?.to_owned();
    let body = serde_json::from_slice(&request[head + 4..whole]).unwrap_or(Value::Null);
    let one = Taken { path, body };
    asked.lock().unwrap().push(one.clone());
    tokio::time::sleep(thought).await;
    let reply = format!(
        "HTTP/1.1 {status} Told\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nOK"
    );
    stream.write_all(reply.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()?;
    Some(one)
}

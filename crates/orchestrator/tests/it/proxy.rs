//! What lies between a client and a server, and can be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// Passes connections on to a server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    lines: Arc<Lines>,
}

#[derive(Default)]
struct Lines {
    is_down: AtomicBool,
    cut: Notify,
    /// Bytes of an answer after which a connection is cut; 0 is never.
    most: AtomicU64,
    passed: AtomicU64,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(Lines::default());
        let own = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let lines = Arc::clone(&own);
                if lines.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    lines.passed.fetch_add(1, Ordering::SeqCst);
                    tokio::select! {
                        () = pass(client, server, &lines) => {}
                        () = lines.cut.notified() => {}
                    }
                });
            }
        });
        Self { address, lines }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts what goes through, and lets nothing through until it is up.
    pub(crate) fn go_down(&self) {
        self.lines.is_down.store(true, Ordering::SeqCst);
        self.lines.cut.notify_waiters();
    }

    pub(crate) fn come_up(&self) {
        self.lines.is_down.store(false, Ordering::SeqCst);
    }

    /// Cuts each connection after so many bytes of the server's, wherever that is.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.lines.most.store(bytes, Ordering::SeqCst);
    }

    /// How many connections went through.
    pub(crate) fn passed(&self) -> u64 {
        self.lines.passed.load(Ordering::SeqCst)
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, lines: &Lines) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let back = async {
        let (mut sent, mut chunk) = (0, [0; 512]);
        while let Ok(count @ 1..) = from_server.read(&mut chunk).await {
            let most = lines.most.load(Ordering::SeqCst);
            let left = if most == 0 { u64::MAX } else { most.saturating_sub(sent) };
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(count);
            if count == 0 || to_client.write_all(&chunk[..count]).await.is_err() {
                return;
            }
            sent += count as u64;
        }
    };
    tokio::select! {
        () = back => {}
        () = async { there.await; std::future::pending::<()>().await } => {}
    }
}

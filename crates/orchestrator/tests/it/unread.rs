//! Those who are refused while they still send.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::server::Place;

const HALF: usize = 8 << 20;

#[tokio::test]
async fn a_refused_sender_sees_the_answer_and_no_broken_pipe() {
    let server = Place::new(&[]).serve().await;
    let address = server.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let name = "000000010000000000000001";
    let head = format!(
        "PUT /api/v1/wal/shop/{name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        2 * HALF
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let half = vec![7; HALF];
    stream.write_all(&half).await.unwrap();
    // Long enough for an answer, and for a connection that is closed behind it.
    sleep(Duration::from_millis(500)).await;
    stream.write_all(&half).await.unwrap();
    let mut answer = [0; 12];
    let read = timeout(Duration::from_secs(20), stream.read_exact(&mut answer)).await;
    read.expect("an answer").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

/// Whoever would have been told to go on is refused before he sends.
#[tokio::test]
async fn who_asks_first_is_answered_at_once() {
    let server = Place::new(&[]).serve().await;
    let address = server.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT /api/v1/wal/shop/000000010000000000000001 HTTP/1.1\r\nHost: {address}\r\n\
         Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await;
    read.expect("an answer before anything is sent").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

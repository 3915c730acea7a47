//! F4 and F5: both checksum modes, cut and altered exports.

use contract::{ContractError, Limits};

use crate::{
    good::{self, artifact, chunks, sha256},
    server::{Server, Step, export, limits, refused},
};

const SIZE: usize = 200_000;

async fn refusal(reply: Vec<u8>) -> (Vec<u8>, ContractError) {
    let server = Server::exporting(vec![Step::Send(reply)]).await;
    refused(&server.client()).await
}

#[tokio::test]
async fn both_checksum_modes_give_the_same_artifact() {
    let bytes = artifact(SIZE);
    for (reply, declared) in
        [(good::spooled(&bytes), Some(SIZE as u64)), (good::streamed(&bytes, 7_001), None)]
    {
        let server = Server::exporting(vec![Step::Send(reply)]).await;
        let (came, done) = export(&server.client()).await;
        let download = done.unwrap();
        assert_eq!(came, bytes);
        assert_eq!(download.meta().declared_size(), declared);
        assert_eq!(download.meta().file_name, "shop.dump");
        assert_eq!(download.meta().format.as_deref(), Some("pg_dump_Fc"));
        let outcome = download.outcome().unwrap();
        assert_eq!((outcome.size_bytes, &outcome.sha256), (SIZE as u64, &sha256(&bytes)));
        assert!(outcome.verified_by_source);
    }
}

#[tokio::test]
async fn an_end_stays_an_end() {
    let server = Server::exporting(vec![Step::Send(good::spooled(b"abc"))]).await;
    let (_, done) = export(&server.client()).await;
    let mut download = done.unwrap();
    assert!(download.chunk().await.unwrap().is_none());
    assert!(download.outcome().is_some());
}

#[tokio::test]
async fn a_short_content_length_body_is_a_cut() {
    let bytes = artifact(SIZE);
    let mut reply = good::spooled(&bytes);
    reply.truncate(reply.len() - 1);
    let (_, error) = refusal(reply).await;
    assert!(matches!(error, ContractError::Truncated { received_bytes: 199_999, .. }), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_missing_final_chunk_is_a_cut() {
    let bytes = artifact(SIZE);
    let whole = good::streamed(&bytes, 50_000);
    let end = good::end(SIZE, &sha256(&bytes)).len();
    // No end at all, an end in the middle of the trailers, an end before the last empty line, an
    // end in the middle of a chunk.
    for cut in [end, end - 3, 2, 1, end + 20_000] {
        let (_, error) = refusal(whole[..whole.len() - cut].to_vec()).await;
        assert!(matches!(error, ContractError::Truncated { .. }), "{cut} bytes short: {error}");
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_refused() {
    let bytes = artifact(1_000);
    let sum = sha256(&bytes);
    for coding in ["", "Transfer-Encoding: identity\r\n", "Transfer-Encoding: gzip\r\n"] {
        for declared in ["", &format!("X-Checksum-SHA256: {sum}\r\nX-Size: 1000\r\n")] {
            let mut reply = format!("HTTP/1.1 200 OK\r\n{coding}{declared}\r\n").into_bytes();
            reply.extend_from_slice(&bytes);
            let server = Server::exporting(vec![Step::Send(reply)]).await;
            let limits = Limits { accept_unverified: true, ..limits() };
            let (came, error) = refused(&server.client_within(limits)).await;
            assert!(matches!(error, ContractError::Protocol { .. }), "{coding}: {error}");
            assert!(came.is_empty());
        }
    }
}

#[tokio::test]
async fn two_lengths_are_one_too_many() {
    let bytes = artifact(1_000);
    let reply = String::from_utf8_lossy(&good::streamed_head())
        .replace("Transfer-Encoding", "Content-Length: 1000\r\nTransfer-Encoding")
        .into_bytes();
    let (came, error) =
        refusal([reply, chunks(&bytes, 100), good::end(1_000, &sha256(&bytes))].concat()).await;
    assert!(matches!(error, ContractError::Protocol { .. }), "{error}");
    assert!(came.is_empty());
}

#[tokio::test]
async fn a_flipped_bit_is_seen_in_both_modes() {
    let bytes = artifact(SIZE);
    let mut flipped = bytes.clone();
    flipped[SIZE / 2] ^= 1;
    let spooled = [&good::spooled(&bytes)[..good::spooled(&bytes).len() - SIZE], &flipped].concat();
    let streamed =
        [good::streamed_head(), chunks(&flipped, 4_096), good::end(SIZE, &sha256(&bytes))].concat();
    for reply in [spooled, streamed] {
        let (_, error) = refusal(reply).await;
        assert!(matches!(error, ContractError::Mismatch(_)), "{error}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn a_size_that_is_one_more_or_less_is_seen() {
    let bytes = artifact(1_000);
    let sum = sha256(&bytes);
    for size in [999, 1_001] {
        let reply = [good::streamed_head(), chunks(&bytes, 100), good::end(size, &sum)].concat();
        let (_, error) = refusal(reply).await;
        assert!(matches!(error, ContractError::Mismatch(_)), "in trailers: {error}");
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Size: {size}\r\n\
             X-Checksum-SHA256: {sum}\r\n\r\n"
        );
        let (came, error) = refusal([text.into_bytes(), bytes.clone()].concat()).await;
        assert!(matches!(error, ContractError::Mismatch(_)), "in headers: {error}");
        assert!(came.is_empty(), "{} bytes were read", came.len());
    }
}

#[tokio::test]
async fn nothing_past_the_declared_size_is_given_or_waited_for() {
    let bytes = artifact(24 << 20);
    let declared = &bytes[..100_000];
    let head = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Size: 100000\r\n\
         X-Checksum-SHA256: {}\r\n\r\n",
        sha256(declared)
    );
    // What is declared comes whole and right, then far more comes than was declared.
    let reply = [head.into_bytes(), chunks(&bytes, 10_000), b"0\r\n\r\n".to_vec()].concat();
    let total = reply.len();
    let server = Server::exporting(vec![Step::Send(reply)]).await;
    let (came, error) = refused(&server.client()).await;
    assert!(matches!(error, ContractError::Mismatch(_)), "{error}");
    assert!(came.len() <= 100_000, "{} bytes were given", came.len());
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let sent = server.sent();
    assert!(sent < total / 2, "{sent} of {total} bytes were taken from the server");
}

#[tokio::test]
async fn a_wrong_checksum_is_seen_in_both_modes() {
    let bytes = artifact(1_000);
    let other = sha256(b"other");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Size: 1000\r\nX-Checksum-SHA256: {other}\r\n\r\n"
    );
    let in_headers = [head.into_bytes(), bytes.clone()].concat();
    let in_trailers =
        [good::streamed_head(), chunks(&bytes, 100), good::end(1_000, &other)].concat();
    for reply in [in_headers, in_trailers] {
        let (_, error) = refusal(reply).await;
        assert!(matches!(error, ContractError::Mismatch(_)), "{error}");
    }
}

#[tokio::test]
async fn headers_and_trailers_that_differ_are_refused() {
    let bytes = artifact(1_000);
    let head = String::from_utf8(good::streamed_head()).unwrap().replace(
        "Transfer-Encoding",
        &format!("X-Size: 1000\r\nX-Checksum-SHA256: {}\r\nTransfer-Encoding", sha256(&bytes)),
    );
    let reply = [head.into_bytes(), chunks(&bytes, 100), good::end(1_000, &sha256(b"x"))].concat();
    let (_, error) = refusal(reply).await;
    assert!(matches!(error, ContractError::Mismatch(_)), "{error}");
}

#[tokio::test]
async fn an_unverified_export_needs_the_setting_and_says_so() {
    let bytes = artifact(1_000);
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let reply = [head, chunks(&bytes, 100), b"0\r\n\r\n".to_vec()].concat();
    let server = Server::exporting(vec![Step::Send(reply)]).await;
    let (_, error) = refused(&server.client()).await;
    assert!(matches!(error, ContractError::Protocol { .. }), "{error}");
    let lenient = Limits { accept_unverified: true, ..limits() };
    let (came, done) = export(&server.client_within(lenient)).await;
    assert_eq!(came, bytes);
    assert!(!done.unwrap().outcome().unwrap().verified_by_source);
}

#[tokio::test]
async fn announced_trailers_must_come_even_where_unverified_is_accepted() {
    let bytes = artifact(1_000);
    let reply = [good::streamed_head(), chunks(&bytes, 100), b"0\r\n\r\n".to_vec()].concat();
    let server = Server::exporting(vec![Step::Send(reply)]).await;
    let lenient = Limits { accept_unverified: true, ..limits() };
    let (_, error) = refused(&server.client_within(lenient)).await;
    assert!(error.to_string().contains("trailers"), "{error}");
}

#[tokio::test]
async fn half_a_declaration_is_none() {
    let bytes = artifact(10);
    for half in ["X-Size: 10", &format!("X-Checksum-SHA256: {}", sha256(&bytes))] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n{half}\r\n\r\n");
        let (_, error) = refusal([head.into_bytes(), bytes.clone()].concat()).await;
        assert!(matches!(error, ContractError::Protocol { .. }), "{error}");
        let end = format!("0\r\n{half}\r\n\r\n");
        let reply = [good::streamed_head(), chunks(&bytes, 10), end.into_bytes()].concat();
        let (_, error) = refusal(reply).await;
        assert!(matches!(error, ContractError::Protocol { .. }), "{error}");
    }
}

#[tokio::test]
async fn more_than_the_limit_is_not_read() {
    let bytes = artifact(9 << 20);
    let (came, error) = refusal(good::spooled(&bytes)).await;
    assert!(matches!(error, ContractError::TooLarge { .. }), "{error}");
    assert!(came.is_empty());
    let (came, error) = refusal(good::streamed(&bytes, 1 << 16)).await;
    assert!(matches!(error, ContractError::TooLarge { .. }), "{error}");
    assert!(came.len() <= 8 << 20);
}

#[tokio::test]
async fn a_chunk_size_beyond_any_number_is_a_cut() {
    let reply = [good::streamed_head(), b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n".to_vec()].concat();
    let (came, error) = refusal(reply).await;
    assert!(matches!(error, ContractError::Truncated { .. }), "{error}");
    assert!(came.is_empty());
}

//! F6 and hostile heads: sizes, redirects, oversized headers, file names.

use std::time::Duration;

use contract::{ContractError, Limits};

use crate::{
    good::{self, artifact, sha256},
    server::{Server, Step, export, limits, refused},
};

#[tokio::test]
async fn sizes_that_are_none_are_refused_before_a_byte_is_read() {
    let bytes = artifact(1_000);
    let sum = sha256(&bytes);
    for size in
        ["-1", "0", "1e30", "18446744073709551616", "18446744073709551615", "abc", "", "1000, 1000"]
    {
        for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
            let head = format!(
                "HTTP/1.1 200 OK\r\n{framing}\r\nX-Size: {size}\r\nX-Checksum-SHA256: {sum}\r\n\r\n"
            );
            let body = if framing.starts_with('C') {
                bytes.clone()
            } else {
                [good::chunks(&bytes, 100), b"0\r\n\r\n".to_vec()].concat()
            };
            let server =
                Server::exporting(vec![Step::Send([head.into_bytes(), body].concat())]).await;
            let (came, error) = refused(&server.client()).await;
            assert!(came.is_empty(), "X-Size `{size}`: {} bytes were given", came.len());
            let told = matches!(
                error,
                ContractError::Protocol { .. }
                    | ContractError::Mismatch(_)
                    | ContractError::TooLarge { .. }
            );
            assert!(told, "X-Size `{size}`: {error}");
        }
    }
}

#[tokio::test]
async fn a_header_that_is_there_twice_is_refused() {
    let bytes = artifact(100);
    let sum = sha256(&bytes);
    for twice in ["X-Size: 100".to_owned(), format!("X-Checksum-SHA256: {sum}")] {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX-Size: 100\r\nX-Checksum-SHA256: {sum}\r\n\
             {twice}\r\n\r\n"
        );
        let reply = [head.into_bytes(), bytes.clone()].concat();
        let server = Server::exporting(vec![Step::Send(reply)]).await;
        let (came, error) = refused(&server.client()).await;
        assert!(error.to_string().contains("twice"), "{error}");
        assert!(came.is_empty());
    }
}

#[tokio::test]
async fn sizes_in_trailers_are_read_as_strictly() {
    let bytes = artifact(100);
    let sum = sha256(&bytes);
    for size in ["-1", "1e30", "18446744073709551616", "abc", "100\r\nX-Size: 100"] {
        let end = format!("0\r\nX-Checksum-SHA256: {sum}\r\nX-Size: {size}\r\n\r\n");
        let reply = [good::streamed_head(), good::chunks(&bytes, 10), end.into_bytes()].concat();
        let server = Server::exporting(vec![Step::Send(reply)]).await;
        let (_, error) = refused(&server.client()).await;
        assert!(matches!(error, ContractError::Protocol { .. }), "X-Size `{size}`: {error}");
    }
}

#[tokio::test]
async fn a_huge_size_sizes_no_buffer() {
    // All that is allowed, so that only what the client does with the number is tried.
    let head = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Size: {}\r\nX-Checksum-SHA256: {}\r\n\r\n",
        u64::MAX,
        sha256(b"")
    );
    let reply = [head.into_bytes(), b"3\r\nabc\r\n0\r\n\r\n".to_vec()].concat();
    let server = Server::exporting(vec![Step::Send(reply)]).await;
    let unlimited = Limits { max_size_bytes: u64::MAX, ..limits() };
    let (came, error) = refused(&server.client_within(unlimited)).await;
    assert_eq!(came, b"abc");
    assert!(matches!(error, ContractError::Mismatch(_)), "{error}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::exporting(vec![Step::Send(good::spooled(b"abc"))]).await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let to = elsewhere.url();
        let reply = format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::exporting(vec![Step::Send(reply.into_bytes())]).await;
        let (_, error) = refused(&server.client()).await;
        assert!(error.to_string().contains("redirects"), "{error}");
        assert!(!error.is_retryable());
        assert!(server.client().capabilities().await.is_err());
        assert!(server.client().health().await.is_err());
    }
    assert!(elsewhere.asked().is_empty(), "the token went elsewhere: {:?}", elsewhere.lines());
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let long = format!("X-Long: {}\r\n", "x".repeat(40 << 10));
    let many = "X-Many: x\r\n".repeat(100);
    let endless = format!("X-Endless: {}\r\n", "x".repeat(4 << 20));
    for extra in [long, many, endless] {
        let reply = String::from_utf8(good::spooled(b"abc")).unwrap();
        let reply = reply.replacen("\r\n", &format!("\r\n{extra}"), 1).into_bytes();
        let server = Server::exporting(vec![Step::Send(reply)]).await;
        let (came, error) = refused(&server.client()).await;
        assert!(matches!(error, ContractError::Protocol { .. }), "{error}");
        assert!(came.is_empty());
    }
}

#[tokio::test]
async fn something_else_than_http_is_not_tried_again() {
    let server = Server::exporting(vec![Step::Send(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())]).await;
    let (_, error) = refused(&server.client()).await;
    assert!(matches!(error, ContractError::Protocol { .. }), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn oversized_trailers_are_refused() {
    let bytes = artifact(10);
    let end = format!(
        "0\r\nX-Long: {}\r\nX-Checksum-SHA256: {}\r\nX-Size: 10\r\n\r\n",
        "x".repeat(1 << 20),
        sha256(&bytes)
    );
    let reply = [good::streamed_head(), good::chunks(&bytes, 10), end.into_bytes()].concat();
    let server = Server::exporting(vec![Step::Send(reply)]).await;
    refused(&server.client()).await;
}

#[tokio::test]
async fn oversized_documents_are_refused() {
    let body = format!(r#"{{"version":"v1","x":"{}"}}"#, "x".repeat(1 << 20));
    let reply = good::with_body("200 OK", "application/json", &body);
    let server = Server::exporting(vec![Step::Send(reply)]).await;
    assert!(server.client().capabilities().await.is_err());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let server =
        Server::exporting(vec![Step::Send(good::with_body("200 OK", "application/json", &deep))])
            .await;
    assert!(server.client().capabilities().await.is_err());
}

#[tokio::test]
async fn file_names_are_made_safe() {
    let long = "ñ".repeat(200);
    for (told, kept) in [
        ("attachment; filename=\"../../etc/passwd\"", "passwd"),
        ("attachment; filename=\"a\\..\\b.sql\"", "b.sql"),
        ("attachment; filename=\"-rf\"", "rf"),
        ("attachment; filename=\"$(id).sql\"", "__id_.sql"),
        ("attachment; filename=\"a;b|c&d.sql\"", "a_b_c_d.sql"),
        ("attachment; filename*=UTF-8''a%0d%0aX-Size%3a%201", "a__X-Size__1"),
        ("attachment; filename*=UTF-8''a%00b%1b%5b31m", "a_b__31m"),
        ("attachment; filename*=UTF-8''%2e%2e%2f%2e%2e%2fx", "x"),
        ("attachment; filename=\"\"", "artifact.bin"),
        (&format!("attachment; filename*=UTF-8''{long}.sql"), &format!("{}.sql", "ñ".repeat(58))),
        (
            &format!("attachment; filename=\"{}-x{}\"", "a".repeat(50), "b".repeat(118)),
            &format!("x{}", "b".repeat(118)),
        ),
    ] {
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Size: 3\r\nX-Checksum-SHA256: {}\r\n\
             Content-Disposition: {told}\r\n\r\nabc",
            sha256(b"abc")
        );
        let server = Server::exporting(vec![Step::Send(reply.into_bytes())]).await;
        let (_, done) = export(&server.client()).await;
        let name = done.unwrap().meta().file_name.clone();
        assert_eq!(name, kept, "{told}");
        assert!(name.len() <= 120);
    }
}

#[tokio::test]
async fn a_line_break_in_a_file_name_adds_no_header() {
    // What follows the break is a header line of its own, and is read as strictly as any.
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Checksum-SHA256: {}\r\nX-Size: 3\r\n\
         Content-Disposition: attachment; filename=\"a\r\nX-Size: 3\r\n\r\nabc",
        sha256(b"abc")
    );
    let server = Server::exporting(vec![Step::Send(reply.into_bytes())]).await;
    let (_, error) = refused(&server.client()).await;
    assert!(error.to_string().contains("twice"), "{error}");
    for bare in ["a\nb", "a\rb", "a\0b"] {
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Checksum-SHA256: {}\r\nX-Size: 3\r\n\
             Content-Disposition: attachment; filename=\"{bare}\"\r\n\r\nabc",
            sha256(b"abc")
        );
        let server = Server::exporting(vec![Step::Send(reply.into_bytes())]).await;
        match export(&server.client()).await {
            (_, Err(_)) => {}
            (_, Ok(download)) => {
                let name = &download.meta().file_name;
                assert!(!name.contains(char::is_control), "{name:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_encoded_artifact_is_refused() {
    let reply = String::from_utf8(good::spooled(b"abc")).unwrap();
    let reply = reply.replacen("\r\n", "\r\nContent-Encoding: gzip\r\n", 1);
    let server = Server::exporting(vec![Step::Send(reply.into_bytes())]).await;
    let (_, error) = refused(&server.client()).await;
    assert!(error.to_string().contains("content-encoded"), "{error}");
}

#[tokio::test]
async fn statuses_become_what_can_be_done() {
    for (status, retryable) in [
        ("409 Conflict", true),
        ("429 Too Many Requests", true),
        ("503 Service Unavailable", true),
        ("500 Internal Server Error", true),
        ("422 Unprocessable Content", false),
        ("404 Not Found", false),
        ("401 Unauthorized", false),
        ("204 No Content", false),
    ] {
        let server = Server::exporting(vec![Step::Send(good::empty(status))]).await;
        let (_, error) = refused(&server.client()).await;
        assert_eq!(error.is_retryable(), retryable, "{status}: {error}");
    }
}

#[tokio::test]
async fn retry_after_is_clamped() {
    for (told, kept) in [("0", Some(1)), ("7", Some(7)), ("99999", Some(300)), ("soon", None)] {
        let reply =
            format!("HTTP/1.1 503 Busy\r\nRetry-After: {told}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::exporting(vec![Step::Send(reply.into_bytes())]).await;
        let (_, error) = refused(&server.client()).await;
        let ContractError::Busy { retry_after_secs, status: 503, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(retry_after_secs, kept);
    }
}

#[tokio::test]
async fn an_unknown_version_is_refused_and_unknown_members_are_not() {
    let reply = |body: &str| good::with_body("200 OK", "application/json", body);
    let server = Server::exporting(vec![Step::Send(reply(
        r#"{"version":"v1","types":["db"],"est_seconds":1,"est_size":2,"later":{"x":[1]}}"#,
    ))])
    .await;
    let found = server.client().capabilities().await.unwrap();
    assert_eq!((found.est_seconds, found.est_size), (Some(1), Some(2)));
    let server = Server::exporting(vec![Step::Send(reply(r#"{"version":"v2","types":[]}"#))]).await;
    let error = server.client().capabilities().await.unwrap_err();
    assert!(error.to_string().contains("v2"), "{error}");
}

#[tokio::test]
async fn a_head_that_drips_ends_at_its_deadline() {
    let server = Server::exporting(vec![
        Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Step::Drip(b"X-A: b\r\n".to_vec(), Duration::from_millis(100)),
    ])
    .await;
    let short = Limits { total_timeout: Duration::from_millis(700), ..limits() };
    let started = std::time::Instant::now();
    let (_, error) = refused(&server.client_within(short)).await;
    assert!(matches!(error, ContractError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

//! Messages out of bytes, never larger than allowed.

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::backend::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Error;

/// Largest message: WAL comes in 16 pages, at most 1 MiB of the largest pages PostgreSQL knows.
const MAX_MESSAGE: usize = 2 << 20;
/// How much is read ahead.
const READ: usize = 256 << 10;

/// A socket, plain or with TLS.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// One message of the server.
pub(crate) enum Frame {
    /// `CopyBothResponse`, which `postgres-protocol` does not know.
    CopyBoth,
    /// `CopyData`.
    Data(Bytes),
    /// Any other.
    Message(Message),
}

/// Takes the next message out of `input`; `None` where it is not whole yet.
pub(crate) fn take(input: &mut BytesMut) -> Result<Option<Frame>, Error> {
    let Some(head) = input.first_chunk::<5>() else { return Ok(None) };
    let tag = head[0];
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if !(4..=MAX_MESSAGE).contains(&length) {
        return Err(Error::protocol(format!("a message of {length} bytes")));
    }
    if input.len() < length + 1 {
        return Ok(None);
    }
    let bad = |error: io::Error| Error::protocol(error.to_string());
    match tag {
        b'd' | b'W' => {
            let mut message = input.split_to(length + 1).freeze();
            message.advance(5);
            Ok(Some(if tag == b'd' { Frame::Data(message) } else { Frame::CopyBoth }))
        }
        _ => Ok(Message::parse(input).map_err(bad)?.map(Frame::Message)),
    }
}

/// A socket on which messages come and go.
pub(crate) struct Wire {
    socket: Box<dyn Socket>,
    server: String,
    input: BytesMut,
    /// What `flush` will send.
    pub(crate) output: BytesMut,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

impl Wire {
    pub(crate) fn new(socket: Box<dyn Socket>, server: String, timeout: Duration) -> Self {
        Self { socket, server, input: BytesMut::new(), output: BytesMut::new(), timeout }
    }

    /// The next message. May be dropped while it waits: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            if let Some(frame) = take(&mut self.input)? {
                return Ok(frame);
            }
            // Grown by what comes, not by the length somebody claims.
            self.input.reserve(READ);
            let read = self.socket.read_buf(&mut self.input).await;
            match read {
                Ok(0) => {
                    let closed = io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed the connection",
                    );
                    return Err(Error::network(format!("reading from {}", self.server), closed));
                }
                Ok(_) => {}
                Err(error) => {
                    return Err(Error::network(format!("reading from {}", self.server), error));
                }
            }
        }
    }

    /// The next message, within the time for an answer.
    pub(crate) async fn answer(&mut self, doing: &str) -> Result<Frame, Error> {
        let limit = self.timeout;
        within(doing, limit, self.next()).await
    }

    /// Sends what was put into `output`.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        let doing = format!("writing to {}", self.server);
        let sent = async {
            self.socket.write_all(&self.output).await?;
            self.socket.flush().await
        };
        let sent = within(&doing, self.timeout, async { Ok(sent.await) }).await?;
        // A password may have been in it.
        self.output.fill(0);
        self.output.clear();
        sent.map_err(|error| Error::network(doing, error))
    }
}

/// Ends what takes longer than `limit`.
pub(crate) async fn within<T>(
    doing: &str,
    limit: Duration,
    what: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, what).await {
        Ok(done) => done,
        Err(_) => Err(Error::Timeout { doing: doing.to_owned(), after: limit }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut input) {}
        }

        #[test]
        fn no_body_makes_it_panic(
            tag in proptest::sample::select(b"123ACcDdEGHIKnNRsSTtWZ".to_vec()),
            body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut input = BytesMut::from(&[tag][..]);
            input.extend_from_slice(&(u32::try_from(body.len()).unwrap() + 4).to_be_bytes());
            input.extend_from_slice(&body);
            if let Ok(Some(frame)) = take(&mut input) {
                prop_assert!(input.is_empty());
                crate::query::look_at(frame);
            }
        }
    }

    #[test]
    fn a_length_that_is_too_large_is_refused_before_anything_is_read() {
        let mut input = BytesMut::from(&[b'd', 0x7f, 0xff, 0xff, 0xff][..]);
        assert!(take(&mut input).is_err());
        let mut input = BytesMut::from(&[b'd', 0, 0, 0, 3][..]);
        assert!(take(&mut input).is_err());
    }
}

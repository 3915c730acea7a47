//! The way from a blocking writer to a stream.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

/// How much is gathered before it is sent, in bytes.
const CHUNK: usize = 256 << 10;

/// Sends what is written to it, and waits where it is not taken. Its last bytes go with `flush`.
pub struct Sink {
    to: mpsc::Sender<Bytes>,
    gathered: Vec<u8>,
}

impl Sink {
    /// Sends to `to`.
    pub fn new(to: mpsc::Sender<Bytes>) -> Self {
        Self { to, gathered: Vec::with_capacity(CHUNK) }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK - self.gathered.len();
        let count = room.min(bytes.len());
        self.gathered.extend_from_slice(&bytes[..count]);
        if self.gathered.len() == CHUNK {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.gathered, Vec::with_capacity(CHUNK));
        self.to.blocking_send(chunk.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

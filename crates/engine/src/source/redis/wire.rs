//! As much of the protocol of Redis as a replica needs that wants one snapshot.

mod talk;

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use model::{Fact, Failure, FailureCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::Instant,
};

use crate::{
    doctor::said,
    source::{direct::Asked, reach},
};
pub(crate) use talk::Answer;

/// How long one answer may take.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);
const READ_CHUNK: usize = 128 << 10;
/// Longest line of an answer.
const MAX_LINE: usize = 8 << 10;
/// Longest answer but a snapshot.
const MAX_ANSWER: u64 = 1 << 20;
/// Length of the mark that ends a snapshot of unknown size.
const MARK_BYTES: usize = 40;

trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<W: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for W {}

/// A connection, logged in.
pub(crate) struct Connection {
    wire: Box<dyn Wire>,
    place: String,
    buffer: BytesMut,
    /// What is to be sent and was not yet.
    outgoing: BytesMut,
    user: Option<String>,
    idle: Duration,
    ends_by: Instant,
}

/// What is still to come of a snapshot.
pub(super) enum Payload {
    /// So many bytes.
    Sized { whole_bytes: u64, left_bytes: u64 },
    /// All up to this mark.
    Marked([u8; MARK_BYTES]),
    /// Nothing.
    Over,
}

impl Payload {
    pub(super) fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::Sized { whole_bytes, .. } => Some(*whole_bytes),
            _ => None,
        }
    }
}

impl Connection {
    /// Connects and logs in.
    pub(crate) async fn open(asked: &Asked<'_>, ends_by: Instant) -> Result<Self, Failure> {
        let config = &asked.engine.0.config;
        let (place, connecting) = match asked.setting("socket") {
            Some(socket) => (socket.to_owned(), connect(To::Socket(socket.to_owned()))),
            None => {
                let host = asked.setting("host").unwrap_or("localhost").to_owned();
                let port =
                    asked.setting("port").and_then(|text| text.parse().ok()).unwrap_or(6_379);
                let allowed = reach::allowed(config, &host).await?;
                let to = allowed.into_iter().map(|address| SocketAddr::new(address, port));
                (format!("{host}:{port}"), connect(To::Addresses(to.collect())))
            }
        };
        let unreachable = |why: Fact| {
            let fact = Fact::RedisUnreachable { place: place.clone(), why: why.into() };
            Failure::new(FailureCode::SourceUnreachable, fact)
        };
        let wire = match tokio::time::timeout(config.connect_timeout, connecting).await {
            Err(_) => return Err(unreachable(Fact::NoAnswerInTime {})),
            Ok(Err(error)) => return Err(unreachable(said(error))),
            Ok(Ok(wire)) => wire,
        };
        let mut connection = Self {
            wire,
            place,
            buffer: BytesMut::new(),
            outgoing: BytesMut::new(),
            user: asked.setting("user").map(str::to_owned),
            idle: config.idle_timeout,
            ends_by,
        };
        if let Some(password) = asked.secret("password")? {
            connection.log_in(&password).await?;
        }
        // Without a login nothing else would be answered, either.
        connection.command(&[b"PING"]).await?;
        Ok(connection)
    }

    /// Talks over `wire`, where it is somebody else's matter to connect.
    pub(crate) async fn over(
        wire: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
        place: &str,
        idle: Duration,
        ends_by: Instant,
    ) -> Result<Self, Failure> {
        let mut connection = Self {
            wire: Box::new(wire),
            place: place.to_owned(),
            buffer: BytesMut::new(),
            outgoing: BytesMut::new(),
            user: None,
            idle,
            ends_by,
        };
        connection.command(&[b"PING"]).await?;
        Ok(connection)
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    async fn log_in(&mut self, password: &SecretString) -> Result<(), Failure> {
        let password = password.expose_secret().as_bytes();
        let user = self.user.clone();
        let answer = match &user {
            Some(user) => self.command(&[b"AUTH", user.as_bytes(), password]).await,
            None => self.command(&[b"AUTH", password]).await,
        };
        answer.map(drop)
    }

    /// Server, keys and role, in its own words.
    pub(crate) async fn info(&mut self) -> Result<String, Failure> {
        let head = self.command(&[b"INFO"]).await?;
        let size = head.strip_prefix('$').and_then(|digits| digits.parse().ok());
        let Some(size @ ..=MAX_ANSWER) = size else { return Err(self.odd(&head)) };
        let size = usize::try_from(size).unwrap_or_default();
        while self.buffer.len() < size + 2 {
            self.read(ANSWER).await?;
        }
        let text = self.buffer.split_to(size + 2);
        Ok(String::from_utf8_lossy(&text[..size]).into_owned())
    }

    /// Whether the server says that the user may have a snapshot; errs where it cannot tell.
    pub(super) async fn may_snapshot(&mut self) -> Result<bool, Failure> {
        // Since Redis 7 a command can be tried without being run.
        let user = self.user.clone().unwrap_or_else(|| "default".to_owned());
        let answer = self.command(&[b"ACL", b"DRYRUN", user.as_bytes(), b"SYNC"]).await?;
        // It says why not as a text of its own.
        Ok(answer == "+OK")
    }

    /// Asks for a snapshot, and waits until it begins.
    pub(super) async fn begin_snapshot(&mut self) -> Result<Payload, Failure> {
        // A server that can send without a file of its own may do so; and it need not keep for us
        // what is written afterwards. Older ones refuse what they do not know.
        for option in [[&b"capa"[..], b"eof"], [b"rdb-only", b"1"]] {
            self.send(&[b"REPLCONF", option[0], option[1]]).await?;
            self.line(ANSWER).await?;
        }
        self.send(&[b"SYNC"]).await?;
        let head = loop {
            // Empty lines are sent while the server makes its snapshot.
            let line = self.line(self.idle).await?;
            if !line.is_empty() {
                break self.refusal(line)?;
            }
        };
        let Some(size) = head.strip_prefix('$') else { return Err(self.odd(&head)) };
        if let Some(mark) = size.strip_prefix("EOF:") {
            let mark = mark.as_bytes().try_into().map_err(|_| self.odd(&head))?;
            return Ok(Payload::Marked(mark));
        }
        let whole_bytes = size.parse().map_err(|_| self.odd(&head))?;
        Ok(Payload::Sized { whole_bytes, left_bytes: whole_bytes })
    }

    /// The snapshot's next bytes; `None` at its end.
    pub(super) async fn snapshot_chunk(
        &mut self,
        payload: &mut Payload,
    ) -> Result<Option<Bytes>, Failure> {
        loop {
            match payload {
                Payload::Over | Payload::Sized { left_bytes: 0, .. } => return Ok(None),
                Payload::Sized { left_bytes, .. } if !self.buffer.is_empty() => {
                    let most = usize::try_from(*left_bytes).unwrap_or(usize::MAX);
                    let chunk = self.buffer.split_to(most.min(self.buffer.len())).freeze();
                    *left_bytes -= chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                // Nothing follows the mark before a replica has said that it got there.
                Payload::Marked(mark) if self.buffer.ends_with(&mark[..]) => {
                    let rest = self.buffer.len() - MARK_BYTES;
                    let chunk = self.buffer.split_to(rest).freeze();
                    *payload = Payload::Over;
                    if !chunk.is_empty() {
                        return Ok(Some(chunk));
                    }
                }
                Payload::Marked(_) if self.buffer.len() > MARK_BYTES => {
                    let sure = self.buffer.len() - MARK_BYTES;
                    let chunk = self.buffer.split_to(sure).freeze();
                    return Ok(Some(chunk));
                }
                _ => self.read(self.idle).await?,
            }
        }
    }

    async fn command(&mut self, words: &[&[u8]]) -> Result<String, Failure> {
        self.send(words).await?;
        let line = self.line(ANSWER).await?;
        self.refusal(line)
    }

    async fn send(&mut self, words: &[&[u8]]) -> Result<(), Failure> {
        let mut frame = zeroize::Zeroizing::new(format!("*{}\r\n", words.len()).into_bytes());
        for word in words {
            frame.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            frame.extend_from_slice(word);
            frame.extend_from_slice(b"\r\n");
        }
        match tokio::time::timeout(ANSWER, self.wire.write_all(&frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(said(error))),
            Err(_) => Err(self.lost(Fact::TakesNothing {})),
        }
    }

    /// One line of an answer, without its end.
    async fn line(&mut self, patience: Duration) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.buffer.len() > MAX_LINE {
                let line = String::from_utf8_lossy(&self.buffer).into_owned();
                return Err(self.odd(&line));
            }
            self.read(patience).await?;
        }
    }

    async fn read(&mut self, patience: Duration) -> Result<(), Failure> {
        if self.buffer.capacity() - self.buffer.len() < READ_CHUNK / 4 {
            self.buffer.reserve(READ_CHUNK);
        }
        let until = self.ends_by.min(Instant::now() + patience);
        match tokio::time::timeout_at(until, self.wire.read_buf(&mut self.buffer)).await {
            Ok(Ok(1..)) => Ok(()),
            Ok(Ok(0)) => Err(self.lost(Fact::ConnectionClosed {})),
            Ok(Err(error)) => Err(self.lost(said(error))),
            Err(_) if Instant::now() >= self.ends_by => {
                let late = Fact::SnapshotLate { place: self.place.clone() };
                Err(Failure::new(FailureCode::Timeout, late))
            }
            Err(_) => {
                let silent = Fact::SilentTooLong { place: self.place.clone() };
                Err(Failure::new(FailureCode::Timeout, silent))
            }
        }
    }

    fn lost(&self, why: Fact) -> Failure {
        let fact = Fact::ConnectionLost { place: self.place.clone(), why: why.into() };
        Failure::new(FailureCode::SourceUnreachable, fact)
    }

    fn odd(&self, answer: &str) -> Failure {
        // What it is that answers there is not known: what it says may be anybody's.
        let shown: String = answer.chars().take(20).collect();
        let (place, said) = (self.place.clone(), shown.escape_debug().to_string());
        Failure::new(FailureCode::SourceConfig, Fact::OddRedis { place, said })
    }

    /// The answer, unless it is a refusal.
    fn refusal(&self, line: String) -> Result<String, Failure> {
        let Some(why) = line.strip_prefix('-') else {
            let is_answer = line.starts_with(['+', '$', ':', '*']);
            return if is_answer { Ok(line) } else { Err(self.odd(&line)) };
        };
        let (code, advice) = match why.split(' ').next().unwrap_or_default() {
            "NOAUTH" | "WRONGPASS" => (FailureCode::SourceUnauthorized, Fact::DoUserPassword {}),
            "NOPERM" => {
                let command = "ACL SETUSER name +sync +replconf +ping +info".to_owned();
                (FailureCode::SourceConfig, Fact::DoRedisRights { command })
            }
            "ERR" if why.contains("invalid password") || why.contains("AUTH") => {
                (FailureCode::SourceUnauthorized, Fact::DoUserPassword {})
            }
            "ERR" if why.contains("unknown command") => {
                (FailureCode::SourceConfig, Fact::RedisNoReplication {})
            }
            "DENIED" => (FailureCode::SourceConfig, Fact::DoSetPassword {}),
            "LOADING" | "BUSY" | "NOMASTERLINK" | "MASTERDOWN" => {
                (FailureCode::SourceBusy, Fact::ServerNotReady {})
            }
            _ => (FailureCode::SourceFailed, Fact::DoLookLog {}),
        };
        let shown: String = why.chars().filter(|c| !c.is_control()).take(200).collect();
        let refuses = Fact::Refuses { place: self.place.clone(), said: shown };
        Err(Failure::new(code, Fact::also(refuses, advice)))
    }
}

/// Where a server listens.
enum To {
    Addresses(Vec<SocketAddr>),
    Socket(String),
}

async fn connect(to: To) -> std::io::Result<Box<dyn Wire>> {
    Ok(match to {
        To::Addresses(all) => Box::new(TcpStream::connect(all.as_slice()).await?),
        To::Socket(path) => Box::new(UnixStream::connect(path).await?),
    })
}

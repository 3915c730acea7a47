//! WAL as it comes, and what we tell the server about it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use postgres_protocol::message::frontend::{self, CopyData};

use crate::{
    Connection, Error, Lsn, Timeline,
    query::{Answer, text},
    server_error::Asked,
    slot,
};

/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH: i64 = 946_684_800_000_000;

/// PostgreSQL's microseconds as a time; `None` where it is none.
pub(crate) fn time(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros.checked_add(EPOCH)?).ok()
}

/// What the server sends while it streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A piece of WAL.
    Wal {
        /// Where it begins.
        start: Lsn,
        /// Where the server's WAL ends.
        end: Lsn,
        /// When it was sent, by the server's clock.
        sent: Option<Timestamp>,
        /// The bytes.
        bytes: Bytes,
    },
    /// A sign of life.
    Keepalive {
        /// Up to where the server has sent.
        end: Lsn,
        /// When it was sent, by the server's clock.
        sent: Option<Timestamp>,
        /// Whether the server waits for our status.
        reply: bool,
    },
    /// There is no more on this timeline; call [`WalStream::finish`].
    Done,
    /// The server shuts down and has sent everything.
    Shutdown,
}

/// How far we are; what `pg_stat_replication` shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Received.
    pub write: Lsn,
    /// Durable: the slot lets go of what is before.
    pub flush: Lsn,
    /// Replayed; 0 for what replays nothing.
    pub apply: Lsn,
}

/// Reads one message of a stream.
pub(crate) fn read(mut bytes: Bytes) -> Result<Message, Error> {
    let short = |_| Error::protocol("a message of the WAL stream is too short");
    let lsn = |bytes: &mut Bytes| bytes.try_get_u64().map(Lsn).map_err(short);
    match bytes.try_get_u8().map_err(short)? {
        b'w' => {
            let (start, end) = (lsn(&mut bytes)?, lsn(&mut bytes)?);
            let sent = time(bytes.try_get_i64().map_err(short)?);
            Ok(Message::Wal { start, end, sent, bytes })
        }
        b'k' => {
            let end = lsn(&mut bytes)?;
            let sent = time(bytes.try_get_i64().map_err(short)?);
            let reply = bytes.try_get_u8().map_err(short)? != 0;
            Ok(Message::Keepalive { end, sent, reply })
        }
        other => Err(Error::protocol(format!("{other:#04x} in a WAL stream"))),
    }
}

/// What came of asking for WAL.
pub enum Started {
    /// It comes.
    Streaming(WalStream),
    /// There is none on this timeline: it was left exactly here.
    Left(Connection, Timeline, Lsn),
}

/// A connection that streams WAL.
pub struct WalStream {
    connection: Connection,
    slot: Option<String>,
}

const DOING: &str = "receiving WAL";

impl Connection {
    /// `START_REPLICATION`: WAL of `timeline` from `at` on.
    pub async fn start_replication(
        mut self,
        slot: Option<&str>,
        timeline: Timeline,
        at: Lsn,
    ) -> Result<Started, Error> {
        let named = slot.map(slot::quoted).transpose()?;
        let named = named.map(|name| format!("SLOT {name} ")).unwrap_or_default();
        self.send(&format!("START_REPLICATION {named}PHYSICAL {at} TIMELINE {timeline}")).await?;
        match self.hear(Asked::Wal, DOING, slot).await? {
            Answer::CopyBoth => Ok(Started::Streaming(WalStream {
                connection: self,
                slot: slot.map(str::to_owned),
            })),
            Answer::Columns => match self.next_timeline(slot).await? {
                Some((next, at)) => Ok(Started::Left(self, next, at)),
                None => Err(Error::protocol("neither WAL nor a next timeline")),
            },
            _ => Err(Error::protocol("no answer to START_REPLICATION")),
        }
    }

    /// The rest of an answer: which timeline goes on where, if one does.
    async fn next_timeline(
        &mut self,
        slot: Option<&str>,
    ) -> Result<Option<(Timeline, Lsn)>, Error> {
        let mut next = None;
        loop {
            match self.hear(Asked::Wal, DOING, slot).await? {
                Answer::Row(row) => next = Some((text(&row, 0)?.parse()?, text(&row, 1)?.parse()?)),
                Answer::Ready => return Ok(next),
                // What was on its way when we stopped.
                Answer::Columns | Answer::Complete | Answer::CopyDone | Answer::Data(_) => {}
                Answer::CopyOut | Answer::CopyBoth => {
                    return Err(Error::protocol("no end of the WAL stream"));
                }
            }
        }
    }
}

impl WalStream {
    /// The next message, however long it takes. May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Result<Message, Error> {
        loop {
            let frame = self.connection.wire.next().await?;
            let slot = self.slot.as_deref();
            return match self.connection.answer(Asked::Wal, DOING, slot, frame)? {
                None => continue,
                Some(Answer::Data(bytes)) => read(bytes),
                Some(Answer::CopyDone) => Ok(Message::Done),
                Some(Answer::Complete) => Ok(Message::Shutdown),
                Some(_) => Err(Error::protocol("an answer within the WAL stream")),
            };
        }
    }

    /// Tells the server how far we are; with `ping` it answers at once with a sign of life.
    pub async fn status(
        &mut self,
        status: Status,
        ping: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut body = BytesMut::with_capacity(34);
        body.put_u8(b'r');
        for lsn in [status.write, status.flush, status.apply] {
            body.put_u64(lsn.0);
        }
        body.put_i64(now.as_microsecond().saturating_sub(EPOCH));
        body.put_u8(u8::from(ping));
        let copy = CopyData::new(body).map_err(|error| Error::protocol(error.to_string()))?;
        copy.write(&mut self.connection.wire.output);
        self.connection.wire.flush().await
    }

    /// Ends the stream; the timeline that goes on, and from where, if the server left this one.
    pub async fn finish(mut self) -> Result<(Connection, Option<(Timeline, Lsn)>), Error> {
        frontend::copy_done(&mut self.connection.wire.output);
        self.connection.wire.flush().await?;
        let next = self.connection.next_timeline(self.slot.as_deref()).await?;
        Ok((self.connection, next))
    }
}

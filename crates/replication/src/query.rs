//! Commands that answer with rows.

use bytes::Bytes;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::{backend::Message, frontend};

use crate::{
    Connection, Error, History, Lsn, MAX_HISTORY, SegmentSize, SystemId, Timeline,
    server_error::Asked, wire::Frame,
};

/// One row; a missing value is `None`.
pub(crate) type Row = Vec<Option<Bytes>>;

/// Most bytes of rows that are kept.
const MAX_ROWS: usize = 8 << 20;

/// What the cluster is and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemInfo {
    /// The number `initdb` gave it.
    pub system: SystemId,
    /// Its timeline.
    pub timeline: Timeline,
    /// Up to where its WAL is safe on its own disk.
    pub flushed: Lsn,
}

/// What a command tells besides rows.
pub(crate) enum Answer {
    Row(Row),
    /// Columns follow.
    Columns,
    /// One command is done.
    Complete,
    Ready,
    CopyOut,
    CopyBoth,
    CopyDone,
    Data(Bytes),
}

impl Connection {
    /// `IDENTIFY_SYSTEM`.
    pub async fn identify(&mut self) -> Result<SystemInfo, Error> {
        let row = self.one_row(Asked::Other, "IDENTIFY_SYSTEM", None).await?;
        Ok(SystemInfo {
            system: number(&row, 0)?,
            timeline: text(&row, 1)?.parse()?,
            flushed: text(&row, 2)?.parse()?,
        })
    }

    /// `SHOW`: the value of a setting.
    pub async fn show(&mut self, name: &str) -> Result<String, Error> {
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.') {
            return Err(Error::Settings(format!("\"{}\" is no setting", name.escape_debug())));
        }
        let row = self.one_row(Asked::Other, &format!("SHOW {name}"), None).await?;
        Ok(text(&row, 0)?.to_owned())
    }

    /// How large the cluster's segments are.
    pub async fn segment_size(&mut self) -> Result<SegmentSize, Error> {
        let shown = self.show("wal_segment_size").await?;
        SegmentSize::shown(&shown)
            .ok_or_else(|| Error::protocol(format!("\"{shown}\" is no size of a segment")))
    }

    /// `TIMELINE_HISTORY`: the file's bytes, and what they say. The first timeline of a cluster has
    /// none: no bytes.
    pub async fn history(&mut self, timeline: Timeline) -> Result<(Bytes, History), Error> {
        if timeline.number() == 1 {
            return Ok((Bytes::new(), History::first(timeline)));
        }
        let row = self.one_row(Asked::Other, &format!("TIMELINE_HISTORY {timeline}"), None).await?;
        let bytes = row.get(1).cloned().flatten().unwrap_or_default();
        if bytes.len() > MAX_HISTORY {
            return Err(Error::protocol("a history file larger than 1 MiB"));
        }
        let history = History::parse(timeline, &bytes)?;
        Ok((bytes, history))
    }

    /// Sends a command.
    pub(crate) async fn send(&mut self, command: &str) -> Result<(), Error> {
        frontend::query(command, &mut self.wire.output)
            .map_err(|_| Error::Settings("a name must not hold a zero byte".into()))?;
        self.wire.flush().await
    }

    /// The next thing the server says to a command.
    pub(crate) async fn hear(
        &mut self,
        asked: Asked,
        doing: &str,
        slot: Option<&str>,
    ) -> Result<Answer, Error> {
        loop {
            let frame = self.wire.answer(doing).await?;
            if let Some(answer) = self.answer(asked, doing, slot, frame)? {
                return Ok(answer);
            }
        }
    }

    /// What a message means; `None` for notices.
    pub(crate) fn answer(
        &self,
        asked: Asked,
        doing: &str,
        slot: Option<&str>,
        frame: Frame,
    ) -> Result<Option<Answer>, Error> {
        Ok(Some(match frame {
            Frame::CopyBoth => Answer::CopyBoth,
            Frame::Data(bytes) => Answer::Data(bytes),
            Frame::Message(message) => match message {
                Message::RowDescription(_) => Answer::Columns,
                Message::DataRow(body) => Answer::Row(row(&body)?),
                Message::CommandComplete(_) | Message::EmptyQueryResponse => Answer::Complete,
                Message::ReadyForQuery(_) => Answer::Ready,
                Message::CopyOutResponse(_) => Answer::CopyOut,
                Message::CopyDone => Answer::CopyDone,
                Message::ErrorResponse(body) => {
                    return Err(self.refused(asked, doing, slot, &body));
                }
                Message::NoticeResponse(_)
                | Message::ParameterStatus(_)
                | Message::NotificationResponse(_) => return Ok(None),
                _ => return Err(Error::protocol(format!("no answer to {doing}"))),
            },
        }))
    }

    /// All rows of a command.
    pub(crate) async fn rows(
        &mut self,
        asked: Asked,
        command: &str,
        slot: Option<&str>,
    ) -> Result<Vec<Row>, Error> {
        self.send(command).await?;
        let mut rows = Vec::new();
        let mut size = 0;
        let mut refused = None;
        loop {
            match self.hear(asked, command, slot).await {
                Ok(Answer::Row(row)) => {
                    size += row.iter().flatten().map(Bytes::len).sum::<usize>() + 64;
                    if size > MAX_ROWS {
                        return Err(Error::protocol("the answer is too long"));
                    }
                    rows.push(row);
                }
                Ok(Answer::Columns | Answer::Complete) => {}
                Ok(Answer::Ready) => return refused.map_or(Ok(rows), Err),
                Ok(_) => return Err(Error::protocol(format!("no answer to {command}"))),
                // The connection is good for more once the server is ready again.
                Err(Error::Server(error)) if refused.is_none() && !error.fatal => {
                    refused = Some(Error::Server(error));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn one_row(
        &mut self,
        asked: Asked,
        command: &str,
        slot: Option<&str>,
    ) -> Result<Row, Error> {
        let rows = self.rows(asked, command, slot).await?;
        rows.into_iter().next().ok_or_else(|| Error::protocol(format!("no row for {command}")))
    }
}

fn row(body: &postgres_protocol::message::backend::DataRowBody) -> Result<Row, Error> {
    let all = body.buffer_bytes();
    body.ranges()
        .map(|range| Ok(range.map(|range| all.slice(range))))
        .collect()
        .map_err(|error| Error::protocol(format!("a row: {error}")))
}

/// A value as text.
pub(crate) fn text(row: &Row, column: usize) -> Result<&str, Error> {
    let value = row.get(column).and_then(Option::as_ref);
    value
        .and_then(|value| std::str::from_utf8(value).ok())
        .ok_or_else(|| Error::protocol(format!("column {} holds no text", column + 1)))
}

/// A value as a number.
pub(crate) fn number<N: std::str::FromStr>(row: &Row, column: usize) -> Result<N, Error> {
    text(row, column)?
        .parse()
        .map_err(|_| Error::protocol(format!("column {} holds no number", column + 1)))
}

/// Reads all that can be read of a message, for the test that nothing panics.
#[cfg(test)]
pub(crate) fn look_at(frame: Frame) {
    use crate::ServerError;
    match frame {
        Frame::Message(Message::DataRow(body)) => drop(row(&body)),
        Frame::Message(Message::ErrorResponse(body)) => {
            let shown =
                ServerError::read(Asked::Wal, "reading".into(), "r", Some("s"), body.fields());
            assert!(!shown.to_string().is_empty());
        }
        Frame::Message(Message::AuthenticationSasl(body)) => {
            drop(body.mechanisms().map(|name| Ok(name.to_owned())).collect::<Vec<_>>());
        }
        Frame::Data(bytes) => drop(crate::stream::read(bytes)),
        _ => {}
    }
}

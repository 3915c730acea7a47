//! Commands and answers, many at a time: what moving keys from one server to another takes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use model::{Fact, Failure};
use tokio::{io::AsyncWriteExt as _, time::Instant};

use super::{ANSWER, Connection};
use crate::doctor::said;

/// What is sent at once.
const SEND_CHUNK: usize = 128 << 10;
/// Longest text of an answer that is kept in memory: a name of a key at most.
const MAX_TEXT: u64 = 512 << 20;
/// Most parts of a list.
const MAX_PARTS: u64 = 1 << 20;
/// Most lists within lists.
const MAX_DEPTH: usize = 16;

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Text(String),
    Number(i64),
    Bytes(Bytes),
    Nothing,
    List(Vec<Answer>),
    /// It will not, and says why.
    Refused(String),
}

impl Connection {
    /// Adds a command to those that [`Self::flush`] sends.
    pub(crate) fn queue(&mut self, words: &[&[u8]]) {
        self.begin(words.len());
        for word in words {
            self.word(word);
        }
    }

    /// Begins a command of `words` words, each given by [`Self::word`] or [`Self::take_over`].
    pub(crate) fn begin(&mut self, words: usize) {
        self.outgoing.extend_from_slice(format!("*{words}\r\n").as_bytes());
    }

    pub(crate) fn word(&mut self, word: &[u8]) {
        self.outgoing.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        self.outgoing.extend_from_slice(word);
        self.outgoing.extend_from_slice(b"\r\n");
    }

    /// Sends what was queued.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        let all = std::mem::take(&mut self.outgoing);
        let until = self.ends_by.min(Instant::now() + ANSWER);
        match tokio::time::timeout_at(until, self.wire.write_all(&all)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(said(error))),
            Err(_) => Err(self.lost(Fact::TakesNothing {})),
        }
    }

    /// Asks one thing.
    pub(crate) async fn ask(
        &mut self,
        words: &[&[u8]],
        patience: Duration,
    ) -> Result<Answer, Failure> {
        self.queue(words);
        self.flush().await?;
        self.answer(patience).await
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self, patience: Duration) -> Result<Answer, Failure> {
        // Lists that are not whole yet, with what they still lack; the innermost last.
        let mut open: Vec<(u64, Vec<Answer>)> = Vec::new();
        loop {
            let head = self.line(patience).await?;
            let mut whole = match head.strip_prefix('*') {
                None => self.rest(head, patience).await?,
                Some("0") => Answer::List(Vec::new()),
                Some("-1") => Answer::Nothing,
                Some(parts) => {
                    let Ok(parts @ 1..=MAX_PARTS) = parts.parse() else {
                        return Err(self.odd(&head));
                    };
                    if open.len() >= MAX_DEPTH {
                        return Err(self.odd(&head));
                    }
                    open.push((parts, Vec::new()));
                    continue;
                }
            };
            loop {
                let Some((left, parts)) = open.last_mut() else { return Ok(whole) };
                parts.push(whole);
                *left -= 1;
                if *left > 0 {
                    break;
                }
                whole = Answer::List(open.pop().map(|(_, parts)| parts).unwrap_or_default());
            }
        }
    }

    async fn rest(&mut self, head: String, patience: Duration) -> Result<Answer, Failure> {
        let Some((kind, rest)) = head.split_at_checked(1) else { return Err(self.odd(&head)) };
        match kind {
            "+" => Ok(Answer::Text(rest.to_owned())),
            "-" => Ok(Answer::Refused(rest.chars().filter(|c| !c.is_control()).collect())),
            ":" => rest.parse().map(Answer::Number).map_err(|_| self.odd(&head)),
            "$" => match self.size(&head)? {
                None => Ok(Answer::Nothing),
                Some(size @ 0..=MAX_TEXT) => {
                    let size = usize::try_from(size).unwrap_or_default();
                    while self.buffer.len() < size + 2 {
                        self.read(patience).await?;
                    }
                    let mut text = self.buffer.split_to(size + 2);
                    text.truncate(size);
                    Ok(Answer::Bytes(text.freeze()))
                }
                Some(_) => Err(self.odd(&head)),
            },
            _ => Err(self.odd(&head)),
        }
    }

    fn size(&self, head: &str) -> Result<Option<u64>, Failure> {
        match head.strip_prefix('$') {
            Some("-1") => Ok(None),
            Some(size) => size.parse().map(Some).map_err(|_| self.odd(head)),
            None => Err(self.odd(head)),
        }
    }

    /// How many bytes the next answer has; `None` where it is none. All of them are to be given on
    /// by [`Self::hand_over`].
    pub(crate) async fn coming(&mut self, patience: Duration) -> Result<Option<u64>, Failure> {
        let head = self.line(patience).await?;
        self.size(&head)
    }

    /// Gives the bytes announced by [`Self::coming`] on as a word of a command to `other`, piece
    /// by piece, however many they are.
    pub(crate) async fn hand_over(
        &mut self,
        size: u64,
        other: &mut Self,
        patience: Duration,
    ) -> Result<(), Failure> {
        other.outgoing.extend_from_slice(format!("${size}\r\n").as_bytes());
        let mut left = size;
        while left > 0 {
            while self.buffer.is_empty() {
                self.read(patience).await?;
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let piece: BytesMut = self.buffer.split_to(most.min(self.buffer.len()));
            left -= piece.len() as u64;
            other.outgoing.extend_from_slice(&piece);
            if other.outgoing.len() >= SEND_CHUNK {
                other.flush().await?;
            }
        }
        other.outgoing.extend_from_slice(b"\r\n");
        while self.buffer.len() < 2 {
            self.read(patience).await?;
        }
        let _ = self.buffer.split_to(2);
        Ok(())
    }
}

//! Keys on their way from one server to another, by the commands that servers have for it. Nothing
//! has to connect to us, and no rights of a replica are needed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use model::{Fact, Failure};

use super::{told::Told, wrong};
use crate::{
    run::RunContext,
    source::redis::wire::{Answer, Connection},
    target::refused,
};

/// Keys asked for at a time.
const KEYS: &[u8] = b"500";
/// Keys are sent in batches that take about this much memory, and at least one key.
const BATCH_BYTES: u64 = 4 << 20;
/// How long a server may take for one command with a large key.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// A time in the past: what has ended by then is read and checked, and not kept.
const PAST: &[u8] = b"1";

/// What is done with the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass<'a> {
    /// The server reads and checks every key and keeps none: each is sent under this name, as one
    /// that has ended long ago.
    Trial(&'a str),
    /// They are put in their places.
    Real,
}

/// One key to be sent.
struct Key {
    name: Bytes,
    /// When it ends, in milliseconds since 1970; zero is never.
    ends_at: i64,
    size_bytes: u64,
}

/// Two servers.
pub(crate) struct Moving<'a> {
    pub(crate) context: &'a RunContext,
    pub(crate) from: &'a mut Connection,
    /// What `from` says of itself.
    pub(crate) source: &'a Told,
    pub(crate) to: &'a mut Connection,
    /// What `to` says of itself.
    pub(crate) target: &'a Told,
}

impl Moving<'_> {
    /// Sends every key of every database.
    pub(crate) async fn all(&mut self, pass: Pass<'_>) -> Result<(), Failure> {
        for database in self.source.databases() {
            let number = database.number.to_string();
            for connection in [&mut *self.from, &mut *self.to] {
                let answer = connection.ask(&[b"SELECT", number.as_bytes()], LONG).await?;
                if let Answer::Refused(why) = answer {
                    let server = connection.place().to_owned();
                    return Err(refused(Fact::NumberRefused { server, number, why }));
                }
            }
            let mut cursor = Bytes::from_static(b"0");
            loop {
                let asked: [&[u8]; 4] = [b"SCAN", &cursor, b"COUNT", KEYS];
                let names;
                (cursor, names) = match self.from.ask(&asked, LONG).await? {
                    Answer::List(parts) => cursor_and_names(parts).ok_or_else(|| self.odd())?,
                    _ => return Err(self.odd()),
                };
                let keys = self.described(names).await?;
                for batch in batches(&keys) {
                    match pass {
                        Pass::Trial(_) => self.context.keep_going()?,
                        // Nothing is to be half there because somebody has changed their mind.
                        Pass::Real => self.context.keep_going_once_begun()?,
                    }
                    self.send(batch, pass).await?;
                }
                if &cursor[..] == b"0" {
                    break;
                }
            }
        }
        Ok(())
    }

    /// When each key ends and about how large it is.
    async fn described(&mut self, names: Vec<Bytes>) -> Result<Vec<Key>, Failure> {
        let is_exact = self.source.major() >= 7;
        let lives: &[u8] = if is_exact { b"PEXPIRETIME" } else { b"PTTL" };
        for name in &names {
            self.from.queue(&[lives, name]);
            self.from.queue(&[b"MEMORY", b"USAGE", name]);
        }
        self.from.flush().await?;
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            let (lives, size) = (self.from.answer(LONG).await?, self.from.answer(LONG).await?);
            let (Answer::Number(lives), Answer::Number(_) | Answer::Nothing) = (&lives, &size)
            else {
                return Err(self.odd());
            };
            let size_bytes = match size {
                Answer::Number(size) => u64::try_from(size).unwrap_or_default(),
                _ => 0,
            };
            let ends_at = match lives {
                -1 => 0,
                // It has ended meanwhile.
                -2 => continue,
                at if is_exact => *at,
                left => now_ms().saturating_add(*left),
            };
            keys.push(Key { name, ends_at, size_bytes });
        }
        Ok(keys)
    }

    async fn send(&mut self, keys: &[Key], pass: Pass<'_>) -> Result<(), Failure> {
        for key in keys {
            self.from.queue(&[b"DUMP", &key.name]);
        }
        self.from.flush().await?;
        let mut sent = 0;
        for key in keys {
            let Some(size) = self.from.coming(LONG).await? else { continue };
            let ends_at = key.ends_at.to_string();
            let (name, ends_at, more): (_, _, &[&[u8]]) = match pass {
                Pass::Trial(name) => (name.as_bytes(), PAST, &[b"ABSTTL"]),
                Pass::Real => (&key.name[..], ends_at.as_bytes(), &[b"ABSTTL", b"REPLACE"]),
            };
            self.to.begin(4 + more.len());
            self.to.word(b"RESTORE");
            self.to.word(name);
            self.to.word(ends_at);
            self.from.hand_over(size, self.to, LONG).await?;
            for word in more {
                self.to.word(word);
            }
            sent += 1;
        }
        self.to.flush().await?;
        for _ in 0..sent {
            match self.to.answer(LONG).await? {
                Answer::Text(_) => {}
                Answer::Refused(why) => {
                    return Err(wrong::of_key(&why, self.source, self.target, self.to.place()));
                }
                _ => return Err(wrong::odd(self.to.place())),
            }
        }
        Ok(())
    }

    fn odd(&self) -> Failure {
        wrong::odd(self.from.place())
    }
}

fn cursor_and_names(parts: Vec<Answer>) -> Option<(Bytes, Vec<Bytes>)> {
    let [Answer::Bytes(cursor), Answer::List(names)] = <[Answer; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let name = |answer| match answer {
        Answer::Bytes(name) => Some(name),
        _ => None,
    };
    Some((cursor, names.into_iter().map(name).collect::<Option<_>>()?))
}

/// Parts of `keys` that take about [`BATCH_BYTES`].
fn batches(keys: &[Key]) -> impl Iterator<Item = &[Key]> {
    let mut left = keys;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fit = left.iter().take_while(|key| {
            let is_first = bytes == 0;
            bytes += key.size_bytes.max(1);
            is_first || bytes <= BATCH_BYTES
        });
        let (batch, rest) = left.split_at(fit.count());
        left = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_small_and_lose_no_key() {
        let key = |size_bytes| Key { name: Bytes::new(), ends_at: 0, size_bytes };
        let sizes = [BATCH_BYTES * 3, 1, BATCH_BYTES - 1, 1, 0, BATCH_BYTES];
        let keys: Vec<_> = sizes.into_iter().map(key).collect();
        let counts: Vec<_> = batches(&keys).map(<[Key]>::len).collect();
        assert_eq!(counts, [1, 2, 2, 1]);
        assert_eq!(batches(&[]).count(), 0);
    }
}

//! Where a connection begins, and the histories of timelines.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Event, Position, Receiver};
use crate::{Connection, Error, History, Lsn, SystemInfo, Timeline, durable::Durable};

/// Segments in the spool at once: some on their way, one that waits, and one that comes.
const IN_SPOOL: u64 = 4;

impl Receiver {
    /// Where to begin.
    pub(super) async fn place(
        &mut self,
        connection: &mut Connection,
        info: &SystemInfo,
    ) -> Result<Position, Error> {
        let system = info.system;
        let Some(place) = self.position else {
            let held = match &self.options.slot {
                Some(slot) if connection.major() >= 15 => connection.read_slot(slot).await?,
                _ => None,
            };
            let held = held.and_then(|slot| Some((slot.timeline?, slot.restart?)));
            let (timeline, at) = held.unwrap_or((info.timeline, info.flushed));
            self.begin_at(at);
            let place = Position { system, timeline, at };
            self.tell_history(connection, info.timeline, place).await?;
            return Ok(place);
        };
        if place.system != system {
            return Err(Error::OtherCluster { expected: place.system, found: system });
        }
        if self.room.is_none() {
            self.begin_at(place.at);
        }
        let (bytes, history) = connection.history(info.timeline).await?;
        if place.timeline == info.timeline {
            self.hand_history(history, bytes, place).await?;
            return Ok(place);
        }
        let diverged =
            |how: String| Error::Diverged { timeline: place.timeline, at: place.at, how };
        let (Some(left), Some(next)) =
            (history.left_at(place.timeline), history.after(place.timeline))
        else {
            return Err(diverged(format!(
                "the server is on timeline {}, which does not come from it",
                info.timeline
            )));
        };
        if left >= place.at {
            self.hand_history(history, bytes, place).await?;
            return Ok(place);
        }
        // We received more of the old timeline than the server that was promoted: its branch goes
        // on from the fork, and what is past it stays where it is, on the branch that was left.
        self.durable = Durable::new(self.size.start_of(left));
        let place = Position { system, timeline: next, at: left };
        self.hand_history(history, bytes, place).await?;
        Ok(place)
    }

    /// Where segments wait that have no room in memory.
    pub(super) fn spool(&self) -> Option<&Path> {
        let is_too_large = self.size.bytes().saturating_mul(2) > self.options.memory;
        self.options.spool.as_deref().filter(|_| is_too_large)
    }

    /// Nothing is waited for, and all before `at` is durable.
    fn begin_at(&mut self, at: Lsn) {
        let start = self.size.start_of(at);
        self.durable = Durable::new(start);
        let held = (self.options.memory / self.size.bytes()).max(2);
        let segments = if self.spool().is_some() { IN_SPOOL } else { held };
        self.room = Some(Arc::new(Semaphore::new(usize::try_from(segments).unwrap_or(2))));
    }

    /// Fetches and hands out the history of a timeline.
    pub(super) async fn tell_history(
        &mut self,
        connection: &mut Connection,
        timeline: Timeline,
        from: Position,
    ) -> Result<(), Error> {
        let (bytes, history) = connection.history(timeline).await?;
        self.hand_history(history, bytes, from).await
    }

    /// Hands out a history file, where there is one; if it is not kept, receiving begins again at
    /// `from`.
    async fn hand_history(
        &mut self,
        history: History,
        bytes: Bytes,
        from: Position,
    ) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let receipt = self.receipt(from.timeline, from.at, from.at);
        self.hand(Event::History { history, bytes, receipt }).await
    }
}

//! One connection, from where the last one ended.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::{Event, Piece, Position, Receipt, Receiver, Settled, Standing};
use crate::{
    Assembler, Connection, Error, Filled, Lsn, Message, Problem, Settings, Status, Timeline,
    WalStream, stream::Started,
};

/// So many questions of a server in a row, without WAL between them, are those of one that stops.
const STOPPING: u32 = 10;
/// The answer to a server that asks again and again.
const REPLY_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

/// The connection after a stream, and the timeline that goes on.
type Left = (Connection, Option<(Timeline, Lsn)>);

/// What goes on within one stream.
struct Flow {
    assembler: Assembler,
    /// Waiting for whoever takes it.
    pending: VecDeque<Event>,
    /// WAL that came and found no room.
    rest: Option<(Lsn, Bytes)>,
    server: Lsn,
    heard: Instant,
    /// When the server sent its last word, by its own clock.
    said: Option<Timestamp>,
    /// How often it was asked for a sign of life since.
    unanswered: u32,
    /// Up to where a prefix was handed out, and whether it is still out.
    prefix: Lsn,
    prefix_is_out: bool,
    /// Questions in a row, since when.
    asked: u32,
    asked_since: Instant,
    replied: Instant,
}

impl Flow {
    fn new(assembler: Assembler) -> Self {
        let now = Instant::now();
        let prefix = assembler.at();
        Self {
            assembler,
            pending: VecDeque::new(),
            rest: None,
            server: prefix,
            heard: now,
            said: None,
            unanswered: 0,
            prefix,
            prefix_is_out: false,
            asked: 0,
            asked_since: now,
            replied: now,
        }
    }

    fn hear(&mut self) {
        self.heard = Instant::now();
        self.unanswered = 0;
    }
}

impl Receiver {
    /// Connects and receives until the connection ends; never returns without an error. Called
    /// again it goes on where it was. [`Error::Gone`] once nobody takes the pieces.
    pub async fn run(&mut self, settings: &Settings) -> Error {
        let ended = self.run_once(settings).await;
        self.catch_up();
        self.standing.send_modify(|standing| standing.is_streaming = false);
        match ended {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn run_once(&mut self, settings: &Settings) -> Result<std::convert::Infallible, Error> {
        self.catch_up();
        let mut connection = Connection::open(settings).await?;
        let info = connection.identify().await?;
        let version = connection.version().to_owned();
        self.size = connection.segment_size().await?;
        let mut place = self.place(&mut connection, &info).await?;
        loop {
            self.position = Some(place);
            let slot = self.options.slot.clone();
            let (timeline, at) = (place.timeline, self.size.start_of(place.at));
            let started = connection.start_replication(slot.as_deref(), timeline, at).await;
            let (back, next) = match started.map_err(|error| diverged(error, place))? {
                Started::Left(connection, next, at) => (connection, Some((next, at))),
                Started::Streaming(stream) => {
                    let (system, size) = (info.system, self.size);
                    let version = version.clone();
                    let started = Event::Started { system, timeline, at, size, version };
                    // That a position is ahead of the server is told within the stream.
                    let ended = self.stream(stream, place, started).await;
                    ended.map_err(|error| diverged(error, place))?
                }
            };
            let Some((timeline, at)) = next else {
                return Err(Error::protocol("the stream ended without a next timeline"));
            };
            connection = back;
            self.tell_history(&mut connection, timeline, Position { at, ..place }).await?;
            place = Position { timeline, at, ..place };
        }
    }

    /// Takes note of what was settled while nobody listened.
    fn catch_up(&mut self) {
        while let Ok(settled) = self.settled.try_recv() {
            // What was given back only moves the place where the next connection begins.
            let _ = self.settle(settled);
        }
    }

    pub(super) async fn hand(&self, event: Event) -> Result<(), Error> {
        self.events.send(event).await.map_err(|_| Error::Gone)
    }

    /// A receipt for something that what follows waits for.
    pub(super) fn receipt(&mut self, timeline: Timeline, start: Lsn, end: Lsn) -> Receipt {
        self.next_id += 1;
        self.durable.hand_out(self.next_id, timeline, (start, end));
        Receipt::whole(self.next_id, self.settle.clone())
    }

    /// Takes note of what became of a piece.
    fn settle(&mut self, settled: Settled) -> Result<(), Error> {
        match settled {
            Settled::Kept(id) => self.durable.confirm(id),
            Settled::Prefix { start, end } => self.durable.confirm_prefix(start, end),
            Settled::PrefixGone => {}
            Settled::GivenBack(id) => {
                if let Some((timeline, at)) = self.durable.give_back(id) {
                    self.position = self.position.map(|place| Position { timeline, at, ..place });
                    return Err(Error::NotKept(at));
                }
            }
        }
        Ok(())
    }

    async fn stream(
        &mut self,
        mut stream: WalStream,
        place: Position,
        started: Event,
    ) -> Result<Left, Error> {
        let assembler = Assembler::new(place.timeline, self.size, place.at);
        let mut flow = Flow::new(assembler);
        flow.pending.push_back(started);
        let events = self.events.clone();
        let room = Arc::clone(self.room.as_ref().ok_or(Error::Gone)?);
        let mut status = interval(self.options.status_every);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let every = self.options.prefix_every.unwrap_or(self.options.status_every);
        let mut prefix = interval_at(Instant::now() + every, every);
        prefix.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wants_room = flow.pending.is_empty() && !flow.assembler.has_room();
            let may_read = flow.pending.is_empty() && !wants_room;
            tokio::select! {
                biased;
                Some(settled) = self.settled.recv() => {
                    if matches!(settled, Settled::Prefix { .. } | Settled::PrefixGone) {
                        flow.prefix_is_out = false;
                    }
                    let before = self.durable.flushed();
                    self.settle(settled)?;
                    if self.durable.flushed() > before {
                        self.report(&mut stream, &mut flow, false).await?;
                    }
                }
                _ = status.tick() => {
                    // Only if it was asked twice: we may have slept ourselves.
                    if flow.heard.elapsed() > self.options.silence && flow.unanswered >= 2 {
                        return Err(Error::Timeout {
                            doing: "receiving WAL".into(),
                            after: self.options.silence,
                        });
                    }
                    // A server whose bytes we do not read cannot answer.
                    if !may_read {
                        flow.hear();
                    }
                    flow.unanswered += 1;
                    self.report(&mut stream, &mut flow, true).await?;
                }
                _ = prefix.tick(), if self.options.prefix_every.is_some() => {
                    self.hand_prefix(&mut flow);
                }
                slot = events.reserve(), if !flow.pending.is_empty() => {
                    let slot = slot.map_err(|_| Error::Gone)?;
                    if let Some(event) = flow.pending.pop_front() {
                        slot.send(event);
                    }
                }
                permit = Arc::clone(&room).acquire_owned(), if wants_room => {
                    flow.assembler.set_room(permit.map_err(|_| Error::Gone)?);
                    self.take_rest(&mut flow).await?;
                }
                message = stream.next(), if may_read => {
                    flow.hear();
                    match message? {
                        Message::Wal { start, end, sent, bytes } => {
                            flow.said = sent.or(flow.said);
                            flow.server = end.max(flow.server);
                            flow.asked = 0;
                            flow.rest = Some((start, bytes));
                            self.take_rest(&mut flow).await?;
                            self.stand(&flow);
                        }
                        Message::Keepalive { end, sent, reply } => {
                            flow.said = sent.or(flow.said);
                            flow.server = end.max(flow.server);
                            self.stand(&flow);
                            if reply {
                                self.asked(&mut stream, &mut flow).await?;
                            }
                        }
                        Message::Done => return self.left(stream, flow).await,
                        Message::Shutdown => return Err(stopping()),
                    }
                }
            }
        }
    }

    /// Feeds what came, as far as there is room for it.
    async fn take_rest(&mut self, flow: &mut Flow) -> Result<(), Error> {
        while flow.assembler.has_room() {
            let Some((at, mut bytes)) = flow.rest.take() else { return Ok(()) };
            let before = bytes.len();
            let whole = flow.assembler.feed(at, &mut bytes)?;
            self.spill(flow).await?;
            let at = at.plus((before - bytes.len()) as u64);
            if !bytes.is_empty() {
                flow.rest = Some((at, bytes));
            }
            if let Some(filled) = whole {
                if let Some(place) = &mut self.position {
                    place.at = filled.end;
                }
                let piece = self.piece(filled);
                flow.pending.push_back(Event::Segment(piece));
            }
        }
        Ok(())
    }

    /// Moves a segment that is too large for memory into the spool, as far as it came.
    async fn spill(&self, flow: &mut Flow) -> Result<(), Error> {
        let Some(folder) = self.spool() else { return Ok(()) };
        let spilled = flow.assembler.spill(folder).await;
        spilled.map_err(|source| Error::Spool { folder: folder.into(), source })
    }

    fn piece(&mut self, filled: Filled) -> Piece {
        let receipt = self.receipt(filled.timeline, filled.start, filled.end);
        let name = self.size.name(filled.timeline, filled.start);
        Piece { filled, name, receipt }
    }

    /// Hands out the beginning of the segment in hand, where it has grown and none is out.
    fn hand_prefix(&mut self, flow: &mut Flow) {
        if flow.prefix_is_out || flow.assembler.at() <= flow.prefix {
            return;
        }
        if let Some(filled) = flow.assembler.prefix() {
            flow.prefix = filled.end;
            flow.prefix_is_out = true;
            let name = self.size.name(filled.timeline, filled.start);
            let receipt = Receipt::prefix(filled.start, filled.end, self.settle.clone());
            flow.pending.push_back(Event::Prefix(Piece { filled, name, receipt }));
        }
    }

    /// The server asks how far we are. One that shuts down asks until all it sent is durable.
    async fn asked(&mut self, stream: &mut WalStream, flow: &mut Flow) -> Result<(), Error> {
        if flow.asked == 0 {
            flow.asked_since = Instant::now();
        }
        flow.asked += 1;
        if self.durable.flushed() < flow.assembler.at() {
            self.hand_prefix(flow);
            let waited = flow.asked_since.elapsed();
            if flow.asked >= STOPPING && waited > self.options.patience {
                return Err(stopping());
            }
        } else {
            flow.asked = 0;
        }
        // Each answer brings the next question at once: not faster than needed.
        if flow.asked > 1 {
            tokio::time::sleep_until(flow.replied + REPLY_EVERY).await;
        }
        flow.replied = Instant::now();
        self.report(stream, flow, false).await
    }

    /// Tells the server how far we are.
    async fn report(
        &self,
        stream: &mut WalStream,
        flow: &mut Flow,
        ping: bool,
    ) -> Result<(), Error> {
        let flush = self.durable.flushed().min(flow.assembler.at());
        let status = Status { write: flow.assembler.at(), flush, apply: Lsn(0) };
        self.stand(flow);
        stream.status(status, ping, (self.options.clock)()).await
    }

    fn stand(&self, flow: &Flow) {
        let standing = Standing {
            is_streaming: true,
            server: flow.server,
            received: flow.assembler.at(),
            durable: self.durable.flushed(),
            heard: Some((self.options.clock)()),
            said: flow.said,
        };
        self.standing.send_replace(standing);
    }

    /// The server left the timeline: what is unfinished of it never becomes whole.
    async fn left(&mut self, stream: WalStream, mut flow: Flow) -> Result<Left, Error> {
        let (connection, next) = stream.finish().await?;
        if let Some(filled) = flow.assembler.prefix() {
            let piece = self.piece(filled);
            flow.pending.push_back(Event::Tail(piece));
        }
        for event in flow.pending.drain(..) {
            self.hand(event).await?;
        }
        Ok((connection, next))
    }
}

/// The server has no WAL to go on with from `place`.
fn diverged(error: Error, place: Position) -> Error {
    match error.server() {
        Some(server) if server.problem == Problem::NotInHistory => {
            Error::Diverged { timeline: place.timeline, at: place.at, how: server.message.clone() }
        }
        _ => error,
    }
}

fn stopping() -> Error {
    Error::network(
        "receiving WAL",
        std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the server shuts down"),
    )
}

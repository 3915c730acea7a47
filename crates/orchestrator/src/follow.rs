//! A run's changes as they come, for the pages and the API alike. They come from the catalog, so
//! that any replica can tell of any run; a reader who lost the connection names the last line
//! seen, and misses none.

use std::{convert::Infallible, time::Duration};

use axum::{
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use engine::Engine;
use futures::{Stream, StreamExt as _};
use model::{LogLine, Run, RunId, RunState};
use tokio::sync::mpsc::{Sender, channel};
use tokio_util::sync::CancellationToken;

/// Lines read from the catalog at once.
const LINES: u64 = 1_000;

/// How a reader is told.
pub(crate) trait Teller: Send + Sync + 'static {
    /// Name of the event that tells how the run stands.
    const STATE: &'static str;

    /// New lines of the log as events, each with the number of its last line.
    fn lines(&self, lines: &[LogLine]) -> Vec<(i64, String)>;

    /// How the run stands; `None` where that cannot be read now.
    fn state(&self, run: &Run) -> impl Future<Output = Option<String>> + Send;
}

/// Log lines after `after`, or after the last one that the reader names, and every change of
/// `run`'s state, until it has ended.
pub(crate) fn follow<T: Teller>(
    engine: Engine,
    closing: CancellationToken,
    run: RunId,
    headers: &HeaderMap,
    after: i64,
    teller: T,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<T>> {
    let named = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let (sender, events) = channel(16);
    tokio::spawn(async move {
        tokio::select! {
            // A catalog that fails ends the stream; the reader comes back and goes on.
            _ = tell(&engine, run, named.unwrap_or(after), &teller, &sender) => {}
            () = sender.closed() => {}
            () = closing.cancelled() => {}
        }
    });
    let events = futures::stream::unfold(events, |mut events| async {
        Some((events.recv().await?, events))
    });
    Sse::new(events.map(Ok)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

async fn tell<T: Teller>(
    engine: &Engine,
    id: RunId,
    mut seen: i64,
    teller: &T,
    sender: &Sender<Event>,
) -> Option<()> {
    let catalog = engine.catalog();
    let mut before = String::new();
    loop {
        // The state is read before the log: an ended run's last lines are then there.
        let run = catalog.run(id).await.ok()?;
        loop {
            let lines = catalog.log_after(id, seen, LINES).await.ok()?;
            seen = match lines.last() {
                Some(last) => last.seq,
                None => break,
            };
            for (seq, text) in teller.lines(&lines) {
                let event = Event::default().event("log").id(seq.to_string());
                sender.send(event.data(text)).await.ok()?;
            }
        }
        let state = teller.state(&run).await?;
        let ended = run.state.is_terminal();
        if ended || state != before {
            let event = Event::default().event(if ended { "end" } else { T::STATE });
            sender.send(event.data(&state)).await.ok()?;
        }
        if ended {
            return Some(());
        }
        before = state;
        let pause = if run.state == RunState::Queued { 1_000 } else { 500 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

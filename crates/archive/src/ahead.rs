//! The same walk by several threads: one goes ahead, some open and read, one writes in order.

use std::{
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel, sync_channel},
    },
    thread,
};

use crate::{ArchiveError, Format, Root, Walk, Warnings, content::AHEAD, walk::Step};

/// Most that a batch holds.
const BATCH_STEPS: usize = 64;
/// About how many bytes of content a batch holds.
const BATCH_BYTES: u64 = 512 << 10;
/// Batches that wait for the writer, for each reader. With what is being read, these bound the
/// memory.
const WAITING: usize = 2;

/// Consecutive steps, and where they go when they have been read.
struct Batch {
    steps: Vec<Step>,
    done: Sender<Vec<Step>>,
}

impl Walk {
    /// Adds everything at `root`, the same bytes as [`Walk::add`], while `readers` threads open
    /// files and read small ones before their turn. Takes up to 2 MiB for each of them.
    pub fn add_reading_ahead(
        &self,
        root: &Root,
        readers: usize,
        format: &mut impl Format,
        warnings: &mut Warnings,
    ) -> Result<(), ArchiveError> {
        let (to_readers, batches) = channel();
        let batches = Mutex::new(batches);
        thread::scope(|scope| {
            // What is not taken any more ends the walk, and that the readers.
            let (in_order, done) = sync_channel(readers * WAITING);
            let walking = scope.spawn(move || {
                let mut ahead = Gathering { to_readers, in_order, steps: Vec::new(), bytes: 0 };
                let ended = self.each(root, |step| ahead.add(step));
                ended.and(ahead.send())
            });
            for _ in 0..readers {
                scope.spawn(|| read(&batches));
            }
            for batch in done {
                // Nothing comes where its reader ended by itself.
                for step in batch.recv().map_err(|_| ended_by_itself())? {
                    step.take(format, warnings)?;
                }
            }
            walking.join().map_err(|_| ended_by_itself())?
        })
    }
}

fn ended_by_itself() -> ArchiveError {
    ArchiveError::Failed("a thread that reads files ended by itself".to_owned())
}

/// What the walk has come to and not given on.
struct Gathering {
    to_readers: Sender<Batch>,
    in_order: std::sync::mpsc::SyncSender<Receiver<Vec<Step>>>,
    steps: Vec<Step>,
    bytes: u64,
}

impl Gathering {
    fn add(&mut self, step: Step) -> Result<(), ArchiveError> {
        if let Step::Found(item) = &step
            && item.meta.is_file()
        {
            // A file that is not read whole stays open: few of them make a batch.
            self.bytes += item.meta.len().min(AHEAD);
        }
        self.steps.push(step);
        if self.steps.len() >= BATCH_STEPS || self.bytes >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), ArchiveError> {
        self.bytes = 0;
        let (done, later) = channel();
        let batch = Batch { steps: std::mem::take(&mut self.steps), done };
        self.in_order.send(later).map_err(|_| ArchiveError::Gone)?;
        self.to_readers.send(batch).map_err(|_| ArchiveError::Gone)
    }
}

/// Reads batches until there are no more.
fn read(batches: &Mutex<Receiver<Batch>>) {
    loop {
        let next = batches.lock().map(|batches| batches.recv());
        let Ok(Ok(batch)) = next else { return };
        for step in &batch.steps {
            if let Step::Found(item) = step {
                item.read_ahead();
            }
        }
        // Nobody waits for it where the archive has come to an end before its time.
        let _ = batch.done.send(batch.steps);
    }
}

//! Large buffers that are used again: memory that is taken anew costs a page fault for every 4 KiB.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Lends buffers of one size. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    /// How many bytes each has room for.
    room: usize,
    /// One that was filled further is not kept: all of that would stay in memory.
    usual: usize,
    /// How many are kept while nobody uses them.
    keep: usize,
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// Buffers with `room` bytes, of which `keep` are kept while nobody uses them, if they were
    /// filled with no more than is `usual`.
    pub(crate) fn new(room: usize, usual: usize, keep: usize) -> Self {
        Self { room, usual, keep, idle: Arc::default() }
    }

    /// An empty one.
    pub(crate) fn take(&self) -> Vec<u8> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Vec::with_capacity(self.room))
    }

    /// What was filled, to be handed on; it comes back when the last of it is dropped.
    pub(crate) fn lend(&self, filled: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { filled, home: self.clone() })
    }

    /// Takes one back. One that had to grow, or was filled further than usual, is not kept.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let is_usual = buffer.capacity() == self.room && buffer.len() <= self.usual;
        if is_usual && idle.len() < self.keep {
            buffer.clear();
            idle.push(buffer);
        }
    }
}

struct Lent {
    filled: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.filled
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.filled));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_of_it() {
        let buffers = Buffers::new(1 << 20, 1 << 10, 1);
        let idle = || buffers.idle.lock().unwrap().len();
        let mut filled = buffers.take();
        filled.extend_from_slice(b"abc");
        let mut lent = buffers.lend(filled);
        let part = lent.split_to(2);
        drop(lent);
        assert_eq!((&part[..], idle()), (&b"ab"[..], 0));
        drop(part);
        assert_eq!(idle(), 1);
        let (again, other) = (buffers.take(), buffers.take());
        assert!(again.is_empty() && idle() == 0);
        for buffer in [vec![0; 2 << 20], vec![0; 1 << 20], again, other] {
            buffers.give_back(buffer);
        }
        assert_eq!(idle(), 1, "no more than are to be kept");
        assert!(buffers.take().is_empty());
        buffers.give_back(vec![0; 1 << 20]);
        assert_eq!(idle(), 0, "one that was filled further than usual");
    }
}

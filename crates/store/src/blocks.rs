//! Where the bytes of parts wait: blocks that are used again and again.
//!
//! A chunk of a stream may be a small piece of a larger buffer that it keeps alive, and buffers
//! that other threads freed are not given back to the system. So chunks are copied into blocks,
//! and an upload never has more of these than its parts take.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

/// Size of a block, in bytes.
const BLOCK: usize = 1 << 20;

/// Blocks that nobody uses at the moment.
#[derive(Debug, Clone, Default)]
struct Free(Arc<Mutex<Vec<Vec<u8>>>>);

/// A block in use; it is free again when the last of its bytes is dropped.
struct Block {
    filled: Vec<u8>,
    free: Free,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.filled
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut block = mem::take(&mut self.filled);
        block.clear();
        self.free.0.lock().unwrap_or_else(PoisonError::into_inner).push(block);
    }
}

/// The bytes that wait to be sent, in order.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    free: Free,
    full: Vec<Bytes>,
    /// The block being filled.
    last: Vec<u8>,
    count: usize,
}

impl Blocks {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Copies `bytes`.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.last.capacity() == 0 {
                let free = self.free.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
                self.last = free.unwrap_or_else(|| Vec::with_capacity(BLOCK));
            }
            let (fits, rest) = bytes.split_at(bytes.len().min(BLOCK - self.last.len()));
            self.last.extend_from_slice(fits);
            self.count += fits.len();
            bytes = rest;
            if self.last.len() == BLOCK {
                self.close();
            }
        }
    }

    /// Everything that waits.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        self.close();
        self.count = 0;
        mem::take(&mut self.full)
    }

    fn close(&mut self) {
        if !self.last.is_empty() {
            let filled = mem::take(&mut self.last);
            self.full.push(Bytes::from_owner(Block { filled, free: self.free.clone() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_and_blocks_are_used_again() {
        let mut blocks = Blocks::default();
        let bytes: Vec<u8> = (0..=250).cycle().take(5 * BLOCK / 2).collect();
        for _ in 0..3 {
            for piece in bytes.chunks(70_000) {
                blocks.push(piece);
            }
            assert_eq!(blocks.len(), bytes.len());
            let taken = blocks.take();
            assert_eq!(taken.len(), 3);
            assert!(taken.concat() == bytes);
            assert_eq!((blocks.len(), blocks.take().len()), (0, 0));
            drop(taken);
            assert_eq!(blocks.free.0.lock().unwrap().len(), 3);
        }
    }
}

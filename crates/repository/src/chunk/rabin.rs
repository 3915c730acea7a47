//! Rabin fingerprints of the last 64 bytes, with the parameters that restic fixed.
//!
//! A cut depends on nothing but the 64 bytes before it and the chunk's length. So the first half
//! MiB is skipped, and what follows is searched at several places at once: one fingerprint waits
//! for its own previous value at every byte, several do not wait for each other.

use std::fmt;

use super::{MAX_BYTES, MIN_BYTES, Polynomial, polynomial::rest};

const WINDOW: usize = 64;
/// A fingerprint whose low 20 bits are zero cuts: one of a million.
const SPLIT_MASK: u64 = (1 << 20) - 1;
/// Places searched at once.
const LANES: usize = 4;
/// Bytes that each place searches before the next turn.
const STRIDE: usize = 8 << 10;

/// Tables for one polynomial.
pub struct Rabin {
    shift: u32,
    /// What a byte leaves in the fingerprint when it has passed through the window.
    out: [u64; 256],
    /// What reduces a fingerprint whose top byte is the index.
    reduce: [u64; 256],
}

impl fmt::Debug for Rabin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rabin(..)")
    }
}

impl Rabin {
    /// Computes the tables.
    pub fn new(polynomial: Polynomial) -> Self {
        let (bits, degree) = (polynomial.bits(), polynomial.degree());
        let (mut out, mut reduce) = ([0; 256], [0; 256]);
        for byte in 0..=u8::MAX {
            let mut print = rest(u64::from(byte), bits);
            for _ in 1..WINDOW {
                print = rest(print << 8, bits);
            }
            out[usize::from(byte)] = print;
            let top = u64::from(byte) << degree;
            reduce[usize::from(byte)] = rest(top, bits) | top;
        }
        Self { shift: degree - 8, out, reduce }
    }

    /// Length of the chunk that begins `data`, if it ends there. The first `seen` bytes are
    /// known to hold no cut.
    pub fn cut(&self, data: &[u8], seen: usize) -> Option<usize> {
        let data = &data[..data.len().min(MAX_BYTES)];
        // A chunk of the least length may be cut; everything before may not.
        let mut at = seen.max(MIN_BYTES - 1);
        while at + LANES * STRIDE <= data.len() {
            if let Some(cut) = self.search_lanes(&data[at - WINDOW..at + LANES * STRIDE]) {
                return Some(at + cut);
            }
            at += LANES * STRIDE;
        }
        if at < data.len()
            && let Some(cut) = self.search(&data[at - WINDOW..])
        {
            return Some(at + cut);
        }
        (data.len() == MAX_BYTES).then_some(MAX_BYTES)
    }

    /// The fingerprint of one window.
    fn print(&self, window: &[u8]) -> u64 {
        window.iter().fold(0, |print, &byte| self.append(print, byte))
    }

    #[inline]
    fn append(&self, print: u64, byte: u8) -> u64 {
        // Eight bits at most are above the degree.
        let top = (print >> self.shift & 0xff) as usize;
        (print << 8 | u64::from(byte)) ^ self.reduce[top]
    }

    #[inline]
    fn slide(&self, print: u64, leaves: u8, enters: u8) -> u64 {
        self.append(print ^ self.out[usize::from(leaves)], enters)
    }

    /// Searches behind the first window of `data`; gives how many bytes behind it.
    fn search(&self, data: &[u8]) -> Option<usize> {
        let mut print = self.print(&data[..WINDOW]);
        let pairs = data.iter().zip(&data[WINDOW..]);
        for (index, (&leaves, &enters)) in pairs.enumerate() {
            print = self.slide(print, leaves, enters);
            if print & SPLIT_MASK == 0 {
                return Some(index + 1);
            }
        }
        None
    }

    /// As [`Self::search`], for exactly as many bytes as all places take.
    fn search_lanes(&self, data: &[u8]) -> Option<usize> {
        let lane = |n: usize| &data[n * STRIDE..][..STRIDE + WINDOW];
        let (a, b, c, d) = (lane(0), lane(1), lane(2), lane(3));
        let mut prints = [a, b, c, d].map(|lane| self.print(&lane[..WINDOW]));
        for at in 0..STRIDE {
            prints[0] = self.slide(prints[0], a[at], a[at + WINDOW]);
            prints[1] = self.slide(prints[1], b[at], b[at + WINDOW]);
            prints[2] = self.slide(prints[2], c[at], c[at + WINDOW]);
            prints[3] = self.slide(prints[3], d[at], d[at + WINDOW]);
            if prints.iter().any(|print| print & SPLIT_MASK == 0) {
                // An earlier place may hold a cut further on.
                return self.search(data);
            }
        }
        None
    }
}

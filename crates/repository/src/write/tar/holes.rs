//! Files with holes, as GNU tar writes them: what is data, and where it belongs.

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

/// Largest file with holes that is understood, in bytes: each 8 MiB are one name in its list.
const MAX_BYTES: u64 = 8 << 40;
/// Most parts of data.
const MAX_PARTS: usize = 200_000;

/// Where the data of a file with holes belongs.
#[derive(Debug)]
pub(super) struct Map {
    /// Bytes of zeros, and the bytes of data behind them.
    pub(super) parts: Vec<(u64, u64)>,
    /// Zeros at the end.
    pub(super) end: u64,
    at: u64,
    data: u64,
    is_good: bool,
}

impl Map {
    /// What the header itself tells; and whether more blocks follow.
    pub(super) fn of(header: &Header) -> (Self, bool) {
        let mut map = Self { parts: Vec::new(), end: 0, at: 0, data: 0, is_good: true };
        let Some(gnu) = header.as_gnu() else {
            map.is_good = false;
            return (map, false);
        };
        map.add(&gnu.sparse);
        (map, gnu.is_extended())
    }

    /// Takes one of the blocks that follow; gives whether there is another.
    pub(super) fn more(&mut self, block: &[u8]) -> bool {
        let mut more = GnuExtSparseHeader::new();
        let bytes = more.as_mut_bytes();
        if block.len() != bytes.len() {
            self.is_good = false;
            return false;
        }
        bytes.copy_from_slice(block);
        self.add(more.sparse());
        more.is_extended()
    }

    fn add(&mut self, slots: &[GnuSparseHeader]) {
        for slot in slots.iter().filter(|slot| !slot.is_empty()) {
            let place = slot.offset().ok().zip(slot.length().ok());
            let hole = place.and_then(|(offset, _)| offset.checked_sub(self.at));
            let (Some((offset, length)), Some(hole)) = (place, hole) else {
                self.is_good = false;
                return;
            };
            let end = offset.checked_add(length).filter(|end| *end <= MAX_BYTES);
            let Some(end) = end.filter(|_| self.parts.len() < MAX_PARTS) else {
                self.is_good = false;
                return;
            };
            self.parts.push((hole, length));
            (self.at, self.data) = (end, self.data + length);
        }
    }

    /// All of it, if it fits the header and `size` bytes of data.
    pub(super) fn checked(mut self, header: &Header, size: u64) -> Option<Self> {
        let real = header.as_gnu()?.real_size().ok()?;
        self.end = real.checked_sub(self.at)?;
        (self.is_good && self.data == size && real <= MAX_BYTES).then_some(self)
    }
}

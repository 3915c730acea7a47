//! How large the parts of an upload are.

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// Of ten parts, how many stay as small as the first: a fifth of them takes 10 GiB.
const SMALL_IN_TEN: u64 = 2;
/// Of what was sent, the share that a part may be once they grow, as its divisor: a twelfth of
/// all parts.
const GROWTH: u64 = 12;

/// Sizes of parts, for a stream whose length nobody knows.
///
/// S3 takes 10,000 parts and 5 TiB. Parts begin small, and as about four of them are in memory
/// (one gathered, one that waits, two on their way) they stay so as long as they may: 2,000 parts
/// of 5 MiB. Then each is what was sent before it, divided by 833: 100 GiB end with parts of
/// 123 MiB, and 5 TiB fit, with parts of 1 GiB. Where a largest size is known, [`Self::within`]
/// keeps them smaller.
#[derive(Debug, Clone, Copy)]
pub struct PartSizes {
    /// Size of the first parts, in bytes. S3 takes no smaller ones than 5 MiB.
    pub first_bytes: u64,
    /// Size that no part exceeds, in bytes: four parts may be in memory.
    pub largest_bytes: u64,
    /// Most parts of an upload; what S3 takes.
    pub most: u32,
}

impl Default for PartSizes {
    fn default() -> Self {
        Self { first_bytes: 5 * MIB, largest_bytes: 1024 * MIB, most: 10_000 }
    }
}

impl PartSizes {
    /// The same for a stream that does not pass `bytes`: no part is larger than twice what would
    /// do if all were alike. So 24 GiB, in parts of 5 MiB all along, take 20 MiB of memory, and
    /// 1 TiB takes 840 MiB instead of 4 GiB.
    pub(crate) fn within(self, bytes: u64) -> Self {
        let twice = (bytes / u64::from(self.most.max(1))).saturating_mul(2);
        let largest_bytes = twice.min(self.largest_bytes).max(self.first_bytes);
        Self { largest_bytes, ..self }
    }

    /// Size of the part after `sent_bytes`, in bytes.
    pub(crate) fn next_bytes(&self, sent_bytes: u64) -> u64 {
        let most = u64::from(self.most);
        if sent_bytes < self.first_bytes * (most * SMALL_IN_TEN / 10) {
            return self.first_bytes;
        }
        let grown = sent_bytes / (most / GROWTH).max(1);
        grown.clamp(self.first_bytes, self.largest_bytes.max(self.first_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIB: u64 = 1 << 40;

    fn parts(sizes: PartSizes, total: u64) -> (u32, u64) {
        let (mut sent, mut count, mut last) = (0, 0, 0);
        while sent < total {
            last = sizes.next_bytes(sent);
            assert!((5 * MIB..=5 * 1024 * MIB).contains(&last), "S3 takes no part of {last}");
            sent += last;
            count += 1;
        }
        (count, last)
    }

    #[test]
    fn the_largest_object_fits_into_the_parts() {
        let (count, last) = parts(PartSizes::default(), 5 * TIB);
        assert!(count <= 10_000, "{count} parts");
        assert_eq!(last, 1024 * MIB);
    }

    #[test]
    fn usual_sizes_take_little_memory() {
        assert_eq!(parts(PartSizes::default(), 9_000 * MIB), (1800, 5 * MIB));
        let (count, last) = parts(PartSizes::default(), 100 << 30);
        assert!(count < 4_000 && last <= 123 * MIB, "{count} parts, the last of {last} bytes");
    }

    #[test]
    fn a_known_bound_keeps_parts_small() {
        for (bytes, largest) in [
            (1 << 20, 5 * MIB),
            (24 << 30, 5 * MIB),
            (60 << 30, 13 * MIB),
            (TIB / 4, 53 * MIB),
            (TIB, 210 * MIB),
            (5 * TIB, 1024 * MIB),
        ] {
            let (count, last) = parts(PartSizes::default().within(bytes), bytes);
            assert!(count <= 10_000, "{bytes}: {count} parts");
            assert!(last <= largest, "{bytes}: the last of {last} bytes");
        }
    }

    #[test]
    fn parts_never_shrink() {
        let sizes = PartSizes::default();
        let mut before = 0;
        for sent in (0..5 * TIB).step_by(1 << 30) {
            let next = sizes.next_bytes(sent);
            assert!(next >= before);
            before = next;
        }
    }
}

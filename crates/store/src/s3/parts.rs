//! How large the parts of an upload are.

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// Sizes of parts, for a stream whose length nobody knows.
///
/// S3 takes 10,000 parts and 5 TiB. Parts begin small; once a tenth of them is used, each is as
/// large as all before it divided by that tenth. So 8 GiB go in parts of 8 MiB, 100 GiB end with
/// parts of 100 MiB, and 5 TiB fit, with parts of 1 GiB.
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
        Self { first_bytes: 8 * MIB, largest_bytes: 1024 * MIB, most: 10_000 }
    }
}

impl PartSizes {
    /// Size of the part after `sent_bytes`, in bytes.
    pub(super) fn next_bytes(&self, sent_bytes: u64) -> u64 {
        let grown = sent_bytes / u64::from((self.most / 10).max(1));
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
        assert_eq!(parts(PartSizes::default(), 8000 * MIB), (1000, 8 * MIB));
        let (count, last) = parts(PartSizes::default(), 100 << 30);
        assert!(count < 4_000 && last <= 103 * MIB, "{count} parts, the last of {last} bytes");
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

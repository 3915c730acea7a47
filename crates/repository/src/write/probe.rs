//! Whether compressing is worth its time.

/// Shorter blobs are compressed without a question.
const WORTH_ASKING: usize = 64 << 10;
/// How many places are looked at.
const SAMPLES: usize = 4;
/// How much is taken of each, in bytes.
const SAMPLE: usize = 4 << 10;

/// Compresses samples of what is large, and knows what their outcome means.
pub(super) struct Probe {
    compressor: zstd::bulk::Compressor<'static>,
    sample: Vec<u8>,
    out: Vec<u8>,
}

impl Probe {
    pub(super) fn new() -> std::io::Result<Self> {
        let out = vec![0; zstd::zstd_safe::compress_bound(SAMPLES * SAMPLE)];
        let sample = Vec::with_capacity(SAMPLES * SAMPLE);
        Ok(Self { compressor: zstd::bulk::Compressor::new(1)?, sample, out })
    }

    /// Whether `plain` looks as if it would become smaller. Places are spread over all of it, so
    /// that a header in front of noise decides nothing.
    pub(super) fn compressible(&mut self, plain: &[u8]) -> bool {
        if plain.len() < WORTH_ASKING {
            return true;
        }
        self.sample.clear();
        let step = (plain.len() - SAMPLE) / (SAMPLES - 1);
        for n in 0..SAMPLES {
            self.sample.extend_from_slice(&plain[n * step..][..SAMPLE]);
        }
        let compressed = self.compressor.compress_to_buffer(&self.sample, &mut self.out[..]);
        // 1 % of a sample is less than what zstd finds in noise by chance.
        compressed.is_ok_and(|bytes| bytes < self.sample.len() - self.sample.len() / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut noise).unwrap();
        noise
    }

    #[test]
    fn noise_is_told_from_text() {
        let mut probe = Probe::new().unwrap();
        assert!(!probe.compressible(&noise(1 << 20)));
        assert!(!probe.compressible(&noise(WORTH_ASKING)));
        assert!(probe.compressible(&b"INSERT INTO items VALUES (1, 'one');\n".repeat(40_000)));
        // Half of it is enough.
        let mut mixed = noise(1 << 20);
        mixed[..512 << 10].fill(0);
        assert!(probe.compressible(&mixed));
        assert!(probe.compressible(&noise(100)), "small ones are always tried");
    }
}

//! Whether compressing is worth its time, and how much of it.

/// Shorter blobs are compressed without a question.
const WORTH_ASKING: usize = 64 << 10;
/// How many places are looked at.
const SAMPLES: usize = 4;
/// How much is taken of each, in bytes.
const SAMPLE: usize = 4 << 10;

/// What a blob looks like to a compressor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// It would not become smaller.
    Noise,
    /// Text: dumps, logs, sources. A quick match is as good as the best one of two there.
    Text,
    /// Anything else, and what is too short to ask.
    Mixed,
}

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

    /// What `plain` looks like. Places are spread over all of it, so that a header in front of
    /// noise decides nothing.
    pub(super) fn look(&mut self, plain: &[u8]) -> Looks {
        if plain.len() < WORTH_ASKING {
            return Looks::Mixed;
        }
        self.sample.clear();
        let step = (plain.len() - SAMPLE) / (SAMPLES - 1);
        for n in 0..SAMPLES {
            self.sample.extend_from_slice(&plain[n * step..][..SAMPLE]);
        }
        let compressed = self.compressor.compress_to_buffer(&self.sample, &mut self.out[..]);
        // 1 % of a sample is less than what zstd finds in noise by chance.
        if compressed.is_ok_and(|bytes| bytes >= self.sample.len() - self.sample.len() / 100) {
            Looks::Noise
        } else if self.sample.contains(&0) {
            Looks::Mixed
        } else {
            Looks::Text
        }
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
        assert_eq!(probe.look(&noise(1 << 20)), Looks::Noise);
        assert_eq!(probe.look(&noise(WORTH_ASKING)), Looks::Noise);
        let text = b"INSERT INTO items VALUES (1, 'one');\n".repeat(40_000);
        assert_eq!(probe.look(&text), Looks::Text);
        // Half of it is enough.
        let mut mixed = noise(1 << 20);
        mixed[..512 << 10].fill(0);
        assert_eq!(probe.look(&mixed), Looks::Mixed);
        assert_eq!(probe.look(&noise(100)), Looks::Mixed, "small ones are always tried");
    }
}

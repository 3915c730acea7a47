//! Measures what ending frames costs: seals 1 GiB of text and of noise with frames of several
//! lengths and without an end, in turns.
//!
//! ```text
//! cargo run --release -p artifact --example sealing
//! ```

use std::time::{Duration, Instant};

use artifact::{Recipe, SealError, Sealer};
use bytes::Bytes;

const SIZE: usize = 1 << 30;
const CHUNK: usize = 256 << 10;
const TURNS: usize = 7;

fn main() -> Result<(), SealError> {
    let lengths = [64 << 20, 128 << 20, 256 << 20, u64::MAX >> 33];
    for (name, compression) in
        [("text", "zstd"), ("noise", "zstd"), ("text", "gzip:1"), ("noise", "gzip:1")]
    {
        let workers: &[u32] = if compression == "zstd" { &[2, 0] } else { &[0] };
        let data = Bytes::from(if name == "text" { text() } else { noise(SIZE / 8) });
        for workers in workers {
            let Ok(compression) = compression.parse() else { continue };
            let recipe = Recipe::new(compression).with_workers(*workers);
            let mut best = [Duration::MAX; 4];
            for _ in 0..TURNS {
                for (at, length) in lengths.iter().enumerate() {
                    best[at] = best[at].min(sealed(recipe, &data, *length)?);
                }
            }
            let told = best.map(|time| format!("{:.3}", time.as_secs_f64()));
            let cost = (best[0].as_secs_f64() / best[3].as_secs_f64() - 1.0) * 100.0;
            println!(
                "{name} {compression} workers {workers}: 64, 128, 256 MiB, one frame: {told:?} s; 64 MiB costs {cost:.1} %"
            );
        }
    }
    Ok(())
}

fn sealed(recipe: Recipe, data: &Bytes, frame_bytes: u64) -> Result<Duration, SealError> {
    let began = Instant::now();
    let mut stored = 0;
    let mut sealer = Sealer::new(recipe)?.with_frames_of(frame_bytes);
    let mut out = |bytes: Bytes| stored += bytes.len();
    for at in 0..SIZE / CHUNK {
        let start = (at * CHUNK) % data.len();
        sealer.push(data.slice(start..start + CHUNK), &mut out)?;
    }
    sealer.finish(&mut out)?;
    Ok(began.elapsed())
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length / 8).flatten().collect()
}

fn text() -> Vec<u8> {
    let mut lines = Vec::with_capacity(SIZE / 8);
    let mut at = 0_u64;
    let numbers = noise(SIZE / 16);
    for pair in numbers.chunks_exact(8) {
        let n = u64::from_le_bytes([pair[0], pair[1], pair[2], pair[3], 0, 0, 0, 0]);
        at += 1;
        lines.extend_from_slice(
            format!(
                "{at}\tcustomer {}\t{}\torder placed\t{}.{:02}\n",
                n % 9973,
                n,
                n % 500,
                n % 100
            )
            .as_bytes(),
        );
        if lines.len() >= SIZE / 8 {
            break;
        }
    }
    lines.truncate(SIZE / 8);
    lines
}
